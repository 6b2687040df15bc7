"""Scores of regressions.

Shapes: target and predicted (n,) or (n, n_outputs); a score is the mean over outputs.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from neural_foundation.core.errors import DataError

Array = NDArray[Any]


def r2(target: Array, predicted: Array) -> float:
    """Return 1 - residual / total sum of squares; 0 is the target's mean, negative is worse.

    DataError where a target is constant: the share of nothing is not defined.
    """
    target, predicted = _columns(target, predicted)
    total = np.sum((target - target.mean(0)) ** 2, axis=0)
    _refuse_constant(total)
    return float(np.mean(1 - np.sum((target - predicted) ** 2, axis=0) / total))


def pearson(target: Array, predicted: Array) -> float:
    """Return the linear correlation; DataError where a side is constant."""
    target, predicted = _columns(target, predicted)
    a, b = target - target.mean(0), predicted - predicted.mean(0)
    size = np.sum(a**2, axis=0) * np.sum(b**2, axis=0)
    _refuse_constant(size)
    return float(np.mean(np.sum(a * b, axis=0) / np.sqrt(size)))


def _refuse_constant(spread: Array) -> None:
    if not (spread > 0).all():
        raise DataError("A column is constant, so this score is not defined", remedy="Leave that output out")


def _columns(target: Array, predicted: Array) -> tuple[Array, Array]:
    target, predicted = np.asarray(target, np.float64), np.asarray(predicted, np.float64)
    if target.shape != predicted.shape or target.ndim not in (1, 2) or len(target) < 2:
        raise DataError(
            f"Targets {target.shape} and predictions {predicted.shape} cannot be compared",
            allowed="equal shapes, (n,) or (n, n_outputs), n >= 2",
        )
    return (target[:, None], predicted[:, None]) if target.ndim == 1 else (target, predicted)
