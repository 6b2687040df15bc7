"""Which lane reads which recordings: balanced by length, each stretch of a recording exactly once an epoch.

A lane is one place in a batch. It reads recordings one after another, each from its start to its end.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..core.seeds import generator

if TYPE_CHECKING:
    from .windows import WindowSet

Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Stretch:
    """Windows of one recording in their order. first : sample at which they begin. n_windows : how many."""

    recording: int
    first: int
    n_windows: int


@dataclass(frozen=True)
class Lane:
    """What one lane reads. stretches : indices, in their order. ends : (n,) step after the last of each."""

    stretches: tuple[int, ...]
    ends: Indices

    def at(self, step: int) -> tuple[int, int] | None:
        """Return which stretch is read at a step, and which of its windows; None where the lane has ended."""
        i = int(np.searchsorted(self.ends, step, side="right"))
        if i == len(self.stretches):
            return None
        return self.stretches[i], step - (int(self.ends[i - 1]) if i else 0)


def stretches(n_times: Sequence[int], window: int, longest: int | None = None) -> tuple[Stretch, ...]:
    """Return the stretches of recordings of `n_times` samples each, in windows of `window` samples.

    longest : windows that a stretch has at most; whole recordings where it is None. The samples after the last whole
    window of a recording are in none.
    """
    found = []
    for recording, n in enumerate(n_times):
        whole = n // window
        most = whole if longest is None else longest
        for first in range(0, whole, max(1, most)):
            found.append(Stretch(recording, first * window, min(most, whole - first)))
    return tuple(found)


def runs(windows: WindowSet, longest: int | None = None) -> tuple[Stretch, ...]:
    """Return the stretches that windows make which follow on each other without a gap, each window in exactly one.

    Windows cut every half of their length make two stretches beside each other, and so on. `recording` is their
    `file`; longest : as in `stretches`.
    """
    order = np.lexsort((windows.start, windows.file))
    place = {
        key: i for i, key in enumerate(zip(windows.file[order].tolist(), windows.start[order].tolist(), strict=True))
    }
    found, most = [], longest or len(place)
    for file, first in place:
        if (file, first - windows.n_times) in place:
            continue
        n = 1
        while (file, first + n * windows.n_times) in place:
            n += 1
        found += [Stretch(file, first + k * windows.n_times, min(most, n - k)) for k in range(0, n, most)]
    return tuple(found)


def lanes(sizes: Sequence[int], n_lanes: int, seed: int, epoch: int, *, shuffle: bool = True) -> tuple[Lane, ...]:
    """Deal stretches of `sizes` windows to lanes: the longest first, each to the lane that has least.

    The longest lane is at most 4/3 as long as in the best dealing (Graham 1969). With `shuffle`, which of equal
    stretches comes first, the order within a lane, and
    which row of the batch it is, are drawn for each epoch; how long the lanes are is not.
    """
    n = len(sizes)
    drawn = generator(seed, "lanes", epoch).permutation(n) if shuffle else np.arange(n)
    by_size = drawn[np.argsort(-np.asarray(sizes, np.int64)[drawn], kind="stable")]
    held: list[list[int]] = [[] for _ in range(n_lanes)]
    loads = [(0, lane) for lane in range(n_lanes)]
    for which in by_size.tolist():
        load, lane = heapq.heappop(loads)
        held[lane].append(which)
        heapq.heappush(loads, (load + sizes[which], lane))
    rank = np.argsort(generator(seed, "lane order", epoch).permutation(n)) if shuffle else np.arange(n)
    made = [_lane(sorted(mine, key=lambda which: rank[which]), sizes) for mine in held]
    return tuple(made[i] for i in generator(seed, "rows", epoch).permutation(n_lanes)) if shuffle else tuple(made)


def _lane(mine: Sequence[int], sizes: Sequence[int]) -> Lane:
    return Lane(tuple(mine), np.cumsum([sizes[which] for which in mine], dtype=np.int64))
