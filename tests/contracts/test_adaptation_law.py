"""The chunk law of a decoder that adapts: how the stream is cut changes neither decisions nor what was learned."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import small_package
from hypothesis import given, settings
from hypothesis import strategies as st

from neural_foundation.core.stream import Chunk, State, join, load_state, save_state
from neural_foundation.models.package import Package
from neural_foundation.realtime.adaptation import Adaptation, AdaptingDecoder
from neural_foundation.realtime.live_model import LiveModel

SETTINGS = Adaptation(
    every_s=0.5, reference_s=2, warmup_s=1, time_constant_s=4, ramp_s=1, confirm=3, wait_s=1, false_rollback=0.4
)
N_TIMES = 1500
Made = tuple[Chunk, State, list[str]]


@pytest.fixture(scope="module")
def model(exported_package: Package) -> LiveModel:
    return LiveModel(exported_package)


def recording() -> Chunk:
    """Return a stream that changes its gains, loses a channel, and brings what live streams bring."""
    values, valid = small_package.signal(N_TIMES), np.ones(N_TIMES, bool)
    values[:, 500:] *= np.array([[3.0], [1.0], [0.4]], np.float32)
    values[1, 900:1200] = 0
    values[2, 700:705] = np.nan
    valid[300:330] = False
    return Chunk(values, valid)


OUTCOMES = [(s, (s // 70) % 2) for s in range(70, N_TIMES, 70)]


LATE = [(s, (s // 50) % 2) for s in range(105, N_TIMES, 50)]  # an update falls on each multiple of 50


def ran(model: LiveModel, lengths: list[int], *, reload_at: int | None = None, late: bool = False) -> Made:
    """Return output, last state and updates; feedback comes before the stream, or `late`, at the cut after it."""
    decoder, kinds, at = AdaptingDecoder(model, settings=SETTINGS, resets_s=[3.03, 7.0]), [], 0
    decoder.on_update = kinds.append
    state, out, whole, told = decoder.start(), [], recording(), list(LATE if late else OUTCOMES)
    for i, n in enumerate(lengths):
        while told and (not late or told[0][0] < at):
            state = decoder.feedback(*told.pop(0), state)
        if at >= N_TIMES:
            break
        if i == reload_at:
            state = load_state(save_state(state))
            decoder = AdaptingDecoder(model, settings=SETTINGS, resets_s=[3.03, 7.0])
            decoder.on_update = kinds.append
        piece, state = decoder.step(Chunk(whole.values[:, at : at + n], whole.valid[at : at + n], at), state)
        out.append(Chunk(piece.values.copy(), piece.valid.copy(), piece.start))
        at += n
    out.append(decoder.flush(state))
    return join(out), state, kinds


def assert_same(got: Made, want: Made) -> None:
    assert (got[0].start, got[0].n_times) == (want[0].start, want[0].n_times)
    np.testing.assert_array_equal(got[0].valid, want[0].valid)
    np.testing.assert_allclose(got[0].values, want[0].values, atol=1e-5)
    np.testing.assert_allclose(got[1]["mix"], want[1]["mix"], atol=1e-5)
    assert got[1]["readout"]["scale"] == pytest.approx(want[1]["readout"]["scale"], abs=1e-5)
    assert got[2] == want[2]


@pytest.fixture(scope="module")
def whole(model: LiveModel) -> Made:
    return ran(model, [N_TIMES])


def test_it_did_adapt(whole: Made, model: LiveModel) -> None:
    frozen = model.decoder()
    plain, _ = frozen.step(recording(), frozen.start())
    assert np.abs(whole[0].values - plain.values[:, : whole[0].n_times]).max() > 0.05
    assert {"alignment", "readout", "confirmed"} <= set(whole[2])


@pytest.mark.parametrize("length", [1, 7, 50, 64, 333])
def test_cuts_do_not_change_anything(model: LiveModel, whole: Made, length: int) -> None:
    assert_same(ran(model, [length] * N_TIMES), whole)


@settings(max_examples=10, deadline=None)
@given(lengths=st.lists(st.integers(0, 300), min_size=1, max_size=8))
def test_any_cut(model: LiveModel, whole: Made, lengths: list[int]) -> None:
    assert_same(ran(model, [*lengths, N_TIMES]), whole)


@pytest.mark.parametrize("at", [0, 1, 2, 4])
def test_a_saved_state_goes_on(model: LiveModel, whole: Made, at: int) -> None:
    assert_same(ran(model, [333] * 5, reload_at=at), whole)


def test_when_within_an_update_feedback_comes_does_not_matter(model: LiveModel) -> None:
    assert_same(ran(model, [5] * N_TIMES, late=True), ran(model, [25] * N_TIMES, late=True))


def test_no_update_is_made_from_the_future(model: LiveModel) -> None:
    edge = 1100

    def until(change: Callable[[Any], Any]) -> np.ndarray:
        decoder, chunk = AdaptingDecoder(model, settings=SETTINGS), recording()
        chunk.values[:, edge:] = change(chunk.values[:, edge:])
        state = decoder.start()
        for outcome in OUTCOMES:
            state = decoder.feedback(*outcome, state)
        return decoder.step(chunk, state)[0].values[:, : edge // decoder.hop]

    np.testing.assert_allclose(until(lambda x: 5 * x), until(lambda x: x), atol=1e-5)
