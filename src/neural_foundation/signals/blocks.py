"""What is judged in blocks: samples go through, held back or not, with a verdict on the block they lie in.

Shapes: a block (n_chans, block) float32; a verdict (n_verdicts,) bool; b blocks.

Blocks begin at multiples of their length from the stream's sample 0, so a verdict never depends on how the stream was
cut. Block j is given the verdicts of the blocks j - hold to j + ahead - 1, whichever spoke: `ahead` blocks of
look-ahead let a verdict reach back to where its cause began, and `hold` blocks let it last until its cause has faded.
With ahead = 0 nothing waits: a sample leaves as it comes, with the verdicts of the whole blocks before it.
"""

from __future__ import annotations

from abc import abstractmethod

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from ..core.specs import SignalSpec
from ..core.stream import Array, Chunk, State
from .base import Operation


def in_blocks(seconds: float, signal: SignalSpec, hop_s: float) -> int:
    """Return how many blocks of `hop_s` cover the seconds; 0 for 0."""
    return int(np.ceil(round(seconds * signal.sfreq, 6) / block_of(hop_s, signal)))


def block_of(hop_s: float, signal: SignalSpec) -> int:
    """Return a block's samples, the nearest whole number of them and at least 2."""
    return max(2, round(hop_s * signal.sfreq))


def eeg_of(signal: SignalSpec, *types: str) -> list[int]:
    """Return the channels of the types (default: eeg); a signal that names no types is all EEG."""
    wanted = types or ("eeg",)
    return [i for i in range(signal.n_chans) if not signal.ch_types or signal.ch_types[i] in wanted]


class Judged(Operation):
    """The bound operation. State: what has not left yet, the last verdicts, and what the subclass remembers."""

    def __init__(
        self,
        signal: SignalSpec,
        n_verdicts: int,
        *,
        block: int,
        ahead: int,
        hold: int,
        output: SignalSpec | None = None,
    ) -> None:
        super().__init__(signal, output)
        self.block, self.ahead, self.hold = block, ahead, max(hold, 0 if ahead else 1)
        self._n_verdicts, self._span = n_verdicts, self.hold + ahead
        self.lookahead_s = max(0, ahead * block - 1) / signal.sfreq

    @abstractmethod
    def remember(self) -> State:
        """Return what the judge knows before the first block."""

    @abstractmethod
    def judge(self, values: Array, valid: Array, state: State) -> Array:
        """Return the verdicts (b, n_verdicts) on whole blocks float32 (n_chans, b * block), in order."""

    @abstractmethod
    def apply(self, values: Array, valid: Array, verdicts: Array, which: Array) -> tuple[Array, Array]:
        """Return values and validity of samples whose verdicts are `verdicts[which]`; the arrays may be overwritten."""

    def fresh(self) -> State:
        c = self.input.n_chans
        return {
            "tail": np.zeros((c, 0), np.float32),
            "ok": np.zeros(0, np.bool_),
            "verdicts": np.zeros((self._span, self._n_verdicts), np.bool_),
            "judged": 0,
            "n": 0,
            "n_out": 0,
            "judge": self.remember(),
        }

    def process(self, chunk: Chunk, state: State) -> tuple[Chunk, State]:
        if not chunk.n_times:
            return Chunk(np.zeros((self.output.n_chans, 0), np.float32), chunk.valid, state["n_out"]), state
        tail = np.concatenate([state["tail"], chunk.values], 1)
        ok = np.concatenate([state["ok"], chunk.valid])
        base = state["n"] - state["tail"].shape[1]
        state["n"] += chunk.n_times
        first, last = state["judged"], state["n"] // self.block
        seen = state["verdicts"]
        if last > first:
            a, b = first * self.block - base, last * self.block - base
            seen = np.concatenate([seen, self.judge(tail[:, a:b], ok[a:b], state["judge"])])
        state["judged"] = last
        until = state["n"] if not self.ahead else max(0, last - self.ahead + 1) * self.block
        out = self._given(tail, ok, base, seen, first, state["n_out"], until)
        self._keep(state, tail, ok, base, seen, until)
        return out, state

    def flush(self, state: State) -> Chunk:
        """Return what was held back; blocks that never came say nothing, an unfinished one is not judged."""
        base = state["n"] - state["tail"].shape[1]
        silent = np.zeros((self.ahead, self._n_verdicts), np.bool_)
        seen = np.concatenate([state["verdicts"], silent])
        return self._given(state["tail"], state["ok"], base, seen, state["judged"], state["n_out"], state["n"])

    def _keep(self, state: State, tail: Array, ok: Array, base: int, seen: Array, until: int) -> None:
        keep = min(until, state["judged"] * self.block) - base
        state["tail"], state["ok"] = tail[:, keep:].copy(), ok[keep:].copy()
        state["verdicts"], state["n_out"] = seen[len(seen) - self._span :].copy(), until

    def _given(self, tail: Array, ok: Array, base: int, seen: Array, first: int, start: int, until: int) -> Chunk:
        """Return the samples [start, until); `seen` are the verdicts from block first - span on."""
        if until <= start:
            return Chunk(np.zeros((self.output.n_chans, 0), np.float32), np.zeros(0, np.bool_), start)
        spans: Array = np.any(sliding_window_view(seen, self._span, axis=0), -1)
        # row k holds the verdicts of the span that ends with block first + k - 1: block first + k - ahead
        which = np.arange(start, until) // self.block - (first - self.ahead)
        a, b = start - base, until - base
        values, valid = self.apply(tail[:, a:b].copy(), ok[a:b].copy(), spans, which)
        return Chunk(values, valid, start)
