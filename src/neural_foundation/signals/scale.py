"""A constant gain."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from ..core.specs import SignalSpec
from ..core.stream import Transducer
from .base import SignalOp
from .rows import Rows, Step

PREFIXES = {1e3: "m", 1e6: "u", 1e9: "n"}


class Scale(SignalOp):
    """Multiplies every channel by `gain`; 1e6 turns volts into microvolts for a model that wants them.

    A gain of 1e3, 1e6 or 1e9 makes channels in V ones in mV, uV or nV. Any other leaves the units as they are: it
    corrects a calibration.
    """

    kind: Literal["scale"] = "scale"
    gain: float = Field(description="the factor", allow_inf_nan=False)

    def bind(self, signal: SignalSpec) -> Transducer:
        """Return the operation; any signal will do."""
        from .row_kernels import GAIN

        units = signal.units or ("V",) * signal.n_chans
        prefixed = tuple(PREFIXES.get(self.gain, "") + u if u == "V" else u for u in units)
        output = signal if prefixed == units else signal.replace(units=prefixed)
        return Rows(signal, [Step(GAIN, np.array([np.float32(self.gain)]))], output=output)
