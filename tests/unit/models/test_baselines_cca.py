from __future__ import annotations

import numpy as np
import pytest
from sklearn.cross_decomposition import CCA as Reference

from neural_foundation.core.errors import SpecError
from neural_foundation.core.specs import SignalSpec, TargetSpec
from neural_foundation.models.cca import CCA, _rho, _row_space, reference
from neural_foundation.models.table import MODELS

SIGNAL = SignalSpec(sfreq=128.0, ch_names=("O1", "Oz", "O2"))
HZ = (9.0, 12.0, 15.0)
TARGET = TargetSpec(classes=("9", "12Hz", "15.0 Hz"))
RESTING = TargetSpec(classes=("rest", "9", "12", "15"))


def windows(target: np.ndarray, seed: int, size: float = 0.8, n_times: int = 256) -> np.ndarray:
    """Windows (n, 3, n_times) in falling noise: a sine and its harmonic at HZ[target], none for -1."""
    rng = np.random.default_rng(seed)
    n = len(target)
    time = np.arange(n_times) / 128
    hz = np.array([*HZ, 0.0])[target][:, None]
    phase = rng.uniform(0, 2 * np.pi, (n, 1))
    wave = (np.sin(2 * np.pi * hz * time + phase) + 0.4 * np.sin(4 * np.pi * hz * time + phase)) * (target >= 0)[
        :, None
    ]
    noise = np.cumsum(rng.normal(size=(n, 3, n_times + 1)), -1) * 0.15 + rng.normal(size=(n, 3, n_times + 1))
    return noise[..., 1:] + size * wave[:, None] * np.array([0.7, 1, 0.5])[:, None]


def test_rho_equals_scikit_learn():
    rng = np.random.default_rng(0)
    window = rng.normal(size=(3, 200)) + np.sin(2 * np.pi * 10 * np.arange(200) / 128)
    basis = reference(10.0, 2, 200, 128.0)
    waves = Reference(n_components=1, tol=1e-12, max_iter=5000)
    a, b = waves.fit_transform(window.T, basis.T)
    ours = _rho(_row_space(window - window.mean(1, keepdims=True))[None], basis)[0]
    assert ours == pytest.approx(np.corrcoef(a[:, 0], b[:, 0])[0, 1], abs=1e-6)


def test_reference_is_orthonormal_and_spans_the_harmonics():
    basis = reference(9.0, 2, 300, 128.0)
    np.testing.assert_allclose(basis @ basis.T, np.eye(4), atol=1e-10)
    wave = np.sin(2 * np.pi * 18 * np.arange(300) / 128 + 1)
    wave = wave - wave.mean()
    np.testing.assert_allclose(basis.T @ (basis @ wave), wave, atol=1e-10)
    assert len(reference(50.0, 2, 300, 128.0)) == 2


@pytest.mark.parametrize("noise_floor", [True, False])
def test_frequencies_are_found_without_training_on_them(noise_floor):
    spec = CCA(noise_floor=noise_floor)
    # fitted on wrong labels: only the scale of probabilities can suffer
    estimator = spec.estimator(SIGNAL, TARGET).fit(windows(np.arange(30) % 3, 0), (np.arange(30) + 1) % 3, np.zeros(30))
    target = np.arange(60) % 3
    assert np.mean(estimator.predict_proba(windows(target, 1)).argmax(1) == target) > 0.9


def test_rest_has_a_learned_threshold():
    label = np.arange(120) % 4
    estimator = CCA().estimator(SIGNAL, RESTING).fit(windows(label - 1, 0), label, np.zeros(120))
    probability = estimator.predict_proba(windows(label - 1, 1))
    said = probability.argmax(1)
    assert np.mean(said == label) > 0.85
    assert np.mean(said[label == 0] == 0) > 0.8
    state = estimator.state()
    scores = estimator.scores(windows(label - 1, 1))
    np.testing.assert_array_equal(said == 0, scores.max(1) < state["threshold"][0])


def test_a_floor_takes_off_the_slope_of_the_background():
    """Noise alone: without the floor the lowest class wins most often, with it none does."""
    noise = np.cumsum(np.random.default_rng(0).normal(size=(300, 3, 256)), -1)
    with_floor, without = (
        CCA(noise_floor=f, filter_bank=1).estimator(SIGNAL, TARGET).scores(noise) for f in (True, False)
    )
    share = [np.mean(s.argmax(1) == 0) for s in (with_floor, without)]
    assert share[1] > 0.45
    assert abs(share[0] - 1 / 3) < 0.1


def test_average_reference_changes_nothing_much():
    target = np.arange(30) % 3
    signal = windows(target, 2, size=2.5)
    signal = (signal - signal.mean(1, keepdims=True)).astype(np.float32)
    scores = CCA().estimator(SIGNAL, TARGET).scores(signal)
    assert np.mean(scores.argmax(1) == target) > 0.8


def test_sub_bands_start_under_multiples_of_the_lowest():
    assert CCA(filter_bank=3).estimator(SIGNAL, TARGET).sub_bands() == [(7.0, 35.0), (16.0, 35.0), (25.0, 35.0)]
    assert CCA(filter_bank=8).estimator(SIGNAL, TARGET).sub_bands()[-1][0] < 33.0


@pytest.mark.parametrize(
    ("given", "classes", "message"),
    [
        ({}, ("left", "right"), "finds frequencies"),
        ({}, ("rest", "pause", "9", "12"), "at most one without"),
        ({"frequencies": {"lef": 9}}, ("left", "12"), "unknown 'lef'"),
        ({}, ("9", "11"), "2 Hz apart.*Set noise_floor: false"),
        ({"noise_floor": False}, ("9", "9.0"), "0 Hz apart"),
        ({}, ("9", "70"), "cannot find 70 Hz at 128 samples a second. Allowed: under 64 Hz"),
        ({"harmonics": 0}, ("9", "12"), "harmonics"),
    ],
)
def test_refusals(given, classes, message):
    with pytest.raises(SpecError, match=message):
        MODELS.parse({"kind": "cca", **given}).estimator(SIGNAL, TargetSpec(classes=classes))


def test_frequencies_can_be_given_by_class():
    target = TargetSpec(classes=("left", "right"))
    spec = MODELS.parse({"kind": "cca", "frequencies": {"left": 9, "right": 12}})
    scores = spec.estimator(SIGNAL, target).scores(windows(np.arange(20) % 2, 0))
    assert np.mean(scores.argmax(1) == np.arange(20) % 2) > 0.9
