"""Scores of predicted spike rates, in a Poisson model of the counts.

Shapes: counts and rates (..., C) events a bin, all axes but the last are bins; null (C,) a constant rate of each unit.
LL is the log likelihood of all bins of a unit, sum(y ln r - r); what it lacks, ln y!, falls out of every difference.
Rates under `RATE_FLOOR` count as `RATE_FLOOR`, the model's and the null's alike, so that a rate of zero where there is
a spike costs much and not everything (the floor of nlb_tools, Pei et al. 2021, arXiv 2109.04463).

Every function raises DataError for shapes that do not match, no bins, values that are not finite or under zero.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from neural_foundation.core.errors import DataError

Array = NDArray[Any]
RATE_FLOOR = 1e-9


class UnitScores(NamedTuple):
    """by_unit : (C,), nan for a unit that has none. pooled : one figure over the units that have. left_out : how many
    have none."""

    by_unit: NDArray[np.float64]
    pooled: float
    left_out: int


def mean_rates(counts: Array) -> NDArray[np.float64]:
    """Return the mean events a bin of each unit (C,): the null, of the training part or of the test part."""
    return np.asarray(_bins(counts, "Counts").mean(0))


def log_likelihood(counts: Array, rates: Array) -> NDArray[np.float64]:
    """Return LL (C,) of counts under rates (..., C), or under constant ones (C,)."""
    y, r = _pair(counts, rates)
    r = np.maximum(r, RATE_FLOOR)
    return np.asarray(np.sum(y * np.log(r), axis=0) - (r.sum(0) if len(r) == len(y) else len(y) * r[0]))


def bits_per_spike(counts: Array, rates: Array, null: Array) -> UnitScores:
    """Return (LL(rates) - LL(null)) / (n_spikes ln 2), by unit and pooled.

    pooled : the sum over units of the difference by the sum of their spikes, so a unit weighs by its spikes. A unit
    has no score where it has no spike in `counts`, or where its null is 0 although it has: it never fired where the
    null is from, and any rate is infinitely better. 0 is the null, negative is worse.

    Which null it is must stand beside the figure. The mean of the test part (`bits_against_test_mean`, as in
    nlb_tools and Zhang et al. 2025, arXiv 2504.08201) knows how fast each unit fires in the test; a model does not,
    and a unit that drifts costs it. The mean of the training part (`bits_against_train_mean`) knows what a model may.
    """
    y, _ = _pair(counts, rates)
    null = np.asarray(null, np.float64)
    if null.shape != y.shape[1:]:
        raise DataError(f"A null of shape {null.shape} for {y.shape[1]} units", allowed=f"({y.shape[1]},)")
    spikes = y.sum(0)
    gain = log_likelihood(counts, rates) - log_likelihood(counts, null)
    return _scores(gain / np.log(2), spikes, (spikes > 0) & (null > 0))


def bits_against_train_mean(counts: Array, rates: Array, train_counts: Array) -> UnitScores:
    """Return `bits_per_spike` against each unit's mean rate in the training part."""
    return bits_per_spike(counts, rates, mean_rates(train_counts))


def bits_against_test_mean(counts: Array, rates: Array) -> UnitScores:
    """Return `bits_per_spike` against each unit's mean rate in `counts` themselves."""
    return bits_per_spike(counts, rates, mean_rates(counts))


def deviance_explained(counts: Array, rates: Array, null: Array | None = None) -> UnitScores:
    """Return the Poisson pseudo-R2, 1 - D(rates) / D(null), D = 2 sum(y ln(y / r) - (y - r)) (Cameron and Windmeijer
    1997, J Econometrics 77:329): 1 is a rate equal to the counts in each bin, 0 the null, negative is worse.

    null : each unit's mean in `counts` where it is not given. pooled : 1 - the sum of D(rates) by the sum of D(null).
    A unit has no score where D(null) is 0 or, as in `bits_per_spike`, where its null is 0 although it has spikes.
    """
    y, _ = _pair(counts, rates)
    null = mean_rates(counts) if null is None else np.asarray(null, np.float64)
    full = np.sum(y * np.log(np.where(y > 0, y, 1.0)) - y, axis=0)
    saved = log_likelihood(counts, rates) - log_likelihood(counts, null)
    total = full - log_likelihood(counts, null)
    return _scores(saved, total, (total > 1e-12 * np.maximum(y.sum(0), 1)) & ((null > 0) | (y.sum(0) == 0)))


def _scores(part: Array, whole: Array, has: Array) -> UnitScores:
    by_unit = np.where(has, part / np.where(has, whole, 1.0), np.nan)
    pooled = float(part[has].sum() / whole[has].sum()) if has.any() else float("nan")
    return UnitScores(by_unit, pooled, int(np.sum(~has)))


def _bins(values: Array, what: str) -> NDArray[np.float64]:
    values = np.asarray(values, np.float64)
    if values.ndim < 2 or not values.size:
        raise DataError(f"{what} have shape {values.shape}", allowed="(..., units), one bin and one unit or more")
    if not np.isfinite(values).all() or values.min() < 0:
        raise DataError(f"{what} are not finite or under zero", allowed="0 or more, events a bin")
    return values.reshape(-1, values.shape[-1])


def _pair(counts: Array, rates: Array) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    rates = np.asarray(rates)
    rates = rates[None] if rates.ndim == 1 else rates
    y, r = _bins(counts, "Counts"), _bins(rates, "Rates")
    if r.shape != y.shape and r.shape != (1, y.shape[1]):
        raise DataError(f"Counts {np.shape(counts)} and rates {rates.shape} do not match", allowed="equal shapes")
    return y, r
