"""Moments and counts of the samples, on windows that slide."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field, field_validator

from ..core.specs import SignalSpec
from ..core.stream import Array, Transducer
from .features import long_enough, of_channels, once
from .windowed import Windowed, WindowedOp

Statistic = Literal["mean", "variance", "skewness", "kurtosis", "zero_crossings", "peak_to_peak", "rms"]
UNITS: dict[Statistic, str] = {
    "mean": "{}",
    "variance": "{}^2",
    "skewness": "",
    "kurtosis": "",
    "zero_crossings": "1/s",
    "peak_to_peak": "{}",
    "rms": "{}",
}
DEFAULT: tuple[Statistic, ...] = ("mean", "variance", "skewness", "kurtosis", "zero_crossings", "peak_to_peak")


class Statistics(WindowedOp):
    """Of the n samples of a window, with m_k the k-th central moment (sums over n, as scipy.stats with bias):

    mean in V, variance m_2 in V^2, skewness m_3 / m_2^1.5, kurtosis m_4 / m_2^2 - 3 (0 for a normal distribution),
    peak_to_peak = largest less least in V, rms = sqrt(m_2 + mean^2) in V. zero_crossings: changes of the sign of x less
    its mean, a second (2 f for a sine of f Hz). A flat channel has skewness and kurtosis 0.
    """

    kind: Literal["statistics"] = "statistics"
    features: tuple[Statistic, ...] = Field(DEFAULT, min_length=1, description="which, in the order of the rows")

    @field_validator("features")
    @classmethod
    def _right(cls, features: tuple[Statistic, ...]) -> tuple[Statistic, ...]:
        once("features", features)
        return features

    def bind(self, signal: SignalSpec) -> Transducer:
        """Return the operation; SignalMismatchError where a window has fewer than two samples."""
        return BoundStatistics(signal, self)


class BoundStatistics(Windowed):
    """Feature row = channel * n_features + feature."""

    def __init__(self, signal: SignalSpec, spec: Statistics) -> None:
        from . import window_kernels

        super().__init__(signal, spec, of_channels(signal, [(f, UNITS[f]) for f in spec.features]))
        long_enough("statistics", self.window, 2, signal)
        self._kernel, self._names = window_kernels.moments, spec.features

    def features(self, windows: Array) -> Array:
        raw = np.empty((*windows.shape[:2], 7))
        self._kernel(windows, raw)
        mean, m2, m3, m4, crossings, low, high = np.moveaxis(raw, -1, 0)
        spread = np.where(m2 > 0, m2, 1)
        every: dict[Statistic, Array] = {
            "mean": mean,
            "variance": m2,
            "skewness": np.where(m2 > 0, m3 / spread**1.5, 0.0),
            "kurtosis": np.where(m2 > 0, m4 / spread**2 - 3, 0.0),
            "zero_crossings": crossings * (self.input.sfreq / (self.window - 1)),
            "peak_to_peak": high - low,
            "rms": np.sqrt(m2 + np.square(mean)),
        }
        return np.stack([every[f] for f in self._names], -1).reshape(len(windows), -1)
