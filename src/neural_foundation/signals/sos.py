"""Causal IIR filtering by second-order sections; what `notch` and `bandpass` bind to."""

from __future__ import annotations

import numpy as np

from ..core.specs import SignalSpec
from ..core.stream import Array
from .rows import Rows, Step


class SosFilter(Rows):
    """Second-order sections (n_sections, 6) on every channel, state in float64.

    settle : begin in the steady state of the first valid sample's value (`scipy.signal.sosfilt_zi`), so that an
    electrode's offset is no step at time 0; what comes before it is 0. Otherwise begin at rest.
    """

    def __init__(self, signal: SignalSpec, sos: Array, *, settle: bool = True) -> None:
        from scipy.signal import sos2zpk, sosfilt_zi

        from .row_kernels import SECTIONS

        self.sos, self.settle = np.asarray(sos, np.float64), settle
        table = np.hstack([self.sos[:, [0, 1, 2, 4, 5]], sosfilt_zi(self.sos)])
        params = np.array([len(table), settle, *table.ravel()])
        slowest = max(np.abs(sos2zpk(self.sos)[1]), default=0.0)
        settle_s = float(np.log(0.01) / np.log(slowest) / signal.sfreq) if slowest > 0 else 0.0
        super().__init__(signal, [Step(SECTIONS, params, 1 + 2 * len(table) * signal.n_chans)], settle_s=settle_s)


def fuse(filters: list[SosFilter]) -> SosFilter:
    """Return one filter for several in a row: float64 between them, the steady state that of the whole."""
    head = filters[0]
    fused = SosFilter(head.input, np.vstack([f.sos for f in filters]), settle=head.settle)
    fused.settle_s, fused.output = sum(f.settle_s for f in filters), filters[-1].output
    return fused
