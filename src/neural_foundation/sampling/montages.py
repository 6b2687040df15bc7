"""Recordings whose channels differ, group by group: each batch is of one montage.

A network takes another montage as a whole (`bind_montage(positions, mask, names)` changes what all rows of a batch go
through), so a batch of one montage is what it can use. To have people of different caps side by side in one batch, end
the chain with the operation `interpolate`, which brings them onto one montage. Rows padded and masked are not offered:
no network here could read them, and padding is not free.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import gcd
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..core.seeds import generator
from ..core.specs import SignalSpec
from .store import known

Indices = NDArray[np.int64]


def by_montage(paths: Sequence[Path | str]) -> list[tuple[SignalSpec, list[Path]]]:
    """Return recordings by rate, channel names, positions and units, in the order in which each first comes.

    Positions count, as a network reads channels by them. Raises what `read` raises.
    """
    groups: dict[str, tuple[SignalSpec, list[Path]]] = {}
    for path in map(Path, paths):
        spec = known(path).spec.replace(subject=None)
        groups.setdefault(spec.model_dump_json(), (spec, []))[1].append(path)
    return list(groups.values())


@dataclass(frozen=True)
class Turns:
    """Which group each step takes: in a turn, group g comes `shares[g]` times, in an order drawn anew each turn."""

    shares: tuple[int, ...]
    seed: int

    @classmethod
    def by_size(cls, steps: Sequence[int], seed: int) -> Turns:
        """A turn is an epoch: each group comes as often as it has batches."""
        return cls(tuple(steps), seed)

    @classmethod
    def by_subjects(cls, subjects: Sequence[int], seed: int) -> Turns:
        """Each group comes in proportion to its number of subjects, so that all subjects weigh the same."""
        common = gcd(*subjects)
        return cls(tuple(n // common for n in subjects), seed)

    def at(self, step: int) -> tuple[int, int]:
        """Return the group of a step, counted over all epochs, and how often that group came before."""
        if len(self.shares) == 1:
            return 0, step
        turn, place = divmod(step, sum(self.shares))
        drawn = _drawn(self.shares, self.seed, turn)
        group = int(drawn[place])
        return group, turn * self.shares[group] + int(np.count_nonzero(drawn[:place] == group))


@lru_cache(maxsize=64)
def _drawn(shares: tuple[int, ...], seed: int, turn: int) -> Indices:
    return generator(seed, "turns", turn).permutation(np.repeat(np.arange(len(shares)), shares))
