"""Where in the head a decoder reads: activation patterns of decoders that read power.

Shapes: signal (n, n_chans, n_times); covariance (n, n_chans, n_chans); decision (n,) log odds of a class.

A decoder's weights do not show sources (they also cancel noise); Haufe et al. 2014 (NeuroImage 87:96-110, eq. 6):
the pattern of a decision is the covariance between it and the features. For a decoder of power the features are the
entries of each window's covariance C, so the pattern is the matrix C_d = Cov(d, C) / Var(d). Were the sources'
topographies orthogonal, its eigenvectors would be them. They overlap, so C_d is taken apart against the mean
covariance instead, C_d w = l C_mean w, and w is turned into its source's topography by the same step once more,
a = C_mean w. This is SPoC (Daehne et al. 2014, NeuroImage 86:111-122) with the decision as the target.
Deliberate difference: C_mean is shrunk, and directions without variance (average reference) are left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neural_foundation.core.errors import DataError
from neural_foundation.models.riemann import band_signals, covariance, in_batches

Array = NDArray[Any]


@dataclass(frozen=True)
class Patterns:
    """Unit-norm topographies (n_sources, n_chans), strongest first, and the strengths (n_sources,) beside them.

    positive : of sources whose power drives the decision up. negative : down. A strength is the slope of the
    source's power, its mean being 1, on the decision. The sign of a map is arbitrary: the largest entry is positive.
    silent : subjects left out of a mean, since the decision about them never changes.
    """

    positive: NDArray[np.float64]
    negative: NDArray[np.float64]
    positive_strength: NDArray[np.float64]
    negative_strength: NDArray[np.float64]
    silent: tuple[str, ...] = ()


def window_covariances(signal: Array, sfreq: float, band: tuple[float, float] | None = None) -> Array:
    """Return the covariances (n, n_chans, n_chans) of cleaned windows, of one band (low, high) in Hz if given."""
    return in_batches(lambda w: covariance(w if band is None else band_signals(w, sfreq, *band), 0.0), signal)


def power_patterns(covariance: Array, decision: Array, *, n_sources: int = 1, shrinkage: float = 0.02) -> Patterns:
    """Return the topographies of the sources whose power a decision follows.

    covariance : (n, n_chans, n_chans) of each window. decision : (n,) log odds. shrinkage : share of the identity
    mixed into the mean covariance, against noise in directions of little variance.
    DataError where lengths differ, the decision is constant, or there are fewer channels than maps.
    """
    covariance, decision = np.asarray(covariance, np.float64), np.asarray(decision, np.float64)
    if decision.shape != covariance.shape[:1] or len(decision) < 3:
        raise DataError(
            f"Covariances {covariance.shape} and decisions {decision.shape} do not match",
            allowed="(n, n_chans, n_chans) and (n,), n >= 3",
        )
    if _constant(decision):
        raise DataError("The decision is constant, so that it has no pattern", remedy="Use a decoder that was trained")
    whitener, unmix = _whiten(covariance.mean(0), shrinkage)
    if whitener.shape[0] < 2 * n_sources:
        raise DataError(f"{whitener.shape[0]} independent channels cannot show {n_sources} sources each way")
    strength, vectors = np.linalg.eigh(whitener @ decision_covariance(covariance, decision) @ whitener.T)
    maps = _oriented((unmix @ vectors).T)
    up, down = np.arange(-1, -n_sources - 1, -1), np.arange(n_sources)
    return Patterns(maps[up], maps[down], strength[up], strength[down])


def _constant(decision: Array) -> bool:
    return bool(np.std(decision) < 1e-12 * max(1.0, float(np.abs(decision).max())))


def decision_covariance(covariance: Array, decision: Array) -> NDArray[np.float64]:
    """Return C_d = Cov(d, C) / Var(d), (n_chans, n_chans): Haufe's pattern in the space of covariances."""
    centred = decision - decision.mean()
    return np.asarray(np.einsum("n,nij->ij", centred, covariance) / np.sum(centred**2))


def subject_patterns(
    covariance: Array, decision: Array, subject: Array, *, n_sources: int = 1, shrinkage: float = 0.02
) -> Patterns:
    """Return the mean over subjects of each one's patterns, aligned in sign and scaled to unit norm.

    Within subjects, because between them covariances differ by much more than any decision explains. The mean
    strength is over subjects too. With several sources their order by strength need not agree between people.
    Subjects about whom the decision never changes are left out; DataError where that leaves nobody.
    """
    subject, silent = np.asarray(subject), silent_subjects(decision, subject)
    made = [
        power_patterns(covariance[subject == s], decision[subject == s], n_sources=n_sources, shrinkage=shrinkage)
        for s in np.unique(subject)
        if str(s) not in silent
    ]
    if not made:
        raise DataError("The decision is constant in every subject", remedy="Use a decoder that was trained")
    positive = [mean_map(np.stack([p.positive[k] for p in made])) for k in range(n_sources)]
    negative = [mean_map(np.stack([p.negative[k] for p in made])) for k in range(n_sources)]
    up, down = (np.mean([getattr(p, f"{way}_strength") for p in made], axis=0) for way in ("positive", "negative"))
    return Patterns(np.stack(positive), np.stack(negative), up, down, silent)


def silent_subjects(decision: Array, subject: Array) -> tuple[str, ...]:
    """Return the subjects (n,) about whom the decision (n,) never changes."""
    decision, subject = np.asarray(decision, np.float64), np.asarray(subject)
    return tuple(str(s) for s in np.unique(subject) if _constant(decision[subject == s]))


def mean_map(maps: Array) -> NDArray[np.float64]:
    """Return the unit-norm mean of maps (n, n_chans) after each was turned towards their first principal direction."""
    maps = np.asarray(maps, np.float64) / np.linalg.norm(maps, axis=1, keepdims=True)
    main = np.linalg.svd(maps, full_matrices=False)[2][0]
    sign = np.where(maps @ main < 0, -1.0, 1.0)
    return np.asarray(_oriented(np.mean(sign[:, None] * maps, axis=0)[None])[0])


def _whiten(mean: Array, shrinkage: float) -> tuple[Array, Array]:
    """Return P (rank, n_chans) with P C P' = I, and C P' (n_chans, rank), which turns filters into topographies."""
    values, vectors = np.linalg.eigh(mean)
    kept = values > 1e-9 * values[-1]
    values, vectors = values[kept], vectors[:, kept]
    if not len(values) or values[-1] <= 0:
        raise DataError("The covariances are zero", remedy="Leave out windows without signal")
    shrunk = (1 - shrinkage) * values + shrinkage * values.mean()
    whitener = (vectors / np.sqrt(shrunk)).T
    return whitener, (vectors * values) @ vectors.T @ whitener.T


def _oriented(maps: Array) -> Array:
    largest = maps[np.arange(len(maps)), np.abs(maps).argmax(1)]
    signed = maps * np.where(largest < 0, -1.0, 1.0)[:, None]
    return np.asarray(signed / np.linalg.norm(signed, axis=1, keepdims=True))
