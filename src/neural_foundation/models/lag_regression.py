"""Linear regression of continuous channels on lags, its penalty chosen a channel on the validation part.

Shapes: values (n, T, C) standardised, targets (n, T, K) standardised with nan where not known; weight (L * C, K).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .lagged import Lags, moments, ridge_path

Array = NDArray[Any]
SINGLE = 2000  # features and more are multiplied in single precision, as long as a penalty keeps that well conditioned


class LagFit(NamedTuple):
    """weight : (L * C, K). alpha : (K,) the penalty of each channel, a share of the features' mean sum of squares."""

    weight: NDArray[np.float64]
    alpha: NDArray[np.float64]


def fit_lags(
    lags: Lags,
    train: tuple[Array, Array],
    validation: tuple[Array, Array],
    alphas: Sequence[float],
    *,
    refit: bool = False,
) -> LagFit:
    """Return the ridge regression of each channel with the penalty of least squared error on the validation part.

    A channel is learned from its own known bins. One without known values in validation takes the middle penalty; one
    that has none in training keeps weights of 0. refit : learn from both parts once the penalty is chosen.
    """
    values, targets = train
    weight = np.zeros((len(lags) * values.shape[-1], targets.shape[-1]))
    alpha = np.full(targets.shape[-1], alphas[len(alphas) // 2], np.float64)
    for columns in _alike(targets):
        parts = [(x, y[..., columns]) for x, y in (train, validation)]
        made, chosen = _fit(lags, parts, alphas, refit)
        weight[:, columns], alpha[columns] = made, np.asarray(alphas)[chosen]
    return LagFit(weight, alpha)


def _alike(targets: Array) -> list[Array]:
    """Return the channels that are known in the same bins, together; those never known are left out."""
    known = ~np.isnan(targets)
    groups: dict[bytes, list[int]] = {}
    for k in range(targets.shape[-1]):
        if known[..., k].any():
            groups.setdefault(np.packbits(known[..., k]).tobytes(), []).append(k)
    return [np.asarray(g) for g in groups.values()]


def _fit(lags: Lags, parts: list[tuple[Array, Array]], alphas: Sequence[float], refit: bool) -> tuple[Array, Array]:
    (x, y), (x_apart, y_apart) = parts
    single = len(lags) * x.shape[-1] >= SINGLE and min(alphas) >= 1e-4
    x, x_apart = (v.astype(np.float32 if single else np.float64) for v in (x, x_apart))
    gram, cross = moments(lags, x, y.astype(x.dtype), ~np.isnan(y[..., 0]))
    path = list(ridge_path(gram, cross, alphas))
    chosen = _best([_error(lags.apply(x_apart, w), y_apart) for w in path], len(alphas) // 2)
    if refit:
        for k in _alike(y_apart):
            more, crossed = moments(lags, x_apart, y_apart[..., k].astype(x.dtype), ~np.isnan(y_apart[..., k[0]]))
            for i in np.unique(chosen[k]):
                mine = k[chosen[k] == i]
                both = cross[:, mine] + crossed[:, chosen[k] == i]
                path[i][:, mine] = next(ridge_path(gram + more, both, [alphas[i]]))
    return np.stack([path[i][:, k] for k, i in enumerate(chosen)], axis=1), chosen


def _error(predicted: Array, targets: Array) -> Array:
    known = ~np.isnan(targets)
    squares = np.where(known, (predicted - targets) ** 2, 0.0).sum((0, 1))
    return np.where(known.any((0, 1)), squares, np.nan)


def _best(errors: list[Array], otherwise: int) -> Array:
    table = np.stack(errors)
    unknown = np.isnan(table).any(0)
    return np.where(unknown, otherwise, np.argmin(np.where(unknown, 0.0, table), axis=0))
