"""Band-, high- and low-pass filters: causal IIR, FIR, and zero-phase for offline use."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator

from ..core.specs import SignalSpec
from ..core.stream import INFINITE, Array, Chunk, State, Transducer, empty
from .base import Operation, SignalOp, below_nyquist
from .designs import RIPPLE_DB, STOP_DB, Design, check_design, sections


class Bandpass(SignalOp):
    """Keeps low_hz..high_hz on every channel; one of the two may be left out.

    method : 'iir' causal, no look-ahead. 'fir' Hamming-windowed; `phase` 'linear' waits for half its length (the
    declared look-ahead) and keeps wave shapes, 'minimum' does not wait. 'zero_phase' runs the IIR filter forth and back
    (`scipy.signal.sosfiltfilt`) and needs the whole recording.

    design : of the IIR filter. 'butter' is flat in the pass-band, 'cheby1' and 'ellip' ripple there and 'cheby2' and
    'ellip' in the stop-band for a steeper edge, 'bessel' keeps wave shapes best. At the edges given the gain is -3 dB
    (butter, bessel), -ripple_db (cheby1, ellip) or -stop_db (cheby2, whose edges are those of the stop-band).

    FIR transitions are as in MNE: a quarter of the edge, at least 2 Hz, no wider than there is room; the edges given
    are those of the pass-band. With a lower edge nothing is left of an electrode's offset. Before the first and after
    the last sample their values are held.
    """

    causal_alternative: ClassVar[str] = "method 'iir', or 'fir' with its stated delay"

    kind: Literal["bandpass"] = "bandpass"
    low_hz: float | None = Field(None, gt=0, description="lower edge; None: low-pass")
    high_hz: float | None = Field(None, gt=0, description="upper edge; None: high-pass")
    order: int = Field(4, ge=1, le=12, description="order of one edge (methods iir and zero_phase)")
    design: Design = Field("butter", description="of the IIR filter (methods iir and zero_phase)")
    ripple_db: float = Field(RIPPLE_DB, gt=0, description="of cheby1 and ellip: most that is lost in the pass-band")
    stop_db: float = Field(STOP_DB, gt=0, description="of cheby2 and ellip: least that is lost in the stop-band")
    method: Literal["iir", "fir", "zero_phase"] = Field("iir", description="iir and fir run live, zero_phase does not")
    phase: Literal["linear", "minimum"] = Field("linear", description="of the fir method")
    settle: bool = Field(True, description="iir: begin in the steady state of the first sample's value")

    @model_validator(mode="after")
    def _edges(self) -> Bandpass:
        if self.low_hz is None and self.high_hz is None:
            raise ValueError("give low_hz, high_hz or both")
        if self.low_hz is not None and self.high_hz is not None and self.low_hz >= self.high_hz:
            raise ValueError(f"low_hz={self.low_hz:g} must be below high_hz={self.high_hz:g}")
        if self.phase == "minimum" and self.method != "fir":
            raise ValueError(f"phase 'minimum' belongs to method 'fir', but method is '{self.method}'")
        if self.design != "butter" and self.method == "fir":
            raise ValueError(f"design '{self.design}' belongs to the methods iir and zero_phase, but method is 'fir'")
        check_design(self.design, self.ripple_db, self.stop_db)
        return self

    def bind(self, signal: SignalSpec) -> Transducer:
        """Return the filter; SignalMismatchError where an edge is not below half the sampling rate."""
        for field, hz in (("low_hz", self.low_hz), ("high_hz", self.high_hz)):
            below_nyquist("bandpass", field, hz, signal)
        if self.method == "fir":
            from .fir import Polyphase

            return Polyphase(signal, self._taps(signal.sfreq), linear=self.phase == "linear")
        if self.method == "zero_phase":
            return ZeroPhase(signal, self._sections(signal.sfreq))
        from .sos import SosFilter

        return SosFilter(signal, self._sections(signal.sfreq), settle=self.settle)

    def _sections(self, sfreq: float) -> Array:
        edges, kind = self._band()
        loss = {"ripple_db": self.ripple_db, "stop_db": self.stop_db}
        return sections(self.design, self.order, edges, kind, sfreq, **loss)

    def _band(self) -> tuple[float | list[float], str]:
        if self.low_hz is None:
            return float(self.high_hz or 0), "lowpass"
        if self.high_hz is None:
            return self.low_hz, "highpass"
        return [self.low_hz, self.high_hz], "bandpass"

    def _taps(self, sfreq: float) -> Array:
        """Return an odd number of taps: a low-pass (or all) minus a low-pass, each as long as its transition asks."""
        from scipy.signal import minimum_phase

        above, below = np.ones(1), np.zeros(1)
        if self.high_hz is not None:
            width = min(max(0.25 * self.high_hz, 2.0), sfreq / 2 - self.high_hz)
            above = _lowpass(self.high_hz + width / 2, width, sfreq)
        if self.low_hz is not None:
            width = min(max(0.25 * self.low_hz, 2.0), self.low_hz)
            below = _lowpass(self.low_hz - width / 2, width, sfreq)
        length = max(len(above), len(below))
        taps = np.pad(above, (length - len(above)) // 2) - np.pad(below, (length - len(below)) // 2)
        if self.phase == "linear":
            return np.asarray(taps)
        short = np.asarray(minimum_phase(taps, half=False))
        return short if self.low_hz is None else short - short.mean()  # the design leaves 1e-4 of an offset


def _lowpass(hz: float, width_hz: float, sfreq: float) -> Array:
    """Return a low-pass of gain exactly 1 at 0 Hz; a Hamming window needs 3.3 / width seconds."""
    from scipy.signal import firwin

    return np.asarray(firwin(int(np.ceil(3.3 / width_hz * sfreq)) | 1, hz, window="hamming", fs=sfreq))


class ZeroPhase(Operation):
    """Forward-backward filtering: keeps everything until the flush, then gives it all at once."""

    lookahead_s = INFINITE

    def __init__(self, signal: SignalSpec, sos: Array) -> None:
        super().__init__(signal)
        self.sos = sos

    def fresh(self) -> State:
        return {"values": np.zeros((1024, self.input.n_chans), np.float32), "valid": np.zeros(1024, np.bool_), "n": 0}

    def process(self, chunk: Chunk, state: State) -> tuple[Chunk, State]:
        n, after = state["n"], state["n"] + chunk.n_times
        for name in ("values", "valid"):
            state[name] = _room_for(state[name], after)
            state[name][n:after] = getattr(chunk, name).T
        state["n"] = after
        return empty(self.output.n_chans, 0), state

    def flush(self, state: State) -> Chunk:
        """Return the whole filtered recording, as `scipy.signal.sosfiltfilt` gives it (in float64 inside)."""
        from scipy.signal import sosfiltfilt

        n = state["n"]
        if n == 0:
            return empty(self.output.n_chans, 0)
        out = np.empty((self.input.n_chans, n), np.float32)
        pad = min(_padding(self.sos), n - 1)
        for channel in range(self.input.n_chans):  # one at a time: float64 copies of a whole recording are large
            out[channel] = sosfiltfilt(self.sos, state["values"][:n, channel].astype(np.float64), padlen=pad)
        return Chunk(out, state["valid"][:n].copy(), 0)


def _padding(sos: Array) -> int:
    """Return how far `scipy.signal.sosfiltfilt` extends a signal: three times the taps, those at the origin aside."""
    at_origin = min(int((sos[:, 2] == 0).sum()), int((sos[:, 5] == 0).sum()))
    return 3 * (2 * len(sos) + 1 - at_origin)


def _room_for(array: Array, n: int) -> Array:
    """Return `array` with at least n rows, at least doubled where it grows."""
    if n <= len(array):
        return array
    grown = np.zeros((max(n, 2 * len(array)), *array.shape[1:]), array.dtype)
    grown[: len(array)] = array
    return grown
