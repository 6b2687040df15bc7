"""Notch filter at the mains frequency and its harmonics."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from ..core.errors import SignalMismatchError
from ..core.specs import SignalSpec
from ..core.stream import Transducer
from .base import SignalOp, below_nyquist


class Notch(SignalOp):
    """Second-order IIR notches (`scipy.signal.iirnotch`), causal, on every channel.

    All harmonics get the bandwidth of the first, hz / quality, so that the highest do not eat the gamma band.
    """

    kind: Literal["notch"] = "notch"
    hz: float = Field(50.0, gt=0, description="mains frequency: 50 or 60")
    harmonics: int | None = Field(
        None, ge=1, description="how many multiples, the first included; None: all below half the sampling rate"
    )
    quality: float = Field(30.0, gt=0, description="hz / bandwidth (-3 dB) of the first notch")
    settle: bool = Field(True, description="begin in the steady state of the first sample's value")

    def bind(self, signal: SignalSpec) -> Transducer:
        """Return the filter; SignalMismatchError where a notch would lie at or above half the sampling rate."""
        from scipy.signal import iirnotch, tf2sos

        from .sos import SosFilter

        below_nyquist("notch", "hz", self.hz, signal)
        fitting = int(np.ceil(signal.sfreq / 2 / self.hz)) - 1
        if self.harmonics is not None and self.harmonics > fitting:
            raise SignalMismatchError(
                f"notch: harmonic {self.harmonics} of {self.hz:g} Hz is not below half of the sampling rate "
                f"(sfreq={signal.sfreq:g} Hz)",
                allowed=f"harmonics <= {fitting}",
                remedy="Leave harmonics out to take all that fit",
            )
        multiples = range(1, (self.harmonics or fitting) + 1)
        sections = [tf2sos(*iirnotch(self.hz * k, self.quality * k, fs=signal.sfreq)) for k in multiples]
        return SosFilter(signal, np.vstack(sections), settle=self.settle)
