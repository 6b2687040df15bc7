"""Likeness of scalp maps (n_chans,)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from neural_foundation.core.errors import DataError

Array = NDArray[Any]


def topography_correlation(a: Array, b: Array) -> float:
    """Return |correlation| of two maps, each centred over channels: 1 is the same map, 0 unrelated.

    The sign is dropped, because that of an eigenvector is arbitrary; the mean is, because that of a potential is
    (Murray et al. 2008, Brain Topogr. 20, spatial correlation). DataError where a map is flat.
    """
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if a.shape != b.shape or a.ndim != 1:
        raise DataError(f"Maps {a.shape} and {b.shape} do not match", allowed="(n_chans,) and (n_chans,)")
    a, b = a - a.mean(), b - b.mean()
    size = float(np.linalg.norm(a) * np.linalg.norm(b))
    if size == 0:
        raise DataError("A map is flat", allowed="maps that differ between channels")
    return abs(float(a @ b)) / size
