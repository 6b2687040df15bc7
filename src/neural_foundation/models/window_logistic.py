"""Classes of a whole window: multinomial logistic regression with a ridge penalty, on the counts of parts of it.

Shapes: counts (n, T, C); parts P; features (n, P * C); K classes; probability (n, K).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .lagged import standard, standardised
from .linear import softmax

Array = NDArray[Any]
LOGISTIC = ("mean", "scale", "weight", "bias")
C_GRID = (1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0)
NEVER = -30.0  # logit of a class that training never had


def parts_of(counts: Array, step: int) -> NDArray[np.float64]:
    """Return the counts of each `step` bins of a window, (n, P * C); the last part may be shorter."""
    sums = np.add.reduceat(np.asarray(counts, np.float64), np.arange(0, counts.shape[1], step), axis=1)
    return np.asarray(sums.reshape(len(counts), -1))


def fit_logistic(train: tuple[Array, Array], validation: tuple[Array, Array], n_classes: int) -> dict[str, Array]:
    """Return `mean, scale, weight, bias` from features and classes, -1 where a class is not known.

    Features are standardised, and divided by the root of their number so that a penalty means the same for any number.
    Classes weigh alike. C, the inverse penalty, is the one of `C_GRID` with the least log loss on the validation part
    (classes alike), the stronger at a tie. Classes without training windows get the probability 1e-13 or so; with one
    class alone that one is always said. A feature that is not known (a gap of LFP) counts as its mean.
    """
    (x, y), (x_apart, y_apart) = (_known(*part) for part in (train, validation))
    mean, scale = _moments(x)
    scale = np.where(scale > 0, scale, 1.0) * np.sqrt(x.shape[1])
    weight, bias = np.zeros((n_classes, x.shape[1])), np.full(n_classes, NEVER)
    present = np.unique(y)
    if len(present) < 2:
        bias[present if len(present) else slice(None)] = 0.0
        return {"mean": mean, "scale": scale, "weight": weight, "bias": bias}
    z, apart = standardised(x, mean, scale), standardised(x_apart, mean, scale)
    # the penalty does not change under rotation: n directions hold all that n windows say
    left, size, basis = np.linalg.svd(z, full_matrices=False)
    judged = apart @ basis.T, np.searchsorted(present, y_apart), np.isin(y_apart, present)
    made = [_logistic(left * size, np.searchsorted(present, y), c) for c in C_GRID]
    best = int(np.argmin([_loss(m, *judged) for m in made]))
    weight[present], bias[present] = made[best][0] @ basis, made[best][1]
    return {"mean": mean, "scale": scale, "weight": weight, "bias": bias}


def logistic_probability(features: Array, learned: Mapping[str, Array]) -> NDArray[np.float64]:
    """Return the probabilities (n, K) of features (n, P * C)."""
    z = standardised(features, learned["mean"], learned["scale"])
    return softmax(z @ learned["weight"].T + learned["bias"])


def _moments(x: Array) -> tuple[Array, Array]:
    """Return mean and deviation (F,) of what is known of features (n, F)."""
    if not len(x):
        return np.zeros(x.shape[1]), np.ones(x.shape[1])
    return standard(x) if np.isnan(x).any() else (x.mean(0), x.std(0))


def _known(features: Array, target: Array) -> tuple[Array, Array]:
    return features[target >= 0], target[target >= 0]


def _logistic(z: Array, target: Array, c: float) -> tuple[Array, Array]:
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=c, class_weight="balanced", max_iter=2000, tol=1e-6).fit(z, target)
    weight, bias = model.coef_, model.intercept_
    if len(weight) > 1:
        return np.asarray(weight), np.asarray(bias)
    # scikit-learn keeps one row for two classes; softmax of (-d/2, d/2) is its logistic of d
    return np.concatenate([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2


def _loss(made: tuple[Array, Array], z: Array, target: Array, judged: Array) -> float:
    if not judged.any():
        return 0.0
    z, target = z[judged], target[judged]
    loss = -np.log(np.clip(softmax(z @ made[0].T + made[1])[np.arange(len(target)), target], 1e-15, None))
    return float(np.mean([loss[target == k].mean() for k in np.unique(target)]))
