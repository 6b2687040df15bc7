"""Sets of classes that hold the true one as often as wished: split conformal prediction.

Shapes: probability, scores, sets (n, n_classes); target, groups (n,). A score says how little a class fits a window;
a set holds the classes whose score is at most a threshold, the quantile of the true classes' scores on calibration
windows.

What is promised (Vovk et al. 2005; Lei et al. 2018): a set holds the true class with probability 1 - alpha at least,
on average over windows, if calibration and test windows are exchangeable. Windows of new people are NOT exchangeable
with those of calibration people: people differ, so the coverage of one person may lie well above or below, and the
promise does not hold as it stands. The person is what is exchangeable. So say the coverage of each held-out person
(`group_coverage`), or calibrate over people (`groups`), which promises 1 - alpha for one window of one new person,
on average over people, and asks for 1 / alpha - 1 people at least.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from neural_foundation.core.errors import DataError

Array = NDArray[Any]


def lac_scores(probability: Array) -> Array:
    """Return 1 - probability: the smallest sets on average (LAC, Sadinle et al. 2019); a set may be empty."""
    return np.asarray(1 - probability)


def aps_scores(probability: Array, *, u: Array | float = 0.5) -> Array:
    """Return the probability of all classes as likely or more, less `u` of the class's own (APS, Romano et al. 2020).

    u : the paper draws it anew for each window (n,), which makes every set exact. Here it is one half: the same window
    always gets the same set, and what is promised holds for any score. With u = 0 sets are larger than need be.
    """
    p = np.asarray(probability)
    total = np.where(p[:, :, None] >= p[:, None, :], p[:, :, None], 0).sum(1)
    return np.asarray(np.minimum(total - (u if isinstance(u, float) else np.asarray(u)[:, None]) * p, 1.0))


def conformal_quantile(scores: Array, alpha: float, *, groups: Array | None = None) -> float:
    """Return the threshold that the true class's score stays under with probability 1 - alpha at least.

    scores : (n,) of the true classes on calibration windows. It is their ceil((n + 1) (1 - alpha))-th smallest.
    groups : (n,) whose window each is. Then people count alike, and one unseen person counts as one more whose scores
    are infinite (hierarchical conformal prediction, Lee, Barber and Willett 2023).
    Infinite, so that a set holds all classes, where there are fewer than 1 / alpha - 1 windows (people).
    """
    scores = np.asarray(scores, np.float64)
    if scores.ndim != 1 or not len(scores):
        raise DataError(f"Scores have shape {scores.shape}", allowed="(n,), one or more")
    if not 0 < alpha < 1:
        raise DataError(f"alpha is {alpha}", allowed="above 0 and under 1")
    order = np.argsort(scores, kind="stable")
    reached = np.cumsum(_shares(len(scores), groups)[order]) >= 1 - alpha - 1e-9
    return float(scores[order][np.argmax(reached)]) if reached.any() else float("inf")


def class_quantiles(
    scores: Array, target: Array, alpha: float, *, n_classes: int, groups: Array | None = None
) -> NDArray[np.float64]:
    """Return a threshold a class (n_classes,): coverage is promised within each class (Mondrian, Vovk et al. 2005).

    scores, target : (n,). DataError for a class without a window.
    """
    target = np.asarray(target)
    missing = [k for k in range(n_classes) if not np.any(target == k)]
    if missing:
        raise DataError(f"No calibration window has class {missing[0]}", remedy="Use one threshold for all classes")
    names = None if groups is None else np.asarray(groups)
    return np.array(
        [
            conformal_quantile(scores[target == k], alpha, groups=None if names is None else names[target == k])
            for k in range(n_classes)
        ]
    )


def prediction_sets(scores: Array, threshold: Array | float) -> NDArray[np.bool_]:
    """Return which classes are in each window's set; threshold is one number or (n_classes,)."""
    return np.asarray(np.asarray(scores) <= threshold)


def coverage(sets: Array, target: Array) -> float:
    """Return the share of windows whose set holds the true class."""
    return float(_held(sets, target).mean())


def set_size(sets: Array) -> float:
    """Return the mean number of classes in a set."""
    return float(np.asarray(sets).sum(1).mean())


def group_coverage(sets: Array, target: Array, groups: Array) -> dict[str, float]:
    """Return the coverage of each group, which is a person, by name.

    Even with everybody alike it spreads: by sqrt(alpha (1 - alpha) / m) for m windows a person.
    """
    sets, target, groups = np.asarray(sets, bool), np.asarray(target), np.asarray(groups)
    if groups.shape != target.shape:
        raise DataError(f"{len(groups)} groups for {len(target)} windows", allowed="one each")
    return {str(g): coverage(sets[groups == g], target[groups == g]) for g in np.unique(groups)}


def _shares(n: int, groups: Array | None) -> Array:
    """Return how much each calibration score counts; what is missing to 1 is the new window's own share."""
    if groups is None:
        return np.full(n, 1 / (n + 1))
    names, index, count = np.unique(np.asarray(groups), return_inverse=True, return_counts=True)
    if len(index) != n:
        raise DataError(f"{len(index)} groups for {n} scores", allowed="one each")
    return np.asarray(1 / ((len(names) + 1) * count[index]))


def _held(sets: Array, target: Array) -> NDArray[np.bool_]:
    sets, target = np.asarray(sets, bool), np.asarray(target)
    if sets.ndim != 2 or target.shape != sets.shape[:1] or not len(target):
        raise DataError(
            f"Sets {sets.shape} and targets {target.shape} do not match", allowed="(n, n_classes) and (n,), n >= 1"
        )
    return np.asarray(sets[np.arange(len(target)), target])
