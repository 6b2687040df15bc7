from __future__ import annotations

import numpy as np
import pytest

from neural_foundation.core.errors import DataError
from neural_foundation.metrics import coherence, steadiness, topography_correlation


def test_steadiness_by_hand():
    found = steadiness(np.array([0, 0, 0, 1, 1, 0]), step_s=0.5)
    assert (found.coherence, found.dwell_s, found.switches) == (1 - 2 / 5, 1.0, 2)


def test_ends_of_the_scale():
    assert coherence(np.zeros(10)) == 1
    assert coherence(np.arange(10) % 2) == 0
    assert coherence(np.random.default_rng(0).integers(0, 4, 20000)) == pytest.approx(0.25, abs=0.01)


def test_a_trace_needs_two_steps():
    with pytest.raises(DataError, match="two steps or more"):
        steadiness(np.zeros(1), 0.1)


def test_topographies_ignore_sign_scale_and_mean():
    a = np.array([1.0, 2.0, 5.0, -1.0])
    assert topography_correlation(a, 4 - 3 * a) == pytest.approx(1)
    assert topography_correlation(np.array([1.0, -1, 0, 0]), np.array([0, 0, 1.0, -1])) == 0


def test_topography_refusals():
    with pytest.raises(DataError, match="flat"):
        topography_correlation(np.ones(3), np.arange(3.0))
    with pytest.raises(DataError, match="do not match"):
        topography_correlation(np.ones(3), np.arange(4.0))
