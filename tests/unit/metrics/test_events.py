"""Alarms: when they are raised, and what chance foresees, against plain loops, simulation and scipy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from neural_foundation.core.errors import DataError
from neural_foundation.metrics.events import at_least, chance_level, poisson_foreseen, raised, recent_mean


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 200), min_size=1, max_size=40, unique=True), st.integers(0, 60))
def test_the_recent_mean_looks_back_only(seconds: list[int], width: int) -> None:
    time = np.sort(np.array(seconds, float))
    level = np.random.default_rng(len(seconds)).random(len(time))
    made = recent_mean(time, level, width)
    for i, t in enumerate(time):
        mine = [v for s, v in zip(time, level, strict=True) if t - width < s <= t] or [level[i]]
        assert made[i] == pytest.approx(np.mean(mine))


def test_an_alarm_silences_those_after_it() -> None:
    time = np.arange(0, 100, 10.0)
    level = np.array([0, 1, 1, 0, 1, 1, 1, 0, 0, 1.0])
    assert raised(time, level, 0.5, 30).tolist() == [1, 4, 9]
    assert raised(time, level, 0.5, 0).tolist() == [1, 2, 4, 5, 6, 9]
    assert raised(time, level, 1.5, 0).tolist() == []


def test_chance_is_that_of_simulated_poisson_alarms() -> None:
    rng = np.random.default_rng(0)
    hours, rate = np.array([0.1, 0.5, 2.0]), 0.8
    hit = rng.poisson(rate * hours, (40_000, 3)) > 0
    probability = poisson_foreseen(rate, hours)
    np.testing.assert_allclose(hit.mean(0), probability, atol=0.01)
    for k in range(4):
        assert at_least(k, probability) == pytest.approx((hit.sum(1) >= k).mean(), abs=0.01)


def test_equal_chances_are_the_binomial() -> None:
    p = np.full(20, 0.15)
    assert at_least(6, p) == pytest.approx(binom.sf(5, 20, 0.15))
    assert chance_level(p) == binom.ppf(0.95, 20, 0.15)
    assert at_least(0, p) == 1
    assert chance_level(np.zeros(3)) == 0


def test_what_is_refused() -> None:
    with pytest.raises(DataError, match="in order of time"):
        raised(np.array([1.0, 0.0]), np.zeros(2), 0.5, 1)
    with pytest.raises(DataError, match="-1 alarms an hour"):
        poisson_foreseen(-1, np.ones(2))
