"""A few statistics of each channel's samples with logistic regression: what a window's shape alone tells.

Per channel, in float64: `mean`, `deviation` (standard deviation), `line_length` (mean absolute step), `crossings` (how
often the signal crosses its mean), `skewness`, `kurtosis` (excess), `peak_to_peak`, `energy` (mean square), `mobility`
and `complexity` (Hjorth 1970, Electroencephalogr. Clin. Neurophysiol. 29(3)). All are population moments, without
corrections of bias. What a flat channel or window of one sample leaves undefined is 0.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator

from neural_foundation.core.specs import SignalSpec, TargetSpec, off_key

from .base import Estimator, ModelSpec
from .linear import LINEAR, Penalty, fit_linear, linear_probability
from .riemann import in_batches

Array = NDArray[Any]
Statistic = Literal[
    "mean",
    "deviation",
    "line_length",
    "crossings",
    "skewness",
    "kurtosis",
    "peak_to_peak",
    "energy",
    "mobility",
    "complexity",
]


class WindowStatistics(ModelSpec):
    """Standardised statistics of each channel's samples, then logistic regression."""

    family: ClassVar[Literal["network", "estimator"]] = "estimator"
    kind: Literal["window_statistics"] = "window_statistics"
    statistics: tuple[Statistic, ...] = Field(
        ("deviation", "line_length", "crossings", "skewness", "kurtosis", "mobility", "complexity"),
        min_length=1,
        description="of each channel, in this order",
    )
    c: Penalty = Field(1.0, description="inverse penalty; auto: cross-validated over subjects")
    threads: int = off_key(1, ge=1, description="threads while fitting")

    @field_validator("statistics")
    @classmethod
    def _once(cls, statistics: tuple[Statistic, ...]) -> tuple[Statistic, ...]:
        if len(set(statistics)) != len(statistics):
            raise ValueError("a statistic is named twice")
        return statistics

    def estimator(self, signal: SignalSpec, target: TargetSpec) -> WindowStatisticsEstimator:
        """Return the unfitted estimator."""
        return WindowStatisticsEstimator(self, signal, target)


class WindowStatisticsEstimator(Estimator):
    """Learned: `mean, scale, weight, bias`. Features are ordered (channel, statistic)."""

    reads: ClassVar[int] = 64

    def __init__(self, spec: WindowStatistics, signal: SignalSpec, target: TargetSpec) -> None:
        super().__init__(signal, target)
        self.spec = spec

    def features(self, signal: Array) -> Array:
        """Return statistics (n, n_chans * n_statistics) of windows (n, n_chans, n_times)."""
        return in_batches(self._features, signal)

    def _features(self, signal: Array) -> Array:
        measured = _Moments(np.asarray(signal, np.float64))
        made = np.stack([_STATISTICS[name](measured) for name in self.spec.statistics], axis=-1)
        return np.asarray(made.reshape(len(made), -1))

    def _reduced(self, signal: Array) -> Array:
        return self.features(signal)

    def _fit(self, features: Array, target: Array, subject: Array) -> None:
        spec = self.spec
        self._learned = fit_linear(features, target, subject, self.n_classes, c=spec.c, threads=spec.threads)

    def _probability(self, signal: Array) -> NDArray[np.float64]:
        return linear_probability(self.features(signal), self._learned)

    def _expected(self) -> tuple[str, ...]:
        return LINEAR


class _Moments:
    """Windows (n, n_chans, n_times), their centred samples and steps, shared by the statistics."""

    def __init__(self, signal: Array) -> None:
        self.signal = signal
        self.centred = signal - signal.mean(-1, keepdims=True)
        self.centred[np.ptp(signal, axis=-1) == 0] = 0  # the mean of equal numbers may differ in its last digit
        self.square = self.centred * self.centred
        self.deviation = np.sqrt(self.square.mean(-1))
        self.step = np.diff(signal, axis=-1)
        self.bend = np.diff(self.step, axis=-1)

    def standard(self, power: Literal[3, 4]) -> Array:
        """Return the standardised central moment (n, n_chans)."""
        other = self.centred if power == 3 else self.square
        return _ratio(np.mean(self.square * other, -1), self.deviation**power)

    def mobility(self) -> Array:
        return _ratio(_deviation(self.step), self.deviation)


def _deviation(values: Array) -> Array:
    return np.asarray(values.std(-1)) if values.shape[-1] else np.zeros(values.shape[:-1])


def _ratio(over: Array, under: Array) -> Array:
    return np.asarray(np.divide(over, under, out=np.zeros_like(over), where=under > 0))


def _line_length(m: _Moments) -> Array:
    return np.asarray(np.abs(m.step).mean(-1)) if m.step.shape[-1] else np.zeros(m.deviation.shape)


def _crossings(m: _Moments) -> Array:
    return np.asarray(np.count_nonzero(np.diff(m.centred >= 0, axis=-1), axis=-1), np.float64)


def _complexity(m: _Moments) -> Array:
    return _ratio(_ratio(_deviation(m.bend), _deviation(m.step)), m.mobility())


_STATISTICS: Mapping[str, Callable[[_Moments], Array]] = MappingProxyType(
    {
        "mean": lambda m: m.signal.mean(-1),
        "deviation": lambda m: m.deviation,
        "line_length": _line_length,
        "crossings": _crossings,
        "skewness": lambda m: m.standard(3),
        "kurtosis": lambda m: m.standard(4) - 3 * (m.deviation > 0),
        "peak_to_peak": lambda m: np.ptp(m.signal, axis=-1),
        "energy": lambda m: np.mean(m.signal**2, -1),
        "mobility": _Moments.mobility,
        "complexity": _complexity,
    }
)
