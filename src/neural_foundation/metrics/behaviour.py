"""Scores of predicted behaviour, and of any other continuous modality.

Shapes: target and predicted (n, T, C), trials, bins and channels; all axes but the last are pooled where the score is
one a channel. A target that is not known is nan and left out; a prediction must be finite.

Every function raises DataError for shapes that do not match, nothing known, predictions that are not finite.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from neural_foundation.core.errors import DataError

Array = NDArray[Any]
Scores = NDArray[np.float64]


def r2_by_channel(target: Array, predicted: Array) -> Scores:
    """Return 1 - residual / total sum of squares of each channel (C,), pooled over trials and bins.

    The total is about the mean of all known values of the channel, so differences between trials count. nan where a
    channel is constant, or has no two known values.
    """
    return _r2(*_known(target, predicted))


def r2_weighted(target: Array, predicted: Array) -> float:
    """Return the mean of `r2_by_channel` weighted by the channels' total sums of squares: one R2 over all channels.

    For channels of one unit, such as the two of a velocity; nan where all are constant.
    """
    target, predicted, known = _known(target, predicted)
    residual, total = _squares(target, predicted, known)
    return float(1 - residual.sum() / total.sum()) if total.sum() > 0 else float("nan")


def psth_r2(target: Array, predicted: Array, condition: Array) -> Scores:
    """Return R2 (C,) of the traces averaged over the trials of each condition.

    condition : (n,) a class index each, trials of -1 are left out. Target and prediction are averaged over the same
    known values; the R2 is over all (condition, bin) averages of a channel, each weighing the same. It says how well
    the mean response is predicted, and nothing of single trials: a model that knows only the condition can reach 1.
    """
    target, predicted = np.asarray(target, np.float64), np.asarray(predicted, np.float64)
    condition = np.asarray(condition)
    if target.ndim != 3 or condition.shape != target.shape[:1]:
        raise DataError(f"Targets {target.shape} and conditions {condition.shape}", allowed="(n, T, C) and (n,)")
    _known(target, predicted)
    if not (condition >= 0).any():
        raise DataError("No trial has a condition", allowed="class indices, 0 or more")
    means = [[_mean(v, ~np.isnan(target), condition == k) for v in (target, predicted)] for k in _classes(condition)]
    true, said = (np.concatenate(side) for side in zip(*means, strict=True))
    return _r2(true, said, ~np.isnan(true))


def position_error(target: Array, predicted: Array) -> Scores:
    """Return the Euclidean distance over channels of each bin (m,), in the channels' unit; bins with nan left out."""
    target, predicted, known = _known(target, predicted)
    whole = known.all(1)
    if not whole.any():
        raise DataError("No bin is known in all channels", allowed="one or more")
    return np.asarray(np.sqrt(np.sum((target[whole] - predicted[whole]) ** 2, axis=1)))


def mean_position_error(target: Array, predicted: Array) -> float:
    """Return the mean of `position_error`."""
    return float(position_error(target, predicted).mean())


def median_position_error(target: Array, predicted: Array) -> float:
    """Return the median of `position_error`."""
    return float(np.median(position_error(target, predicted)))


def _classes(condition: Array) -> list[int]:
    return [int(k) for k in np.unique(condition) if k >= 0]


def _mean(values: Array, known: Array, chosen: Array) -> Array:
    known = known & chosen[:, None, None]
    count = known.sum(0)
    return np.where(count > 0, np.where(known, values, 0.0).sum(0) / np.maximum(count, 1), np.nan)


def _r2(target: Array, predicted: Array, known: Array) -> Scores:
    residual, total = _squares(target, predicted, known)
    return np.asarray(np.where(total > 0, 1 - residual / np.where(total > 0, total, 1.0), np.nan))


def _squares(target: Array, predicted: Array, known: Array) -> tuple[Array, Array]:
    y, said = np.where(known, target, 0.0), np.where(known, predicted, 0.0)
    n = np.maximum(known.sum(0), 1)
    total = np.sum(np.where(known, y - y.sum(0) / n, 0.0) ** 2, axis=0)
    # what rounding leaves of a constant channel is no variance
    return np.sum((y - said) ** 2, axis=0), np.where(total > 1e-12 * np.sum(y**2, axis=0), total, 0.0)


def _known(target: Array, predicted: Array) -> tuple[Array, Array, Array]:
    """Return target, prediction and whether the target is known, (m, C) each."""
    target, predicted = np.asarray(target, np.float64), np.asarray(predicted, np.float64)
    if target.shape != predicted.shape or target.ndim < 2 or not target.size:
        raise DataError(
            f"Targets {target.shape} and predictions {predicted.shape} cannot be compared",
            allowed="equal shapes (..., channels), one bin and one channel or more",
        )
    if not np.isfinite(predicted).all() or np.isinf(target).any():
        raise DataError("Predictions are not finite, or targets infinite", remedy="Check the model's training")
    target, predicted = (v.reshape(-1, v.shape[-1]) for v in (target, predicted))
    known = ~np.isnan(target)
    if not known.any():
        raise DataError("No target is known", allowed="one value or more")
    return target, predicted, known
