"""Artefact clipping against a running scale."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field, model_validator

from ..core.specs import SignalSpec
from ..core.stream import Chunk, State, Transducer
from .base import Operation, SignalOp, forgetting


class Clip(SignalOp):
    """Clips each channel at `limit` times its running mean of |x|; far beyond, marks the sample invalid.

    Expects signals around zero (after a high-pass). The scale is an exponentially weighted mean in float64 whose
    weights always sum to one; it learns the clipped magnitude, so that an artefact cannot raise the limit for the
    next, and nothing from invalid samples. For Gaussian noise one scale is 0.8 standard deviations.
    """

    kind: Literal["clip"] = "clip"
    limit: float = Field(8.0, gt=1, description="clip at this many scales")
    reject: float = Field(25.0, gt=1, description="beyond this many scales, in any channel, the sample is invalid")
    time_constant_s: float = Field(10.0, gt=0, description="memory of the scale")
    warmup_s: float = Field(1.0, ge=0, description="the first seconds pass unclipped and only teach the scale")
    floor_v: float = Field(1e-7, gt=0, description="smallest scale, in the unit of the signal")

    @model_validator(mode="after")
    def _ordered(self) -> Clip:
        if self.reject < self.limit:
            raise ValueError(f"reject={self.reject:g} must not be below limit={self.limit:g}")
        return self

    def bind(self, signal: SignalSpec) -> Transducer:
        """Return the operation; any signal will do."""
        return RunningClip(signal, self)


class RunningClip(Operation):
    """The bound `clip`: a scale for each channel, one sum of weights, the count of samples."""

    def __init__(self, signal: SignalSpec, spec: Clip) -> None:
        from . import kernels

        super().__init__(signal)
        self.settle_s = spec.warmup_s
        self._kernel, self._spec = kernels.clip, spec
        self._alpha = forgetting(spec.time_constant_s, signal.sfreq)
        self._warm = round(spec.warmup_s * signal.sfreq)

    def fresh(self) -> State:
        return {"scale": np.zeros(self.input.n_chans), "weight": 0.0, "n": 0}

    def process(self, chunk: Chunk, state: State) -> tuple[Chunk, State]:
        spec, warm = self._spec, self._warm - state["n"]
        state["weight"] = self._kernel(
            chunk.values,
            chunk.valid,
            state["scale"],
            state["weight"],
            self._alpha,
            spec.limit,
            spec.reject,
            spec.floor_v,
            warm,
        )
        state["n"] += chunk.n_times
        return chunk, state
