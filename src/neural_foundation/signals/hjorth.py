"""Hjorth's activity, mobility and complexity, on windows that slide."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field, field_validator

from ..core.specs import SignalSpec
from ..core.stream import Array, Transducer
from .features import long_enough, of_channels, once
from .windowed import Windowed, WindowedOp

Parameter = Literal["activity", "mobility", "complexity"]
UNITS: dict[Parameter, str] = {"activity": "{}^2", "mobility": "1/s", "complexity": ""}


class Hjorth(WindowedOp):
    """Of a window x and its differences a second, dx = sfreq (x[i] - x[i - 1]) and ddx = those of dx (Hjorth 1970,
    Electroenceph. clin. Neurophysiol. 29(3)):

    activity : var(x), in V^2. mobility : sqrt(var(dx) / var(x)), in 1/s: 2 pi f for a slow sine of f Hz. complexity :
    mobility(dx) / mobility(x), 1 for a sine. A flat channel gives 0 for all three.

    Many programs difference without the sampling rate; their mobility is this one over sfreq.
    """

    kind: Literal["hjorth"] = "hjorth"
    features: tuple[Parameter, ...] = Field(
        ("activity", "mobility", "complexity"), min_length=1, description="which, in the order of the rows"
    )

    @field_validator("features")
    @classmethod
    def _right(cls, features: tuple[Parameter, ...]) -> tuple[Parameter, ...]:
        once("features", features)
        return features

    def bind(self, signal: SignalSpec) -> Transducer:
        """Return the operation; SignalMismatchError where a window has fewer than three samples."""
        return BoundHjorth(signal, self)


class BoundHjorth(Windowed):
    """Feature row = channel * n_features + feature."""

    def __init__(self, signal: SignalSpec, spec: Hjorth) -> None:
        from . import window_kernels

        super().__init__(signal, spec, of_channels(signal, [(f, UNITS[f]) for f in spec.features]))
        long_enough("hjorth", self.window, 3, signal)
        self._kernel, self._order = window_kernels.hjorth, [list(UNITS).index(f) for f in spec.features]

    def features(self, windows: Array) -> Array:
        out = np.empty((*windows.shape[:2], 3))
        self._kernel(windows, out)
        slope, bend = (_ratio(out[..., i + 1], out[..., i]) for i in (0, 1))
        out[..., 2] = np.where(slope > 0, bend / np.where(slope > 0, slope, 1), 0.0)
        out[..., 1] = slope * self.input.sfreq
        return out[..., self._order].reshape(len(windows), -1)


def _ratio(above: Array, below: Array) -> Array:
    return np.sqrt(np.where(below > 0, above / np.where(below > 0, below, 1), 0.0))
