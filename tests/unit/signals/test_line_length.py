"""Line length against numpy and a closed form."""

from __future__ import annotations

import numpy as np
import pytest
from sliding import columns, windows_of

from neural_foundation.core.specs import SignalSpec
from neural_foundation.core.stream import run
from neural_foundation.signals.line_length import LineLength


def test_it_is_the_sum_of_the_steps_a_second(eeg: SignalSpec, noise: np.ndarray) -> None:
    at, windows = windows_of(noise, 250, 25)
    want = np.abs(np.diff(windows, axis=-1)).sum(-1) / (249 / 250)
    bound = LineLength().bind(eeg)
    np.testing.assert_allclose(columns(run(bound, noise), 5, at)[..., 0], want, rtol=1e-6)
    assert bound.output.ch_names[0] == "C3:line_length"
    assert set(bound.output.units) == {"V/s"}


@pytest.mark.parametrize("window_s", [0.5, 2.0])
def test_a_ramp_has_its_slope_whatever_the_window(eeg: SignalSpec, window_s: float) -> None:
    ramp = np.float32(1e-6) * np.arange(1000, dtype=np.float32) * np.ones((5, 1), np.float32)
    got = run(LineLength(window_s=window_s).bind(eeg), ramp)
    np.testing.assert_allclose(got.values[:, got.valid], 250e-6, rtol=1e-5)
