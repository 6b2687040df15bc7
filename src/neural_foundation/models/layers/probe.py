"""A linear probe in closed form: where a head starts from, so that training need not find it by gradient steps.

Shapes: n windows, F features, K classes.

Ridge regression of the one-hot classes on the features, solved in the n x n dual (F may be thousands). The penalty is
chosen by leaving whole subjects out; the scores are then scaled by the one factor that makes their softmax most
likely on the left-out windows. Probing first and fine-tuning after distorts good features least (Kumar et al. 2022,
"Fine-Tuning can Distort Pretrained Features and Underperform Out-of-Distribution").
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]
PENALTIES = 10.0 ** np.arange(-3, 4.1, 0.5)
SCALES = 2.0 ** np.arange(-2, 5.1, 0.5)
PARTS = 5


class Probe(NamedTuple):
    """logits = features @ weight.T + bias; weight (K, F), bias (K,). `penalty` is the one that was chosen."""

    weight: Float
    bias: Float
    penalty: float


def probe(features: NDArray[Any], target: NDArray[Any], group: NDArray[Any], n_classes: int) -> Probe:
    """Return the probe for features (n, F), class indices (n,) and the groups (n,) that are left out whole."""
    x = np.asarray(features, np.float64)
    mean = x.mean(0)
    x = x - mean
    onehot = np.eye(n_classes)[target]
    gram = x @ x.T / x.shape[1]
    held = _left_out(gram, onehot, group)
    errors = ((held - onehot) ** 2).mean((1, 2))
    best = int(np.argmin(errors))
    scale = SCALES[int(np.argmin([_cross_entropy(s * held[best], target) for s in SCALES]))]
    dual, offset = _solve(gram, onehot, PENALTIES[best : best + 1])
    weight = scale * dual[0].T @ x / x.shape[1]
    return Probe(weight, scale * offset - weight @ mean, float(PENALTIES[best]))


def _left_out(gram: Float, onehot: Float, group: NDArray[Any]) -> Float:
    """Return the scores (penalties, n, K) of each window from a probe that its group had no part in."""
    names = np.unique(group)
    held = np.tile(onehot.mean(0), (len(PENALTIES), len(onehot), 1))
    if len(names) < 2:  # one subject: leave out blocks of its time
        names, group = np.arange(PARTS), np.arange(len(onehot)) * PARTS // len(onehot)
    for part in range(min(PARTS, len(names))):
        test = np.isin(group, names[part::PARTS])
        train = ~test
        inner = gram[np.ix_(train, train)]
        dual, offset = _solve(inner - _centring(inner), onehot[train], PENALTIES)
        cross = gram[np.ix_(test, train)] - inner.mean(0)
        held[:, test] = cross @ dual + offset
    return held


def _centring(gram: Float) -> Float:
    """Return what turns the products of features into those of features centred on these windows."""
    row = gram.mean(0)
    return np.asarray(row[None] + row[:, None] - row.mean())


def _solve(gram: Float, onehot: Float, penalties: Float) -> tuple[Float, Float]:
    """Return the dual weights (penalties, n, K), whose columns sum to zero, and the offset (K,)."""
    values, vectors = np.linalg.eigh(gram)
    offset = onehot.mean(0)
    turned = vectors.T @ (onehot - offset)
    return np.stack([vectors @ (turned / (np.maximum(values, 0) + p)[:, None]) for p in penalties]), offset


def _cross_entropy(logits: Float, target: NDArray[Any]) -> float:
    shifted = logits - logits.max(1, keepdims=True)
    return float(np.mean(np.log(np.exp(shifted).sum(1)) - shifted[np.arange(len(target)), target]))
