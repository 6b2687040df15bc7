"""Does a probability mean what it says? Reliability, its error over people, and one temperature that mends it.

Shapes: target (n,) class indices; probability (n, n_classes), rows that sum to 1; logits (n, n_classes), or logarithms
of probabilities. The confidence of a decision is its largest probability.
Every function raises DataError where there is nothing to score or lengths differ.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from neural_foundation.core.errors import DataError
from neural_foundation.core.seeds import generator

from .classification import _scored
from .inference import Interval

Array = NDArray[Any]
LEAST_TEMPERATURE, MOST_TEMPERATURE = 0.05, 20.0


class Reliability(NamedTuple):
    """Mean confidence, share of right answers and number of windows, each (n_bins,); no bin is empty."""

    confidence: NDArray[np.float64]
    accuracy: NDArray[np.float64]
    windows: NDArray[np.int64]


def reliability_curve(target: Array, probability: Array, *, bins: int = 10) -> Reliability:
    """Return the curve in bins that hold about equally many windows, from unsure to sure.

    Windows of the same confidence stay in one bin, so there may be fewer bins than asked for.
    """
    confidence, right = _decided(target, probability)
    sums = _sums(confidence, right, _bins(confidence, bins))
    count = sums[2].astype(np.int64)
    return Reliability(sums[0] / count, sums[1] / count, count)


def expected_calibration_error(target: Array, probability: Array, *, bins: int = 10) -> float:
    """Return |accuracy - confidence|, weighted by count, over bins of equal mass (Nguyen and O'Connor 2015).

    Never 0 by sampling alone: a perfectly calibrated decoder has about sqrt(bins / n) / 3. Compare with
    `debiased_calibration_error`, or read the interval.
    """
    c = reliability_curve(target, probability, bins=bins)
    return float(np.sum(c.windows * np.abs(c.accuracy - c.confidence)) / c.windows.sum())


def debiased_calibration_error(target: Array, probability: Array, *, bins: int = 10) -> float:
    """Return the root of the mean squared gap, the variance of a bin's accuracy taken off (Kumar, Liang and Ma 2019).

    0 where the gaps are no larger than sampling makes them. Bins of one window are left out.
    """
    c = reliability_curve(target, probability, bins=bins)
    some = c.windows > 1
    if not some.any():
        raise DataError("No bin holds two windows", remedy="Use fewer bins, or more windows")
    gap, right, n = (c.accuracy - c.confidence)[some], c.accuracy[some], c.windows[some]
    squared = np.sum(n * (gap**2 - right * (1 - right) / (n - 1))) / n.sum()
    return float(np.sqrt(max(squared, 0.0)))


def calibration_interval(
    target: Array, probability: Array, groups: Array, seed: int, *, bins: int = 10, n: int = 2000
) -> Interval:
    """Return the expected calibration error and a 95 % interval over groups (n,), which are people.

    People are drawn with replacement, the bins kept. Drawing adds noise to each bin, so the drawn errors are too
    large by about what the error itself is by sampling; their mean excess is taken off the interval's ends.
    """
    confidence, right = _decided(target, probability)
    names, group = np.unique(np.asarray(groups), return_inverse=True)
    if len(group) != len(confidence):
        raise DataError(f"{len(group)} groups for {len(confidence)} windows", allowed="one each")
    index = _bins(confidence, bins)
    cell = group * (index.max() + 1) + index
    table = _sums(confidence, right, cell, len(names) * (index.max() + 1)).reshape(3, len(names), -1).swapaxes(0, 1)
    drawn = generator(seed, "calibration").multinomial(len(names), np.full(len(names), 1 / len(names)), n)
    made = _error(np.tensordot(drawn, table, 1))
    value = expected_calibration_error(target, probability, bins=bins)
    low, high = np.quantile(made, (0.025, 0.975)) - max(float(made.mean()) - value, 0.0)
    return Interval(value, min(max(float(low), 0.0), value), max(float(high), value))


def fit_temperature(logits: Array, target: Array, *, weight: Array | None = None) -> float:
    """Return the temperature T of softmax(logits / T) that makes `target` most likely (Guo et al. 2017).

    weight : (n,) how much each window counts, e.g. 1 / the number of windows of its person. The likelihood is concave
    in 1 / T, so its slope has one zero, found by Brent's method. Where the best T lies outside 0.05 to 20 (all answers
    right; logits that say nothing), that end is returned.
    """
    from scipy.optimize import brentq

    logits, target, weight = _weighed(logits, target, weight)
    z = logits - logits.max(1, keepdims=True)
    truth = z[np.arange(len(z)), target]

    def slope(log_inverse: float) -> float:
        p = np.exp(z * np.exp(log_inverse))
        return float(weight @ ((p * z).sum(1) / p.sum(1) - truth))

    low, high = -np.log(MOST_TEMPERATURE), -np.log(LEAST_TEMPERATURE)
    if slope(low) >= 0:
        return MOST_TEMPERATURE
    if slope(high) <= 0:
        return LEAST_TEMPERATURE
    return float(np.exp(-brentq(slope, low, high, xtol=1e-12)))


def _decided(target: Array, probability: Array) -> tuple[Array, Array]:
    target, probability = _scored(target, probability)
    return probability.max(1), probability.argmax(1) == target


def _bins(confidence: Array, bins: int) -> Array:
    if bins < 1:
        raise DataError(f"{bins} bins", allowed="1 or more")
    edges = np.unique(np.quantile(confidence, np.arange(1, bins) / bins, method="higher"))
    return np.unique(np.searchsorted(edges, confidence, side="right"), return_inverse=True)[1]


def _sums(confidence: Array, right: Array, index: Array, n_bins: int = 0) -> Array:
    """Return sums (3, n_bins) of confidence, right answers and windows."""
    return np.stack([np.bincount(index, w, n_bins) for w in (confidence, right, np.ones(len(index)))])


def _error(sums: Array) -> Array:
    """Return the expected calibration error (m,) of sums (m, 3, n_bins)."""
    return np.asarray(np.abs(sums[:, 1] - sums[:, 0]).sum(1) / sums[:, 2].sum(1))


def _weighed(logits: Array, target: Array, weight: Array | None) -> tuple[Array, Array, Array]:
    logits, target = np.asarray(logits, np.float64), np.asarray(target)
    if logits.ndim != 2 or target.shape != logits.shape[:1] or not len(target):
        raise DataError(
            f"Targets {target.shape} and logits {logits.shape} do not match", allowed="(n,) and (n, n_classes), n >= 1"
        )
    if not np.isfinite(logits).all():
        raise DataError("Logits are not finite", remedy="Clip probabilities away from 0 before the logarithm")
    if target.min() < 0 or target.max() >= logits.shape[1]:
        raise DataError(f"Targets run from {target.min()} to {target.max()}", allowed=f"0 to {logits.shape[1] - 1}")
    weight = np.ones(len(target)) if weight is None else np.asarray(weight, np.float64)
    if weight.shape != target.shape or weight.min() < 0 or weight.sum() <= 0:
        raise DataError(f"Weights {weight.shape} for {len(target)} windows", allowed="one each, 0 or more, not all 0")
    return logits, target, weight / weight.sum()
