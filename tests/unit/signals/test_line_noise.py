"""Mains removal: against the sine that was added, and against the fixed notch."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import signal as ss

from neural_foundation.core.errors import SignalMismatchError
from neural_foundation.core.seeds import generator
from neural_foundation.core.specs import SignalSpec
from neural_foundation.core.stream import Chunk, run
from neural_foundation.signals.line_noise import LineNoise
from neural_foundation.signals.notch import Notch

T = np.arange(250 * 12) / 250


@pytest.fixture
def brown() -> np.ndarray:
    """A random walk (5, 3000) on an offset."""
    return generator(0, "brown").standard_normal((5, len(T))).cumsum(1) * 1e-6 + 3e-3


def hum_at(hz: float) -> np.ndarray:
    phases = np.arange(5)[:, None]
    return 3e-5 * np.sin(2 * np.pi * hz * T + phases) + 5e-6 * np.sin(4 * np.pi * hz * T)


@pytest.mark.parametrize("hz", [50.0, 49.9, 50.2])
def test_the_mains_goes_and_the_rest_stays(eeg: SignalSpec, brown: np.ndarray, hz: float) -> None:
    hum = hum_at(hz)
    got = run(LineNoise().bind(eeg), (brown + hum).astype(np.float32)).values
    left = (got - brown)[:, 8 * 250 :].std(1)
    assert (left < 0.03 * hum.std(1)).all()
    fixed = run(Notch().bind(eeg), (brown + hum).astype(np.float32)).values
    if hz != 50:
        assert (left < 0.3 * (fixed - brown)[:, 8 * 250 :].std(1)).all()


def test_the_amplitude_is_followed(eeg: SignalSpec, brown: np.ndarray) -> None:
    hum = hum_at(50) * (1 + 0.5 * np.sin(2 * np.pi * 0.05 * T))
    got = run(LineNoise().bind(eeg), (brown + hum).astype(np.float32)).values
    assert (got - brown)[:, 1000:].std() < 0.08 * hum.std()


def test_it_is_a_notch_as_wide_as_it_says(eeg: SignalSpec) -> None:
    x = generator(1, "white").standard_normal((5, 250 * 200)).astype(np.float32)
    y = run(LineNoise(time_constant_s=0.2, max_drift_hz=0, harmonics=1).bind(eeg), x).values
    freqs, power = ss.welch(x.ravel(), 250, nperseg=2500)
    gain = np.abs(ss.csd(x.ravel(), y.ravel(), 250, nperseg=2500)[1] / power)
    assert gain[np.argmin(np.abs(freqs - 50))] < 0.05
    width = 1 / (np.pi * 0.2)
    for edge in (50 - width / 2, 50 + width / 2):
        assert gain[np.argmin(np.abs(freqs - edge))] == pytest.approx(0.5**0.5, abs=0.08)
    far = (np.abs(freqs - 50) > 8) & (freqs > 1)
    assert np.abs(20 * np.log10(gain[far])).max() < 0.1


def test_a_step_does_not_ring(eeg: SignalSpec, brown: np.ndarray) -> None:
    hum = hum_at(50)
    x = brown + hum
    x[:, 2000:] += 1e-3
    got = run(LineNoise().bind(eeg), x.astype(np.float32)).values - brown
    got[:, 2000:] -= 1e-3
    assert np.abs(got[:, 2000:2250]).max() < 0.2 * 3e-5


def test_invalid_samples_teach_nothing(eeg: SignalSpec, brown: np.ndarray) -> None:
    op, valid = LineNoise(max_drift_hz=0).bind(eeg), np.ones(len(T), bool)
    valid[1000:1500] = False
    x = (brown + hum_at(50)).astype(np.float32)
    _, state = op.step(Chunk(x[:, :1000], valid[:1000]), op.start())
    before = state["amp"].copy()
    x[:, 1000:1500] *= 50
    _, state = op.step(Chunk(x[:, 1000:1500], valid[1000:1500], 1000), state)
    np.testing.assert_array_equal(state["amp"], before)


def test_messages(eeg: SignalSpec) -> None:
    with pytest.raises(SignalMismatchError, match="hz=60 is not below half"):
        LineNoise(hz=60).bind(eeg.replace(sfreq=100.0))
    with pytest.raises(SignalMismatchError, match=r"harmonic 3 of 50 Hz .* Allowed: harmonics <= 2"):
        LineNoise(harmonics=3).bind(eeg)
