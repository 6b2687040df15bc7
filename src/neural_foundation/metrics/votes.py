"""Scores of probabilities beside what several experts said.

Shapes: n windows, K classes; votes (n, K) how many experts chose each class; a solution (n, K) holds their shares.
Every function raises DataError for shapes that do not match, values that are not finite or negative, and no rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from neural_foundation.core.errors import DataError

Array = NDArray[Any]
Floats = NDArray[np.float64]

EPSILON = 1e-15
SUM_TOLERANCE = 1e-5 + 1e-8  # what the competition allows a row's sum to miss 1 by (numpy's allclose)
BINS = (1, 3, 6, 10, 15, 20)


class VoteBin(NamedTuple):
    """Windows with `least` to `most` votes (no upper end: None): how many there are, accuracy and KL divergence.

    Accuracy and KL are None in a bin without windows.
    """

    least: int
    most: int | None
    windows: int
    accuracy: float | None
    kl: float | None


def vote_shares(votes: Array) -> Floats:
    """Return the share (n, K) of the votes that each class has; DataError names a row that nobody voted on."""
    votes = _table(votes, "Votes")
    total = votes.sum(1, keepdims=True)
    if (total == 0).any():
        row = int(np.argmax(total == 0))
        raise DataError(f"Nobody voted in row {row}", allowed="1 vote or more", remedy="Leave the row out")
    shares: Floats = votes / total
    return shares


def kl_each(solution: Array, submission: Array, *, epsilon: float = EPSILON) -> Floats:
    """Return the divergence KL(solution || submission) of each row (n,), in nats; see `kl_divergence`."""
    solution, submission = _table(solution, "The solution"), _table(submission, "The submission")
    if solution.shape != submission.shape:
        given = f"Solution {solution.shape} and submission {submission.shape} do not match"
        raise DataError(given, allowed="(n, n_classes) and (n, n_classes)")
    for what, values in (("solution", solution), ("submission", submission)):
        _check_rows(values, what)
    clipped = np.clip(submission, epsilon, 1 - epsilon)
    said = solution != 0
    terms = np.zeros(solution.shape)
    terms[said] = solution[said] * np.log(solution[said] / clipped[said])
    each: Floats = terms.sum(1)
    return each


def kl_divergence(
    solution: Array, submission: Array, *, epsilon: float = EPSILON, weights: Array | None = None
) -> float:
    """Return the mean over rows of KL(solution || submission), as the HMS competition (Kaggle, 2024) defines it.

    solution : (n, K) shares of votes. submission : (n, K) probabilities. weights : (n,) of the rows, equal where they
    are not given.

    Probabilities are clipped to [epsilon, 1 - epsilon] and not normalised again; a class with the share 0 counts 0;
    the others s ln(s / p). As there, values beyond [0, 1] and rows that miss 1 by more than 1e-5 + 1e-8 are errors,
    in the solution too.
    """
    each = kl_each(solution, submission, epsilon=epsilon)
    if weights is None:
        return float(each.mean())
    weights = np.asarray(weights, np.float64)
    if weights.shape != each.shape:
        raise DataError(f"There are {weights.shape} weights", allowed=f"({len(each)},)")
    if not np.isfinite(weights).all() or (weights < 0).any() or weights.sum() == 0:
        raise DataError("Weights must be finite and 0 or more, and not all 0")
    return float(np.average(each, weights=weights))


def class_frequency(votes: Array, *, prior: float = 1.0) -> Floats:
    """Return the mean share (K,) of each class, with `prior` windows more that are of all classes alike.

    The mean share is the one answer with the least KL divergence on these windows. Without the prior, a class that
    occurs among other windows alone would make their divergence as large as epsilon lets it.
    """
    shares = vote_shares(votes)
    mean: Floats = (shares.sum(0) + prior / shares.shape[1]) / (len(shares) + prior)
    return mean


def agrees(votes: Array, probability: Array) -> NDArray[np.bool_]:
    """Return whether the most probable class has the most votes (n,); where several have, each of them is right."""
    votes, probability = _table(votes, "Votes"), _table(probability, "Probabilities")
    if votes.shape != probability.shape:
        raise DataError(f"Votes {votes.shape} and probabilities {probability.shape} do not match")
    said = votes[np.arange(len(votes)), probability.argmax(1)]
    right: NDArray[np.bool_] = said == votes.max(1)
    return right


def agreement_by_votes(votes: Array, probability: Array, *, bins: Sequence[int] = BINS) -> tuple[VoteBin, ...]:
    """Return accuracy (`agrees`) and KL divergence by how many experts voted.

    bins : the least votes of each bin, rising from 1; the last has no upper end.
    """
    edges = [int(b) for b in bins]
    if not edges or edges[0] != 1 or any(b <= a for a, b in zip(edges, edges[1:], strict=False)):
        raise DataError(f"Bins begin at {edges}", allowed="whole numbers that rise from 1")
    right, each = agrees(votes, probability), kl_each(vote_shares(votes), probability)
    place = np.searchsorted(edges, np.asarray(votes, np.float64).sum(1), side="right") - 1
    made = []
    for i, least in enumerate(edges):
        mine, most = place == i, edges[i + 1] - 1 if i + 1 < len(edges) else None
        n = int(mine.sum())
        made.append(
            VoteBin(least, most, n, float(right[mine].mean()) if n else None, float(each[mine].mean()) if n else None)
        )
    return tuple(made)


def _table(values: Array, what: str) -> Floats:
    try:
        table = np.asarray(values, np.float64)
    except (TypeError, ValueError):
        raise DataError(f"{what} are no numbers", allowed="(n, n_classes)") from None
    if table.ndim != 2 or not table.size:
        raise DataError(f"{what}: shape {table.shape}", allowed="(n, n_classes), one row or more")
    bad = ~np.isfinite(table) | (table < 0)
    if bad.any():
        row, column = (int(i) for i in np.argwhere(bad)[0])
        raise DataError(f"{what}: row {row} holds {table[row, column]:g}", allowed="finite numbers, 0 or more")
    return table


def _check_rows(values: Floats, what: str) -> None:
    sums = values.sum(1)
    wrong = (np.abs(sums - 1) > SUM_TOLERANCE) | (values > 1).any(1)
    if wrong.any():
        row = int(np.argmax(wrong))
        remedy = "Pass the softmax, not the logits" if what == "submission" else "Pass shares: `vote_shares(votes)`"
        given = f"Row {row} of the {what} sums to {sums[row]:.8g}, its largest value is {values[row].max():.8g}"
        raise DataError(given, allowed="values of 0 to 1 that sum to 1, within 1e-5", remedy=remedy)
