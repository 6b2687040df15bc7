"""Linear classifiers on standardised features: fitted by scikit-learn, kept and applied as plain arrays.

Shapes: features (n, n_features); weight (n_classes, n_features); bias (n_classes,); probability (n, n_classes).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from neural_foundation.core.errors import DataError

Array = NDArray[Any]
Penalty = Annotated[float, Field(gt=0)] | Literal["auto"]
LINEAR = ("mean", "scale", "weight", "bias")
C_GRID = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
CV_FOLDS = 5


def fit_linear(
    features: Array,
    target: Array,
    subject: Array,
    n_classes: int,
    *,
    classifier: Literal["logistic", "lda"] = "logistic",
    c: float | Literal["auto"] = "auto",
    threads: int = 1,
) -> dict[str, Array]:
    """Return `mean, scale, weight, bias` of a classifier fitted on standardised features.

    logistic : L2-regularised, classes weighted to count alike; `c` is the inverse of the penalty, or "auto": the
        one of `C_GRID` with the lowest log loss in cross-validation over subjects (over consecutive blocks where
        there is one subject only), the stronger penalty at a tie.
    lda : linear discriminant with the Ledoit-Wolf covariance and equal priors; has no `c`.
    """
    from threadpoolctl import threadpool_limits

    with threadpool_limits(limits=threads):
        mean, scale = _standard(features)
        z = (features - mean) / scale
        if classifier == "lda":
            weight, bias = _lda(z, target, n_classes)
        else:
            chosen = choose_c(features, target, subject, n_classes) if c == "auto" else c
            weight, bias = _logistic(z, target, chosen)
    return {"mean": mean, "scale": scale, "weight": weight, "bias": bias}


def linear_probability(features: Array, learned: Mapping[str, Array]) -> NDArray[np.float64]:
    """Return the softmax of the linear decision for features (n, n_features)."""
    z = (features - learned["mean"]) / learned["scale"]
    return softmax(z @ learned["weight"].T + learned["bias"])


def softmax(logits: Array) -> NDArray[np.float64]:
    """Return exp(logits) normalised along the last axis, without overflow."""
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return np.asarray(powers / powers.sum(-1, keepdims=True), np.float64)


def choose_c(features: Array, target: Array, subject: Array, n_classes: int) -> float:
    """Return the C of `C_GRID` with the lowest class-balanced log loss over held-out subjects.

    Standardisation is fitted inside each part, so nothing of a held-out subject is seen.
    DataError where no split leaves every class in its training part.
    """
    splits = [(tr, te) for tr, te in grouped_splits(subject) if len(np.unique(target[tr])) == n_classes]
    if not splits:
        raise DataError(
            "C cannot be chosen: each split leaves a class without training windows", remedy="Give c as a number"
        )
    loss = np.zeros(len(C_GRID))
    for train, test in splits:
        mean, scale = _standard(features[train])
        z_train, z_test = (features[train] - mean) / scale, (features[test] - mean) / scale
        for i, c in enumerate(C_GRID):
            weight, bias = _logistic(z_train, target[train], c)
            loss[i] += _balanced_loss(softmax(z_test @ weight.T + bias), target[test])
    return C_GRID[int(np.argmin(loss))]


def grouped_splits(subject: Array) -> list[tuple[Array, Array]]:
    """Return up to `CV_FOLDS` (train, test) index pairs that share no subject; blocks in time for one subject."""
    names, code = np.unique(subject, return_inverse=True)
    if len(names) == 1:
        code = np.arange(len(subject)) * CV_FOLDS // len(subject)
    fold = code % CV_FOLDS
    return [(np.flatnonzero(fold != k), np.flatnonzero(fold == k)) for k in np.unique(fold)]


def _balanced_loss(probability: Array, target: Array) -> float:
    loss = -np.log(np.clip(probability[np.arange(len(target)), target], 1e-15, None))
    return float(np.mean([loss[target == k].mean() for k in np.unique(target)]))


def _standard(features: Array) -> tuple[Array, Array]:
    mean, scale = features.mean(0), features.std(0)
    return mean, np.where(scale > 0, scale, 1.0)


def _logistic(z: Array, target: Array, c: float) -> tuple[Array, Array]:
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=c, class_weight="balanced", max_iter=5000, tol=1e-6)
    model.fit(z, target)
    return _one_row_a_class(model.coef_, model.intercept_)


def _lda(z: Array, target: Array, n_classes: int) -> tuple[Array, Array]:
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    model = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto", priors=np.full(n_classes, 1 / n_classes))
    model.fit(z, target)
    return _one_row_a_class(model.coef_, model.intercept_)


def _one_row_a_class(weight: Array, bias: Array) -> tuple[Array, Array]:
    # scikit-learn keeps one row for two classes; softmax of (-d/2, d/2) is its logistic of d
    if len(weight) == 1:
        return np.concatenate([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2
    return np.asarray(weight), np.asarray(bias)
