"""The sums: their rate of false alarms by simulation, what they let be, and what they find."""

from __future__ import annotations

import numpy as np
import pytest

from neural_foundation.core.seeds import generator
from neural_foundation.core.stream import copy_state
from neural_foundation.realtime.watch_cusum import Cusum, Shares, dependence


def alarms(cusum: Cusum, features: np.ndarray) -> list[int]:
    state = cusum.fresh()
    return [t for t, f in enumerate(features) if cusum.take(f, state).score >= 1]


def hops(n: int, features: int, seed: int, ar: float = 0.0) -> np.ndarray:
    from scipy.signal import lfilter

    noise = generator(seed, "hops", features).standard_normal((n + 50, features)) * np.sqrt(1 - ar**2)
    return np.asarray(lfilter([1.0], [1.0, -ar], noise, axis=0)[50:])


@pytest.mark.parametrize(("ar", "robust"), [(0.0, True), (0.0, False), (0.6, True), (0.6, False)])
def test_false_alarms_are_no_more_often_than_stated(ar: float, robust: bool) -> None:
    run_length, n, runs = 300.0, 2000, 6
    found = [alarms(Cusum(8, enough=30, run_length=run_length, robust=robust), hops(n, 8, s, ar)) for s in range(runs)]
    expected = runs * n / run_length
    assert sum(map(len, found)) <= expected + 2 * np.sqrt(expected)


def test_a_change_is_found_named_and_then_is_the_norm() -> None:
    x = hops(400, 6, 0)
    x[200:, 4] -= 3
    cusum = Cusum(6, enough=60, run_length=2000)
    state = cusum.fresh()
    heard = [cusum.take(f, state) for f in x]
    at = [t for t, h in enumerate(heard) if h.score >= 1]
    assert len(at) == 1
    assert 200 < at[0] < 215
    assert heard[at[0]].index == 4
    assert not heard[at[0]].up
    assert cusum.learning(cusum.fresh())


def test_what_is_let_be_is_let_be() -> None:
    x = 0.1 * hops(600, 4, 1)
    x[300:, 2] += 2.0  # twenty standard deviations, of a feature that may wander by 2.5
    assert not alarms(Cusum(4, enough=60, run_length=2000, least=2.5), x)
    assert alarms(Cusum(4, enough=60, run_length=2000, least=1.5), x)


@pytest.mark.parametrize("run_length", [2.0, 20.0, 2000.0])
def test_one_hop_alone_is_no_change(run_length: float) -> None:
    cusum = Cusum(3, enough=60, run_length=run_length)
    state = cusum.fresh()
    for f in hops(60, 3, 2):
        cusum.take(f, state)
    assert not cusum.learning(state)
    assert 0.3 < cusum.take(np.full(3, 1e6), state).score < 1
    assert cusum.take(np.full(3, 1e6), state).score >= 1, "the second is"


def test_one_hop_that_falls_silent_is_a_change() -> None:
    cusum = Cusum(3, enough=60, run_length=2000, alone=60.0)
    state = cusum.fresh()
    for f in hops(60, 3, 2):
        cusum.take(f, state)
    for loud in (np.full(3, 1e6), np.array([0.0, -50.0, 0.0])):
        assert cusum.take(loud, copy_state(state)).score < 1, "loud, or not so quiet, it waits for a second hop"
    heard = cusum.take(np.array([0.0, -1e3, 40.0]), state)
    assert heard.score >= 1
    assert (heard.index, heard.up) == (1, False)
    assert cusum.learning(state)


@pytest.mark.parametrize("run_length", [0.5, 3.0, 500.0])
def test_one_second_alone_is_no_bad_channel(run_length: float) -> None:
    shares = Shares(1, run_length=run_length)
    state = shares.fresh()
    assert not len(shares.take(np.array([True]), state))
    assert any(len(shares.take(np.array([True]), state)) for _ in range(3))


@pytest.mark.parametrize("ar", [0.0, 0.5])
def test_the_dependence_is_that_of_the_closed_form(ar: float) -> None:
    r = ar + 1 / np.sqrt(20_000)
    assert dependence(hops(20_000, 3, 3, ar)) == pytest.approx(np.sqrt((1 + r) / (1 - r)), rel=0.03)
    assert dependence(np.ones((30, 2))) == 1.0


def test_shares_hold_lordens_bound_and_find_in_seconds() -> None:
    shares, n, rng = Shares(4, run_length=500.0), 4000, generator(0, "shares")
    state, begun = shares.fresh(), 0
    for verdicts in rng.random((n, 4)) < 0.02:
        begun += len(shares.take(verdicts, state))
    assert begun <= n / 500 + 2 * np.sqrt(n / 500)
    state = shares.fresh()
    on = [k for k in range(10) if len(shares.take(np.array([True, False, False, False]), state))]
    assert len(on) == 1
    assert on[0] <= 3
    for _ in range(40):
        shares.take(np.zeros(4, bool), state)
    assert not state["on"].any()
