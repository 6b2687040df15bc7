"""Poisson regression of many units on the same features, all units at once.

Shapes: X (R, F) features of R bins, centred; Y (R, N) counts; weight (F, N); bias (N,). log rate = X weight + bias.

For any weight the best bias is known, exp(bias) = sum(y) / sum(exp(X w)), so the loss a unit is, in nats a spike,
    log mean exp(X w) - mean of X w over its spikes + alpha / 2 |w|^2,
convex and free of the unit's rate. Its curvature at w = 0 is X'X / R + alpha for every unit: in the directions of X'X
it is diagonal, and its inverse starts an L-BFGS of each unit by itself, all sharing the two products with X that an
evaluation costs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
ALPHAS = (10.0, 1.0, 0.1, 1e-2, 1e-3, 1e-4)
MEMORY, MOST_STEPS, GAIN = 5, 60, 1e-6  # a unit is done where a step would gain under GAIN nats a spike
SINGLE = 5_000_000  # entries of Y from which products are in single precision


def fit_poisson(
    train: tuple[Array, Array], validation: tuple[Array, Array], alphas: Sequence[float] = ALPHAS
) -> tuple[Array, Array, Array]:
    """Return weight (F, N), bias (N,) and alpha (N,), the penalty of each unit with the most likely validation part.

    alphas : from the strongest, each fit starting where the one before ended. A unit without a spike in training gets
    the rate of half a spike in all of it, and no weights.
    """
    x, y = train
    size, axes = np.linalg.eigh(x.T @ x / len(x))
    kept = size > 1e-8 * max(size.max(initial=0), 1e-30)
    size, axes = size[kept], axes[:, kept]
    kind = np.float32 if y.size >= SINGLE else np.float64
    z, apart = (x @ axes).astype(kind), validation[0] @ axes
    spikes = y.sum(0)
    mean_z = np.where(spikes > 0, z.T @ y.astype(kind) / np.maximum(spikes, 1), 0.0).astype(np.float64)
    w = np.zeros((z.shape[1], y.shape[1]))
    best: tuple[Array, Array, Array] = (w, np.zeros(y.shape[1]), np.full(y.shape[1], alphas[0]))
    most = np.full(y.shape[1], -np.inf)
    for alpha in alphas:
        w = _descend(z, mean_z, size, alpha, w)
        w[:, spikes == 0] = 0.0
        bias = np.log(np.maximum(spikes, 0.5) / len(z)) - _log_mean_exp(z, w)
        score = log_likelihood(apart @ w + bias, validation[1])
        better = score > most
        most = np.where(better, score, most)
        best = np.where(better, w, best[0]), np.where(better, bias, best[1]), np.where(better, alpha, best[2])
    return axes @ best[0], best[1], best[2]


def log_likelihood(log_rates: Array, counts: Array) -> Array:
    """Return sum(y ln r - r) of each unit (N,)."""
    return np.asarray(np.sum(counts * log_rates - np.exp(np.minimum(log_rates, 50.0)), axis=0))


def _log_mean_exp(z: Array, w: Array) -> Array:
    eta = z @ w.astype(z.dtype)
    top = eta.max(0)
    return np.asarray(top + np.log(np.mean(np.exp(eta - top), axis=0)), np.float64)


def _loss(z: Array, mean_z: Array, alpha: float, w: Array) -> tuple[Array, Array]:
    """Return the loss (N,) and its slope (F, N)."""
    eta = z @ w.astype(z.dtype)
    top = eta.max(0)
    np.exp(eta - top, out=eta)
    total = eta.sum(0)
    slope = np.asarray((z.T @ eta) / total, np.float64) - mean_z + alpha * w
    loss = top + np.log(total / len(z)) - np.sum(w * mean_z, axis=0) + alpha / 2 * np.sum(w**2, axis=0)
    return np.asarray(loss, np.float64), slope


def _descend(z: Array, mean_z: Array, size: Array, alpha: float, w: Array) -> Array:
    """Return the weights of least loss, started at `w`; a unit halves its own step until its loss falls enough."""
    w, inverse = w.copy(), 1 / (size + alpha)[:, None]
    at: Array = np.arange(w.shape[1])  # units not done yet; all that follows is of them
    x, (loss, slope) = w.copy(), _loss(z, mean_z, alpha, w)
    past: list[tuple[Array, Array]] = []
    step: Array = np.ones(len(at))
    ahead = _direction(slope, inverse, past)
    for _ in range(MOST_STEPS):
        fall = -np.sum(slope * ahead, axis=0)
        w[:, at] = x
        going = (fall > GAIN) & (step > 1e-4)
        if not going.any():
            break
        at, x, loss, slope, step, ahead, fall = (v[..., going] for v in (at, x, loss, slope, step, ahead, fall))
        past = [(s[:, going], t[:, going]) for s, t in past]
        tried = x + step * ahead
        new_loss, new_slope = _loss(z, mean_z[:, at], alpha, tried)
        fell = new_loss <= loss - 1e-4 * step * fall
        past = [*past, (np.where(fell, tried - x, 0.0), np.where(fell, new_slope - slope, 0.0))][-MEMORY:]
        x, loss, slope = np.where(fell, tried, x), np.where(fell, new_loss, loss), np.where(fell, new_slope, slope)
        step = np.where(fell, 1.0, step / 2)
        ahead = _direction(slope, inverse, past)
    w[:, at] = x
    return w


def _direction(slope: Array, inverse: Array, past: list[tuple[Array, Array]]) -> Array:
    """Return minus the slope times the inverse curvature as the last steps saw it (Nocedal 1980), each unit's own."""
    ahead, kept = -slope, []
    for s, t in reversed(past):
        curve = np.sum(s * t, axis=0)
        rho = np.where(curve > 1e-12, 1 / np.maximum(curve, 1e-12), 0.0)
        a = rho * np.sum(s * ahead, axis=0)
        ahead = ahead - a * t
        kept.append((s, t, rho, a))
    ahead = inverse * ahead
    for s, t, rho, a in reversed(kept):
        ahead = ahead + s * (a - rho * np.sum(t * ahead, axis=0))
    return ahead
