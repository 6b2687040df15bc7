"""What every estimator promises, whatever its kind: one test for all, and a new kind is in it by its table row."""

from __future__ import annotations

import numpy as np
import pytest

from neural_foundation.core.errors import DataError, PackageError, SignalMismatchError, SpecError
from neural_foundation.core.specs import SignalSpec, TargetSpec
from neural_foundation.core.store import load_arrays, save_arrays
from neural_foundation.models.base import ABSENT, Estimator
from neural_foundation.models.binned_estimator import BinnedModel
from neural_foundation.models.table import MODELS

SIGNAL = SignalSpec(sfreq=128.0, ch_names=("O1", "Oz", "O2", "Pz"))
TARGET = TargetSpec(classes=("9 Hz", "15 Hz", "rest"))
BLIND = {"majority"}  # never look at the signal
KINDS = [
    k
    for k in MODELS
    if MODELS.row(k).target.__class__ is str
    and MODELS.parse(k).family == "estimator"
    and not isinstance(MODELS.parse(k), BinnedModel)  # test_binned_estimators.py
]


def windows(n: int = 90, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Windows of 2 s: an oscillation of the class's frequency and topography in noise, five subjects of own gain."""
    rng = np.random.default_rng(seed)
    target = np.arange(n) % 3
    subject = np.array([f"s{i % 5}" for i in range(n)])
    gain = 10e-6 * np.exp(rng.normal(scale=0.3, size=5))[np.arange(n) % 5]
    phase = rng.uniform(0, 2 * np.pi, (n, 1))
    wave = (
        np.sin(2 * np.pi * np.array([9.0, 15.0, 0.0])[target][:, None] * np.arange(256) / 128 + phase)
        * (target < 2)[:, None]
    )
    maps = np.array([[1, 0.5, 0, 0.2], [0, 0.5, 1, 0.2], [0, 0, 0, 0]])[target]
    signal = rng.normal(size=(n, 4, 256)) + maps[:, :, None] * wave[:, None]
    return (signal * gain[:, None, None]).astype(np.float32), target, subject


@pytest.fixture(scope="module", params=KINDS)
def fitted(request: pytest.FixtureRequest) -> tuple[str, Estimator]:
    return request.param, MODELS.parse(request.param).estimator(SIGNAL, TARGET).fit(*windows())


def test_probabilities(fitted):
    kind, estimator = fitted
    signal, target, _ = windows(45, seed=1)
    probability = estimator.predict_proba(signal)
    assert probability.shape == (45, 3)
    assert probability.dtype == np.float64
    np.testing.assert_allclose(probability.sum(1), 1, atol=1e-12)
    if kind not in BLIND:
        assert np.mean(probability.argmax(1) == target) > 0.8


def test_a_window_is_decided_on_its_own(fitted):
    _, estimator = fitted
    signal = windows(9, seed=2)[0]
    alone = np.concatenate([estimator.predict_proba(signal[i : i + 1]) for i in range(9)])
    np.testing.assert_allclose(alone, estimator.predict_proba(signal), atol=1e-9)


def test_state_is_numbers_and_enough(fitted, tmp_path):
    kind, estimator = fitted
    state = estimator.state()
    assert state
    assert all(v.dtype.kind in "fi" and np.isfinite(v).all() for v in state.values())
    save_arrays(tmp_path / "state.npz", state)
    other = MODELS.parse(kind).estimator(SIGNAL, TARGET).load(load_arrays(tmp_path / "state.npz"))
    signal = windows(9, seed=3)[0]
    assert other.predict_proba(signal).tobytes() == estimator.predict_proba(signal).tobytes()
    state[next(iter(state))][...] = 0
    assert other.predict_proba(signal).tobytes() == estimator.predict_proba(signal).tobytes()


def test_fitting_again_gives_the_same_bytes(fitted):
    kind, estimator = fitted
    again = MODELS.parse(kind).estimator(SIGNAL, TARGET).fit(*windows())
    assert {k: v.tobytes() for k, v in again.state().items()} == {k: v.tobytes() for k, v in estimator.state().items()}


def test_refusals(fitted):
    kind, estimator = fitted
    signal, target, subject = windows(9)
    fresh = MODELS.parse(kind).estimator(SIGNAL, TARGET)
    with pytest.raises(DataError, match="not fitted"):
        fresh.predict_proba(signal)
    with pytest.raises(SignalMismatchError, match=r"Allowed: \(n, 4, n_times\)"):
        estimator.predict_proba(signal[:, :3])
    with pytest.raises(DataError, match="not finite"):
        estimator.predict_proba(np.where(np.arange(256) == 5, np.nan, signal))
    with pytest.raises(DataError, match="No samples"):
        estimator.predict_proba(signal[:0])
    with pytest.raises(DataError, match="9 windows, 8 targets"):
        fresh.fit(signal, target[:8], subject)
    if fresh.fills_absent:
        absent = fresh.fit(signal, np.minimum(target, 1), subject).predict_proba(signal)[:, 2]
        assert (absent == ABSENT).all()
    else:
        with pytest.raises(DataError, match="No training window has class 'rest'"):
            fresh.fit(signal, np.minimum(target, 1), subject)
    with pytest.raises(PackageError, match="holds 'x'"):
        fresh.load({"x": np.zeros(1)})
    with pytest.raises(SpecError, match="regression"):
        MODELS.parse(kind).estimator(SIGNAL, TargetSpec(task="regression", names=("x",)))
    with pytest.raises(SpecError, match="is an estimator"):
        MODELS.parse(kind).build(SIGNAL, TARGET)
    with pytest.raises(SpecError, match="leave context at 'trial'"):
        MODELS.parse({"kind": kind, "context": "stream"})


def test_votes_are_for_those_that_take_them(fitted):
    kind, _ = fitted
    fresh = MODELS.parse(kind).estimator(SIGNAL, TARGET)
    signal, target, subject = windows(12)
    votes = np.eye(3)[target] * 5 + np.eye(3)[(target + 1) % 3]
    if not fresh.takes_votes:
        with pytest.raises(DataError, match="does not learn from votes"):
            fresh.fit(signal, target, subject, votes)
        return
    assert np.isfinite(fresh.fit(signal, target, subject, votes).predict_proba(signal)).all()
    for wrong, message in (
        (votes[:, :2], r"Votes have shape \(12, 2\) for 12 windows of 3 classes"),
        (-votes, "negative"),
        (votes * np.nan, "not finite"),
        (votes * 0, "No training window has a vote"),
    ):
        with pytest.raises(DataError, match=message):
            fresh.fit(signal, target, subject, wrong)


def test_windows_that_are_read_when_asked_for(fitted):
    kind, estimator = fitted
    signal, target, subject = windows()
    read = []

    def load(indices):
        read.append(len(indices))
        return signal[indices]

    again = MODELS.parse(kind).estimator(SIGNAL, TARGET).fit_from(load, target, subject)
    assert {k: v.tobytes() for k, v in again.state().items()} == {k: v.tobytes() for k, v in estimator.state().items()}
    assert max(read) == (estimator.reads or 90)


def test_the_kinds_are_found():
    assert {"majority", "band_power", "tangent_space", "cca"} <= set(KINDS)
