"""How sure a score is: intervals over subjects, and what guessing would reach."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from neural_foundation.core.errors import DataError
from neural_foundation.core.seeds import generator

Array = NDArray[Any]


class Interval(NamedTuple):
    """A mean and the ends of its 95 % interval."""

    mean: float
    low: float
    high: float


class Chance(NamedTuple):
    """Balanced accuracies under permuted targets.

    distribution : (n,) mean over groups. level : its 95 % quantile. by_group : (n_groups, n), groups in the order of
    their names.
    """

    distribution: NDArray[np.float64]
    level: float
    by_group: NDArray[np.float64]


def paired_difference(a: Array, b: Array, seed: int, *, n: int = 10_000) -> Interval:
    """Return the mean of a - b and its bootstrap interval over subjects.

    a, b : (n_subjects,) one score each, the same subjects in the same order. Subjects are drawn with replacement,
    because it is new people that a claim is about; windows of one person are no independent evidence. Percentile
    bootstrap (Efron and Tibshirani 1993, ch. 13): with few subjects it is somewhat too narrow.
    """
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if a.shape != b.shape or a.ndim != 1 or len(a) == 0:
        raise DataError(f"Scores {a.shape} and {b.shape} are not paired", allowed="(n_subjects,) and (n_subjects,)")
    return bootstrap_mean(a - b, seed, n=n)


def bootstrap_mean(values: Array, seed: int, *, n: int = 10_000) -> Interval:
    """Return the mean of (n_subjects,) values and its 95 % percentile interval over subjects."""
    values = np.asarray(values, np.float64)
    rng = generator(seed, "bootstrap")
    means = np.concatenate(
        [values[rng.integers(0, len(values), (min(1000, n - i), len(values)))].mean(1) for i in range(0, n, 1000)]
    )
    low, high = np.quantile(means, (0.025, 0.975))
    return Interval(float(values.mean()), float(low), float(high))


def chance(
    target: Array, predicted: Array, groups: Array, seed: int, n: int = 1000, *, units: Array | None = None
) -> Chance:
    """Return what guessing reaches: the mean over groups of balanced accuracy, targets shuffled within each group.

    target, predicted : (n_trials,) class indices. groups : (n_trials,) subjects; shuffling inside them keeps each
    one's share of classes. units : (n_trials,) optional names of what was labelled as a whole (a trial cut into
    windows, a recording of one class): whole units change labels, as windows of one unit are no independent evidence.
    A score above `level` would be reached by guessing in fewer than 5 % of cases (Ojala and Garriga 2010).
    DataError where a unit has windows of two classes.
    """
    target, predicted, groups = (np.asarray(x) for x in (target, predicted, groups))
    if not len(target) == len(predicted) == len(groups) or len(target) == 0:
        raise DataError(f"{len(target)} targets, {len(predicted)} predictions and {len(groups)} groups do not match")
    rng = generator(seed, "chance")
    made = []
    for name in np.unique(groups):
        mine = groups == name
        unit = np.arange(mine.sum()) if units is None else np.unique(np.asarray(units)[mine], return_inverse=True)[1]
        made.append(_shuffled(target[mine], predicted[mine], unit, rng, n))
    distribution = np.mean(made, axis=0)
    return Chance(distribution, float(np.quantile(distribution, 0.95)), np.stack(made))


def _shuffled(target: Array, predicted: Array, unit: Array, rng: np.random.Generator, n: int) -> Array:
    label = np.full(unit.max() + 1, -1, np.int64)
    label[unit] = target
    if (label[unit] != target).any():
        raise DataError("A unit has windows of two classes", remedy="Give units that were labelled as a whole")
    moved = rng.permuted(np.tile(label, (n, 1)), axis=1)[:, unit]
    right = moved == predicted
    shares = [_share(right, moved == k) for k in np.unique(target)]
    return np.asarray(np.mean(shares, axis=0))


def _share(right: Array, member: Array) -> Array:
    return np.asarray((right & member).sum(1) / member.sum(1))
