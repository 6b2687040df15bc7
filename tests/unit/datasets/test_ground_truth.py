"""The ceiling: a threshold on one index, learnt on others."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.linear_model import LogisticRegression

from neural_foundation.core.errors import DataError
from neural_foundation.datasets.simulated.ground_truth import Truth, _logistic, ceiling


def known(index: np.ndarray, label: np.ndarray, moments: tuple[float, float] = (1.0, 1.0)) -> Truth:
    """Return a truth whose lateralisation index is the given one in every bin."""
    power = np.exp(np.stack([-index / 2, index / 2], 1))[:, :, None] * np.ones(40)
    power = power * np.array(moments)[:, None] ** 2
    none = np.zeros((1, 3))
    return Truth(
        ch_names=("C3",), positions=none, left_source=none[0], right_source=none[0], source_positions=none,
        source_orientations=none, source_moments=np.array(moments), mu_hz=10.0, beta_hz=20.0, erd=0.5,
        onset_s=np.arange(len(label)) * 6.0, label=label, power=power, blink_s=none[0], muscle_s=np.zeros((0, 2)),
    )  # fmt: skip


def drawn(n: int, separation: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    label = rng.permutation(np.arange(n) % 2)
    return rng.normal(size=n) + separation * (label - 0.5), label


def test_the_index_is_relative_to_rest() -> None:
    index, label = drawn(20, 2.0, 0)
    np.testing.assert_allclose(known(index, label, (1e-8, 3e-8)).lateralisation(), index)


def test_the_ceiling_of_normal_indices_is_the_closed_form() -> None:
    truths = [known(*drawn(2000, 2.0, seed)) for seed in range(3)]
    best = ceiling(truths)
    assert best.accuracy == pytest.approx(norm.cdf(1.0), abs=0.015)
    assert best.within.mean() == pytest.approx(norm.cdf(1.0), abs=0.015)


def test_a_subject_unlike_the_others_is_decoded_within_only() -> None:
    subjects = [drawn(200, 4.0, seed) for seed in range(4)]
    subjects[3] = (subjects[3][0] + 6.0, subjects[3][1])
    best = ceiling([known(*s) for s in subjects])
    assert best.across[3] == pytest.approx(0.5, abs=0.1)
    assert best.within[3] > 0.95


def test_no_trial_of_a_left_out_subject_is_learnt_from() -> None:
    subjects = [drawn(100, 3.0, seed) for seed in range(3)]
    flipped = [*subjects[:2], (subjects[2][0], 1 - subjects[2][1])]
    best = ceiling([known(*s) for s in flipped])
    assert best.across[2] < 0.2
    assert best.within[2] > 0.8


def test_one_subject_has_no_ceiling_across() -> None:
    best = ceiling([known(*drawn(50, 3.0, 0))])
    assert np.isnan(best.across).all()
    assert best.within[0] > 0.8


def test_the_regression_is_that_of_scikit_learn() -> None:
    x, y = drawn(300, 1.5, 0)
    slope, offset = _logistic(x, y, penalty=1e-2)
    other = LogisticRegression(C=1 / (300 * 1e-2), tol=1e-10).fit(x[:, None], y)
    assert slope == pytest.approx(other.coef_[0, 0], rel=1e-3)
    assert offset == pytest.approx(other.intercept_[0], abs=1e-3)


def test_separable_classes_do_not_diverge() -> None:
    x = np.r_[np.full(20, -50.0), np.full(20, 50.0)]
    slope, offset = _logistic(x, (x > 0).astype(int))
    assert np.isfinite([slope, offset]).all()
    assert slope > 0


@pytest.mark.parametrize(("start_s", "length_s"), [(3.0, 1.5), (-0.5, 2.0), (1.0, 0.0)])
def test_a_window_outside_the_trial_is_refused(start_s: float, length_s: float) -> None:
    with pytest.raises(DataError, match="does not lie in the trial. Allowed: 0 to 4 s"):
        ceiling([known(*drawn(10, 1.0, 0))], start_s=start_s, length_s=length_s)
