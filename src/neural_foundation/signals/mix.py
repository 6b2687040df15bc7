"""A fixed matrix over the channels."""

from __future__ import annotations

import numpy as np

from ..core.specs import SignalSpec
from ..core.stream import Array, Chunk, State
from .base import Operation

BLOCK = 4096  # samples mixed at a time


class Mix(Operation):
    """y = M x, M (n_outputs, n_chans) in float64."""

    def __init__(self, signal: SignalSpec, matrix: Array, output: SignalSpec) -> None:
        super().__init__(signal, output)
        self.matrix = np.asarray(matrix, np.float64)

    def process(self, chunk: Chunk, state: State) -> tuple[Chunk, State]:
        square = self.matrix.shape[0] == self.matrix.shape[1]
        out = chunk.values if square else np.empty((len(self.matrix), chunk.n_times), np.float32)
        for at in range(0, chunk.n_times, BLOCK):
            out[:, at : at + BLOCK] = self.matrix @ chunk.values[:, at : at + BLOCK].astype(np.float64)
        return Chunk(out, chunk.valid, chunk.start), state
