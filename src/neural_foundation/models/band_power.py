"""Log band power of each channel with a linear classifier: the oldest baseline of EEG decoding.

Power by Welch's method (Welch 1967, IEEE Trans. Audio Electroacoust. 15(2)): Hann segments of `segment_s` with half
overlap, each centred, as in scipy.signal.welch; the mean density over a band's bins, then its logarithm.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from neural_foundation.core.errors import DataError
from neural_foundation.core.specs import SignalSpec, TargetSpec, off_key

from .base import Estimator, ModelSpec
from .linear import LINEAR, Penalty, fit_linear, linear_probability
from .riemann import in_batches
from .tangent_space import check_band

Array = NDArray[Any]


class BandPower(ModelSpec):
    """Standardised log band powers, then logistic regression or shrinkage LDA."""

    family: ClassVar[Literal["network", "estimator"]] = "estimator"
    kind: Literal["band_power"] = "band_power"
    bands: tuple[tuple[float, float], ...] = Field(
        ((1, 4), (4, 8), (8, 13), (13, 30), (30, 45)),
        min_length=1,
        description="(low, high) in Hz: delta, theta, alpha, beta, gamma",
    )
    relative: Literal["none", "bands", "channels"] = Field(
        "none", description="divide by the mean over the bands of a channel, or over the channels of a band"
    )
    segment_s: float = Field(2.0, gt=0, description="length of a Welch segment; a shorter window is one segment")
    classifier: Literal["logistic", "lda"] = Field("logistic", description="lda: with Ledoit-Wolf shrinkage")
    c: Penalty = Field("auto", description="inverse penalty; auto: cross-validated over subjects")
    threads: int = off_key(1, ge=1, description="threads while fitting")

    def estimator(self, signal: SignalSpec, target: TargetSpec) -> BandPowerEstimator:
        """Return the unfitted estimator; SpecError where a band does not fit the sampling rate."""
        return BandPowerEstimator(self, signal, target)


class BandPowerEstimator(Estimator):
    """Learned: `mean, scale, weight, bias`. Features are ordered (channel, band)."""

    def __init__(self, spec: BandPower, signal: SignalSpec, target: TargetSpec) -> None:
        super().__init__(signal, target)
        self.spec = spec
        for low, high in spec.bands:
            check_band(low, high, signal.sfreq)

    def features(self, signal: Array) -> Array:
        """Return log band powers (n, n_chans * n_bands); DataError where a channel has no power in a band."""
        return in_batches(self._features, signal)

    def _features(self, signal: Array) -> Array:
        hz, density = welch(signal, self.signal.sfreq, self.spec.segment_s)
        power = np.stack([_mean_power(hz, density, *band) for band in self.spec.bands], axis=-1)
        if not (power > 0).all():
            raise DataError("A channel has no power in a band", remedy="Leave out flat channels and windows")
        logs = np.log(power)
        if self.spec.relative != "none":
            axis = -1 if self.spec.relative == "bands" else 1
            logs = logs - np.log(power.mean(axis, keepdims=True))
        return np.asarray(logs.reshape(len(logs), -1))

    def _fit(self, signal: Array, target: Array, subject: Array) -> None:
        spec = self.spec
        self._learned = fit_linear(
            self.features(signal),
            target,
            subject,
            self.n_classes,
            classifier=spec.classifier,
            c=spec.c,
            threads=spec.threads,
        )

    def _probability(self, signal: Array) -> NDArray[np.float64]:
        return linear_probability(self.features(signal), self._learned)

    def _expected(self) -> tuple[str, ...]:
        return LINEAR


def welch(signal: Array, sfreq: float, segment_s: float) -> tuple[Array, Array]:
    """Return frequencies (n_bins,) and one-sided power density (..., n_bins) of the last axis."""
    n_times = signal.shape[-1]
    length = min(round(segment_s * sfreq), n_times)
    taper = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(length) / length)
    starts = range(0, n_times - length + 1, max(length - length // 2, 1))
    total = sum(_periodogram(signal[..., s : s + length], taper) for s in starts)
    density = np.asarray(total) / len(starts) / (sfreq * np.sum(taper**2))
    density[..., 1 : None if length % 2 else -1] *= 2
    return np.fft.rfftfreq(length, 1 / sfreq), density


def _periodogram(segment: Array, taper: Array) -> Array:
    segment = np.asarray(segment, np.float64)
    spectrum = np.fft.rfft((segment - segment.mean(-1, keepdims=True)) * taper, axis=-1)
    return np.asarray(np.abs(spectrum) ** 2)


def _mean_power(hz: Array, density: Array, low_hz: float, high_hz: float) -> Array:
    inside = (hz >= low_hz) & (hz < high_hz)
    if not inside.any():
        raise DataError(
            f"Segments of {1 / (hz[1] - hz[0]):g} s have no frequency between {low_hz:g} and {high_hz:g} Hz",
            remedy="Use longer windows and segment_s, or a wider band",
        )
    return np.asarray(density[..., inside].mean(-1))
