"""Causal IIR filtering by second-order sections; what `notch` and `bandpass` bind to."""

from __future__ import annotations

import numpy as np

from ..core.specs import SignalSpec
from ..core.stream import Array, Chunk, State
from .base import Operation


class SosFilter(Operation):
    """Second-order sections (n_sections, 6) on every channel, state in float64.

    settle : begin in the steady state of the first valid sample's value (`scipy.signal.sosfilt_zi`), so that an
    electrode's offset is no step at time 0; what comes before it is 0. Otherwise begin at rest.
    """

    def __init__(self, signal: SignalSpec, sos: Array, *, settle: bool = True) -> None:
        from scipy.signal import sos2zpk, sosfilt_zi

        from . import kernels

        super().__init__(signal)
        self.sos = np.ascontiguousarray(sos, np.float64)
        self.settle = settle
        self._steady = np.asarray(sosfilt_zi(self.sos))
        self._filter = kernels.sos_filter
        slowest = max(np.abs(sos2zpk(self.sos)[1]), default=0.0)
        self.settle_s = float(np.log(0.01) / np.log(slowest) / signal.sfreq) if slowest > 0 else 0.0

    def fresh(self) -> State:
        return {"z": np.zeros((len(self.sos), 2, self.input.n_chans)), "settled": not self.settle, "n": 0}

    def process(self, chunk: Chunk, state: State) -> tuple[Chunk, State]:
        first = 0 if state["settled"] else self._settle(chunk, state)
        self._filter(chunk.values, first, self.sos, state["z"], state["n"])
        state["n"] += chunk.n_times
        return chunk, state

    def _settle(self, chunk: Chunk, state: State) -> int:
        """Return the index of the first valid sample, having set the state to its steady state."""
        first = int(chunk.valid.argmax()) if chunk.valid.any() else chunk.n_times
        chunk.values[:, :first] = 0
        if first < chunk.n_times:
            state["z"] = self._steady[:, :, None] * chunk.values[:, first].astype(np.float64)
            state["settled"] = True
        return first


def fuse(filters: list[SosFilter]) -> SosFilter:
    """Return one filter for several in a row: one pass over the data, float64 between them."""
    head = filters[0]
    fused = SosFilter(head.input, np.vstack([f.sos for f in filters]), settle=head.settle)
    fused.settle_s = sum(f.settle_s for f in filters)
    return fused
