"""The unsupervised part of adaptation: a matrix over the channels that brings the signal's covariance back.

Shapes: C channels. He and Wu (2020, doi:10.1109/TBME.2019.2913914) whiten by the covariance; to return to a reference
one may take R^(1/2) C^(-1/2), which fits any rotation of the channels too. Here it is the one matrix T that is
symmetric and positive and gives T C T = R, the optimal transport between the two Gaussians (Knott and Smith 1984):
T = C^(-1/2) (C^(1/2) R C^(1/2))^(1/2) C^(-1/2). Where channels only changed their gains, T is those gains undone. Both
covariances are shrunk first. Covariances also differ for reasons that no decoder minds (what a person does, chance), so
T is applied to a power below 1 (`strength`), and the gain of no direction leaves [1 / most_gain, most_gain].

Lost channels (no change of the raw signal for a second, or no power after the chain) are left out of all that, and
filled in by what the others say of them under the reference (the mean of a Gaussian given the rest).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]
LOST = 1e-6  # of the median power: a channel without a signal
RIDGE = 0.05  # of the mean power, before one channel is said from the others


def shrunk(covariance: Float, share: float) -> Float:
    """Return the covariance with a share of the identity at its mean power."""
    n = len(covariance)
    return np.asarray((1 - share) * covariance + share * np.trace(covariance) / n * np.eye(n))


def power(matrix: Float, exponent: float) -> Float:
    """Return a symmetric positive matrix to a power; eigenvalues are kept above 1e-12 of the largest."""
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
    values = np.maximum(values, 1e-12 * max(float(values[-1]), 1e-300))
    return np.asarray((vectors * values**exponent) @ vectors.T)


def transport(now: Float, reference: Float, *, shrinkage: float, most_gain: float, strength: float = 1.0) -> Float:
    """Return the symmetric T (C, C) with T now T = reference, both shrunk, to a power, its gains bounded."""
    c, r = shrunk(now, shrinkage), shrunk(reference, shrinkage)
    root, inverse = power(c, 0.5), power(c, -0.5)
    matrix = inverse @ power(root @ r @ root, 0.5) @ inverse
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
    return np.asarray((vectors * np.clip(np.maximum(values, 1e-300) ** strength, 1 / most_gain, most_gain)) @ vectors.T)


def alignment(
    now: Float,
    reference: Float,
    lost: NDArray[np.bool_],
    *,
    shrinkage: float,
    most_gain: float,
    strength: float = 1.0,
) -> Float:
    """Return the matrix (C, C) to apply to the cleaned signal; `lost` (C,) are channels known to be gone.

    The identity where fewer than two channels are left.
    """
    n = len(now)
    lost = lost | silent(now) | silent(reference)
    live = ~lost
    if live.sum() < 2:
        return np.eye(n)
    mix = np.zeros((n, n))
    kept = reference[np.ix_(live, live)]
    mix[np.ix_(live, live)] = transport(
        now[np.ix_(live, live)], kept, shrinkage=shrinkage, most_gain=most_gain, strength=strength
    )
    if lost.any():
        ridge = RIDGE * np.trace(kept) / len(kept) * np.eye(len(kept))
        said = np.linalg.solve(kept + ridge, reference[np.ix_(live, lost)]).T
        mix[np.ix_(lost, live)] = said @ mix[np.ix_(live, live)]
    return mix


def silent(covariance: Float) -> NDArray[np.bool_]:
    """Return which channels (C,) have next to no power."""
    powers = np.diag(covariance)
    return np.asarray(powers <= LOST * np.median(powers))
