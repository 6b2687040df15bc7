"""Which windows a training step sees: a function of (seed, step) alone.

Nothing is remembered between steps, so a run that was killed and goes on at step k sees what an undisturbed run
would have seen. Steps count from 0 over the whole training, epochs follow from them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..core.errors import DataError, SpecError
from ..core.seeds import generator

Indices = NDArray[np.int64]
Balance = Literal["none", "subject", "subject_class"]


@dataclass(frozen=True)
class Order:
    """The windows of each step.

    n : windows there are. batch_size : windows a step; the batches of an epoch differ by one window at most, and
    without balance each window comes exactly once an epoch. strata : indices by subject, and within a subject by
    class; empty where all windows are alike. With strata, each slot of a batch takes subjects in turn, and within a
    subject its classes in turn, so that all weigh the same however many windows they have.
    """

    n: int
    batch_size: int
    seed: int
    strata: tuple[tuple[Indices, ...], ...] = field(default=(), repr=False)

    @property
    def steps_per_epoch(self) -> int:
        """Steps in which as many windows are drawn as there are."""
        return -(-self.n // self.batch_size)

    def epoch(self, step: int) -> int:
        """Return the epoch that a step belongs to, from 0."""
        return step // self.steps_per_epoch

    def indices(self, step: int) -> Indices:
        """Return the windows of a step, in order."""
        if self.strata:
            slots = range(step * self.batch_size, (step + 1) * self.batch_size)
            return np.asarray([self._slot(slot) for slot in slots], np.int64)
        epoch, place = divmod(step, self.steps_per_epoch)
        drawn = _shuffled(self.n, self.seed, "epoch", epoch)
        size, more = divmod(self.n, self.steps_per_epoch)  # the first `more` batches have one window more
        first = place * size + min(place, more)
        return np.asarray(drawn[first : first + size + (place < more)], np.int64)

    def _slot(self, slot: int) -> int:
        turn, place = divmod(slot, len(self.strata))
        who = int(_shuffled(len(self.strata), self.seed, "turn", turn)[place])
        turn, which = divmod(turn, len(self.strata[who]))
        stratum = self.strata[who][which]
        cycle, place = divmod(turn, len(stratum))
        return int(stratum[_shuffled(len(stratum), self.seed, f"stratum {who} {which}", cycle)[place]])


def training_order(
    subject: Sequence[str] | NDArray[Any],
    target: NDArray[Any],
    *,
    batch_size: int,
    seed: int,
    balance: Balance = "none",
) -> Order:
    """Return the order of training windows with these subjects (n,) and targets (n,).

    Raises
    ------
    DataError : there are no windows. SpecError : `batch_size` is below 1.
    """
    subject, target = np.asarray(subject), np.asarray(target)
    if not len(subject):
        raise DataError("There are no windows to learn from", remedy="Check the split and the windows of the recipe")
    if batch_size < 1:
        raise SpecError(f"batch_size is {batch_size}", allowed="1 or more")
    strata = () if balance == "none" else _strata(subject, target, by_class=balance == "subject_class")
    return Order(len(subject), batch_size, seed, strata)


def fixed_batches(n: int, batch_size: int) -> list[Indices]:
    """Return all n windows once, in their own order, in batches of nearly equal size."""
    return _parts(n, -(-n // batch_size), np.arange(n)) if n else []


def _strata(subject: NDArray[Any], target: NDArray[Any], *, by_class: bool) -> tuple[tuple[Indices, ...], ...]:
    strata = []
    for name in np.unique(subject):
        mine = np.flatnonzero(subject == name)
        kinds = target[mine] if by_class else np.zeros(len(mine), int)
        strata.append(tuple(mine[kinds == kind] for kind in np.unique(kinds)))
    return tuple(strata)


def _parts(n: int, parts: int, indices: Indices) -> list[Indices]:
    return [np.asarray(part, np.int64) for part in np.array_split(indices[:n], parts)]


@lru_cache(maxsize=4096)
def _shuffled(n: int, seed: int, name: str, turn: int) -> Indices:
    return generator(seed, "order", name, turn).permutation(n)
