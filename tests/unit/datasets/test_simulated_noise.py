"""The time courses: their spectra, variances and places."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import welch

from neural_foundation.datasets.simulated import noise

SFREQ = 200.0
N = 40_001  # no round length


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize("exponent", [0.0, 1.0, 2.0])
def test_coloured_has_the_slope_and_unit_variance(exponent: float) -> None:
    freqs = np.maximum(noise.frequencies(N, SFREQ), 0.5)
    values = noise.coloured(rng(), 4, N, freqs ** (-exponent / 2))
    assert values.dtype == np.float32
    assert values.shape == (4, N)
    assert values.std() == pytest.approx(1.0, rel=0.1)
    f, power = welch(values, SFREQ, nperseg=2000)
    band = (f > 2) & (f < 80)
    slope = np.polyfit(np.log(f[band]), np.log(power.mean(0)[band]), 1)[0]
    assert slope == pytest.approx(-exponent, abs=0.05)


def test_coloured_takes_one_spectrum_a_row() -> None:
    freqs = noise.frequencies(N, SFREQ)
    low, high = noise.coloured(rng(), 2, N, np.stack([freqs < 10, freqs > 50]).astype(float))
    f, power = welch(np.stack([low, high]), SFREQ, nperseg=2000)
    assert power[0][f > 12].sum() < 1e-3 * power[0].sum()
    assert power[1][f < 48].sum() < 1e-3 * power[1].sum()


def test_narrowband_is_analytic_of_unit_variance_around_its_frequency() -> None:
    z = noise.narrowband(rng(), 200_000, SFREQ, 10.0, 1.0)
    assert z.real.var() == pytest.approx(1.0, rel=0.1)
    spectrum = np.abs(np.fft.fft(z)) ** 2
    freqs = np.fft.fftfreq(len(z), 1 / SFREQ)
    assert spectrum[freqs < 0].sum() < 1e-6 * spectrum.sum()
    mean = (spectrum * freqs).sum() / spectrum.sum()
    spread = np.sqrt((spectrum * (freqs - mean) ** 2).sum() / spectrum.sum())
    assert mean == pytest.approx(10.0, abs=0.05)
    assert spread == pytest.approx(1 / np.sqrt(2), abs=0.05)  # the gain is an amplitude, its square is narrower


def test_poisson_times_keep_their_rate_and_distance() -> None:
    times = noise.poisson_times(rng(), 6000.0, 13.0, 1.0)
    assert len(times) / 100 == pytest.approx(13.0, rel=0.1)
    assert np.diff(times).min() >= 1.0
    assert times.max() < 6000.0


def test_blinks_peak_at_their_heights() -> None:
    course = noise.blink_course(np.array([1.0, 5.0, 9.9]), np.array([1e-4, 5e-5, 1e-4]), 2000, SFREQ)
    assert course[:1000].max() == pytest.approx(1e-4, rel=1e-5)
    assert course[1000:1900].max() == pytest.approx(5e-5, rel=1e-5)
    assert np.argmax(course[:1000]) == pytest.approx(1.1 * SFREQ, abs=1)
    assert not course[:200].any()


def test_muscle_is_silent_between_bursts_and_fast_within() -> None:
    course = noise.muscle_course(rng(), np.array([2.0]), np.array([1.0]), 2000, SFREQ)
    assert not course[:399].any()
    assert not course[602:].any()
    assert course[450:550].std() == pytest.approx(0.9, abs=0.35)
    f, power = welch(course[400:600], SFREQ, nperseg=200)
    assert power[f < 15].sum() < 0.01 * power.sum()


def test_the_line_stays_near_its_frequency_but_its_phase_drifts() -> None:
    course = noise.line_course(rng(), 60 * 200, SFREQ, 50.0)
    np.testing.assert_allclose(np.abs(course), 1.0)
    f, power = welch(course.real, SFREQ, nperseg=400)
    assert f[np.argmax(power)] == pytest.approx(50.0, abs=0.5)
    phase = np.angle(course * np.exp(-2j * np.pi * 50 * np.arange(len(course)) / SFREQ))
    assert np.unwrap(phase).std() > 0.2
