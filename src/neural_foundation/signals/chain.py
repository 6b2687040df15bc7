"""Operations in a row, as one transducer: the chain a recipe's `signals:` list becomes.

Shapes: values (n_chans, n_times); indices count samples of the stream from its own 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Literal

import numpy as np

from ..core.errors import SignalMismatchError, StreamError
from ..core.specs import SignalSpec
from ..core.stream import INFINITE, Array, Chunk, State, Transducer, join, require_live
from .base import Guard, Operation, SignalOp, readable
from .rows import Rows, united
from .sos import SosFilter, fuse


def chain(
    ops: Sequence[SignalOp],
    signal: SignalSpec,
    *,
    live: bool = False,
    on_gap: Literal["raise", "reset"] = "raise",
    max_gap_s: float = 0.0,
) -> Chain:
    """Return the operations bound one after the other; see `Chain` for the gap settings.

    SignalMismatchError where the signal cannot carry one of them. With `live`, StreamError names an operation that
    needs the whole recording, and its causal alternative.
    """
    bound: list[Transducer] = []
    at = signal
    for op in ops:
        bound.append(op.bind(at))
        if live:
            require_live(bound[-1], getattr(op, "kind", type(op).__name__), op.causal_alternative)
        at = bound[-1].output
    return Chain(signal, bound, on_gap=on_gap, max_gap_s=max_gap_s)


class Chain(Transducer):
    """Transducers one after the other; no transducers at all is a chain too.

    Neighbouring IIR filters run as one. Values that are not finite are held back at the entrance, behind the leading
    picks (see `base`). `lookahead_s` is the sum of the parts'.

    A gap (a chunk that starts after the sample expected) up to `max_gap_s` long is bridged: the last values are held
    and marked invalid. A longer one raises StreamError, or with on_gap='reset' restarts every part: what was still
    inside is dropped, output indices jump with the input's, and the first `settle_s` of output are invalid. If the
    chain resamples, it restarts at the next input sample that lies on the output's grid. A chunk that starts before
    the sample expected always raises.
    """

    def __init__(
        self,
        signal: SignalSpec,
        parts: Sequence[Transducer],
        *,
        on_gap: Literal["raise", "reset"] = "raise",
        max_gap_s: float = 0.0,
    ) -> None:
        self.input = signal
        self.output = parts[-1].output if parts else signal
        _check_joints(signal, parts)
        self.parts = _fused(parts)
        self.lookahead_s = float(sum(p.lookahead_s for p in parts))
        self.settle_s = float(sum(getattr(p, "settle_s", 0.0) for p in parts))
        self.on_gap, self.max_gap_s = on_gap, max_gap_s
        self._ratio = Fraction(self.output.sfreq / signal.sfreq).limit_denominator(100_000)
        self._longest = int(round(max_gap_s * signal.sfreq))
        self._picks = next((i for i, p in enumerate(self.parts) if not getattr(p, "selects", False)), len(self.parts))
        self._guard = Guard(self.parts[self._picks - 1].output.n_chans if self._picks else signal.n_chans)
        self._keys = [str(i) for i in range(len(self.parts))]

    @property
    def delay_s(self) -> float:
        """Seconds by which the output lags the newest sample; StreamError where there is no such bound."""
        if self.lookahead_s == INFINITE:
            raise StreamError("This chain needs the whole recording, so it has no delay to report")
        return self.lookahead_s

    def start(self) -> State:
        return {**self._restart(), "expected": -1, "origin": 0, "settling": 0}

    def _restart(self) -> State:
        parts = {
            k: p.fresh() if isinstance(p, Operation) else p.start() for k, p in zip(self._keys, self.parts, strict=True)
        }
        return {**parts, "held": self._guard.start()}

    def step(self, chunk: Chunk, state: State) -> tuple[Chunk, State]:
        if chunk.start != state["expected"]:
            chunk, state = self._jump(chunk, state)
        state["expected"] = chunk.start + chunk.n_times
        if chunk.start < state["origin"]:
            chunk = _from(chunk, state["origin"])
        if state["origin"]:
            chunk = Chunk(chunk.values, chunk.valid, chunk.start - state["origin"])
        return self._placed(self._run(chunk, state), state), state

    def flush(self, state: State) -> Chunk:
        """Return what is still inside, each part's rest run through the parts after it."""
        tail: Chunk | None = None
        for key, part in zip(self._keys, self.parts, strict=True):
            rest = [] if tail is None else [self._through(part, tail, state, key)]
            tail = join([*rest, _own(part.flush(state[key]))])
        tail = tail or Chunk.of(np.zeros((self.output.n_chans, 0), np.float32))
        return self._placed(tail, state)

    def _run(self, chunk: Chunk, state: State) -> Chunk:
        for i, part in enumerate(self.parts):
            key = self._keys[i]
            if i == self._picks:
                if isinstance(part, Rows):
                    chunk = part.enter(chunk, state[key], state["held"])
                    continue
                chunk = self._guard.take(chunk, state["held"])
            chunk = self._through(part, chunk, state, key)
        return chunk if self._picks < len(self.parts) else self._guard.take(chunk, state["held"])

    @staticmethod
    def _through(part: Transducer, chunk: Chunk, state: State, key: str) -> Chunk:
        if isinstance(part, Operation):
            out, state[key] = part.process(chunk, state[key])
            return out
        out, state[key] = part.step(chunk, state[key])
        return _own(out)

    def _placed(self, out: Chunk, state: State) -> Chunk:
        """Return the output at its index in the whole stream, invalid while settling after a gap."""
        if state["origin"]:
            out.start += int(state["origin"] * self._ratio)
        if state["settling"]:
            masked = min(state["settling"], out.n_times)
            out.valid[:masked] = False
            state["settling"] -= masked
        return out

    def _jump(self, chunk: Chunk, state: State) -> tuple[Chunk, State]:
        """Return the chunk and state to go on with where the chunk does not follow the last one."""
        expected, gap = state["expected"], chunk.start - state["expected"]
        if expected < 0:
            return chunk, {**state, "origin": self._on_grid(chunk.start)}
        if gap < 0:
            raise StreamError(
                f"A chunk starts at sample {chunk.start}, but {expected} was expected",
                remedy="Send chunks in order, each once",
            )
        if gap <= self._longest:
            return _bridged(readable(chunk, self.input.n_chans), chunk, gap), state
        if self.lookahead_s == INFINITE:
            raise StreamError(
                f"{gap} samples are missing before sample {chunk.start}, and this chain needs the whole recording",
                remedy="Split the recording at its gaps, bridge them with max_gap_s, or use causal operations",
            )
        if self.on_gap == "raise":
            raise StreamError(
                f"{gap} samples ({gap / self.input.sfreq:g} s) are missing before sample {chunk.start}",
                allowed=f"gaps up to {self.max_gap_s:g} s",
                remedy="Raise max_gap_s to bridge it, or bind the chain with on_gap='reset' to restart after it",
            )
        settling = int(np.ceil(self.settle_s * self.output.sfreq))
        return chunk, {**state, **self._restart(), "origin": self._on_grid(chunk.start), "settling": settling}

    def _on_grid(self, index: int) -> int:
        """Return the first input index from `index` on that falls on an output sample."""
        return -(-index // self._ratio.denominator) * self._ratio.denominator


def _check_joints(signal: SignalSpec, parts: Sequence[Transducer]) -> None:
    """Raise SignalMismatchError where a part was bound to another signal than it will get."""
    for i, (part, comes) in enumerate(zip(parts, [signal, *(p.output for p in parts)], strict=False)):
        if (part.input.n_chans, part.input.sfreq) != (comes.n_chans, comes.sfreq):
            raise SignalMismatchError(
                f"Part {i} of the chain is bound to {_shape(part.input)}, but gets {_shape(comes)}",
                remedy="Bind each part to the output of the one before it, as chain() does",
            )


def _shape(signal: SignalSpec) -> str:
    return f"{signal.n_chans} channels at {signal.sfreq:g} Hz"


def _fused(parts: Sequence[Transducer]) -> list[Transducer]:
    """Return the parts with neighbouring IIR filters made one, and then all neighbours that change rows in place."""
    filters: list[Transducer] = []
    for part in parts:
        last = filters[-1] if filters else None
        if isinstance(part, SosFilter) and isinstance(last, SosFilter) and part.settle == last.settle:
            filters[-1] = fuse([last, part])
        else:
            filters.append(part)
    out: list[Transducer] = []
    for part in filters:
        last = out[-1] if out else None
        if isinstance(part, Rows) and isinstance(last, Rows):
            out[-1] = united([last, part])
        else:
            out.append(part)
    return out


def _own(chunk: Chunk) -> Chunk:
    """Return a copy: the next part may overwrite what it is given, and a stranger may have kept a view of it."""
    return Chunk(np.array(chunk.values, np.float32, order="C"), np.array(chunk.valid, np.bool_), chunk.start)


def _from(chunk: Chunk, start: int) -> Chunk:
    """Return the part of a chunk from sample `start` on."""
    skip = min(start - chunk.start, chunk.n_times)
    return Chunk(chunk.values[:, skip:], chunk.valid[skip:], start)


def _bridged(values: Array, chunk: Chunk, gap: int) -> Chunk:
    """Return the chunk with `gap` invalid samples before it, their values left to the guard."""
    missing = np.full((values.shape[0], gap), np.nan, np.float32)
    valid = np.concatenate([np.zeros(gap, np.bool_), chunk.valid])
    return Chunk(np.concatenate([missing, values], 1), valid, chunk.start - gap)
