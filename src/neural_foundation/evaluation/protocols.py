"""Who is held out: the split comes before anything learns, and it is by person, or by block in time within one.

Folds are a function of the names and the seed alone: the order in which subjects are given changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neural_foundation.core.errors import DataError, SpecError, did_you_mean, one_of
from neural_foundation.core.seeds import generator

Array = NDArray[Any]
Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Fold:
    """The subjects of one fold. `validation` is taken out of training; the three never share a subject."""

    index: int
    train: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...]


@dataclass(frozen=True)
class Blocks:
    """The windows of one within-subject fold, as indices (n,) into the arrays that were given."""

    index: int
    train: Indices
    validation: Indices
    test: Indices


def hold_out(
    subjects: Iterable[str], *, folds: int, seed: int, validation: float = 0.2, named: tuple[str, ...] = ()
) -> tuple[Fold, ...]:
    """Return folds in which every subject is tested once, their sizes differing by one at most.

    folds : number of folds; as many as subjects leaves one out. validation : share of the remaining subjects
    used to stop and choose, one at least unless 0. named : exactly these are tested, in one fold, whatever `folds`.

    Raises
    ------
    DataError : fewer subjects than folds, unknown names, or nobody left to train on.
    SpecError : numbers out of range.
    """
    names = sorted(set(subjects))
    _check_numbers(folds, validation, named)
    parts = [_known(named, names)] if named else _parts(names, folds, seed)
    return tuple(_fold(i, names, part, validation, seed) for i, part in enumerate(parts))


def leave_out(subjects: Iterable[str], k: int, *, seed: int, validation: float = 0.2) -> tuple[Fold, ...]:
    """Return folds that test at most `k` subjects each, as few folds as that takes; every subject is tested once."""
    names = sorted(set(subjects))
    if not 1 <= k < max(len(names), 2):
        raise SpecError(f"Cannot leave out {k} of {len(names)} subjects", allowed=f"1 to {len(names) - 1}")
    return hold_out(names, folds=-(-len(names) // k), seed=seed, validation=validation)


def within(session: Array, trial: Array, *, folds: int, gap: int = 0) -> tuple[Blocks, ...]:
    """Return folds inside sessions, blocked in time: neighbours resemble each other, so shuffling would flatter.

    session, trial : (n_windows,) the session, and the number or onset of the trial, of each window. Each session's
    trials, in order, are cut in `folds` consecutive blocks; fold k tests every session's block k, stops on the
    next block (the first after the last) and trains on the others. Windows of one trial stay together. `gap` trials
    on both sides of a test block are left out of training and validation.

    Raises
    ------
    DataError : a session with fewer trials than folds. SpecError : fewer than three folds, a negative gap.
    """
    if folds < 3 or gap < 0:
        raise SpecError(
            f"within got folds={folds}, gap={gap}", allowed="folds >= 3 (train, validation, test), gap >= 0"
        )
    session, trial = np.asarray(session), np.asarray(trial)
    if session.shape != trial.shape:
        raise DataError(f"Sessions {session.shape} and trials {trial.shape} do not match", allowed="(n,) and (n,)")
    block, near = _blocks(session, trial, folds, gap)
    made = []
    for k in range(folds):
        free = (block != k) & ~near[k]
        stop = block == (k + 1) % folds
        made.append(Blocks(k, *(np.flatnonzero(m) for m in (free & ~stop, free & stop, block == k))))
    return tuple(made)


def _check_numbers(folds: int, validation: float, named: tuple[str, ...]) -> None:
    if folds < 2 and not named:
        raise SpecError(
            f"folds={folds} leaves nobody to learn from", allowed="2 or more, or the names of those held out"
        )
    if not 0 <= validation < 1:
        raise SpecError(f"validation={validation}", allowed="0 or more, under 1")


def _known(named: tuple[str, ...], names: list[str]) -> tuple[str, ...]:
    unknown = sorted(set(named) - set(names))
    if unknown:
        hint = did_you_mean(unknown[0], names)
        raise DataError(f"No subject is named {one_of(unknown)}.{hint}", allowed=one_of(names))
    return tuple(sorted(set(named)))


def _parts(names: list[str], folds: int, seed: int) -> list[tuple[str, ...]]:
    if len(names) < folds:
        raise DataError(
            f"{len(names)} subjects cannot make {folds} folds", remedy=f"Set folds to {max(len(names), 2)} or less"
        )
    order = generator(seed, "hold_out").permutation(len(names))
    return [tuple(sorted(names[i] for i in part)) for part in np.array_split(order, folds)]


def _fold(index: int, names: list[str], test: tuple[str, ...], validation: float, seed: int) -> Fold:
    rest = [n for n in names if n not in test]
    count = max(1, round(validation * len(rest))) if validation > 0 else 0
    if len(rest) - count < 1:
        raise DataError(
            f"Holding out {len(test)} of {len(names)} subjects leaves {len(rest)} for training and validation",
            allowed="one or more for each",
            remedy="Hold out fewer subjects, or set validation to 0",
        )
    chosen = set(generator(seed, "validation", index).permutation(len(rest))[:count].tolist())
    stops = tuple(n for i, n in enumerate(rest) if i in chosen)
    return Fold(index, tuple(n for i, n in enumerate(rest) if i not in chosen), stops, test)


def _blocks(session: Array, trial: Array, folds: int, gap: int) -> tuple[Indices, NDArray[np.bool_]]:
    """Return each window's block (n,), and for each fold (folds, n) whether it lies within `gap` of its test block."""
    block, near = np.zeros(len(session), np.int64), np.zeros((folds, len(session)), bool)
    for name in np.unique(session):
        mine = session == name
        trials, rank = np.unique(trial[mine], return_inverse=True)
        if len(trials) < folds:
            raise DataError(
                f"Session '{name}' has {len(trials)} trial(s) for {folds} folds in time", remedy="Use fewer folds"
            )
        edges = np.linspace(0, len(trials), folds + 1).round().astype(int)
        block[mine] = np.searchsorted(edges, rank, side="right") - 1
        near[:, mine] = [(rank >= a - gap) & (rank < b + gap) for a, b in zip(edges, edges[1:], strict=False)]
    return block, near
