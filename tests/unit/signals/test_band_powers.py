"""Band powers against scipy, MNE and closed forms."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import signal as ss
from sliding import columns, windows_of

from neural_foundation.core.specs import SignalSpec
from neural_foundation.core.stream import run
from neural_foundation.signals.band_powers import BandPowers

BANDS = {"alpha": (8.0, 13.0), "beta": (13.0, 30.0)}


def summed(hz: np.ndarray, density: np.ndarray) -> np.ndarray:
    inside = [(hz >= low) & (hz < high) for low, high in BANDS.values()]
    return np.stack([density[..., i].sum(-1) for i in inside], -1) * hz[1]


@pytest.mark.parametrize(("segment_s", "segment"), [(None, 250), (0.6, 150), (2.0, 500)])
def test_welch_is_that_of_scipy(eeg: SignalSpec, noise: np.ndarray, segment_s: float | None, segment: int) -> None:
    at, windows = windows_of(noise, 500, 25)
    want = summed(*ss.welch(windows, 250, nperseg=segment))
    got = run(BandPowers(bands=BANDS, segment_s=segment_s).bind(eeg), noise)
    np.testing.assert_allclose(columns(got, 5, at), want, rtol=1e-6)


def test_a_periodogram_is_one_hann_segment(eeg: SignalSpec, noise: np.ndarray) -> None:
    at, windows = windows_of(noise, 500, 25)
    want = summed(*ss.periodogram(windows, 250, window="hann"))
    got = run(BandPowers(bands=BANDS, method="periodogram").bind(eeg), noise)
    np.testing.assert_allclose(columns(got, 5, at), want, rtol=1e-6)


@pytest.mark.parametrize("bandwidth_hz", [None, 3.0])
def test_multitaper_is_that_of_mne(eeg: SignalSpec, noise: np.ndarray, bandwidth_hz: float | None) -> None:
    from mne.time_frequency import psd_array_multitaper

    at, windows = windows_of(noise, 500, 25)
    density, hz = psd_array_multitaper(
        windows, 250, bandwidth=bandwidth_hz, normalization="full", adaptive=False, verbose="error"
    )
    got = run(BandPowers(bands=BANDS, method="multitaper", bandwidth_hz=bandwidth_hz).bind(eeg), noise)
    np.testing.assert_allclose(columns(got, 5, at), summed(hz, density), rtol=1e-6)


def test_the_density_ends_at_both_edges_as_in_scipy() -> None:
    from neural_foundation.signals.estimates import welch

    for n in (64, 65):  # with and without a frequency at half the rate
        x = np.random.default_rng(0).standard_normal((3, 2, n))
        hz, want = ss.welch(x, 100, nperseg=n // 2)
        estimator = welch(n, 100, n // 2)
        np.testing.assert_allclose(estimator.hz, hz)
        np.testing.assert_allclose(estimator.density(x), want, rtol=1e-9, atol=1e-30)


def test_a_sine_has_half_its_squared_amplitude(eeg: SignalSpec) -> None:
    t = np.arange(2000) / 250
    sine = (2e-5 * np.sin(2 * np.pi * 10 * t) * np.ones((5, 1))).astype(np.float32)
    for method in ("welch", "multitaper", "periodogram"):
        got = run(BandPowers(method=method, bands={"alpha": (4, 16)}, window_s=4).bind(eeg), sine)
        np.testing.assert_allclose(got.values[:, got.valid], 2e-10, rtol=2e-3)


def test_scales_say_the_same(eeg: SignalSpec, noise: np.ndarray) -> None:
    def of(**fields: Any) -> np.ndarray:
        got = run(BandPowers(bands=BANDS, **fields).bind(eeg), noise)
        return got.values[:, got.valid].reshape(5, 2, -1)

    power = of()
    np.testing.assert_allclose(of(scale="log"), 10 * np.log10(power), rtol=1e-5)
    np.testing.assert_allclose(of(scale="relative"), power / power.sum(1, keepdims=True), rtol=1e-5)


def test_names_and_units(eeg: SignalSpec) -> None:
    output = BandPowers().bind(eeg).output
    assert output.ch_names[:6] == ("C3:delta", "C3:theta", "C3:alpha", "C3:beta", "C3:gamma", "Cz:delta")
    assert set(output.units) == {"V^2"}
    assert set(BandPowers(scale="log").bind(eeg).output.units) == {"dB"}


def test_an_invalid_sample_spoils_the_windows_that_hold_it(eeg: SignalSpec, noise: np.ndarray) -> None:
    noise[1, 1000] = np.nan
    got = run(BandPowers(window_s=1).bind(eeg), noise)
    bad = [k for k in range(80) if (k + 1) * 25 < 250 or (k + 1) * 25 - 250 <= 1000 < (k + 1) * 25]
    np.testing.assert_array_equal(np.flatnonzero(~got.valid), bad)
    assert not got.values[:, bad].any()


def test_a_segment_of_one_sample_has_one_frequency(eeg: SignalSpec, noise: np.ndarray) -> None:
    op = BandPowers(window_s=0.008, hop_s=0.004, bands={"all": (0, 5)}).bind(eeg)
    assert (run(op, noise).values == 0).all()  # each is centred on itself
