from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neural_foundation.core.errors import DataError
from neural_foundation.metrics import (
    aps_scores,
    class_quantiles,
    conformal_quantile,
    coverage,
    group_coverage,
    lac_scores,
    prediction_sets,
    set_size,
)


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 60), st.floats(0.02, 0.9), st.integers(0, 100))
def test_the_quantile_is_the_order_statistic_of_the_definition(n, alpha, seed):
    scores = np.random.default_rng(seed).random(n)
    rank = int(np.ceil((n + 1) * (1 - alpha) - 1e-9))
    expected = np.sort(scores)[rank - 1] if rank <= n else np.inf
    assert conformal_quantile(scores, alpha) == expected


@pytest.mark.parametrize(("n", "alpha", "rank"), [(9, 0.1, 9), (19, 0.1, 18), (99, 0.05, 95), (9, 0.7, 3)])
def test_ranks_that_rounding_could_move(n, alpha, rank):
    assert conformal_quantile(np.arange(n), alpha) == rank - 1


def test_coverage_is_exact_for_exchangeable_windows():
    """Over many draws the coverage of the next window is rank / (n + 1), whatever the scores are."""
    rng = np.random.default_rng(0)
    draws = rng.standard_exponential((20000, 20))
    held = draws[:, 19] <= np.array([conformal_quantile(d[:19], 0.25) for d in draws])
    assert held.mean() == pytest.approx(15 / 20, abs=0.01)


def test_windows_of_new_people_are_not_exchangeable_but_people_are():
    """People with their own level: windows promise too much where there are few people, people keep the promise."""
    rng = np.random.default_rng(0)
    by_window, by_person, people = [], [], np.repeat(np.arange(5), 8)
    for _ in range(3000):
        scores = rng.standard_normal((6, 1)) + 0.1 * rng.standard_normal((6, 8))
        calibration, new = scores[:5].ravel(), scores[5, 0]
        by_window.append(new <= conformal_quantile(calibration, 0.3))
        by_person.append(new <= conformal_quantile(calibration, 0.3, groups=people))
    assert np.mean(by_window) < 0.68
    assert np.mean(by_person) >= 0.7


def test_people_count_alike_however_many_windows_they_have():
    scores, people = np.array([0.9, 0.1, 0.1, 0.2, 0.2, 0.3]), np.array(["a", "b", "b", "c", "c", "d"])
    # shares 1/5: b and c reach 0.4, d 0.6, a 0.8
    assert conformal_quantile(scores, 0.4, groups=people) == 0.3
    assert conformal_quantile(scores, 0.2, groups=people) == 0.9
    assert conformal_quantile(scores, 0.1, groups=people) == np.inf
    one_each = np.random.default_rng(0).random(30)
    assert conformal_quantile(one_each, 0.1, groups=np.arange(30)) == conformal_quantile(one_each, 0.1)


def test_scores_by_hand():
    p = np.array([[0.5, 0.3, 0.2], [0.4, 0.4, 0.2]])
    np.testing.assert_allclose(lac_scores(p), 1 - p)
    np.testing.assert_allclose(aps_scores(p, u=0.0), [[0.5, 0.8, 1.0], [0.8, 0.8, 1.0]])
    np.testing.assert_allclose(aps_scores(p), [[0.25, 0.65, 0.9], [0.6, 0.6, 0.9]])
    np.testing.assert_allclose(aps_scores(p, u=np.array([1.0, 0.5])), [[0.0, 0.5, 0.8], [0.6, 0.6, 0.9]])
    assert aps_scores(np.array([[0.1] * 10]), u=0.0).max() <= 1


@pytest.mark.parametrize("kind", ["lac", "aps", "randomised"])
def test_sets_cover_as_promised_whatever_the_model_believes(kind):
    rng = np.random.default_rng(1)
    truth = rng.dirichlet(np.ones(4), 20000)
    target = (truth.cumsum(1) > rng.random((20000, 1))).argmax(1)
    believed = truth**3 / (truth**3).sum(1, keepdims=True)  # far too sure
    scores = {
        "lac": lac_scores(believed),
        "aps": aps_scores(believed),
        "randomised": aps_scores(believed, u=rng.random(20000)),
    }[kind]
    threshold = conformal_quantile(scores[np.arange(2000), target[:2000]], 0.1)
    sets = prediction_sets(scores[2000:], threshold)
    assert coverage(sets, target[2000:]) == pytest.approx(0.9, abs=0.02)
    assert 1 < set_size(sets) < 4


def test_each_class_gets_its_own_threshold():
    rng = np.random.default_rng(2)
    target = rng.integers(0, 2, 4000)
    p_true = np.where(target == 0, rng.uniform(0.7, 1, 4000), rng.uniform(0.2, 1, 4000))
    p = np.where(target[:, None] == np.arange(2), p_true[:, None], 1 - p_true[:, None])
    scores, fit = lac_scores(p), slice(0, 2000)
    own = scores[np.arange(4000), target]
    thresholds = class_quantiles(own[fit], target[fit], 0.1, n_classes=2)
    each = prediction_sets(scores[2000:], thresholds)
    one = prediction_sets(scores[2000:], conformal_quantile(own[fit], 0.1))
    rare = target[2000:] == 1
    assert coverage(each[rare], target[2000:][rare]) == pytest.approx(0.9, abs=0.03)
    assert coverage(one[rare], target[2000:][rare]) < 0.85
    people = np.arange(2000) // 20
    assert (class_quantiles(own[fit], target[fit], 0.1, n_classes=2, groups=people) >= thresholds - 0.05).all()


def test_coverage_of_each_person():
    sets = np.array([[True, False], [True, True], [False, False], [False, True]])
    target = np.array([0, 1, 0, 0])
    assert coverage(sets, target) == 0.5
    assert set_size(sets) == 1.0
    assert group_coverage(sets, target, np.array(["b", "b", "a", "a"])) == {"a": 0.0, "b": 1.0}


def test_refusals():
    with pytest.raises(DataError, match="one or more"):
        conformal_quantile(np.zeros(0), 0.1)
    with pytest.raises(DataError, match="under 1"):
        conformal_quantile(np.zeros(3), 1.0)
    with pytest.raises(DataError, match="2 groups for 3 scores"):
        conformal_quantile(np.zeros(3), 0.1, groups=np.zeros(2))
    with pytest.raises(DataError, match="has class 1. Use one threshold"):
        class_quantiles(np.zeros(3), np.zeros(3, int), 0.1, n_classes=2)
    with pytest.raises(DataError, match="do not match"):
        coverage(np.zeros((3, 2), bool), np.zeros(2, int))
    with pytest.raises(DataError, match="one each"):
        group_coverage(np.zeros((3, 2), bool), np.zeros(3, int), np.zeros(2))
