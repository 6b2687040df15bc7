"""Covariance matrices of windows, and the geometry of positive definite matrices (affine-invariant metric).

Shapes: signal (n, n_chans, n_times); covariance C (..., n_chans, n_chans).

Sources: Barachant et al. 2012 (IEEE TBME 59(4), tangent space); Pennec et al. 2006 (the mean's fixed point);
Chen et al. 2010 (IEEE TSP 58(10), OAS shrinkage); Ledoit and Wolf 2004 (J. Multivariate Anal. 88).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from neural_foundation.core.errors import DataError

Array = NDArray[Any]
Shrinkage = float | Literal["oas", "lwf"]


def in_batches(function: Callable[[Array], Array], signal: Array, *, axis: int = 0, size: int = 64) -> Array:
    """Return function(windows) for all windows, a batch at a time: float64 and Fourier copies stay small.

    axis : of the result, along which the windows lie.
    """
    return np.concatenate([function(signal[i : i + size]) for i in range(0, len(signal), size)], axis=axis)


def band_signals(signal: Array, sfreq: float, low_hz: float, high_hz: float) -> Array:
    """Return centred, Hann-tapered windows with only the Fourier bins in [low_hz, high_hz].

    A whole-window filter without start-up: a recursive filter that starts on each window would spend a good part
    of a short one on its own transient. The taper keeps power from leaking into the band from outside.
    """
    n_times = signal.shape[-1]
    tapered = (signal - signal.mean(-1, keepdims=True)) * _hann(n_times)
    spectrum = np.fft.rfft(tapered, axis=-1)
    hz = np.fft.rfftfreq(n_times, 1 / sfreq)
    inside = (hz >= low_hz) & (hz <= high_hz)
    if not inside.any():
        raise DataError(
            f"A window of {n_times / sfreq:g} s has no frequency between {low_hz:g} and {high_hz:g} Hz",
            remedy="Use longer windows or a wider band",
        )
    return np.fft.irfft(spectrum * inside, n_times, axis=-1)


def _hann(n_times: int) -> Array:
    taper = np.sin(np.pi * (np.arange(n_times) + 0.5) / n_times) ** 2
    return np.asarray(taper / np.sqrt(np.mean(taper**2)))


def covariance(signal: Array, shrinkage: Shrinkage) -> Array:
    """Return the shrunk covariance (n, n_chans, n_chans) of each window, C = (1 - s) S + s tr(S)/n_chans I.

    `shrinkage` is s itself, or the rule that finds it: "oas" or "lwf". Both rules take samples for independent;
    those of EEG are not, so they shrink less than a short or narrow-band window needs.
    DataError where a window is constant.
    """
    centred = np.asarray(signal, np.float64)
    centred = centred - centred.mean(-1, keepdims=True)
    n_chans, n_times = centred.shape[1:]
    sample = centred @ centred.swapaxes(1, 2) / n_times
    level = np.trace(sample, axis1=1, axis2=2) / n_chans
    if not (level > 0).all():
        raise DataError("A window is constant in all channels", remedy="Leave out windows without signal")
    s = _RULES[shrinkage](centred, sample, level) if isinstance(shrinkage, str) else np.full(len(sample), shrinkage)
    return np.asarray((1 - s)[:, None, None] * sample + (s * level)[:, None, None] * np.eye(n_chans))


def _oas(centred: Array, sample: Array, level: Array) -> Array:
    n_chans, n_times = centred.shape[1:]
    alpha = np.mean(sample**2, axis=(1, 2))
    denominator = (n_times + 1.0) * (alpha - level**2 / n_chans)
    safe = np.where(denominator > 0, denominator, 1.0)
    return np.asarray(np.where(denominator > 0, np.minimum((alpha + level**2) / safe, 1.0), 1.0))


def _lwf(centred: Array, sample: Array, level: Array) -> Array:
    n_chans, n_times = centred.shape[1:]
    norm = np.sum(sample**2, axis=(1, 2))
    fourth = np.sum(np.sum(centred**2, axis=1) ** 2, axis=1) / n_times
    delta = norm / n_chans - level**2
    beta = np.minimum((fourth - norm) / (n_chans * n_times), delta)
    return np.asarray(np.where(delta > 0, beta / np.where(delta > 0, delta, 1.0), 0.0))


_RULES: dict[str, Callable[[Array, Array, Array], Array]] = {"oas": _oas, "lwf": _lwf}


def _spectral(function: Callable[[Array], Array], matrices: Array) -> Array:
    values, vectors = np.linalg.eigh(matrices)
    return np.asarray((vectors * function(values)[..., None, :]) @ vectors.swapaxes(-1, -2))


def logm(matrices: Array) -> Array:
    """Return matrix logarithms of positive definite matrices; DataError where one is singular."""
    values, vectors = np.linalg.eigh(matrices)
    if not (values > 0).all():
        raise DataError(
            "A covariance matrix is singular (smallest eigenvalue <= 0)",
            remedy="Set shrinkage above 0, or drop a channel that is a combination of the others",
        )
    return np.asarray((vectors * np.log(values)[..., None, :]) @ vectors.swapaxes(-1, -2))


def whitener(reference: Array) -> Array:
    """Return reference^(-1/2)."""
    return _spectral(lambda values: values**-0.5, reference)


def riemannian_mean(matrices: Array, *, tolerance: float = 1e-9, max_steps: int = 100) -> Array:
    """Return the mean of matrices (n, n_chans, n_chans) under the affine-invariant metric.

    Karcher flow from the log-Euclidean mean (Pennec et al. 2006, eq. 7), its step halved whenever the gradient
    grows. Stops at a gradient of Frobenius norm `tolerance`.
    """
    mean = _spectral(np.exp, logm(matrices).mean(0))
    step, previous = 1.0, np.inf
    for _ in range(max_steps):
        root, inverse = _spectral(np.sqrt, mean), whitener(mean)
        gradient = logm(inverse @ matrices @ inverse).mean(0)
        norm = float(np.linalg.norm(gradient))
        if norm < tolerance:
            break
        step = step if norm < previous else step / 2
        previous = norm
        mean = root @ _spectral(np.exp, step * gradient) @ root
        mean = (mean + mean.T) / 2
    return mean


def tangent(matrices: Array, reference: Array) -> Array:
    """Return the tangent vectors (n, n_chans (n_chans + 1) / 2) of matrices at `reference`.

    The upper triangle of log(reference^-1/2 C reference^-1/2), entries off the diagonal times sqrt(2), so that the
    Euclidean norm is the Riemannian distance to the reference.
    """
    inverse = whitener(reference)
    rows, columns = np.triu_indices(reference.shape[0])
    flat = logm(inverse @ matrices @ inverse)[:, rows, columns]
    return flat * np.where(rows == columns, 1.0, np.sqrt(2.0))


def recentre(matrices: Array, group: Array) -> Array:
    """Return the matrices with each group's Riemannian mean moved to the identity (Zanini et al. 2018)."""
    moved = np.empty_like(matrices)
    for name in np.unique(group):
        chosen = group == name
        inverse = whitener(riemannian_mean(matrices[chosen]))
        moved[chosen] = inverse @ matrices[chosen] @ inverse
    return moved
