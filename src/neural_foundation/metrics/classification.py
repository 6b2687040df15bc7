"""Scores of classifiers.

Shapes: target (n,) class indices; predicted (n,) class indices; probability (n, n_classes), rows that sum to 1.
Every function raises DataError where there is nothing to score or lengths differ.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from neural_foundation.core.errors import DataError

Array = NDArray[Any]


def confusion(target: Array, predicted: Array, n_classes: int) -> NDArray[np.int64]:
    """Return counts (n_classes, n_classes): row = the class it was, column = the class that was said."""
    target, predicted = _pair(target, predicted)
    for what, values in (("Targets", target), ("Predictions", predicted)):
        if values.min() < 0 or values.max() >= n_classes:
            raise DataError(f"{what} run from {values.min()} to {values.max()}", allowed=f"0 to {n_classes - 1}")
    flat = np.bincount(target * n_classes + predicted, minlength=n_classes**2)
    return flat.reshape(n_classes, n_classes)


def accuracy(target: Array, predicted: Array) -> float:
    """Return the share of right answers."""
    target, predicted = _pair(target, predicted)
    return float(np.mean(target == predicted))


def balanced_accuracy(target: Array, predicted: Array) -> float:
    """Return the mean, over the classes that occur in `target`, of the share of right answers."""
    target, predicted = _pair(target, predicted)
    right = target == predicted
    return float(np.mean([right[target == k].mean() for k in np.unique(target)]))


def roc_auc(target: Array, probability: Array) -> float:
    """Return the area under the ROC curve: the chance that a positive outranks a negative, ties counting half.

    More than two classes: the mean over pairs of classes, each taken both ways (Hand and Till 2001, eq. 7), which
    the shares of the classes do not change. DataError with fewer than two classes in `target`.
    """
    target, probability = _scored(target, probability)
    present = [int(k) for k in np.unique(target)]
    if len(present) < 2:
        raise DataError("The ROC needs two classes", allowed="targets of two or more classes")
    areas = [_pair_area(target, probability[:, a], a, b) for a in present for b in present if a != b]
    return float(np.mean(areas))


def _pair_area(target: Array, score: Array, positive: int, negative: int) -> float:
    chosen = np.isin(target, (positive, negative))
    is_positive, score = target[chosen] == positive, score[chosen]
    _, code, count = np.unique(score, return_inverse=True, return_counts=True)
    rank = (np.cumsum(count) - (count - 1) / 2)[code]
    n = int(is_positive.sum())
    return float((rank[is_positive].sum() - n * (n + 1) / 2) / (n * (len(score) - n)))


def log_loss(target: Array, probability: Array) -> float:
    """Return the mean of -ln p(target); probabilities below 1e-15 count as 1e-15."""
    target, probability = _scored(target, probability)
    return float(-np.mean(np.log(np.clip(probability[np.arange(len(target)), target], 1e-15, None))))


def brier(target: Array, probability: Array) -> float:
    """Return the mean squared distance to the one-hot target (Brier 1950): 0 best, 2 worst."""
    target, probability = _scored(target, probability)
    truth = np.eye(probability.shape[1])[target]
    return float(np.mean(np.sum((probability - truth) ** 2, axis=1)))


def calibration(target: Array, probability: Array, *, bins: int = 10) -> tuple[Array, Array, Array]:
    """Return confidence, accuracy and count (bins,) of the top class in bins of equal width; empty bins hold 0."""
    target, probability = _scored(target, probability)
    confidence, right = probability.max(1), probability.argmax(1) == target
    index = np.minimum((confidence * bins).astype(int), bins - 1)
    count = np.bincount(index, minlength=bins)
    safe = np.maximum(count, 1)
    means = [np.bincount(index, weights, bins) / safe for weights in (confidence, right)]
    return means[0], means[1], count


def calibration_error(target: Array, probability: Array, *, bins: int = 10) -> float:
    """Return the expected calibration error: |accuracy - confidence| weighted by count (Guo et al. 2017, eq. 3)."""
    confidence, right, count = calibration(target, probability, bins=bins)
    return float(np.sum(count * np.abs(right - confidence)) / count.sum())


def _pair(target: Array, predicted: Array) -> tuple[Array, Array]:
    target, predicted = np.asarray(target), np.asarray(predicted)
    if target.shape != predicted.shape or target.ndim != 1:
        raise DataError(
            f"Targets {target.shape} and predictions {predicted.shape} do not match", allowed="(n,) and (n,)"
        )
    if len(target) == 0:
        raise DataError("There is nothing to score", remedy="Give one prediction or more")
    return target, predicted


def _scored(target: Array, probability: Array) -> tuple[Array, Array]:
    target, probability = np.asarray(target), np.asarray(probability, np.float64)
    if target.ndim != 1 or probability.ndim != 2 or len(target) != len(probability):
        raise DataError(
            f"Targets {target.shape} and probabilities {probability.shape} do not match",
            allowed="(n,) and (n, n_classes)",
        )
    if len(target) == 0:
        raise DataError("There is nothing to score", remedy="Give one prediction or more")
    if not np.allclose(probability.sum(1), 1.0, atol=1e-4) or (probability < 0).any():
        raise DataError("Probabilities are not rows that sum to 1", remedy="Pass the softmax, not the logits")
    if target.min() < 0 or target.max() >= probability.shape[1]:
        raise DataError(
            f"Targets run from {target.min()} to {target.max()}", allowed=f"0 to {probability.shape[1] - 1}"
        )
    return target, probability
