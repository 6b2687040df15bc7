"""A linear probe in closed form: where a head starts from, so that training need not find it by gradient steps.

Shapes: n windows, F features, K classes.

Ridge regression of the one-hot classes, or of the shares that experts gave them, on the features, solved in the n x n
dual (F may be thousands). The penalty is chosen by leaving whole subjects out; the scores are then scaled by the one
factor that makes their softmax most likely on the left-out windows. Probing first and fine-tuning after distorts good
features least (Kumar et al. 2022, "Fine-Tuning can Distort Pretrained Features and Underperform Out-of-Distribution").
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]
PENALTIES = 10.0 ** np.arange(-3, 4.1, 0.5)
SCALES = 2.0 ** np.arange(-2, 5.1, 0.5)
PARTS = 5


class Probe(NamedTuple):
    """logits = features @ weight.T + bias; weight (K, F), bias (K,). `penalty` and `used` blocks were chosen."""

    weight: Float
    bias: Float
    penalty: float
    used: tuple[int, ...]


def probe(blocks: Sequence[NDArray[Any]], target: NDArray[Any], group: NDArray[Any], n_classes: int) -> Probe:
    """Return the probe for features in blocks (n, F_b), class indices (n,) or shares (n, K), and groups (n,).

    Groups are left out whole.

    Blocks are kinds of features (powers, relations): each has the same weight, however many features it has. More
    blocks are used only where they err less on left-out groups by more than one standard error of the difference
    (the rule of Breiman et al. 1984, paired by group). F is the sum of F_b; an unused block's weight is 0.
    """
    group = _groups(group)
    means = [np.asarray(x, np.float64).mean(0) for x in blocks]
    centred = [np.asarray(x, np.float64) - m for x, m in zip(blocks, means, strict=True)]
    grams = [x @ x.T / x.shape[1] for x in centred]
    onehot = np.eye(n_classes)[target] if target.ndim == 1 else np.asarray(target, np.float64)
    choices = [c for n in range(1, len(blocks) + 1) for c in combinations(range(len(blocks)), n)]
    tried = [_best(_mean(grams, c), onehot, group) for c in choices]
    kept = _simplest(choices, [((held - onehot) ** 2).mean(1) for _, held in tried], group)
    used, (penalty, held) = choices[kept], tried[kept]
    scale = SCALES[int(np.argmin([_cross_entropy(s * held, onehot) for s in SCALES]))]
    dual, offset = _solve(_mean(grams, used), onehot, np.array([penalty]))
    weight = np.concatenate(
        [(b in used) * scale * dual[0].T @ x / (x.shape[1] * len(used)) for b, x in enumerate(centred)], axis=1
    )
    return Probe(weight, scale * offset - weight @ np.concatenate(means), penalty, used)


def _mean(grams: Sequence[Float], choice: Sequence[int]) -> Float:
    return np.asarray(sum(grams[b] for b in choice) / len(choice))


def _best(gram: Float, onehot: Float, group: NDArray[Any]) -> tuple[float, Float]:
    """Return the penalty that errs least on left-out groups, and the scores (n, K) there."""
    held = _left_out(gram, onehot, group)
    best = int(np.argmin(((held - onehot) ** 2).mean((1, 2))))
    return float(PENALTIES[best]), held[best]


def _simplest(choices: Sequence[tuple[int, ...]], errors: Sequence[Float], group: NDArray[Any]) -> int:
    """Return the place of the choice that errs least (n,), of as few blocks as the spread over groups allows."""
    of = np.unique(group, return_inverse=True)[1]
    by_group = [np.bincount(of, e) / np.bincount(of) for e in errors]
    kept = 0
    for i, choice in enumerate(choices):
        gain = by_group[kept] - by_group[i]
        least = np.std(gain) / max(len(gain) - 1, 1) ** 0.5 if len(choice) > len(choices[kept]) else 0.0
        kept = i if gain.mean() > least else kept
    return kept


def _left_out(gram: Float, onehot: Float, group: NDArray[Any]) -> Float:
    """Return the scores (penalties, n, K) of each window from a probe that its group had no part in."""
    names = np.unique(group)
    held = np.tile(onehot.mean(0), (len(PENALTIES), len(onehot), 1))
    for part in range(min(PARTS, len(names))):
        test = np.isin(group, names[part::PARTS])
        train = ~test
        inner = gram[np.ix_(train, train)]
        dual, offset = _solve(inner - _centring(inner), onehot[train], PENALTIES)
        cross = gram[np.ix_(test, train)] - inner.mean(0)
        held[:, test] = cross @ dual + offset
    return held


def _groups(group: NDArray[Any]) -> NDArray[Any]:
    """Return the groups that are left out; of one subject, blocks of its time."""
    single = len(np.unique(group)) < 2
    return np.arange(len(group)) * PARTS // max(len(group), 1) if single else np.asarray(group)


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


def _cross_entropy(logits: Float, shares: Float) -> float:
    shifted = logits - logits.max(1, keepdims=True)
    return float(np.mean(np.log(np.exp(shifted).sum(1)) - (shares * shifted).sum(1)))
