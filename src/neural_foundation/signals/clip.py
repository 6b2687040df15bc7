"""Artefact clipping against a running scale."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field, model_validator

from ..core.specs import SignalSpec
from ..core.stream import Transducer
from .base import SignalOp, forgetting
from .rows import Rows, Step


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
        from .row_kernels import CLIP

        alpha, warm = forgetting(self.time_constant_s, signal.sfreq), round(self.warmup_s * signal.sfreq)
        params = np.array([alpha, self.limit, self.reject, self.floor_v, warm])
        return Rows(signal, [Step(CLIP, params, 1 + signal.n_chans)], settle_s=self.warmup_s)
