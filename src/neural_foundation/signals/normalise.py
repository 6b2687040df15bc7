"""Running normalisation to mean 0 and variance 1."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from ..core.specs import SignalSpec
from ..core.stream import Transducer
from .base import SignalOp, forgetting, plain_numbers
from .rows import Rows, Step


class Normalise(SignalOp):
    """Centres and scales by exponentially weighted moments, causal, state in float64.

    As the exponential moving standardisation of Schirrmeister et al. (2017, doi:10.1002/hbm.23730), with two
    differences: the weights of the samples so far always sum to one (no start-up bias, no initial block), and the
    newest sample counts in the moments it is scaled by, so the n-th output is never beyond sqrt(n - 1). Invalid
    samples are scaled but teach nothing. Output has no unit.
    """

    kind: Literal["normalise"] = "normalise"
    time_constant_s: float = Field(10.0, gt=0, description="a sample this old weighs 1/e of the newest")
    mode: Literal["channel", "global"] = Field(
        "channel", description="a scale for each channel, or one for all, which keeps topographies"
    )
    floor_v: float = Field(1e-8, gt=0, description="smallest standard deviation divided by, in the unit of the signal")

    @property
    def keeps_topography(self) -> bool:
        return self.mode == "global"

    def bind(self, signal: SignalSpec) -> Transducer:
        """Return the operation; any signal will do."""
        from .row_kernels import MOMENTS

        params = np.array([forgetting(self.time_constant_s, signal.sfreq), self.floor_v, self.mode == "global"])
        step = Step(MOMENTS, params, 1 + 2 * signal.n_chans)
        return Rows(signal, [step], settle_s=min(1.0, self.time_constant_s), output=plain_numbers(signal))
