"""Band-stop filters: what lies between two frequencies is removed."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, model_validator

from ..core.specs import SignalSpec
from ..core.stream import Transducer
from .base import SignalOp, below_nyquist
from .designs import RIPPLE_DB, STOP_DB, Design, check_design, sections


class Bandstop(SignalOp):
    """Removes low_hz..high_hz from every channel, e.g. the band of a stimulator. For the mains, see notch.

    method : 'iir' causal, no look-ahead; 'zero_phase' runs the same filter forth and back (`scipy.signal.sosfiltfilt`)
    and needs the whole recording. Designs and what the gain is at the edges: as those of bandpass.
    """

    causal_alternative: ClassVar[str] = "method 'iir'"

    kind: Literal["bandstop"] = "bandstop"
    low_hz: float = Field(gt=0, description="lower edge of what is removed")
    high_hz: float = Field(gt=0, description="upper edge of what is removed")
    order: int = Field(4, ge=1, le=12, description="order of one edge")
    method: Literal["iir", "zero_phase"] = Field("iir", description="iir runs live, zero_phase does not")
    design: Design = Field("butter", description="of the filter")
    ripple_db: float = Field(RIPPLE_DB, gt=0, description="of cheby1 and ellip: most that is lost in the pass-band")
    stop_db: float = Field(STOP_DB, gt=0, description="of cheby2 and ellip: least that is lost in the stop-band")
    settle: bool = Field(True, description="iir: begin in the steady state of the first sample's value")

    @model_validator(mode="after")
    def _edges(self) -> Bandstop:
        if self.low_hz >= self.high_hz:
            raise ValueError(f"low_hz={self.low_hz:g} must be below high_hz={self.high_hz:g}")
        check_design(self.design, self.ripple_db, self.stop_db)
        return self

    def bind(self, signal: SignalSpec) -> Transducer:
        """Return the filter; SignalMismatchError where an edge is not below half the sampling rate."""
        from .bandpass import ZeroPhase
        from .sos import SosFilter

        below_nyquist("bandstop", "high_hz", self.high_hz, signal)
        loss = {"ripple_db": self.ripple_db, "stop_db": self.stop_db}
        sos = sections(self.design, self.order, [self.low_hz, self.high_hz], "bandstop", signal.sfreq, **loss)
        return ZeroPhase(signal, sos) if self.method == "zero_phase" else SosFilter(signal, sos, settle=self.settle)
