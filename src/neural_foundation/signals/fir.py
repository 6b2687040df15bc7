"""Streaming FIR filters and rational resamplers; what `bandpass` (method fir) and `resample` bind to.

Legend: input i lies at i * up of a fine grid, output k at k * down. Output k weighs the inputs up to fine point
k * down + delay; delay is half the filter (linear phase) or 0 (minimum phase). Buffers are (rows, n_chans), time-major.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from ..core.specs import SignalSpec
from ..core.stream import Array, Chunk, State, empty
from .base import Operation

FFT_FROM = 64  # outputs and taps from which the FFT is faster than the sum


class Polyphase(Operation):
    """y[k] = sum over i of taps[k * down + delay - i * up] x[i], the values at both ends held, or zeros beyond them.

    taps : on the fine grid; an odd number where `linear`. After n inputs ceil((n * up - delay) / down) outputs are
    out, after the flush ceil(n * up / down). Long filters at one rate run by FFT in blocks: equal to rounding in
    float64. An output is valid where the inputs next to its place are.
    """

    def __init__(
        self,
        signal: SignalSpec,
        taps: Array,
        *,
        linear: bool,
        up: int = 1,
        down: int = 1,
        sfreq: float | None = None,
        ends: Literal["hold", "zero"] = "hold",
    ) -> None:
        from . import kernels

        super().__init__(signal, signal.replace(sfreq=sfreq) if sfreq else signal)
        self._held = np.float32(ends == "hold")
        self.taps, self.up, self.down = np.asarray(taps, np.float64), up, down
        self.delay = len(taps) // 2 if linear else 0
        self.lookahead_s = self.delay / (up * signal.sfreq)
        self.settle_s = (len(taps) - self.delay) / (up * signal.sfreq)
        self._per = -(-len(taps) // up)
        self._phases = np.ascontiguousarray(np.pad(self.taps, (0, self._per * up - len(taps))).reshape(self._per, up).T)
        self._rows = self._per + max(2 * self._per, 1024)
        self._span = min(max(up, down), len(taps) // 2)
        self._kernel = kernels.polyphase
        self._spectra: dict[int, Array] = {}

    def fresh(self) -> State:
        buffer = np.zeros((self._rows, self.input.n_chans), np.float32)
        return {"buffer": buffer, "ok": np.ones(self._rows, np.bool_), "base": 0, "filled": 0, "n_in": 0, "n_out": 0}

    def process(self, chunk: Chunk, state: State) -> tuple[Chunk, State]:
        if chunk.n_times and not state["n_in"]:
            self._hold(self._held * chunk.values[:, 0], chunk.valid[0], self._per, state)
            state["base"] = -self._per
        return self._take(chunk, state), state

    def flush(self, state: State) -> Chunk:
        """Return the outputs whose look-ahead the end of the stream cut off, the last value held."""
        if not state["n_in"]:
            return empty(self.output.n_chans, 0)
        n_in, n_total = state["n_in"], self._ready(state["n_in"], 0)
        last = state["filled"] - 1
        rest = -(-self.delay // self.up)
        values = np.repeat(self._held * state["buffer"][last][:, None], rest, 1)
        out = self._take(Chunk(values, np.full(rest, state["ok"][last])), state)
        extra = n_total - out.start
        state["n_in"], state["n_out"] = n_in, n_total
        return Chunk(out.values[:, :extra], out.valid[:extra], out.start)

    def _ready(self, n_in: int, delay: int) -> int:
        """Return how many outputs n_in inputs complete."""
        return max(0, (n_in * self.up - 1 - delay) // self.down + 1)

    def _take(self, chunk: Chunk, state: State) -> Chunk:
        """Return the outputs that the chunk completes, buffer by buffer."""
        start, n_out = state["n_out"], self._ready(state["n_in"] + chunk.n_times, self.delay)
        out = Chunk(
            np.empty((self.output.n_chans, n_out - start), np.float32), np.empty(n_out - start, np.bool_), start
        )
        at = 0
        while at < chunk.n_times:
            self._make_room(state)
            m = min(chunk.n_times - at, self._rows - state["filled"])
            self._append(chunk, at, m, state)
            self._emit(out, state)
            at += m
        return out

    def _hold(self, values: Array, valid: bool, n: int, state: State) -> None:
        """Fill n rows with the values before the first sample."""
        state["buffer"][:n], state["ok"][:n] = values, valid
        state["filled"] = n

    def _make_room(self, state: State) -> None:
        """Move what is still needed to the front where the buffer is full."""
        if state["filled"] < self._rows:
            return
        lowest = (state["n_out"] * self.down + min(self.delay, -self._span)) // self.up
        lowest = min(lowest, (state["n_out"] * self.down + self.delay) // self.up - self._per + 1)
        drop = min(max(0, lowest - state["base"]), state["filled"])
        keep = state["filled"] - drop
        for name in ("buffer", "ok"):
            state[name][:keep] = state[name][drop : state["filled"]].copy()
        state["base"], state["filled"] = state["base"] + drop, keep

    def _append(self, chunk: Chunk, at: int, m: int, state: State) -> None:
        rows = slice(state["filled"], state["filled"] + m)
        state["buffer"][rows], state["ok"][rows] = chunk.values[:, at : at + m].T, chunk.valid[at : at + m]
        state["filled"], state["n_in"] = rows.stop, state["n_in"] + m

    def _emit(self, out: Chunk, state: State) -> None:
        k0, k1 = state["n_out"], self._ready(state["n_in"], self.delay)
        state["n_out"] = k1
        if k1 <= k0:
            return
        values = np.empty((self.output.n_chans, k1 - k0), np.float32)
        valid = np.empty(k1 - k0, np.bool_)
        by_fft = self.up == self.down == 1 and min(k1 - k0, self._per) >= FFT_FROM
        taps = self._phases[:, :0] if by_fft else self._phases
        self._kernel(
            state["buffer"], state["ok"], state["base"], taps, self.down, self.delay, self._span, k0, values, valid
        )
        if by_fft:
            first = k0 + self.delay - self._per + 1 - state["base"]
            values[:] = self._convolve(state["buffer"][first : first + k1 - k0 + self._per - 1])
        out.values[:, k0 - out.start : k1 - out.start] = values
        out.valid[k0 - out.start : k1 - out.start] = valid

    def _convolve(self, rows: Array) -> Array:
        """Return the full-overlap convolution of (rows, n_chans) with the taps, as (n_chans, rows - n_taps + 1)."""
        from scipy.fft import irfft, next_fast_len, rfft

        size = next_fast_len(len(rows), real=True)
        if size not in self._spectra:
            self._spectra[size] = rfft(self.taps, size)
        series = np.ascontiguousarray(rows.T, np.float64)
        full = irfft(rfft(series, size, axis=1) * self._spectra[size], size, axis=1)
        filtered: Array = full[:, self._per - 1 : len(rows)]
        return filtered
