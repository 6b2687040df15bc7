"""Clipping against a plain loop."""

from __future__ import annotations

import numpy as np
import pytest

from neural_foundation.core.errors import SpecError
from neural_foundation.core.specs import SignalSpec
from neural_foundation.core.stream import Chunk, run
from neural_foundation.signals import SIGNALS
from neural_foundation.signals.clip import Clip


@pytest.fixture
def centred(noise: np.ndarray) -> np.ndarray:
    return noise - np.float32(1e-3)


def test_an_artefact_is_clipped_and_marked(eeg: SignalSpec, centred: np.ndarray) -> None:
    centred[1, 1000:1005] = -1e-3  # 125 scales
    centred[2, 1200] = 1.2e-4  # 15 scales
    got = run(Clip().bind(eeg), centred)
    np.testing.assert_array_equal(np.flatnonzero(~got.valid), np.arange(1000, 1005))
    assert np.abs(got.values).max() < 8.5 * 0.8e-5
    others = np.delete(np.arange(2000), [*range(1000, 1005), 1200])
    np.testing.assert_array_equal(got.values[:, others], centred[:, others])


def test_it_is_the_recursion_it_says(eeg: SignalSpec, centred: np.ndarray) -> None:
    spec = Clip(limit=2, reject=3, time_constant_s=0.5, warmup_s=0.2)
    got = run(spec.bind(eeg), centred)
    x, alpha = centred.astype(float), -np.expm1(-1 / 125)
    scale, weight, want, valid = np.zeros(5), 0.0, x.copy(), np.ones(2000, bool)
    for t in range(2000):
        weight = alpha + (1 - alpha) * weight
        top = np.inf if t < 50 else 2 * scale
        valid[t] = t < 50 or (np.abs(x[:, t]) <= 3 * scale).all()
        want[:, t] = np.clip(x[:, t], -top, top)
        scale += alpha / weight * (np.abs(want[:, t]) - scale)
    np.testing.assert_allclose(got.values, want, rtol=1e-6, atol=1e-12)
    np.testing.assert_array_equal(got.valid, valid)


def test_a_channel_that_wakes_up_is_let_through_again(eeg: SignalSpec, centred: np.ndarray) -> None:
    long = np.tile(centred, 5)
    long[:, :500] = 0
    got = run(Clip(time_constant_s=1).bind(eeg), long)
    assert np.abs(got.values[:, 510]).max() < 1e-5
    np.testing.assert_array_equal(got.values[:, -1000:], long[:, -1000:])


def test_until_something_valid_came_nothing_is_clipped(eeg: SignalSpec, centred: np.ndarray) -> None:
    op, late = Clip(warmup_s=0.1).bind(eeg), np.arange(2000) >= 100
    got, _ = op.step(Chunk(centred, late.copy()), op.start())
    np.testing.assert_array_equal(got.values[:, :101], centred[:, :101])
    np.testing.assert_array_equal(got.valid, late)


def test_reject_below_limit_is_refused() -> None:
    with pytest.raises(SpecError, match="reject=2 must not be below limit=8"):
        SIGNALS.parse({"kind": "clip", "reject": 2})
