"""Smoothing by a moving, an exponential or a Gaussian mean."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field, model_validator

from ..core.errors import SignalMismatchError
from ..core.specs import SignalSpec
from ..core.stream import Array, Transducer
from .base import SignalOp, forgetting

if TYPE_CHECKING:
    from .sos import SosFilter

Shape = Literal["moving", "exponential", "gaussian"]
REACH = 4  # standard deviations to which a Gaussian is drawn


class Smooth(SignalOp):
    """A weighted mean over time of every channel; the weights sum to 1.

    shape : 'moving' all of the last width_s alike; 'exponential' weights that fall to 1/e in width_s; 'gaussian' with
    the standard deviation width_s, drawn to 4 of them. With `causal` a mean looks back only (a Gaussian is its older
    half) and so lags; without, it is centred, and half its length is look-ahead: width_s / 2 or 4 width_s. A centred
    moving mean of an even number of samples gives its two ends half the weight. Beyond the ends values are held.
    """

    kind: Literal["smooth"] = "smooth"
    shape: Shape = Field("moving", description="moving, exponential or gaussian")
    width_s: float = Field(gt=0, description="moving: length; exponential: time constant; gaussian: standard deviation")
    causal: bool = Field(True, description="look back only; otherwise centred, with look-ahead")

    @model_validator(mode="after")
    def _one_sided(self) -> Smooth:
        if self.shape == "exponential" and not self.causal:
            raise ValueError("an exponential mean looks back only; for a centred one use shape 'gaussian'")
        return self

    def bind(self, signal: SignalSpec) -> Transducer:
        """Return the operation; SignalMismatchError where width_s is shorter than a sample."""
        if self.shape == "exponential":
            return leaky(signal, self.width_s)
        from .fir import Polyphase

        taps = kernel_of("smooth", self.shape, self.width_s, signal, causal=self.causal)
        return Polyphase(signal, taps, linear=not self.causal)


def leaky(signal: SignalSpec, width_s: float, *, gain: float = 1.0, settle: bool = True) -> SosFilter:
    """Return y[t] = (1 - a) y[t-1] + a gain x[t] with a = 1 - exp(-1 / (width_s sfreq))."""
    from .sos import SosFilter

    alpha = forgetting(width_s, signal.sfreq)
    return SosFilter(signal, np.array([[alpha * gain, 0, 0, 1, alpha - 1, 0]]), settle=settle)


def kernel_of(kind: str, shape: Shape, width_s: float, signal: SignalSpec, *, causal: bool) -> Array:
    """Return the weights, the newest first, summing to 1; an odd number where centred."""
    width = width_s * signal.sfreq
    if shape == "moving" and round(width) < 1:
        raise SignalMismatchError(
            f"{kind}: width_s={width_s:g} is shorter than a sample at {signal.sfreq:g} Hz",
            allowed=f"width_s >= {1 / signal.sfreq:g}",
        )
    if shape == "moving":
        n = round(width)
        taps = np.ones(n if causal or n % 2 else n + 1)
        if len(taps) > n:
            taps[[0, -1]] = 0.5
    else:
        reach = int(np.ceil(REACH * width))
        at = np.arange(0 if causal else -reach, reach + 1)
        taps = np.exp(-0.5 * np.square(at / width))
    weights: Array = taps / taps.sum()
    return weights
