"""Covariances in tangent space with logistic regression: the baseline that many deep models do not reach.

Barachant et al. 2012 (IEEE TBME 59(4):920-928). For SSVEP, one covariance around each stimulation frequency as in
Kalunga et al. 2016 (Neurocomputing 191:55-68).

Deliberate differences: bands are cut in the Fourier domain of each window (no filter start-up); one covariance a band
with its own reference, where Kalunga et al. stack the bands in one matrix (different frequencies are uncorrelated but
for noise, so the blocks off the diagonal carry nothing); covariances are divided by their mean variance, because gain
differs between people more than between classes; tangent vectors are standardised before the regression.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from neural_foundation.core.errors import SpecError
from neural_foundation.core.specs import SignalSpec, TargetSpec, off_key

from .base import Estimator, ModelSpec
from .linear import LINEAR, Penalty, fit_linear, linear_probability
from .riemann import band_signals, covariance, in_batches, recentre, riemannian_mean, tangent

Array = NDArray[Any]
Band = tuple[float, float]
THETA_ALPHA_BETA: tuple[Band, ...] = ((4, 8), (8, 13), (13, 30))
Share = Annotated[float, Field(ge=0, le=1)]


class TangentSpace(ModelSpec):
    """Window covariances in tangent space, standardised, then logistic regression."""

    family: ClassVar[Literal["network", "estimator"]] = "estimator"
    kind: Literal["tangent_space"] = "tangent_space"
    bands: tuple[Band, ...] = Field(
        THETA_ALPHA_BETA, description="(low, high) in Hz, one covariance each; none: the signal as it is"
    )
    frequencies: tuple[float, ...] = Field((), description="stimulation frequencies in Hz (SSVEP), instead of bands")
    harmonics: int = Field(2, ge=1, le=5, description="multiples of each of `frequencies`")
    half_width_hz: float = Field(0.5, gt=0, description="half the width of the band around each of `frequencies`")
    shrinkage: Share | Literal["oas", "lwf"] = Field(0.05, description="share of the identity in [0, 1], or its rule")
    unit_scale: bool = Field(True, description="divide covariances by their mean variance")
    recentre: Literal["none", "subject"] = Field(
        "none", description="subject: move each training subject's mean to the identity before fitting"
    )
    c: Penalty = Field("auto", description="inverse penalty; auto: cross-validated over subjects")
    threads: int = off_key(1, ge=1, description="threads while fitting")

    def estimator(self, signal: SignalSpec, target: TargetSpec) -> TangentSpaceEstimator:
        """Return the unfitted estimator; SpecError where a band does not fit the sampling rate."""
        return TangentSpaceEstimator(self, signal, target)

    def pass_bands(self, sfreq: float) -> tuple[Band, ...]:
        """Return the bands that are cut at `sfreq`; empty where the signal is taken as it is."""
        if self.frequencies and self.bands not in ((), THETA_ALPHA_BETA):
            raise SpecError("tangent_space got both bands and frequencies", allowed="one of them")
        multiples = [f * h for f in self.frequencies for h in range(1, self.harmonics + 1)]
        around = [(f - self.half_width_hz, f + self.half_width_hz) for f in multiples]
        bands = tuple(b for b in around if b[1] < sfreq / 2) if self.frequencies else self.bands
        if self.frequencies and not bands:
            raise SpecError(
                f"None of the frequencies {self.frequencies} fits a signal of {sfreq:g} samples a second",
                allowed=f"under {sfreq / 2 - self.half_width_hz:g} Hz",
            )
        for low, high in bands:
            check_band(low, high, sfreq)
        return bands


def check_band(low_hz: float, high_hz: float, sfreq: float) -> None:
    """Raise SpecError unless 0 <= low < high <= sfreq / 2."""
    if not 0 <= low_hz < high_hz <= sfreq / 2:
        raise SpecError(
            f"Band {low_hz:g}-{high_hz:g} Hz does not fit a signal of {sfreq:g} samples a second",
            allowed=f"0 <= low < high <= {sfreq / 2:g} Hz",
        )


class TangentSpaceEstimator(Estimator):
    """Learned: `reference` (n_bands, n_chans, n_chans), and `mean, scale, weight, bias` of the regression."""

    def __init__(self, spec: TangentSpace, signal: SignalSpec, target: TargetSpec) -> None:
        super().__init__(signal, target)
        self.spec = spec
        self.bands = spec.pass_bands(signal.sfreq)

    def covariances(self, signal: Array) -> Array:
        """Return the covariances (n_bands, n, n_chans, n_chans) of windows (n, n_chans, n_times)."""
        return in_batches(self._covariances, signal, axis=1)

    def _covariances(self, signal: Array) -> Array:
        signal = np.asarray(signal, np.float64)
        level = (signal - signal.mean(-1, keepdims=True)).std((1, 2), keepdims=True)
        signal = signal / np.where(level > 0, level, 1.0) if self.spec.unit_scale else signal
        cut = [band_signals(signal, self.signal.sfreq, *band) for band in self.bands] or [signal]
        made = np.stack([covariance(part, self.spec.shrinkage) for part in cut])
        if not self.spec.unit_scale:
            return made
        # around stimulation frequencies the power of one against the others is the message: one scale for all
        axes = (0, 2) if self.spec.frequencies else 2
        scale = np.mean(np.einsum("bnii->bni", made), axis=axes, keepdims=True)
        return np.asarray(made / scale[..., None])

    def _fit(self, signal: Array, target: Array, subject: Array) -> None:
        matrices = self.covariances(signal)
        reference = np.stack([riemannian_mean(m) for m in matrices])
        if self.spec.recentre == "subject":
            features = self._features(np.stack([recentre(m, subject) for m in matrices]), _identities(reference))
        else:
            features = self._features(matrices, reference)
        linear = fit_linear(features, target, subject, self.n_classes, c=self.spec.c, threads=self.spec.threads)
        self._learned = {"reference": reference, **linear}

    def _probability(self, signal: Array) -> NDArray[np.float64]:
        features = self._features(self.covariances(signal), self._learned["reference"])
        return linear_probability(features, self._learned)

    def _features(self, matrices: Array, reference: Array) -> Array:
        return np.concatenate([tangent(m, r) for m, r in zip(matrices, reference, strict=True)], axis=1)

    def _expected(self) -> tuple[str, ...]:
        return ("reference", *LINEAR)


def _identities(reference: Array) -> Array:
    return np.broadcast_to(np.eye(reference.shape[-1]), reference.shape)
