"""A constant gain."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from ..core.specs import SignalSpec
from ..core.stream import Chunk, State, Transducer
from .base import Operation, SignalOp


class Scale(SignalOp):
    """Multiplies every channel by `gain`; 1e6 turns volts into microvolts for a model that wants them."""

    kind: Literal["scale"] = "scale"
    gain: float = Field(description="the factor", allow_inf_nan=False)

    def bind(self, signal: SignalSpec) -> Transducer:
        """Return the operation; any signal will do."""
        return Gain(signal, self.gain)


class Gain(Operation):
    """The bound `scale`."""

    def __init__(self, signal: SignalSpec, gain: float) -> None:
        super().__init__(signal)
        self._gain = np.float32(gain)

    def process(self, chunk: Chunk, state: State) -> tuple[Chunk, State]:
        chunk.values *= self._gain
        return chunk, state
