"""Moments and counts against scipy.stats and closed forms."""

from __future__ import annotations

import numpy as np
from scipy import stats
from sliding import columns, windows_of

from neural_foundation.core.specs import SignalSpec
from neural_foundation.core.stream import run
from neural_foundation.signals.statistics import UNITS, Statistics

EVERY = tuple(UNITS)


def test_each_is_that_of_scipy(eeg: SignalSpec, noise: np.ndarray) -> None:
    skewed = (1e-3 + 1e-5 * np.square((noise - 1e-3) * 1e5)).astype(np.float32)
    at, windows = windows_of(skewed, 100, 25)
    centred = windows - windows.mean(-1, keepdims=True)
    crossings = (np.diff(centred >= 0, axis=-1)).sum(-1) / (99 / 250)
    want = [
        windows.mean(-1),
        windows.var(-1),
        stats.skew(windows, axis=-1),
        stats.kurtosis(windows, axis=-1),
        crossings,
        np.ptp(windows, axis=-1),
        np.sqrt(np.mean(windows**2, -1)),
    ]
    bound = Statistics(features=EVERY, window_s=0.4).bind(eeg)
    np.testing.assert_allclose(columns(run(bound, skewed), 5, at), np.stack(want, -1), rtol=1e-5)
    assert bound.output.units[:7] == ("V", "V^2", "", "", "1/s", "V", "V")


def test_a_sine_crosses_twice_a_period_and_has_its_moments(eeg: SignalSpec) -> None:
    t = np.arange(2000) / 250
    sine = (1e-3 + 2e-5 * np.sin(2 * np.pi * 5 * t + 0.3) * np.ones((5, 1))).astype(np.float32)
    got = run(Statistics(window_s=4).bind(eeg), sine)
    mean, variance, skewness, kurtosis, crossings, height = got.values[:6, -1]
    np.testing.assert_allclose([mean, variance, height], [1e-3, 2e-10, 4e-5], rtol=1e-3)
    np.testing.assert_allclose([skewness, kurtosis, crossings], [0, -1.5, 10], atol=0.05)


def test_an_offset_costs_no_digits(eeg: SignalSpec, noise: np.ndarray) -> None:
    coarse = np.round((noise - 1e-3) * 1e6) / 1024  # exact in float32, also on the offset
    a, b = (run(Statistics(features=("variance", "kurtosis")).bind(eeg), x) for x in (coarse, coarse + 64))
    assert (coarse + 64).dtype == np.float32
    np.testing.assert_allclose(a.values, b.values, rtol=1e-6)


def test_a_sample_at_the_mean_counts_as_above(eeg: SignalSpec) -> None:
    wave = np.tile(np.float32([2, 0, -1, -1]), (5, 50))  # + + - -: twice a period
    got = run(Statistics(features=("zero_crossings",), window_s=0.4).bind(eeg), wave)
    np.testing.assert_allclose(got.values[:, got.valid], 50 / (99 / 250), rtol=0.021)
