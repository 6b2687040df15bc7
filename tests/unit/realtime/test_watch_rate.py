"""The rate: jitter and stalls are let be, a clock that lies is found from below and above."""

from __future__ import annotations

import numpy as np
import pytest

from neural_foundation.core.seeds import generator
from neural_foundation.realtime.watch_rate import RateWatch


def arrivals(ratio: float, seconds: float, at_s: float = 0.0, seed: int = 0, late_s: float = 0.003) -> np.ndarray:
    made = np.concatenate([np.arange(0.02, at_s, 0.02), np.arange(at_s + 0.02 / ratio, seconds, 0.02 / ratio)])
    return np.maximum.accumulate(made + generator(seed, "arrivals").gamma(1.0, late_s, len(made)))


def told(times: np.ndarray) -> list[float]:
    watch = RateWatch(1000.0, 3600.0)
    state, out = watch.fresh(), []
    for t in times.tolist():
        score = watch.block(20, t, state)
        if score is not None and watch.news(score, state):
            out.append(t)
    return out


@pytest.mark.parametrize("late_s", [0.0005, 0.003, 0.03])
def test_false_alarms_are_no_more_often_than_stated(late_s: float) -> None:
    assert sum(len(told(arrivals(1.0, 1800, seed=s, late_s=late_s))) for s in range(4)) <= 2 + 2 * np.sqrt(2)


@pytest.mark.parametrize("ratio", [0.95, 0.99, 1.01, 1.05])
def test_another_rate_is_told_once_and_soon(ratio: float) -> None:
    out = told(arrivals(ratio, 300, 120))
    assert len(out) == 1
    assert 120 < out[0] < 150


def test_a_rate_that_was_wrong_from_the_beginning_is_told() -> None:
    out = told(arrivals(1.02, 120))
    assert len(out) == 1
    assert out[0] < 70


def test_a_stall_that_is_caught_up_is_no_other_rate() -> None:
    times = arrivals(1.0, 200)
    times[(times > 100) & (times < 105)] = 105.0
    assert not told(times)


def test_it_measures() -> None:
    watch = RateWatch(1000.0, 3600.0)
    state = watch.fresh()
    for t in arrivals(1.02, 200).tolist():
        watch.block(20, t, state)
    assert state["rate"] == pytest.approx(1020, rel=2e-3)


def test_another_clock_is_no_other_rate() -> None:
    watch = RateWatch(1000.0, 3600.0)
    state, out = watch.fresh(), []
    for t in arrivals(1.0, 100).tolist():
        watch.block(20, t, state)
    state = watch.moved(state)
    for t in (arrivals(1.0, 100) - 5e6).tolist():
        score = watch.block(20, t, state)
        out += [t] if score is not None and watch.news(score, state) else []
    assert not out
    assert not watch.learning(state)
