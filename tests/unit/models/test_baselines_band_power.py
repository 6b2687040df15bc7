from __future__ import annotations

import numpy as np
import pytest
from scipy import signal as scipy_signal

from neural_foundation.core.errors import DataError, SpecError
from neural_foundation.core.specs import SignalSpec, TargetSpec
from neural_foundation.models import linear
from neural_foundation.models.band_power import BandPower, welch
from neural_foundation.models.majority import Majority
from neural_foundation.models.table import MODELS

SIGNAL = SignalSpec(sfreq=128.0, ch_names=("a", "b"))
TARGET = TargetSpec(classes=("x", "y"))


def windows(n: int = 60, seed: int = 0, gap: float = 0.6) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    target = np.arange(n) % 2
    alpha = np.sin(2 * np.pi * 10 * np.arange(384) / 128 + rng.uniform(0, 6, (n, 2, 1)))
    size = np.stack([0.4 + gap * target, np.full(n, 0.6)], 1)[..., None] * np.exp(rng.normal(scale=0.3, size=(n, 2, 1)))
    noise = rng.normal(size=(n, 2, 384))
    return (size * alpha + noise).astype(np.float32), target, np.array([f"s{i % 6}" for i in range(n)])


@pytest.mark.parametrize(("n_times", "segment_s"), [(384, 1.0), (385, 1.0), (300, 2.0), (100, 2.0), (101, 2.0)])
def test_welch_equals_scipy(n_times, segment_s):
    values = np.random.default_rng(0).normal(size=(3, n_times)) + 5
    length = min(int(segment_s * 128), n_times)
    hz, density = scipy_signal.welch(values, 128.0, nperseg=length)
    found = welch(values, 128.0, segment_s)
    np.testing.assert_allclose(found[0], hz)
    np.testing.assert_allclose(found[1], density, rtol=1e-9, atol=1e-14)


@pytest.mark.parametrize("classifier", ["logistic", "lda"])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_equals_the_scikit_learn_pipeline(classifier, n_classes):
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    rng = np.random.default_rng(0)
    target = np.arange(90) % n_classes
    features = rng.normal(size=(90, 6)) + 0.5 * np.eye(6)[target] + 3
    model = {
        "logistic": LogisticRegression(C=0.1, class_weight="balanced", tol=1e-6, max_iter=5000),
        "lda": LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto", priors=np.full(n_classes, 1 / n_classes)),
    }[classifier]
    theirs = make_pipeline(StandardScaler(), model).fit(features, target)
    learned = linear.fit_linear(features, target, np.arange(90) % 5, n_classes, classifier=classifier, c=0.1)
    np.testing.assert_allclose(linear.linear_probability(features, learned), theirs.predict_proba(features), atol=1e-9)


@pytest.mark.parametrize("relative", ["none", "channels"])
def test_power_of_a_band_decides(relative):
    spec = BandPower(relative=relative)
    estimator = spec.estimator(SIGNAL, TARGET).fit(*windows(90, gap=1.0))
    signal, target, _ = windows(60, seed=1, gap=1.0)
    assert np.mean(estimator.predict_proba(signal).argmax(1) == target) > 0.8


def test_relative_power_forgets_gain():
    signal = windows(6)[0]
    for relative, gain in (("bands", np.array([3.0, 0.2])[:, None]), ("channels", 5.0)):
        estimator = BandPower(relative=relative).estimator(SIGNAL, TARGET)
        np.testing.assert_allclose(estimator.features(signal * gain), estimator.features(signal), atol=1e-5)
    plain = BandPower().estimator(SIGNAL, TARGET)
    np.testing.assert_allclose(plain.features(signal * 2) - plain.features(signal), np.log(4), atol=1e-5)


def test_automatic_c_prefers_strong_penalties_on_noise():
    rng = np.random.default_rng(0)
    target, subject = np.arange(60) % 2, np.arange(60) % 6
    noise = rng.normal(size=(60, 40))
    assert linear.choose_c(noise, target, subject, 2) == linear.C_GRID[0]
    clear = noise + 2.0 * target[:, None]
    assert linear.choose_c(clear, target, subject, 2) > linear.C_GRID[0]


def test_splits_share_no_subject():
    subject = np.array(list("aaabbbccddeeffgg"))
    splits = linear.grouped_splits(subject)
    assert len(splits) == 5
    assert all(not set(subject[a]) & set(subject[b]) for a, b in splits)
    (train, test), *_ = linear.grouped_splits(np.full(10, "a"))
    np.testing.assert_array_equal(test, [0, 1])
    np.testing.assert_array_equal(train, np.arange(2, 10))


def test_c_cannot_be_chosen_without_both_classes_in_training():
    with pytest.raises(DataError, match="Give c as a number"):
        linear.choose_c(np.zeros((4, 2)), np.array([0, 0, 1, 1]), np.array(list("aabb")), 2)


def test_a_constant_feature_is_ignored():
    features = np.column_stack([np.ones(20), np.arange(20.0)])
    learned = linear.fit_linear(features, (np.arange(20) > 9).astype(int), np.arange(20) % 4, 2, c=1.0)
    assert np.isfinite(linear.linear_probability(features, learned)).all()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"bands": [[30, 80]]}, "Band 30-80 Hz does not fit"),
        ({"bands": []}, "bands"),
        ({"c": -1}, "greater than 0"),
        ({"relative": "yes"}, "relative"),
    ],
)
def test_refusals(given, message):
    with pytest.raises(SpecError, match=message):
        MODELS.parse({"kind": "band_power", **given}).estimator(SIGNAL, TARGET)


def test_windows_that_cannot_be_measured():
    estimator = BandPower(bands=((1, 2), (8, 13))).estimator(SIGNAL, TARGET)
    with pytest.raises(DataError, match="no frequency between 1 and 2 Hz"):
        estimator.features(np.random.default_rng(0).normal(size=(1, 2, 40)))
    with pytest.raises(DataError, match="no power"):
        BandPower().estimator(SIGNAL, TARGET).features(np.zeros((1, 2, 384)))


def test_majority_gives_the_shares_of_training():
    target = TargetSpec(classes=("x", "y", "z"))
    estimator = Majority().estimator(SIGNAL, target)
    estimator.fit(np.zeros((5, 2, 8)), np.array([0, 1, 1, 1, 2]), np.zeros(5))
    np.testing.assert_allclose(estimator.predict_proba(np.ones((2, 2, 8))), [[0.2, 0.6, 0.2]] * 2)
