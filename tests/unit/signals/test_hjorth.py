"""Hjorth's parameters against numpy and closed forms."""

from __future__ import annotations

import numpy as np
from sliding import columns, windows_of

from neural_foundation.core.specs import SignalSpec
from neural_foundation.core.stream import run
from neural_foundation.signals.hjorth import Hjorth


def test_each_is_its_formula(eeg: SignalSpec, noise: np.ndarray) -> None:
    at, windows = windows_of(noise, 250, 25)
    slope = np.diff(windows, axis=-1) * 250
    bend = np.diff(slope, axis=-1) * 250
    variances = [x.var(-1) for x in (windows, slope, bend)]
    mobility = np.sqrt(variances[1] / variances[0])
    want = np.stack([variances[0], mobility, np.sqrt(variances[2] / variances[1]) / mobility], -1)
    np.testing.assert_allclose(columns(run(Hjorth().bind(eeg), noise), 5, at), want, rtol=1e-6)


def test_a_sine_has_its_angular_frequency_and_no_complexity() -> None:
    signal, t = SignalSpec(sfreq=1000, ch_names=("a",)), np.arange(3000) / 1000
    sine = (3e-5 * np.sin(2 * np.pi * 5 * t))[None].astype(np.float32)
    activity, mobility, complexity = run(Hjorth(window_s=2).bind(signal), sine).values[:, -1]
    np.testing.assert_allclose(activity, 4.5e-10, rtol=1e-3)
    np.testing.assert_allclose(mobility, 2 * np.sin(np.pi * 5 / 1000) * 1000, rtol=2e-3)
    np.testing.assert_allclose(complexity, 1, rtol=5e-3)


def test_names_units_and_order(eeg: SignalSpec, noise: np.ndarray) -> None:
    some = Hjorth(features=("complexity", "activity")).bind(eeg)
    assert some.output.ch_names[:2] == ("C3:complexity", "C3:activity")
    assert some.output.units[:2] == ("", "V^2")
    every = run(Hjorth().bind(eeg), noise).values.reshape(5, 3, -1)
    np.testing.assert_array_equal(run(some, noise).values.reshape(5, 2, -1), every[:, [2, 0]])
