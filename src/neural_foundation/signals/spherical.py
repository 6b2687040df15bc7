"""Spherical splines: what a channel would have shown, from its neighbours on the head."""

from __future__ import annotations

import numpy as np

from ..core.specs import SignalSpec
from ..core.stream import Array

ORIGIN_M = (0.0, 0.0, 0.04)  # the middle of the head, in its frame
STIFFNESS, TERMS, RIDGE = 4, 50, 1e-5


def on_sphere(signal: SignalSpec, channels: list[int]) -> Array:
    """Return unit vectors (n, 3) from the middle of the head to the channels; each must have a position."""
    places = np.array([signal.positions[i] for i in channels], np.float64) - ORIGIN_M
    unit: Array = places / np.linalg.norm(places, axis=1, keepdims=True)
    return unit


def spline_matrix(source: Array, target: Array) -> Array:
    """Return the matrix (n_targets, n_sources) that interpolates potentials between unit vectors (n, 3).

    Perrin et al. (1989, doi:10.1016/0013-4694(89)90180-6), eq. 1 to 3, with stiffness m = 4 and 50 terms of the series.
    A ridge of 1e-5 on the diagonal of the spline kernel, as MNE has it, keeps near neighbours from amplifying noise.
    """
    n = len(source)
    kernel = spline_kernel(source @ source.T) + RIDGE * np.eye(n)
    system = np.block([[kernel, np.ones((n, 1))], [np.ones((1, n)), np.zeros((1, 1))]])
    right = np.concatenate([spline_kernel(target @ source.T), np.ones((len(target), 1))], 1)
    matrix: Array = right @ np.linalg.pinv(system)[:, :n]
    return matrix


def spline_kernel(cosines: Array, order: int = STIFFNESS) -> Array:
    """Return sum over n of (2n + 1) / (n (n + 1))^order P_n(cos) / 4 pi, 50 terms of it, as MNE has it."""
    from numpy.polynomial.legendre import legval

    n = np.arange(1, TERMS + 1, dtype=np.float64)
    factors = np.concatenate([[0.0], (2 * n + 1) / ((n * (n + 1)) ** order * 4 * np.pi)])
    series: Array = legval(np.clip(cosines, -1, 1), factors)
    return series
