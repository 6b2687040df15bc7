"""Spectrograms against scipy, MNE and plain loops."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import signal as ss
from sliding import columns, windows_of

from neural_foundation.core.errors import SignalMismatchError, SpecError
from neural_foundation.core.specs import SignalSpec
from neural_foundation.core.stream import run
from neural_foundation.signals import SIGNALS
from neural_foundation.signals.features import frequencies_of, unfold
from neural_foundation.signals.spectrogram import Spectrogram, mel_filters


@pytest.mark.parametrize("n_fft", [250, 500])
def test_stft_is_the_spectrogram_of_scipy(eeg: SignalSpec, noise: np.ndarray, n_fft: int) -> None:
    hz, _, want = ss.spectrogram(
        noise.astype(np.float64), 250, window="hann", nperseg=250, noverlap=225, nfft=n_fft, detrend="constant"
    )
    bound = Spectrogram(resolution_hz=250 / n_fft).bind(eeg)
    got = run(bound, noise)
    inside = (hz >= 1) & (hz <= 45)
    np.testing.assert_allclose(frequencies_of(bound.output), hz[inside])
    np.testing.assert_allclose(unfold(got.values, bound.output)[..., got.valid], want[:, inside], rtol=1e-5)
    assert set(bound.output.units) == {"V^2/Hz"}


def test_multitaper_is_that_of_mne(eeg: SignalSpec, noise: np.ndarray) -> None:
    from mne.time_frequency import psd_array_multitaper

    at, windows = windows_of(noise, 250, 25)
    want, hz = psd_array_multitaper(
        windows, 250, fmin=2, fmax=40, bandwidth=6, normalization="full", adaptive=False, verbose="error"
    )
    bound = Spectrogram(method="multitaper", low_hz=2, high_hz=40, bandwidth_hz=6).bind(eeg)
    np.testing.assert_allclose(frequencies_of(bound.output), hz)
    np.testing.assert_allclose(columns(run(bound, noise), 5, at), want, rtol=1e-5)


def test_mel_averages_the_stft_by_triangles(eeg: SignalSpec, noise: np.ndarray) -> None:
    stft, bound = Spectrogram().bind(eeg), Spectrogram(method="mel", n_mels=12, mel_corner_hz=20).bind(eeg)
    density, got = unfold(run(stft, noise).values, stft.output), unfold(run(bound, noise).values, bound.output)
    mels = np.linspace(np.log(1 + 1 / 20), np.log(1 + 45 / 20), 14)
    corners = 20 * (np.exp(mels) - 1)
    np.testing.assert_allclose(frequencies_of(bound.output), corners[1:-1], rtol=1e-8)
    hz = frequencies_of(stft.output)
    for i in range(12):
        weights = np.interp(hz, corners[i : i + 3], [0, 1, 0])
        want = np.tensordot(weights / weights.sum(), density, (0, 1))
        np.testing.assert_allclose(got[:, i], want, rtol=1e-5)


def test_the_scale_of_mel_is_that_of_its_source() -> None:
    """2595 log10(1 + f / 700) has 1000 mel near 1000 Hz; equal steps of it are equal steps of ours."""
    centres, filters = mel_filters(np.arange(0, 4001.0), 0, 4000, 20, 700)
    mel = 2595 * np.log10(1 + np.array([0, *centres, 4000]) / 700)
    np.testing.assert_allclose(np.diff(mel), mel[-1] / 21)
    np.testing.assert_allclose(filters.sum(0), 1)


def test_decibels(eeg: SignalSpec, noise: np.ndarray) -> None:
    power, db = (run(Spectrogram(scale=s).bind(eeg), noise) for s in ("power", "db"))
    np.testing.assert_allclose(db.values[:, db.valid], 10 * np.log10(power.values[:, power.valid]), atol=1e-4)
    assert set(Spectrogram(scale="db").bind(eeg).output.units) == {"dB"}
    flat = run(Spectrogram(scale="db").bind(eeg), np.zeros((5, 500), np.float32))
    np.testing.assert_array_equal(flat.values[:, flat.valid], -300)


def test_a_centred_window_is_the_same_one_later(eeg: SignalSpec, noise: np.ndarray) -> None:
    end, centre = (Spectrogram(place=p).bind(eeg) for p in ("end", "centre"))
    assert end.lookahead_s == 0
    assert centre.lookahead_s == 113 / 250
    a, b = run(end, noise), run(Spectrogram(place="centre", window_s=1.1).bind(eeg), noise)
    assert b.valid.sum() == a.valid.sum() - 1
    np.testing.assert_array_equal(np.flatnonzero(b.valid)[[0, -1]], [5, 74])


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"n_mels": 10}, "n_mels belongs to method 'mel', but method is 'stft'"),
        ({"bandwidth_hz": 4}, "bandwidth_hz belongs to method 'multitaper'"),
        ({"resolution_hz": 2}, "resolution_hz=2 is coarser than 1 / window_s=1"),
        ({"low_hz": 45}, "low_hz=45 must be below high_hz=45"),
        ({"method": "multitaper", "bandwidth_hz": 0.5}, "finer than 1 / window_s=1"),
    ],
)
def test_fields_that_do_not_fit_are_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        SIGNALS.parse({"kind": "spectrogram", **fields})


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"high_hz": 125}, "high_hz=125 is not below half"),
        ({"resolution_hz": 0.3}, r"0.3 does not divide sfreq=250 Hz. Give 0.300120048"),
        ({"low_hz": 10.2, "high_hz": 10.8}, "no frequency of the spectrum lies in 10.2 to 10.8 Hz"),
        ({"method": "mel", "n_mels": 100}, r"mel filter 0 \(.*\) holds no frequency.*fewer filters"),
    ],
)
def test_signals_that_do_not_fit_are_refused(fields: dict[str, Any], message: str, eeg: SignalSpec) -> None:
    with pytest.raises(SignalMismatchError, match=message):
        Spectrogram(**fields).bind(eeg)
