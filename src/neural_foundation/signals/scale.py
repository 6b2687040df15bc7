"""A constant gain."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from ..core.specs import SignalSpec
from ..core.stream import Transducer
from .base import SignalOp
from .rows import Rows, Step


class Scale(SignalOp):
    """Multiplies every channel by `gain`; 1e6 turns volts into microvolts for a model that wants them."""

    kind: Literal["scale"] = "scale"
    gain: float = Field(description="the factor", allow_inf_nan=False)

    def bind(self, signal: SignalSpec) -> Transducer:
        """Return the operation; any signal will do."""
        from .row_kernels import GAIN

        return Rows(signal, [Step(GAIN, np.array([np.float32(self.gain)]))])
