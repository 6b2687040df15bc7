"""Operations that change rows of samples in place, and their union: one compiled pass for all that stand together.

Shapes: values (n_chans, n_times). Steps in a row, as a chain has them, cost one call and one pass over the data; see
`row_kernels` for the program they become.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np

from ..core.specs import SignalSpec
from ..core.stream import Array, Chunk, State
from .base import Operation, plain, readable


@dataclass(frozen=True, eq=False)
class Step:
    """One step of a program: a code of `row_kernels`, its numbers, and how many numbers it remembers."""

    code: int
    params: Array
    memory: int = 0


class Rows(Operation):
    """Steps one after the other, on every row of samples. State: their memory, float64, and the samples seen."""

    def __init__(
        self, signal: SignalSpec, steps: Sequence[Step], *, settle_s: float = 0.0, output: SignalSpec | None = None
    ) -> None:
        from . import row_kernels

        super().__init__(signal, output)
        self.steps, self.settle_s = tuple(steps), settle_s
        starts = [0, *accumulate(len(s.params) for s in self.steps)]
        own = [0, *accumulate(_aligned(s.memory) for s in self.steps)]
        rows = [(s.code, p, m, m + s.memory) for s, p, m in zip(self.steps, starts, own, strict=False)]
        self._memory, self.places = own[-1], [(m, end) for _, _, m, end in rows]
        self._codes = np.array(rows, np.int64)
        self._params = np.concatenate([s.params for s in self.steps], dtype=np.float64)
        self._run, self._enter = row_kernels.run_rows, row_kernels.enter

    def fresh(self) -> State:
        return {"memory": np.zeros(self._memory), "n": 0}

    def process(self, chunk: Chunk, state: State) -> tuple[Chunk, State]:
        self._run(chunk.values, chunk.valid, self._codes, self._params, state["memory"], state["n"])
        state["n"] += chunk.values.shape[1]
        return chunk, state

    def enter(self, chunk: Chunk, state: State, held: Array) -> Chunk:
        """Return what comes out for a stranger's chunk: the guard's work and the steps in one call."""
        values, ok = readable(chunk, self.input.n_chans), plain(chunk.valid, np.bool_)
        x, valid = np.empty(values.shape, np.float32), np.empty(len(ok), np.bool_)
        self._enter(values, ok, held, x, valid, self._codes, self._params, state["memory"], state["n"])
        state["n"] += len(ok)
        return Chunk(x, valid, chunk.start)

    def step(self, chunk: Chunk, state: State) -> tuple[Chunk, State]:
        return self.enter(chunk, state, state["held"]), state


def _aligned(size: int) -> int:
    """Return the size rounded up to whole cache lines, so that no vector load straddles two."""
    return -(-size // 8) * 8


def united(parts: Sequence[Rows]) -> Rows:
    """Return neighbours as one operation."""
    steps = [s for p in parts for s in p.steps]
    return Rows(parts[0].input, steps, settle_s=sum(p.settle_s for p in parts), output=parts[-1].output)
