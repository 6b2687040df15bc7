"""An ensemble of models, learned from out-of-fold probabilities and judged on patients it has not learned from.

Shapes: n windows, M members, K classes. probability (n, M, K); votes (n, K) counts of experts; patient, fold (n,).
For every fold, temperatures, weights and stacking are learned on the other folds' patients alone. What that leaves: a
member that spoke of another fold has itself learned from this fold's patients. A few weights cannot carry a patient
over, so the bias is small; it is not zero.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from neural_foundation.core.errors import DataError, one_of
from neural_foundation.metrics.votes import class_frequency

from .ensembling_solvers import (
    STRENGTHS,
    Stack,
    counted,
    log_of,
    shares,
    softmax,
    stacking,
    temperatures,
    tempered,
    weights,
)

Array = NDArray[Any]
Floats = NDArray[np.float64]
METHODS = ("mean", "weighted", "geometric", "stacked")
SHRINK = 0.01
_SUM_TOLERANCE = 1e-3


@dataclass(frozen=True, eq=False)
class Blend:
    """What an ensemble learned.

    temperatures, weights, geometric : (M,) each, of the members; the weights are of tempered members. after : the
    temperature of each pool, since a mean of calibrated members is too unsure (Ranjan and Gneiting 2010). stack :
    the stacked regression on tempered members.
    """

    temperatures: Floats
    weights: Floats
    geometric: Floats
    after: tuple[float, float]
    stack: Stack

    def apply(self, probability: Array) -> dict[str, Floats]:
        """Return probabilities (n, K) by method: mean (plain), weighted, geometric, stacked."""
        warm = tempered(probability, self.temperatures)
        linear, logarithmic = _pools(warm, self.weights, self.geometric)
        plain = np.asarray(probability, np.float64).mean(1)
        return {
            "mean": plain / plain.sum(1, keepdims=True),
            "weighted": tempered(linear, self.after[0]),
            "geometric": tempered(logarithmic, self.after[1]),
            "stacked": self.stack.apply(warm),
        }

    def value(self) -> dict[str, Any]:
        """Return the JSON value; `of` reads it."""
        return {
            "temperatures": self.temperatures.tolist(),
            "weights": self.weights.tolist(),
            "geometric": self.geometric.tolist(),
            "after": list(self.after),
            "stack": {
                "matrix": self.stack.matrix.tolist(),
                "bias": self.stack.bias.tolist(),
                "strength": self.stack.strength,
            },
        }

    @classmethod
    def of(cls, value: Mapping[str, Any]) -> Blend:
        """Return the blend of a JSON value."""
        stack = value["stack"]
        return cls(
            temperatures=np.asarray(value["temperatures"], np.float64),
            weights=np.asarray(value["weights"], np.float64),
            geometric=np.asarray(value["geometric"], np.float64),
            after=(float(value["after"][0]), float(value["after"][1])),
            stack=Stack(np.asarray(stack["matrix"]), np.asarray(stack["bias"]), float(stack["strength"])),
        )


def _pools(warm: Floats, linear: Floats, logarithmic: Floats) -> tuple[Floats, Floats]:
    return np.einsum("m,nmk->nk", linear, warm), softmax(np.einsum("m,nmk->nk", logarithmic, log_of(warm)))


def learn(
    probability: Array,
    votes: Array,
    patient: Array,
    *,
    weight: Array | None = None,
    shrink: float = SHRINK,
    seed: int = 0,
    strengths: Sequence[float] = STRENGTHS,
) -> Blend:
    """Return all that an ensemble learns from some windows; `votes` and `weight` as in `ensembling_solvers`."""
    probability, votes = np.ascontiguousarray(probability, np.float64), counted(votes, weight)
    made = temperatures(probability, votes)
    warm = tempered(probability, made)
    linear = weights(warm, votes, shrink=shrink)
    logarithmic = weights(warm, votes, shrink=shrink, mean="geometric")
    pools = np.stack(_pools(warm, linear, logarithmic), 1)
    after = temperatures(pools, votes)
    stack = stacking(warm, votes, patient, seed=seed, strengths=strengths)
    return Blend(made, linear, logarithmic, (float(after[0]), float(after[1])), stack)


class LeftOut(NamedTuple):
    """A member that an ensemble of a fold goes without, and why."""

    fold: int
    member: str
    why: str


@dataclass(frozen=True, eq=False)
class Nested:
    """Out-of-fold ensembles: of each method (n, K); `frequency` (n, K), the classes' shares among the other patients.

    blends, members : by fold, what was learned without it, and the members (indices) that it is of.
    """

    probability: dict[str, Floats]
    frequency: Floats
    blends: dict[int, Blend]
    members: dict[int, tuple[int, ...]]
    left_out: tuple[LeftOut, ...]


def nested(
    probability: Array,
    votes: Array,
    patient: Array,
    fold: Array,
    *,
    names: Sequence[str] = (),
    weight: Array | None = None,
    shrink: float = SHRINK,
    seed: int = 0,
    strengths: Sequence[float] = STRENGTHS,
) -> Nested:
    """Return the ensembles of each fold, learned on the other folds' patients only.

    A member that gives NaN for a whole fold (a model that failed) is left out of that fold's ensemble; in the ensembles
    of other folds the windows it is missing on are not learned from, or it is left out where it has none. Windows
    without votes are predicted and not learned from. names : of the members, for messages.

    Raises
    ------
    DataError : lengths differ; NaN in a part of a fold; probabilities that do not sum to 1; a patient in two folds; one
    fold; no member left in a fold; nobody voted outside of a fold.
    """
    names = list(names) or [f"member {m + 1}" for m in range(np.shape(probability)[1])]
    p, votes, patient, fold = check(probability, votes, patient, fold, names)
    votes = counted(votes, weight)
    there = present(p, fold, names)
    said = {name: np.full(votes.shape, np.nan) for name in METHODS}
    frequency, left = np.full(votes.shape, np.nan), list[LeftOut]()
    blends, members = dict[int, Blend](), dict[int, tuple[int, ...]]()
    for f in np.unique(fold).tolist():
        mine, chosen = fold == f, _members(there, f, names, left)
        rest = ~mine & np.isfinite(p[:, chosen]).all((1, 2))
        if votes[rest].sum() == 0:
            raise DataError(
                f"Nobody voted on what the ensemble of fold {f} learns from",
                remedy="Give folds that each hold windows with votes",
            )
        blend = learn(p[rest][:, chosen], votes[rest], patient[rest], shrink=shrink, seed=seed, strengths=strengths)
        for name, values in blend.apply(p[mine][:, chosen]).items():
            said[name][mine] = values
        frequency[mine] = class_frequency(votes[~mine & (votes.sum(1) > 0)])
        blends[f], members[f] = blend, tuple(chosen)
    return Nested(said, frequency, blends, members, tuple(left))


def check(
    probability: Array, votes: Array, patient: Array, fold: Array, names: Sequence[str]
) -> tuple[Floats, Floats, Array, Array]:
    """Return the arrays of a nested ensemble; DataError as `nested` says."""
    p, votes = np.asarray(probability, np.float64), np.asarray(votes, np.float64)
    patient, fold = np.asarray(patient), np.asarray(fold)
    shapes = p.shape, votes.shape, patient.shape, fold.shape
    if p.ndim != 3 or p.shape[1] != len(names) or votes.shape != (len(p), p.shape[2]) or not len(p):
        raise DataError(f"Probabilities {shapes[0]}, votes {shapes[1]}", allowed=f"(n, {len(names)}, K) and (n, K)")
    if patient.shape != (len(p),) or fold.shape != (len(p),):
        raise DataError(f"Patients {shapes[2]} and folds {shapes[3]} for {len(p)} windows", allowed="one each")
    numbers = np.isfinite(p)
    if (p[numbers] < 0).any() or (np.abs(p.sum(2)[numbers.all(2)] - 1) > _SUM_TOLERANCE).any():
        raise DataError("Some members' probabilities are negative or do not sum to 1", allowed="probabilities")
    for name in np.unique(patient):
        if len(np.unique(fold[patient == name])) > 1:
            raise DataError(
                f"Windows of one patient ('{name}') lie in several folds, so that an ensemble would learn from whom "
                "it is judged on",
                remedy="Hold out whole patients: hold_out: subject",
            )
    if len(np.unique(fold)) < 2:
        raise DataError("An ensemble is learned on other folds, and there is one", allowed="2 folds or more")
    return p, votes, patient, fold


def present(p: Floats, fold: Array, names: Sequence[str]) -> dict[int, NDArray[np.bool_]]:
    """Return, by fold, which members speak (M,); DataError where one speaks of a part of a fold only."""
    made = {}
    for f in np.unique(fold).tolist():
        numbers = np.isfinite(p[fold == f]).all(2)
        partly = numbers.any(0) & ~numbers.all(0)
        if partly.any():
            m = int(np.argmax(partly))
            raise DataError(
                f"'{names[m]}' gives no number for {int((~numbers[:, m]).sum())} of {len(numbers)} windows of fold {f}",
                allowed="a probability for every window, or for none of a fold (a model that failed)",
                remedy="Look at those windows; leave the model out of the ensemble until it is mended",
            )
        made[f] = numbers.all(0)
    return made


def _members(there: Mapping[int, NDArray[np.bool_]], fold: int, names: Sequence[str], left: list[LeftOut]) -> list[int]:
    """Return the members of a fold's ensemble: each speaks of it, and together of another one."""
    chosen: list[int] = []
    for m, name in enumerate(names):
        if not there[fold][m]:
            left.append(LeftOut(fold, name, "it says nothing of this fold"))
        elif not any(there[g][[*chosen, m]].all() for g in there if g != fold):
            left.append(LeftOut(fold, name, "it says nothing of the other folds, to learn its weight from"))
        else:
            chosen.append(m)
    if not chosen:
        raise DataError(f"No member is left for fold {fold}", allowed=f"one or more of {one_of(names)}")
    return chosen


class Uncertainty(NamedTuple):
    """In nats, (n,) each: entropy of the mixture; mutual information, what the members disagree about."""

    entropy: Floats
    mutual_information: Floats


def uncertainty(probability: Array, weights: Array | None = None) -> Uncertainty:
    """Return how unsure a mixture of members (n, M, K) is, and how much of that is their disagreement.

    weights : (M,), equal by default. Mutual information is the entropy of the mixture less the mean entropy of the
    members (Depeweg et al. 2018): 0 where all say the same, at most log M.
    """
    p = np.asarray(probability, np.float64)
    w = np.full(p.shape[1], 1 / p.shape[1]) if weights is None else np.asarray(weights, np.float64)
    whole = _entropy(np.einsum("m,nmk->nk", w, p))
    return Uncertainty(whole, np.maximum(whole - _entropy(p) @ w, 0.0))


def _entropy(p: Floats) -> Floats:
    return np.asarray(-np.sum(p * np.log(np.where(p > 0, p, 1.0)), -1))


__all__ = [
    "METHODS",
    "SHRINK",
    "STRENGTHS",
    "Blend",
    "LeftOut",
    "Nested",
    "Stack",
    "Uncertainty",
    "check",
    "counted",
    "learn",
    "nested",
    "present",
    "shares",
    "stacking",
    "temperatures",
    "uncertainty",
    "weights",
]
