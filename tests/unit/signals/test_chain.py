"""Chains: order, fusion, look-ahead, gaps, refusals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from neural_foundation.core.errors import SignalMismatchError, StreamError
from neural_foundation.core.specs import SignalSpec
from neural_foundation.core.stream import Chunk, State, Transducer, join, run
from neural_foundation.signals import SIGNALS, Chain, SignalOp, chain


def ops(*specs: dict[str, Any]) -> list[SignalOp]:
    return [op for op in map(SIGNALS.parse, specs) if isinstance(op, SignalOp)]


NOTCH = {"kind": "notch", "hz": 50}
BAND = {"kind": "bandpass", "low_hz": 1, "high_hz": 40}
DOWN = {"kind": "resample", "sfreq": 125}


def parts(chunk: Chunk, *edges: int) -> list[Chunk]:
    at = [0, *edges, chunk.n_times]
    return [Chunk(chunk.values[:, a:b], chunk.valid[a:b], a) for a, b in zip(at, at[1:], strict=False)]


def steps(transducer: Transducer, chunks: list[Chunk]) -> list[Chunk]:
    state, out = transducer.start(), []
    for chunk in chunks:
        piece, state = transducer.step(chunk, state)
        out.append(piece)
    return [*out, transducer.flush(state)]


def test_a_chain_is_its_parts_one_after_the_other(eeg: SignalSpec, noise: np.ndarray) -> None:
    specs = ops(BAND, DOWN, {"kind": "reference"}, {"kind": "normalise"})
    got = run(chain(specs, eeg), noise)
    want, at = noise, eeg
    for spec in specs:
        part = spec.bind(at)
        want, at = run(part, want).values, part.output
    np.testing.assert_array_equal(got.values, want)
    assert chain(specs, eeg).output == at


def test_neighbouring_filters_run_as_one(eeg: SignalSpec, noise: np.ndarray) -> None:
    specs, noise = ops(NOTCH, BAND), noise - np.float32(1e-3)
    fused = chain(specs, eeg)
    assert len(fused.parts[0].steps) == 1  # type: ignore[attr-defined]
    apart = run(specs[1].bind(eeg), run(specs[0].bind(eeg), noise).values).values
    np.testing.assert_allclose(run(fused, noise).values, apart, atol=1e-5 * apart.std())
    unlike = chain(ops(NOTCH, {**BAND, "settle": False}), eeg)
    assert len(unlike.parts[0].steps) == 2  # type: ignore[attr-defined]


def test_what_changes_rows_in_place_runs_in_one_pass(eeg: SignalSpec, noise: np.ndarray) -> None:
    kinds = ("reference", "clip", "normalise")
    specs = ops(*({"kind": k} for k in kinds), {"kind": "scale", "gain": 3}, DOWN, BAND)
    fused = chain(specs, eeg)
    assert [len(getattr(p, "steps", ())) for p in fused.parts] == [4, 0, 1]
    noise[:, :50], noise[1, 700] = np.nan, 1
    apart, at = Chunk.of(noise), eeg
    for spec in specs:
        part = spec.bind(at)
        apart, at = join(steps(part, [apart])), part.output
    got = run(fused, noise)
    np.testing.assert_array_equal(got.values, apart.values)
    np.testing.assert_array_equal(got.valid, apart.valid)
    assert 0 < got.valid.sum() < got.n_times


def test_look_aheads_add_up(eeg: SignalSpec) -> None:
    specs = ops({**BAND, "method": "fir"}, DOWN, NOTCH)
    bound = chain(specs, eeg, live=True)
    assert bound.delay_s == bound.lookahead_s == pytest.approx(specs[0].bind(eeg).lookahead_s + 10 / 125)


def test_the_flush_goes_through_the_later_parts(eeg: SignalSpec, noise: np.ndarray) -> None:
    got = run(chain(ops({**BAND, "method": "fir"}, {"kind": "scale", "gain": 2}, DOWN), eeg), noise)
    assert got.n_times == 1000
    assert got.start == 0


def test_zero_phase_is_refused_live_by_name(eeg: SignalSpec) -> None:
    specs = ops(NOTCH, {**BAND, "method": "zero_phase"})
    with pytest.raises(StreamError, match="'bandpass' needs the whole recording.* Use method 'iir', or 'fir'"):
        chain(specs, eeg, live=True)
    offline = chain(specs, eeg)
    with pytest.raises(StreamError, match="no delay to report"):
        _ = offline.delay_s


def test_a_signal_that_does_not_fit_is_refused_where_it_is(eeg: SignalSpec) -> None:
    with pytest.raises(SignalMismatchError, match=r"notch: hz=50 .*sfreq=80"):
        chain(ops({"kind": "resample", "sfreq": 80}, NOTCH), eeg)
    with pytest.raises(
        SignalMismatchError, match="Part 1 of the chain is bound to 5 channels at 250 Hz, but gets 5 channels at 125 Hz"
    ):
        Chain(eeg, [ops(DOWN)[0].bind(eeg), ops(NOTCH)[0].bind(eeg)])


def test_bad_values_of_a_dropped_channel_do_not_count(eeg: SignalSpec, noise: np.ndarray) -> None:
    noise[4] = np.nan
    assert run(chain(ops({"kind": "pick", "types": ["eeg"]}, BAND), eeg), noise).valid.all()
    assert not run(chain(ops(BAND, {"kind": "pick", "types": ["eeg"]}), eeg), noise).valid.any()


def test_a_gap_raises_unless_told_otherwise(eeg: SignalSpec, noise: np.ndarray) -> None:
    a, _, c = parts(Chunk.of(noise), 1000, 1010)
    with pytest.raises(
        StreamError, match=r"10 samples \(0.04 s\) are missing before sample 1010. Allowed: gaps up to 0 s"
    ):
        steps(chain(ops(BAND), eeg), [a, c])
    with pytest.raises(StreamError, match="10 samples"):
        steps(chain(ops(BAND), eeg, max_gap_s=0.03), [a, c])


def test_a_restart_never_loses_what_a_zero_phase_filter_holds(eeg: SignalSpec, noise: np.ndarray) -> None:
    a, _, c = parts(Chunk.of(noise), 1000, 1010)
    bound = chain(ops({**BAND, "method": "zero_phase"}), eeg, on_gap="reset")
    with pytest.raises(StreamError, match="10 samples are missing before sample 1010, and this chain needs the whole"):
        steps(bound, [a, c])


def test_samples_that_come_twice_always_raise(eeg: SignalSpec, noise: np.ndarray) -> None:
    a, b = parts(Chunk.of(noise), 1000)
    b.start = 999
    with pytest.raises(StreamError, match="starts at sample 999, but 1000 was expected"):
        steps(chain(ops(BAND), eeg, on_gap="reset", max_gap_s=1), [a, b])


def test_a_short_gap_is_held_and_masked(eeg: SignalSpec, noise: np.ndarray) -> None:
    a, _, c = parts(Chunk.of(noise), 1000, 1010)
    bound = chain(ops(BAND), eeg, max_gap_s=0.04)
    got = join(steps(bound, [a, c]))
    held = noise.copy()
    held[:, 1000:1010] = noise[:, 999:1000]
    np.testing.assert_array_equal(got.values, run(bound, held).values)
    np.testing.assert_array_equal(np.flatnonzero(~got.valid), np.arange(1000, 1010))
    *_, d, e = parts(Chunk.of(noise), 1010, 1500)  # however the rest is cut
    np.testing.assert_array_equal(join(steps(bound, [a, d, e])).values, got.values)


def test_a_long_gap_restarts_and_masks_the_settling(eeg: SignalSpec, noise: np.ndarray) -> None:
    a, _, c, d = parts(Chunk.of(noise), 700, 1000, 1001)
    bound = chain(ops(BAND), eeg, on_gap="reset")
    first, second, third, _ = steps(bound, [a, c, d])
    after = join([second, third])
    fresh = run(bound, noise[:, 1000:])
    np.testing.assert_array_equal(after.values, fresh.values)
    assert after.start == 1000
    settling = int(np.ceil(bound.settle_s * 250))
    assert settling > 100
    np.testing.assert_array_equal(np.flatnonzero(~after.valid), np.arange(settling))
    assert first.valid.all()


def test_a_restart_keeps_to_the_grid_of_the_output(eeg: SignalSpec, noise: np.ndarray) -> None:
    bound = chain(ops({"kind": "resample", "sfreq": 50}), eeg, on_gap="reset")
    a, _, c = parts(Chunk.of(noise), 700, 1003)
    want = run(bound, noise[:, 1005:])
    for tail in ([c], parts(c, 1), parts(c, 1, 2, 5)):
        at, chunks = 1003, []
        for piece in tail:
            chunks.append(Chunk(piece.values, piece.valid, at))
            at += piece.n_times
        _, *rest = steps(bound, [a, *chunks])
        got = join(rest)
        assert got.start == 201
        np.testing.assert_array_equal(got.values, want.values)


def test_a_stream_may_begin_anywhere(eeg: SignalSpec, noise: np.ndarray) -> None:
    bound = chain(ops(DOWN), eeg)
    got = join(steps(bound, [Chunk.of(noise, 5000)]))
    assert got.start == 2500
    np.testing.assert_array_equal(got.values, run(bound, noise).values)


class Echo(Transducer):
    """Somebody else's transducer: gives back its input and keeps it."""

    def __init__(self, signal: SignalSpec) -> None:
        self.input = self.output = signal

    def start(self) -> State:
        return {"kept": np.zeros(0)}

    def step(self, chunk: Chunk, state: State) -> tuple[Chunk, State]:
        return chunk, {"kept": chunk.values}


def test_a_strangers_state_is_not_overwritten(eeg: SignalSpec, noise: np.ndarray) -> None:
    bound = Chain(eeg, [Echo(eeg), ops({"kind": "scale", "gain": 2})[0].bind(eeg)])
    out, state = bound.step(Chunk.of(noise), bound.start())
    np.testing.assert_array_equal(state["0"]["kept"], noise)
    np.testing.assert_array_equal(out.values, 2 * noise)
    inner = Chain(eeg, [chain(ops(DOWN), eeg)])
    np.testing.assert_array_equal(run(inner, noise).values, run(chain(ops(DOWN), eeg), noise).values)


def test_a_chain_of_picks_guards_its_output(eeg: SignalSpec, noise: np.ndarray) -> None:
    noise[0, 3] = np.nan
    got = run(chain(ops({"kind": "pick", "channels": ["C3"]}), eeg), noise)
    assert got.values[0, 3] == noise[0, 2]
    assert np.flatnonzero(~got.valid).tolist() == [3]


def test_an_empty_stream_gives_an_empty_output(eeg: SignalSpec) -> None:
    got = run(chain(ops(BAND, DOWN, {"kind": "align"}), eeg), np.zeros((5, 0), np.float32))
    assert got.values.shape == (5, 0)


@pytest.mark.parametrize("place", ["end", "centre"])
def test_after_a_gap_no_window_holds_what_a_filter_had_not_settled_on(
    eeg: SignalSpec, noise: np.ndarray, place: str
) -> None:
    powers = {"kind": "band_powers", "window_s": 2, "hop_s": 0.1, "place": place}
    bound = chain(ops({"kind": "bandpass", "low_hz": 2}, powers), eeg, on_gap="reset")
    settle = bound.parts[0].settle_s  # type: ignore[attr-defined]
    values = np.tile(noise, (1, 3))
    _, state = bound.step(Chunk.of(values[:, :1000]), bound.start())
    out, _ = bound.step(Chunk.of(values[:, 2000:], 2000), state)
    first = int(np.argmax(out.valid))
    begins = (first + 1) * 0.1 + bound.lookahead_s - 2  # of the first valid column's window, after the gap
    assert out.valid[first:].all()
    assert settle - 1e-9 <= begins < settle + 0.11


def test_filters_made_one_keep_what_the_last_gives(eeg: SignalSpec) -> None:
    counts = eeg.replace(units=("",) * 5)
    bound = chain(ops({"kind": "firing_rates", "kernel": "exponential"}, {"kind": "scale", "gain": 2}), counts)
    assert len(bound.parts) == 1
    assert set(bound.parts[0].output.units) == set(bound.output.units) == {"Hz"}
