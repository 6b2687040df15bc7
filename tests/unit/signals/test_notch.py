"""Notch against scipy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import signal as ss

from neural_foundation.core.errors import SignalMismatchError
from neural_foundation.core.specs import SignalSpec
from neural_foundation.core.stream import run
from neural_foundation.signals.notch import Notch


def test_one_notch_is_iirnotch(eeg: SignalSpec, noise: np.ndarray) -> None:
    got = run(Notch(hz=50, harmonics=1, settle=False).bind(eeg), noise).values
    want = ss.lfilter(*ss.iirnotch(50, 30, fs=250), noise.astype(float))
    assert np.abs(got - want).max() < 1e-6 * np.abs(want).max()


def test_all_harmonics_below_nyquist_go(eeg: SignalSpec) -> None:
    op = Notch(hz=50).bind(eeg.replace(sfreq=1000.0))
    assert len(op.sos) == 9  # type: ignore[attr-defined]
    _, response = ss.sosfreqz(op.sos, worN=[50 * k for k in range(1, 10)], fs=1000)  # type: ignore[attr-defined]
    assert np.abs(response).max() < 1e-9
    _, between = ss.sosfreqz(op.sos, worN=[10, 45, 75, 320], fs=1000)  # type: ignore[attr-defined]
    assert np.abs(between).min() > 0.97


def test_harmonics_share_the_bandwidth(eeg: SignalSpec) -> None:
    op = Notch(hz=50, harmonics=2, quality=25).bind(eeg)
    for centre in (50, 100):
        _, edges = ss.sosfreqz(op.sos, worN=[centre - 1, centre + 1], fs=250)  # type: ignore[attr-defined]
        assert np.abs(edges) == pytest.approx(0.5**0.5, abs=0.02)


def test_a_sine_at_the_mains_is_gone_after_settling(eeg: SignalSpec) -> None:
    t = np.arange(2500) / 250
    hum = np.tile(np.sin(2 * np.pi * 50 * t), (5, 1)).astype(np.float32)
    op = Notch(hz=50).bind(eeg)
    got = run(op, hum).values
    settled = int(op.settle_s * 250)  # type: ignore[attr-defined]
    assert 0.5 < settled / 250 < 2
    assert np.abs(got[:, settled:]).max() < 0.02


def test_notches_above_nyquist_are_refused(eeg: SignalSpec) -> None:
    with pytest.raises(SignalMismatchError, match=r"hz=50 is not below half of the sampling rate \(sfreq=100 Hz\)"):
        Notch(hz=50).bind(eeg.replace(sfreq=100.0))
    with pytest.raises(SignalMismatchError, match=r"harmonic 3 of 50 Hz .* Allowed: harmonics <= 2"):
        Notch(hz=50, harmonics=3).bind(eeg)
