"""The shape of the spectrum against plain formulas on scipy's density, and closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import signal as ss
from scipy import stats
from sliding import columns, windows_of

from neural_foundation.core.errors import SignalMismatchError
from neural_foundation.core.seeds import generator
from neural_foundation.core.specs import SignalSpec
from neural_foundation.core.stream import run
from neural_foundation.signals.spectral import SHAPES, Spectral


def plainly(hz: np.ndarray, power: np.ndarray) -> list[float]:
    """Return the shapes of one density, each as it is written down."""
    share = power / power.sum()
    centre = sum(share * hz)
    reached = {level: next(f for i, f in enumerate(hz) if share[: i + 1].sum() >= level) for level in (0.85, 0.95)}
    return [
        centre,
        np.sqrt(sum(share * (hz - centre) ** 2)),
        reached[0.85],
        stats.gmean(power) / power.mean(),
        reached[0.95],
        hz[np.argmax(power)],
        stats.entropy(share) / np.log(len(hz)),
    ]


def test_each_is_its_formula(eeg: SignalSpec, noise: np.ndarray) -> None:
    pink = np.cumsum(noise - noise.mean(), 1).astype(np.float32)
    at, windows = windows_of(pink, 500, 25)
    hz, density = ss.welch(windows, 250, nperseg=250)
    inside = (hz >= 1) & (hz < 45)
    want = [[plainly(hz[inside], channel[inside]) for channel in window] for window in density]
    got = run(Spectral().bind(eeg), pink)
    np.testing.assert_allclose(columns(got, 5, at), want, rtol=1e-5)


def test_a_tone_and_white_noise(eeg: SignalSpec) -> None:
    t = np.arange(5000) / 250
    values = generator(0, "tone").standard_normal((5, 5000)) * 1e-5
    values[0] = np.sin(2 * np.pi * 12 * t) * 1e-5
    bound = Spectral(window_s=10, segment_s=2, low_hz=0.5, high_hz=100).bind(eeg)
    got = run(bound, values.astype(np.float32))
    tone, white = (dict(zip(SHAPES, got.values[7 * c : 7 * c + 7, -1], strict=True)) for c in (0, 1))
    assert tone["centroid"] == pytest.approx(12, abs=0.01)
    assert tone["peak"] == 12
    assert tone["bandwidth"] < 0.5
    assert tone["flatness"] < 1e-3
    assert white["centroid"] == pytest.approx(50, abs=4)
    assert white["bandwidth"] == pytest.approx(99.5 / np.sqrt(12), rel=0.1)
    assert white["edge"] == pytest.approx(95, abs=4)
    assert white["flatness"] > 0.85
    assert white["entropy"] > 0.98


def test_only_what_is_asked_for(eeg: SignalSpec, noise: np.ndarray) -> None:
    some, every = (run(Spectral(features=f).bind(eeg), noise).values for f in (("entropy", "peak"), SHAPES))
    np.testing.assert_array_equal(some.reshape(5, 2, -1), every.reshape(5, 7, -1)[:, [6, 5]])
    output = Spectral(features=("entropy", "peak")).bind(eeg).output
    assert output.ch_names[:2] == ("C3:entropy", "C3:peak")
    assert output.units[:2] == ("", "Hz")


def test_a_range_without_a_frequency_is_refused(eeg: SignalSpec) -> None:
    with pytest.raises(SignalMismatchError, match=r"no frequency of the spectrum lies in the range \(1.2 to 1.6 Hz\)"):
        Spectral(low_hz=1.2, high_hz=1.6).bind(eeg)
