"""Line length, on windows that slide."""

from __future__ import annotations

from typing import Literal

import numpy as np

from ..core.specs import SignalSpec
from ..core.stream import Array, Transducer
from .features import long_enough, of_channels
from .windowed import Windowed, WindowedOp


class LineLength(WindowedOp):
    """One row a channel, "C3:line_length": the sum of |x[i] - x[i - 1]| over the window, a second, in V/s.

    Esteller et al. 2001 (Proc. 23rd IEEE EMBS, 2) sum over the window; here the sum is divided by the time between the
    first and the last sample, so that windows of all lengths compare.
    """

    kind: Literal["line_length"] = "line_length"

    def bind(self, signal: SignalSpec) -> Transducer:
        """Return the operation; SignalMismatchError where a window has fewer than two samples."""
        return BoundLineLength(signal, self)


class BoundLineLength(Windowed):
    """One row a channel."""

    def __init__(self, signal: SignalSpec, spec: LineLength) -> None:
        from . import window_kernels

        super().__init__(signal, spec, of_channels(signal, [("line_length", "{}/s")]))
        long_enough("line_length", self.window, 2, signal)
        self._kernel = window_kernels.line_lengths

    def features(self, windows: Array) -> Array:
        out = np.empty((*windows.shape[:2], 1))
        self._kernel(windows, out)
        return np.asarray(out[..., 0] * (self.input.sfreq / (self.window - 1)))
