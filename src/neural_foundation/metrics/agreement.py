"""Agreement beyond chance, and each class by itself, from a confusion matrix.

Shapes: counts (n_classes, n_classes), row = the class it was, column = the class that was said.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from neural_foundation.core.errors import DataError

Array = NDArray[Any]


class ByClass(NamedTuple):
    """Of each class (n_classes,): recall (nan where it never was), precision (nan where never said), F1."""

    recall: NDArray[np.float64]
    precision: NDArray[np.float64]
    f1: NDArray[np.float64]


def cohen_kappa(counts: Array) -> float:
    """Return Cohen's kappa (1960, Educ Psychol Meas 20:37): 1 full agreement, 0 what equal shares give by chance.

    1 where one class alone was and was said. DataError for counts that are no square of one or more decisions.
    """
    counts = _checked(counts)
    n = counts.sum()
    agreed, by_chance = np.trace(counts) / n, float(counts.sum(0) @ counts.sum(1)) / n**2
    return 1.0 if by_chance == 1 else float((agreed - by_chance) / (1 - by_chance))


def by_class(counts: Array) -> ByClass:
    """Return recall, precision and F1 of each class; F1 is 0 where a class was, or was said, and never both."""
    counts = _checked(counts)
    right, was, said = np.diag(counts), counts.sum(1), counts.sum(0)
    return ByClass(_share(right, was), _share(right, said), _share(2 * right, was + said))


def _share(part: Array, whole: Array) -> NDArray[np.float64]:
    return np.asarray(np.where(whole > 0, part / np.where(whole > 0, whole, 1), np.nan), np.float64)


def _checked(counts: Array) -> NDArray[np.float64]:
    counts = np.asarray(counts, np.float64)
    if counts.ndim != 2 or counts.shape[0] != counts.shape[1] or counts.sum() <= 0 or (counts < 0).any():
        raise DataError(f"Counts of shape {counts.shape}", allowed="(k, k) counts of one decision or more")
    return counts
