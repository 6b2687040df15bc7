import numpy as np
import pytest

from neural_foundation.core.errors import StreamError
from neural_foundation.core.specs import SignalSpec
from neural_foundation.core.stream import (
    INFINITE,
    Chunk,
    State,
    Transducer,
    copy_state,
    empty,
    join,
    load_state,
    require_live,
    run,
    save_state,
)


class Sum(Transducer):
    """Running sum of every channel."""

    def __init__(self) -> None:
        self.input = self.output = SignalSpec(sfreq=10, ch_names=("a", "b"))

    def start(self) -> State:
        return {"total": np.zeros(2), "n_out": 0}

    def step(self, chunk: Chunk, state: State) -> tuple[Chunk, State]:
        values = state["total"][:, None] + np.cumsum(chunk.values, 1)
        state["n_out"] += chunk.n_times
        if chunk.n_times:
            state["total"] = values[:, -1]
        return Chunk(values, chunk.valid, chunk.start), state


@pytest.mark.parametrize("block", [1, 3, 100])
def test_run_steps_a_whole_stream(block: int) -> None:
    values = np.arange(20.0).reshape(2, 10)
    out = run(Sum(), values, block=block)
    np.testing.assert_array_equal(out.values, np.cumsum(values, 1))
    assert (out.start, out.n_times, out.valid.all()) == (0, 10, True)


def test_run_of_nothing_is_nothing() -> None:
    assert run(Sum(), np.zeros((2, 0))).n_times == 0


def test_join_refuses_a_gap() -> None:
    with pytest.raises(StreamError, match="Chunk at sample 5 does not follow the one that ends at 3"):
        join([Chunk.of(np.zeros((1, 3))), Chunk.of(np.zeros((1, 2)), 5)])
    with pytest.raises(StreamError, match="No chunks"):
        join([])


def test_state_survives_bytes_and_copies_are_apart() -> None:
    state: State = {"a": np.arange(3.0), "n": 3, "on": True, "x": {"gain": 2.5, "none": np.zeros((2, 0)), "deep": {}}}
    back = load_state(save_state(state))
    assert back["n"] == 3
    assert back["on"] is True
    assert back["x"]["gain"] == 2.5
    assert back["x"]["deep"] == {}
    np.testing.assert_array_equal(back["a"], state["a"])
    copy = copy_state(state)
    copy["a"][0] = 9
    assert state["a"][0] == 0


@pytest.mark.parametrize("data", [b"", b"no state", save_state({"a": np.arange(3.0)})[:40]])
def test_what_is_no_state_is_refused(data: bytes) -> None:
    with pytest.raises(StreamError, match="not a saved state"):
        load_state(data)


def test_infinite_lookahead_is_refused_live() -> None:
    transducer = Sum()
    require_live(transducer, "sum")
    transducer.lookahead_s = INFINITE
    with pytest.raises(StreamError, match="'sum' needs the whole recording and cannot run live. Use method: iir."):
        require_live(transducer, "sum", "method: iir")


def test_empty_keeps_its_place() -> None:
    assert (empty(3, 7).start, empty(3, 7).values.shape) == (7, (3, 0))


def test_a_saved_state_keeps_its_order_and_its_complex_numbers() -> None:
    state = {"z": np.arange(2.0), "a": {"m": 1, "b": np.array([1 + 2j], np.complex64)}, "k": np.array(True)}
    back = load_state(save_state(state))
    assert list(back) == list(state)
    assert list(back["a"]) == ["m", "b"]
    assert back["a"]["b"].dtype == np.complex64
    np.testing.assert_array_equal(back["a"]["b"], state["a"]["b"])
