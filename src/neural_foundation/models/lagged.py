"""Regression on the counts (or behaviour) around a bin, without ever holding all lags of all bins at once.

Shapes: values (n, T, C), n windows of T bins; L lags; K outputs. A weight is (L * C, K), lag by lag from the latest.

Lag l of bin t is the sum of `step` bins that end at t - l * step. What lies outside of the window is zero, so centre
the values first: an unknown bin then counts as the mean.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
CHUNK_BYTES = 64 * 2**20


@dataclass(frozen=True)
class Lags:
    """before : how many lags end at the bin itself or earlier. after : how many end later. step : bins of each."""

    before: int
    after: int
    step: int

    @classmethod
    def of(cls, bin_s: float, n_bins: int, before_s: float, after_s: float, step_s: float) -> Lags:
        """Return lags that reach about so far, and no farther than a window is long."""
        step = min(n_bins, max(1, round(step_s / bin_s)))
        most = -(-n_bins // step)
        reach = (min(most, round(s / (step * bin_s))) for s in (before_s, after_s))
        before, after = reach
        return cls(max(1, before), after, step)

    def __len__(self) -> int:
        return self.before + self.after

    def padded(self, values: Array) -> Array:
        """Return (n, T + (L - 1) step, C), in which lag number i of bin t is at t + start(i)."""
        n, n_bins, n_channels = values.shape
        head, tail = (self.before - 1) * self.step, self.after * self.step
        wide = np.zeros((n, n_bins + head + tail + self.step - 1, n_channels), values.dtype)
        wide[:, head + self.step - 1 : head + self.step - 1 + n_bins] = values
        return np.asarray(sum(wide[:, k : wide.shape[1] - self.step + 1 + k] for k in range(self.step)))

    def start(self, number: int) -> int:
        """Return where lag number 0 .. L - 1, the latest first, begins in `padded`."""
        return (len(self) - 1 - number) * self.step

    def features(self, values: Array) -> Array:
        """Return all lags of all bins (n, T, L * C)."""
        wide, n_bins = self.padded(values), values.shape[1]
        return np.concatenate([wide[:, s : s + n_bins] for s in map(self.start, range(len(self)))], axis=-1)

    def apply(self, values: Array, weight: Array) -> Array:
        """Return features times weight (L * C, K), as (n, T, K)."""
        wide, (_, n_bins, n_channels) = self.padded(values), values.shape
        parts = weight.reshape(len(self), n_channels, -1)
        return np.asarray(sum(wide[:, self.start(i) : self.start(i) + n_bins] @ parts[i] for i in range(len(self))))

    def cross(self, values: Array, targets: Array) -> Array:
        """Return features' targets (L * C, K), summed over windows and bins; targets (n, T, K)."""
        wide, n_bins = self.padded(values), values.shape[1]
        flat = _rows(targets)
        return np.concatenate([_rows(wide[:, s : s + n_bins]).T @ flat for s in map(self.start, range(len(self)))])

    def gram(self, values: Array) -> Array:
        """Return features' features (L * C, L * C), summed over windows and bins.

        The product of two lags is that of the two lags before them, but for the bins that a step moves in and out: so
        only one row of blocks is multiplied out over all bins.
        """
        wide, (_, n_bins, c) = self.padded(values), values.shape
        made = np.empty((len(self), c, len(self), c), wide.dtype)
        last, step = len(self) - 1, self.step
        for far in range(len(self)):
            low = wide[:, :n_bins], wide[:, far * step : far * step + n_bins]
            block = _rows(low[0]).T @ _rows(low[1])
            for i in range(len(self) - far):
                if i:
                    moved = [_rows(_edges(wide, (i + k) * step, n_bins, step, s)) for s in (1, 0) for k in (0, far)]
                    block = block + moved[0].T @ moved[1] - moved[2].T @ moved[3]
                made[last - i, :, last - i - far] = block
                made[last - i - far, :, last - i] = block.T
        return made.reshape(len(self) * c, len(self) * c)


def _edges(wide: Array, start: int, n_bins: int, step: int, later: int) -> Array:
    """Return the bins that moving on to `start` takes in (later 1) or leaves behind (0)."""
    at = start - step + later * n_bins
    return wide[:, at : at + step]


def _rows(values: Array) -> Array:
    return values.reshape(-1, values.shape[-1])


def moments(lags: Lags, values: Array, targets: Array, known: Array) -> tuple[Array, Array]:
    """Return the Gram matrix and the products with targets (n, T, K) over the bins that are `known` (n, T)."""
    gram, cross = lags.gram(values), lags.cross(values, np.where(known[..., None], targets, 0.0))
    for index in _chunks(np.flatnonzero(~known.all(1)), lags, values):
        lost = lags.features(values[index])[~known[index]]
        gram -= lost.T @ lost
    return gram, cross


def _chunks(index: Array, lags: Lags, values: Array) -> Iterator[Array]:
    size = max(1, CHUNK_BYTES // (8 * len(lags) * values.shape[1] * values.shape[2]))
    for i in range(0, len(index), size):
        yield index[i : i + size]


def ridge_path(gram: Array, cross: Array, alphas: Sequence[float]) -> Iterator[Array]:
    """Yield the ridge solution (F, K) for each penalty alpha, a share of the Gram matrix's mean diagonal.

    (G + alpha tr(G)/F I)^-1 X'Y by Cholesky. A share, because the sum of squares grows with the bins there are.
    """
    from scipy.linalg import cho_factor, cho_solve

    level = float(np.trace(gram)) / len(gram)
    for alpha in alphas:
        penalised = gram.copy()
        penalised[np.diag_indices(len(gram))] += alpha * level if level > 0 else 1.0
        factor = cho_factor(penalised, lower=True, overwrite_a=True, check_finite=False)
        yield np.asarray(cho_solve(factor, cross, check_finite=False))


def standard(values: Array) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return mean and deviation (C,) over all known bins of (n, T, C); 0 and 1 where there is none to speak of."""
    flat = _rows(np.asarray(values, np.float64))
    known = ~np.isnan(flat)
    n = np.maximum(known.sum(0), 1)
    mean = np.where(known, flat, 0.0).sum(0) / n
    scale = np.sqrt((np.where(known, flat - mean, 0.0) ** 2).sum(0) / n)
    return mean, np.where(scale > 1e-8 * np.maximum(np.abs(mean), 1e-30), scale, 1.0)


def standardised(values: Array, mean: Array, scale: Array) -> NDArray[np.float64]:
    """Return (values - mean) / scale, 0 where a value is not known."""
    return np.nan_to_num((np.asarray(values, np.float64) - mean) / scale, nan=0.0)
