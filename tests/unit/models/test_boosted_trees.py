"""Boosted trees against scikit-learn's own object, and what they make of votes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from neural_foundation.core.errors import PackageError, SpecError
from neural_foundation.core.specs import SignalSpec, TargetSpec
from neural_foundation.models import tree_arrays
from neural_foundation.models.base import ABSENT
from neural_foundation.models.boosted_trees import BoostedTrees, BoostedTreesEstimator
from neural_foundation.models.majority import Majority
from neural_foundation.models.table import MODELS
from neural_foundation.models.tree_arrays import arrays_of, probabilities, rebuilt, rounded_down

SIGNAL = SignalSpec(sfreq=100.0, ch_names=("C3", "C4"))
TARGET = TargetSpec(classes=("slow", "alpha", "beta"))
SMALL: dict[str, Any] = {"kind": "boosted_trees", "max_iter": 12, "min_samples_leaf": 5, "learning_rate": 0.3}
SUBJECT = np.array(["a"] * 90)


def windows(n: int = 90, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Windows of 3 s with a rhythm of 3, 10 or 20 Hz in noise."""
    rng = np.random.default_rng(seed)
    target = np.arange(n) % 3
    wave = np.sin(
        2 * np.pi * np.array([3.0, 10.0, 20.0])[target][:, None] * np.arange(300) / 100 + rng.uniform(0, 6, (n, 1))
    )
    return (1e-5 * (rng.normal(size=(n, 2, 300)) + 0.6 * wave[:, None])).astype(np.float32), target


def made(**fields: Any) -> BoostedTreesEstimator:
    return MODELS.parse({**SMALL, **fields}).estimator(SIGNAL, TARGET)


@pytest.fixture(scope="module")
def fitted() -> BoostedTreesEstimator:
    estimator = made()
    estimator.fit(*windows(), SUBJECT)
    return estimator


def theirs(n_classes: int, **fields: Any) -> tuple[Any, np.ndarray]:
    """A scikit-learn model on features that float32 holds, and such features it has not seen."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    rng = np.random.default_rng(n_classes)
    x = rng.normal(size=(300, 12)).astype(np.float32).astype(np.float64)
    y = np.argmax(x[:, :n_classes] + rng.normal(size=(300, n_classes)), 1)
    model = HistGradientBoostingClassifier(max_iter=20, early_stopping=False, **fields).fit(x, y)
    return model, rng.normal(size=(1500, 12)).astype(np.float32).astype(np.float64)


@pytest.mark.parametrize("n_classes", [2, 3, 6])
@pytest.mark.parametrize("max_leaf_nodes", [2, 31])
def test_the_walk_gives_what_scikit_learn_gives(n_classes: int, max_leaf_nodes: int) -> None:
    model, x = theirs(n_classes, max_leaf_nodes=max_leaf_nodes, min_samples_leaf=3)
    trees = arrays_of(model, np.arange(n_classes))
    np.testing.assert_allclose(probabilities(x, trees), model.predict_proba(x), rtol=0, atol=1e-14)
    np.testing.assert_allclose(rebuilt(trees).predict_proba(x), model.predict_proba(x), rtol=0, atol=1e-14)


def test_thresholds_decide_the_same_in_float32() -> None:
    rng = np.random.default_rng(0)
    values = np.sort(rng.normal(size=200).astype(np.float32))
    between = (values[:-1].astype(np.float64) + values[1:]) / 2
    down = rounded_down(between)
    assert down.dtype == np.float32
    assert ((values[:, None] <= down) == (values[:, None].astype(np.float64) <= between)).all()
    model, x = theirs(3)
    exact = np.array([n["num_threshold"] for it in model._predictors for t in it for n in t.nodes if not n["is_leaf"]])
    kept = arrays_of(model, np.arange(3))
    inner = kept["left"] != np.arange(len(kept["left"]))
    assert (kept["threshold"][inner] <= exact).all()
    assert (exact.astype(np.float32) != exact).any()


def test_the_package_s_arrays_are_numbers_and_predict(fitted: BoostedTreesEstimator) -> None:
    state = fitted.state()
    assert set(state) == set(tree_arrays.TREES)
    assert all(a.dtype.kind in "if" for a in state.values())
    signal, target = windows(60, seed=1)
    other = made().load(state)
    assert other.predict_proba(signal).tobytes() == fitted.predict_proba(signal).tobytes()
    assert np.mean(other.predict_proba(signal).argmax(1) == target) > 0.9
    np.testing.assert_array_equal(fitted.from_features(fitted.features(signal)), fitted.predict_proba(signal))
    assert fitted.features(signal).shape == (60, len(fitted.names))


def test_the_order_of_bands_in_a_file_does_not_move_the_features(fitted: BoostedTreesEstimator) -> None:
    bands = dict(sorted(BoostedTrees().bands.items()))
    assert list(bands) != list(BoostedTrees().bands)
    other = made(bands=bands).load(fitted.state())
    assert other.names == fitted.names
    signal = windows(9, seed=4)[0]
    assert other.predict_proba(signal).tobytes() == fitted.predict_proba(signal).tobytes()


def test_one_voice_a_window_is_the_same_as_a_label() -> None:
    signal, target = windows()
    hard = made().fit(signal, target, SUBJECT)
    soft = made().fit(signal, target, SUBJECT, np.eye(3)[target])
    many = made().fit(signal, target, SUBJECT, 7 * np.eye(3)[target])
    for other in (soft, many):
        np.testing.assert_allclose(other.predict_proba(signal), hard.predict_proba(signal), atol=1e-9)


def test_shares_of_the_votes_are_learned() -> None:
    signal, target = windows(180)
    votes = 6 * np.eye(3)[target] + 4 * np.eye(3)[(target + 1) % 3]
    estimator = made(learning_rate=0.5, max_iter=20).fit(signal, target, np.array(["a"] * 180), votes)
    said = estimator.predict_proba(windows(90, seed=2)[0])
    order = np.arange(90) % 3
    np.testing.assert_allclose(said[np.arange(90), order].mean(), 0.6, atol=0.06)
    np.testing.assert_allclose(said[np.arange(90), (order + 1) % 3].mean(), 0.4, atol=0.06)


def test_votes_are_the_rows_and_weights_of_scikit_learn() -> None:
    from sklearn.ensemble import HistGradientBoostingClassifier

    signal, target = windows()
    votes = np.random.default_rng(0).integers(0, 4, (90, 3)).astype(float)
    votes[5] = 0
    estimator = made(weigh="votes", feature_share=1.0)
    estimator.fit(signal, target, SUBJECT, votes)
    x = estimator.features(signal)
    window, klass = np.nonzero(votes)
    model = HistGradientBoostingClassifier(
        max_iter=12,
        min_samples_leaf=5,
        learning_rate=0.3,
        max_leaf_nodes=8,
        l2_regularization=1.0,
        early_stopping=False,
    )
    weight = votes[window, klass] * np.count_nonzero(votes.any(1)) / votes.sum()
    model.fit(x[window], klass, sample_weight=weight)
    np.testing.assert_allclose(estimator.predict_proba(signal), model.predict_proba(x), atol=1e-12)


def test_a_window_counts_by_its_votes_or_alike() -> None:
    signal, _ = windows(60)
    signal[:] = signal[0]  # nothing to tell windows by: the answer is the mean of what was said
    votes = np.zeros((60, 3))
    votes[:30, 0], votes[30:, 1] = 16, 1
    want = {"votes": [16 / 17, 1 / 17], "sqrt": [0.8, 0.2], "none": [0.5, 0.5]}
    for weigh, shares in want.items():
        said = made(weigh=weigh).fit(signal, np.zeros(60, int), SUBJECT[:60], votes).predict_proba(signal[:1])[0]
        np.testing.assert_allclose(said[:2], np.array(shares) * (1 - ABSENT), atol=1e-6)
        assert said[2] == ABSENT


def test_a_window_without_votes_counts_for_nothing() -> None:
    signal, target = windows()
    votes = np.eye(3)[target] * 3
    votes[::4] = 0
    kept = np.flatnonzero(votes.any(1))
    some = made().fit(signal, target, SUBJECT, votes)
    fewer = made().fit(signal[kept], target[kept], SUBJECT[kept], votes[kept])
    np.testing.assert_allclose(some.predict_proba(signal), fewer.predict_proba(signal), atol=1e-12)


@pytest.mark.parametrize("present", [(0, 2), (1,)])
def test_a_class_that_training_never_had_gets_its_floor(present: tuple[int, ...]) -> None:
    signal, target = windows()
    kept = np.isin(target, present)
    votes = np.eye(3)[target[kept]]
    for given in (None, votes):
        estimator = made().fit(signal[kept], target[kept], SUBJECT[kept], given)
        said = made().load(estimator.state()).predict_proba(signal)
        absent = [k for k in range(3) if k not in present]
        assert (said[:, absent] == ABSENT).all()
        np.testing.assert_allclose(said.sum(1), 1, atol=1e-12)
        assert (said[kept].argmax(1) == target[kept]).mean() > 0.9


def test_two_classes() -> None:
    signal, target = windows()
    two = MODELS.parse(SMALL).estimator(SIGNAL, TargetSpec(classes=("slow", "other")))
    two.fit(signal, (target > 0).astype(int), SUBJECT)
    assert len(two.state()["baseline"]) == 1
    said = two.predict_proba(windows(60, seed=3)[0])
    assert ((said[:, 1] > 0.5) == (np.arange(60) % 3 > 0)).mean() > 0.95


def test_seeds_of_the_spec_and_of_the_run_draw_other_features() -> None:
    signal, target = windows()

    def bytes_of(spec_seed: int, run_seed: int) -> bytes:
        estimator = made(seed=spec_seed)
        estimator.seed = run_seed
        return estimator.fit(signal, target, SUBJECT).state()["feature"].tobytes()

    seen = [bytes_of(0, 0), bytes_of(1, 0), bytes_of(0, 1)]
    assert len(set(seen)) == 3
    assert bytes_of(0, 0) == seen[0]


BROKEN = {
    "beyond the": lambda s: s["feature"].__setitem__(0, 10_000),
    "do not come after it": lambda s: s["left"].__setitem__(3, 0),
    "begins at no node": lambda s: s["root"].__setitem__(1, 10**6),
    "is not finite": lambda s: s["value"].__setitem__(1, np.nan),
    "classes": lambda s: s["present"].__setitem__(2, 7),
    "nodes are not whole": lambda s: s.update(value=s["value"][:-1]),
    "columns": lambda s: s.update(baseline=s["baseline"][:2]),
    "another shape": lambda s: s.update(left=s["left"].astype(float)),
    "holds 'baseline'": lambda s: s.pop("root"),
}


@pytest.mark.parametrize("message", BROKEN)
def test_arrays_that_are_no_trees_are_refused(fitted: BoostedTreesEstimator, message: str) -> None:
    state = fitted.state()
    BROKEN[message](state)
    fresh = made()
    with pytest.raises(PackageError, match=message):
        fresh.load(state)
    assert not fresh.state()


def test_trees_of_other_features_are_refused(fitted: BoostedTreesEstimator) -> None:
    fewer = made(per_channel=False)
    with pytest.raises(
        PackageError, match=rf"of \[{len(fitted.names)}\] features, and {len(fewer.names)} are measured"
    ):
        fewer.load(fitted.state())


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"bands": {"a": [8.0, 4.0]}}, "band 'a'"),
        ({"bands": {}}, "bands"),
        ({"max_leaf_nodes": 1}, "max_leaf_nodes"),
        ({"bands": {"a": [60.0, 70.0]}}, "No band lies in a signal of 100"),
    ],
)
def test_refusals(given: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        made(**given)


def test_the_spec_is_what_its_class_says() -> None:
    assert MODELS.parse("boosted_trees") == BoostedTrees()


class TestMajority:
    def test_of_votes_it_is_the_mean_of_the_shares(self) -> None:
        votes = np.array([[4, 4, 0], [0, 1, 0], [0, 0, 0], [0, 2, 2]])
        estimator = Majority().estimator(SIGNAL, TARGET)
        estimator.fit(np.zeros((4, 2, 8)), np.array([0, 1, 2, 2]), SUBJECT[:4], votes)
        want = np.array([0.5 + 0 + 0, 0.5 + 1 + 0.5, 0.5]) / 3
        np.testing.assert_allclose(estimator.predict_proba(np.ones((2, 2, 8))), [want, want])

    def test_a_class_without_votes_has_a_floor(self) -> None:
        estimator = Majority().estimator(SIGNAL, TARGET)
        estimator.fit(np.zeros((2, 2, 8)), np.array([0, 1]), SUBJECT[:2], np.array([[1, 3, 0], [3, 1, 0]]))
        half = 0.5 * (1 - ABSENT)
        np.testing.assert_allclose(estimator.predict_proba(np.ones((1, 2, 8))), [[half, half, ABSENT]])
