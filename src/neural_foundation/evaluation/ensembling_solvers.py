"""What an ensemble learns from out-of-fold probabilities: temperatures, weights of a mean, a stacked regression.

Shapes: n windows, M members, K classes. probability (n, M, K), rows sum to 1. votes (n, K): how many experts chose each
class, or shares, with weight (n,) beside them; a window without votes counts nothing. All minimise
sum_i V_i KL(share_i || p_i), V_i the votes of window i, which is -sum votes * log p but for a constant.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from neural_foundation.core.errors import DataError
from neural_foundation.core.seeds import generator
from neural_foundation.metrics.reliability import LEAST_TEMPERATURE, MOST_TEMPERATURE

Array = NDArray[Any]
Floats = NDArray[np.float64]
FLOOR = 1e-7  # of a probability, before its logarithm is taken
STRENGTHS = (10.0, 1.0, 0.1, 0.01, 0.001)
INNER_FOLDS = 3
_MOST_STEPS, _TOLERANCE = 5000, 1e-9


def counted(votes: Array, weight: Array | None = None) -> Floats:
    """Return votes (n, K) as float64, those of a window scaled to `weight` (n,) where it is given.

    DataError for votes that are negative or not numbers, and where nobody voted at all.
    """
    votes = np.asarray(votes, np.float64)
    if votes.ndim != 2 or not np.isfinite(votes).all() or (votes < 0).any():
        given = "some are negative or not numbers" if votes.ndim == 2 else f"their shape is {votes.shape}"
        raise DataError(f"Votes cannot be counted: {given}", allowed="(n, n_classes) numbers, 0 or more")
    if weight is not None:
        weight = np.asarray(weight, np.float64)
        if weight.shape != votes.shape[:1] or not np.isfinite(weight).all() or (weight < 0).any():
            raise DataError(f"Weights of shape {weight.shape} for {len(votes)} windows", allowed="(n,), 0 or more")
        votes = shares(votes) * weight[:, None]
    if votes.sum() == 0:
        raise DataError("Nobody voted on any window", remedy="Leave out windows without votes, or give labels")
    return votes


def shares(votes: Array) -> Floats:
    """Return each window's votes as shares (n, K); zeros where nobody voted."""
    total = votes.sum(1, keepdims=True)
    return np.asarray(np.divide(votes, total, out=np.zeros_like(votes, np.float64), where=total > 0))


def log_of(probability: Array) -> Floats:
    """Return logarithms, those of very small probabilities held at that of FLOOR."""
    return np.asarray(np.log(np.maximum(probability, FLOOR)))


def softmax(logits: Array) -> Floats:
    """Return probabilities over the last axis."""
    p = np.exp(logits - logits.max(-1, keepdims=True))
    return np.asarray(p / p.sum(-1, keepdims=True))


def tempered(probability: Array, temperature: Array | float) -> Floats:
    """Return softmax(log p / T); temperature: one, or one a member (M,) for (n, M, K)."""
    scale = np.asarray(temperature, np.float64)
    return softmax(log_of(probability) / (scale[:, None] if scale.ndim else scale))


def temperatures(probability: Array, votes: Array, *, weight: Array | None = None) -> Floats:
    """Return the temperature (M,) of each member that the votes make most likely, 0.05 to 20.

    The loss is convex in 1 / T, so its slope has one zero, found by Brent's method; an end of the range is returned
    where the zero lies outside.
    """
    votes = counted(votes, weight)
    return np.array([_temperature(log_of(probability[:, m]), votes) for m in range(probability.shape[1])])


def _temperature(log_p: Floats, votes: Floats) -> float:
    from scipy.optimize import brentq

    z = log_p - log_p.max(1, keepdims=True)
    total, said = votes.sum(1), float((votes * z).sum())

    def slope(log_inverse: float) -> float:
        p = np.exp(z * np.exp(log_inverse))
        return float(total @ ((p * z).sum(1) / p.sum(1))) - said

    low, high = -np.log(MOST_TEMPERATURE), -np.log(LEAST_TEMPERATURE)
    if slope(low) >= 0:
        return MOST_TEMPERATURE
    if slope(high) <= 0:
        return LEAST_TEMPERATURE
    return float(np.exp(-brentq(slope, low, high, xtol=1e-12)))


def weights(
    probability: Array,
    votes: Array,
    *,
    weight: Array | None = None,
    shrink: float = 0.0,
    mean: Literal["arithmetic", "geometric"] = "arithmetic",
) -> Floats:
    """Return weights (M,) of a mean of the members, 0 or more, with sum 1, that minimise the loss per vote.

    shrink : times KL(equal weights || weights) is added: a pull to equal weights, for few patients.
    arithmetic : sum_m w_m p_m, the linear pool. geometric : softmax(sum_m w_m log p_m), the logarithmic pool.
    Both losses are convex in w. The first is solved by expectation and maximisation (Dempster, Laird and Rubin 1977),
    which is exact for mixture weights; with the pull it is the posterior mode under a Dirichlet prior.
    """
    votes = counted(votes, weight)
    if shrink < 0 or not np.isfinite(shrink):
        raise DataError(f"shrink is {shrink}", allowed="0 or more")
    if probability.shape[1] == 1:
        return np.ones(1)
    solve = _mixture if mean == "arithmetic" else _log_pool
    return solve(np.asarray(probability, np.float64), votes, shrink)


def _mixture(probability: Floats, votes: Floats, shrink: float) -> Floats:
    voted = votes > 0
    p = np.maximum(probability.transpose(0, 2, 1)[voted], FLOOR)  # (rows, M): classes that somebody chose
    v = votes[voted] / votes.sum()
    n_members = p.shape[1]
    w = np.full(n_members, 1 / n_members)
    for _ in range(_MOST_STEPS):
        new = (w * ((v / (p @ w)) @ p) + shrink / n_members) / (1 + shrink)
        moved, w = np.abs(new - w).max(), new
        if moved < _TOLERANCE:
            break
    return np.asarray(w / w.sum())


def _log_pool(probability: Floats, votes: Floats, shrink: float) -> Floats:
    from scipy.optimize import minimize

    log_p, total, n_members = log_of(probability), votes.sum(), probability.shape[1]
    least = 1e-9 if shrink else 0.0
    target = np.einsum("nk,nmk->m", votes, log_p) / total

    def loss(w: Floats) -> tuple[float, Floats]:
        logits = np.einsum("m,nmk->nk", w, log_p)
        top = logits.max(1, keepdims=True)
        normal = top[:, 0] + np.log(np.exp(logits - top).sum(1))
        p = np.exp(logits - normal[:, None])
        per_window = votes.sum(1) / total
        value = per_window @ normal - w @ target
        slope = np.einsum("n,nk,nmk->m", per_window, p, log_p) - target
        if shrink:
            value, slope = value - shrink / n_members * np.log(w).sum(), slope - shrink / n_members / w
        return float(value), slope

    found = minimize(
        loss,
        np.full(n_members, 1 / n_members),
        jac=True,
        method="SLSQP",
        bounds=[(least, 1.0)] * n_members,
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1, "jac": lambda w: np.ones(n_members)},
        options={"ftol": 1e-12, "maxiter": 500},
    )
    w = np.clip(found.x, 0, None)
    return np.asarray(w / w.sum())


class Stack(NamedTuple):
    """A stacked regression: matrix (M * K, K), bias (K,), and the strength of its pull, the chosen one."""

    matrix: Floats
    bias: Floats
    strength: float

    def apply(self, probability: Array) -> Floats:
        """Return probabilities (n, K) of members' (n, M, K)."""
        return softmax(_features(probability) @ self.matrix + self.bias)


def stacking(
    probability: Array,
    votes: Array,
    patient: Array,
    *,
    weight: Array | None = None,
    seed: int = 0,
    strengths: Sequence[float] = STRENGTHS,
) -> Stack:
    """Return the multinomial logistic regression from all members' log probabilities to the experts' shares.

    The L2 pull is to the geometric mean of the members, not to nothing: a strong pull gives that mean, a weak one
    trusts the votes. Its strength is the one with the least loss over inner folds of whole patients (the strongest
    where there is one patient). patient : (n,) names.
    """
    votes = counted(votes, weight)
    x, patient = _features(probability), np.asarray(patient)
    ordered = sorted(set(strengths), reverse=True)
    if not ordered or ordered[-1] <= 0:
        raise DataError(f"Strengths are {list(strengths)}", allowed="one or more, each above 0")
    strength = _chosen(x, votes, patient, ordered, seed) if len(ordered) > 1 else ordered[0]
    start = _prior(x, votes)
    for s in ordered:
        if s >= strength:
            start = _regression(x, votes, s, start)
    return Stack(start[:-1], start[-1], strength)


def _features(probability: Array) -> Floats:
    log_p = log_of(probability)
    return np.asarray((log_p - log_p.mean(2, keepdims=True)).reshape(len(log_p), -1))


def _prior(x: Floats, votes: Floats) -> Floats:
    """Return coefficients (M * K + 1, K) of the geometric mean."""
    k = votes.shape[1]
    m = x.shape[1] // k
    return np.concatenate([np.tile(np.eye(k) / m, (m, 1)), np.zeros((1, k))])


def _regression(x: Floats, votes: Floats, strength: float, start: Floats) -> Floats:
    from scipy.optimize import minimize

    prior, total = _prior(x, votes), votes.sum()
    share, per_window = votes / total, votes.sum(1, keepdims=True) / total

    def loss(flat: Floats) -> tuple[float, Floats]:
        c = flat.reshape(prior.shape)
        logits = x @ c[:-1] + c[-1]
        top = logits.max(1, keepdims=True)
        normal = top + np.log(np.exp(logits - top).sum(1, keepdims=True))
        away = per_window * np.exp(logits - normal) - share
        slope = np.concatenate([x.T @ away, away.sum(0, keepdims=True)]) + strength * (c - prior)
        value = (per_window * normal).sum() - (share * logits).sum() + strength / 2 * ((c - prior) ** 2).sum()
        return float(value), slope.ravel()

    options = {"maxiter": 300, "ftol": 1e-11, "gtol": 1e-6}
    found = minimize(loss, start.ravel(), jac=True, method="L-BFGS-B", options=options)
    return np.asarray(found.x.reshape(prior.shape))


def _chosen(x: Floats, votes: Floats, patient: Array, strengths: list[float], seed: int) -> float:
    names, index = np.unique(patient, return_inverse=True)
    folds = min(INNER_FOLDS, len(names))
    if folds < 2:
        return strengths[0]
    place = np.empty(len(names), np.int64)
    place[generator(seed, "stacking").permutation(len(names))] = np.arange(len(names)) % folds
    losses = np.zeros(len(strengths))
    for fold in range(folds):
        test = place[index] == fold
        if votes[~test].sum() == 0:
            continue
        c = _prior(x, votes)
        for i, strength in enumerate(strengths):
            c = _regression(x[~test], votes[~test], strength, c)
            losses[i] -= float((votes[test] * log_of(softmax(x[test] @ c[:-1] + c[-1]))).sum())
    return strengths[int(losses.argmin())]
