"""What is computed on windows that slide over a stream: one column of features a hop.

Shapes: w windows of (n_chans, length) samples; features (w, n_features).
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Literal

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from pydantic import Field

from ..core.errors import SignalMismatchError
from ..core.specs import SignalSpec
from ..core.stream import Array, Chunk, State
from .base import Operation, SignalOp

BLOCK_BYTES = 1 << 24  # of windows copied at a time


class WindowedOp(SignalOp):
    """Base of the specs of features on windows: how long, how often, and where in the window the column belongs."""

    window_s: float = Field(1.0, gt=0, description="length of a window")
    hop_s: float = Field(0.1, gt=0, description="a column of features this often")
    place: Literal["end", "centre"] = Field(
        "end", description="'end': the window ends with its column, causal; 'centre': half of it is look-ahead"
    )

    @property
    def keeps_topography(self) -> bool:
        return False

    def samples(self, signal: SignalSpec) -> tuple[int, int]:
        """Return window and hop in samples; SignalMismatchError where a hop is no whole number of them."""
        window, hop = round(self.window_s * signal.sfreq), round(self.hop_s * signal.sfreq)
        if hop < 1 or abs(hop - self.hop_s * signal.sfreq) > 1e-6 * hop or window < 1:
            kind = getattr(self, "kind", type(self).__name__)
            raise SignalMismatchError(
                f"{kind}: hop_s={self.hop_s:g} is {self.hop_s * signal.sfreq:g} samples at {signal.sfreq:g} Hz, "
                f"window_s={self.window_s:g} is {window}",
                allowed="a whole number of samples a hop, and at least 1 a window",
                remedy=f"Give a multiple of {1 / signal.sfreq:g} s, or resample first",
            )
        return window, hop


class Windowed(Operation):
    """The bound operation. Column k belongs to the input samples [k hop, (k + 1) hop).

    Its window ends with them, or has its middle in their middle (then `lookahead_s` > 0). It is valid where the whole
    window lies in the stream and is valid; elsewhere the column is 0. A subclass says what a window gives.
    """

    def __init__(self, signal: SignalSpec, spec: WindowedOp, output: SignalSpec) -> None:
        self.window, self.hop = spec.samples(signal)
        super().__init__(signal, output.replace(sfreq=signal.sfreq / self.hop))
        self._ahead = max(0, (self.window - self.hop + 1) // 2) if spec.place == "centre" else 0
        self.lookahead_s = self._ahead / signal.sfreq
        self.settle_s = max(0, self.window - self.hop - self._ahead) / signal.sfreq  # what a window reaches back

    @abstractmethod
    def features(self, windows: Array) -> Array:
        """Return (w, n_features) of windows float32 (w, n_chans, length); what stands beside a window never matters."""

    def fresh(self) -> State:
        c = self.input.n_chans
        return {"tail": np.zeros((c, 0), np.float32), "ok": np.zeros(0, np.bool_), "n": 0, "n_out": 0}

    def process(self, chunk: Chunk, state: State) -> tuple[Chunk, State]:
        return self._columns(chunk.values, chunk.valid, state, state["n"] + chunk.n_times - self._ahead), state

    def flush(self, state: State) -> Chunk:
        """Return the columns whose look-ahead the stream's end cut off; they are not valid."""
        nothing = np.zeros((self.input.n_chans, 0), np.float32)
        return self._columns(nothing, np.zeros(0, np.bool_), state, state["n"])

    def _columns(self, values: Array, valid: Array, state: State, until: int) -> Chunk:
        """Take samples in; return the columns whose last sample lies before `until`."""
        tail = np.concatenate([state["tail"], values], 1)
        ok = np.concatenate([state["ok"], valid])
        state["n"] += values.shape[1]
        first, base = state["n_out"], state["n"] - tail.shape[1]
        last = max(first, until // self.hop)
        ends = np.arange(first + 1, last + 1) * self.hop + self._ahead  # of each window, in samples of the stream
        out, good = self._on(tail, ok, ends - base, ends <= state["n"])
        state["n_out"] = last
        keep = max(0, (last + 1) * self.hop + self._ahead - self.window - base)
        state["tail"], state["ok"] = tail[:, keep:].copy(), ok[keep:].copy()
        return Chunk(out, good, first)

    def _on(self, tail: Array, ok: Array, ends: Array, complete: Array) -> tuple[Array, Array]:
        """Return the columns (n_features, n) of the windows that end at `ends` within `tail`, and their validity."""
        out = np.zeros((self.output.n_chans, len(ends)), np.float32)
        bad = np.concatenate([[0], np.cumsum(~ok)])
        starts = ends - self.window
        good = complete & (starts >= 0)
        good[good] = bad[ends[good]] == bad[starts[good]]
        if good.any():
            views = sliding_window_view(tail, self.window, axis=1)
            many = max(1, BLOCK_BYTES // (4 * self.input.n_chans * self.window))
            which = np.flatnonzero(good)
            for some in np.split(which, range(many, len(which), many)):
                out[:, some] = self.features(np.ascontiguousarray(views[:, starts[some]].transpose(1, 0, 2))).T
        return out, good
