"""Canonical correlation with sinusoids: the training-free baseline for steady-state visual potentials (SSVEP).

Lin et al. 2006 (IEEE TBME 53(12)); filter bank and weights by Chen et al. 2015 (J. Neural Eng. 12(4):046008):
score_k = sum_n (n^-1.25 + 0.25) rho_k,n^2 over sub-bands n, from n times the lowest frequency - 2 Hz upwards.

Deliberate differences: sub-bands are cut in the Fourier domain of each window; the mean rho^2 at neighbouring
frequencies (1 and 1.5 Hz to both sides) is taken off, because the background of EEG falls with frequency and would
otherwise favour low classes.

What is learned: nothing that chooses between frequencies. `scale` turns scores into probabilities, and a class that
names no frequency ("rest") wins where every score lies under `threshold`; both by the lowest log loss in training.
"""

from __future__ import annotations

import re
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from neural_foundation.core.errors import SpecError, one_of
from neural_foundation.core.specs import SignalSpec, TargetSpec

from .base import Estimator, ModelSpec
from .linear import softmax
from .riemann import in_batches

Array = NDArray[Any]
NEIGHBOURS_HZ = (-1.5, -1.0, 1.0, 1.5)


class CCA(ModelSpec):
    """Filter-bank canonical correlation with sinusoids at the frequency each class names."""

    family: ClassVar[Literal["network", "estimator"]] = "estimator"
    kind: Literal["cca"] = "cca"
    frequencies: dict[str, float] = Field({}, description="Hz by class; empty: read from names such as '13' or '13 Hz'")
    harmonics: int = Field(2, ge=1, le=8, description="multiples of a frequency in its reference")
    filter_bank: int = Field(3, ge=1, le=8, description="sub-bands; 1: one, from 2 Hz under the lowest frequency")
    noise_floor: bool = Field(True, description="take off the mean at neighbouring frequencies (classes >= 3 Hz apart)")

    def estimator(self, signal: SignalSpec, target: TargetSpec) -> CCAEstimator:
        """Return the unfitted estimator; SpecError where classes name too few, too high or too close frequencies."""
        return CCAEstimator(self, signal, target)

    def class_hz(self, target: TargetSpec) -> list[float | None]:
        """Return each class's frequency, None for one class at most."""
        unknown = sorted(set(self.frequencies) - set(target.classes))
        if unknown:
            raise SpecError(f"cca got frequencies for unknown {one_of(unknown)}", allowed=one_of(target.classes))
        found = [self.frequencies.get(name, _hz_in(name)) for name in target.classes]
        if found.count(None) > 1 or len(found) - found.count(None) < 2:
            raise SpecError(
                f"cca finds frequencies {found} in the classes {one_of(target.classes)}",
                allowed="two or more classes with a frequency and at most one without",
                remedy="Give frequencies: {class: hz, ...}",
            )
        return found


def _hz_in(name: str) -> float | None:
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(?:hz)?\s*", name, re.IGNORECASE)
    return float(match[1]) if match else None


class CCAEstimator(Estimator):
    """Learned: `scale` (1,), and `threshold` (1,), which a class without frequency has for its score."""

    def __init__(self, spec: CCA, signal: SignalSpec, target: TargetSpec) -> None:
        super().__init__(signal, target)
        self.spec = spec
        self.class_hz = spec.class_hz(target)
        self.hz = [hz for hz in self.class_hz if hz is not None]
        _check_frequencies(self.hz, spec, signal.sfreq)

    def scores(self, signal: Array) -> Array:
        """Return the scores (n, n_frequencies) of windows (n, n_chans, n_times), in the order of the classes."""
        return in_batches(self._scores, signal)

    def _scores(self, signal: Array) -> Array:
        n_times, sfreq = signal.shape[-1], self.signal.sfreq
        offsets = (0.0, *NEIGHBOURS_HZ) if self.spec.noise_floor else (0.0,)
        grid = [[reference(hz + d, self.spec.harmonics, n_times, sfreq) for d in offsets] for hz in self.hz]
        total = np.zeros((len(signal), len(self.hz)))
        for n, (low, high) in enumerate(self.sub_bands(), start=1):
            basis = _row_space(_cut(signal, sfreq, low, high))
            squared = np.stack([[_rho(basis, ref) ** 2 for ref in refs] for refs in grid])
            score = squared[:, 0] - (squared[:, 1:].mean(1) if self.spec.noise_floor else 0.0)
            total += (n**-1.25 + 0.25) * score.T
        return total

    def sub_bands(self) -> list[tuple[float, float]]:
        """Return (low, high) in Hz of each sub-band, as far as they lie under the highest harmonic in reach."""
        lowest, nyquist = min(self.hz), self.signal.sfreq / 2
        high = min(self.spec.harmonics * max(self.hz) + 5.0, nyquist)
        lows = [max(n * lowest - 2.0, 0.5) for n in range(1, self.spec.filter_bank + 1)]
        return [(low, high) for low in lows if low < high - 2.0]

    def _fit(self, signal: Array, target: Array, subject: Array) -> None:
        from scipy.optimize import minimize

        scores = self.scores(signal)
        weight = 1.0 / np.bincount(target, minlength=self.n_classes)[target]

        def loss(x: Array) -> float:
            probability = self._from_scores(scores, np.exp(x[0]), x[1])
            picked = np.clip(probability[np.arange(len(target)), target], 1e-300, None)
            return float(-np.sum(weight * np.log(picked)) / weight.sum())

        start = np.array([np.log(10.0), float(np.median(scores.max(1)))])
        best = minimize(loss, start, method="Nelder-Mead", bounds=[(-5.0, 7.0), (-3.0, 3.0)], options={"xatol": 1e-6})
        self._learned = {"scale": np.exp(best.x[:1]), "threshold": best.x[1:]}

    def _probability(self, signal: Array) -> NDArray[np.float64]:
        return self._from_scores(self.scores(signal), self._learned["scale"][0], self._learned["threshold"][0])

    def _from_scores(self, scores: Array, scale: float, threshold: float) -> NDArray[np.float64]:
        logits = np.full((len(scores), self.n_classes), threshold)
        logits[:, [hz is not None for hz in self.class_hz]] = scores
        return softmax(scale * logits)

    def _expected(self) -> tuple[str, ...]:
        return ("scale", "threshold")


def _check_frequencies(hz: list[float], spec: CCA, sfreq: float) -> None:
    reach = max(hz) + (max(NEIGHBOURS_HZ) if spec.noise_floor else 0.0)
    if min(hz) <= 0 or reach >= sfreq / 2:
        raise SpecError(
            f"cca cannot find {max(hz):g} Hz at {sfreq:g} samples a second", allowed=f"under {sfreq / 2:g} Hz"
        )
    gap = min(np.diff(sorted(hz)))
    if gap <= 0 or (spec.noise_floor and gap < 2 * max(NEIGHBOURS_HZ)):
        raise SpecError(
            f"Class frequencies are {gap:g} Hz apart, so that one class is the other's neighbour",
            allowed="3 Hz or more with noise_floor, more than 0 without",
            remedy="Set noise_floor: false",
        )


def reference(hz: float, harmonics: int, n_times: int, sfreq: float) -> Array:
    """Return an orthonormal basis (rank, n_times) of sine and cosine at `hz` and its harmonics under Nyquist."""
    phase = 2 * np.pi * hz * np.arange(n_times) / sfreq
    rows = [wave(h * phase) for h in range(1, harmonics + 1) if h * hz < sfreq / 2 for wave in (np.sin, np.cos)]
    return _row_space(np.stack(rows) - np.mean(rows, axis=1, keepdims=True))


def _cut(signal: Array, sfreq: float, low_hz: float, high_hz: float) -> Array:
    n_times = signal.shape[-1]
    hz = np.fft.rfftfreq(n_times, 1 / sfreq)
    return np.asarray(np.fft.irfft(np.fft.rfft(signal, axis=-1) * ((hz >= low_hz) & (hz <= high_hz)), n_times, axis=-1))


def _row_space(rows: Array) -> Array:
    # directions under 1e-5 of the largest are rounding of a rank-deficient signal (average reference), not signal
    _, size, basis = np.linalg.svd(np.asarray(rows, np.float64), full_matrices=False)
    return np.asarray(basis * (size > 1e-5 * size.max(-1, keepdims=True))[..., None])


def _rho(basis: Array, reference_basis: Array) -> Array:
    """Return the largest canonical correlation (n,) between two row spaces."""
    return np.asarray(np.linalg.svd(basis @ reference_basis.T, compute_uv=False)[..., 0])
