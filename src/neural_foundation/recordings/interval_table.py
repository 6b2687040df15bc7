"""Intervals with further columns: what a trial table says beside start, end and label."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import DataError, one_of
from .session import Intervals


@dataclass(frozen=True, eq=False)
class IntervalTable(Intervals):
    """Intervals that keep the other columns of their table.

    facts : columns with one entry an interval (contrast, choice, go cue ...), as plain Python values; an entry may be
    a list. times : the facts that are seconds on the session's clock. Tables are equal when all of it is; a table
    never equals intervals without facts. DataError where a column has another length or `times` names no column.
    """

    facts: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    times: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "facts", {name: tuple(plain(column)) for name, column in self.facts.items()})
        object.__setattr__(self, "times", tuple(self.times))
        for name, column in self.facts.items():
            if len(column) != len(self):
                raise DataError(f"'{name}' has {len(column)} entries", allowed=f"one for each of {len(self)} intervals")
        if unknown := [name for name in self.times if name not in self.facts]:
            raise DataError(f"There is no column {one_of(unknown)} of times", allowed=one_of(self.facts))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Intervals):
            return NotImplemented
        facts, times = (other.facts, other.times) if isinstance(other, IntervalTable) else ({}, ())
        same = super().__eq__(other) is True and sorted(self.times) == sorted(times)
        return same and same_facts(self.facts, facts)

    def slice(self, start_s: float, stop_s: float) -> IntervalTable:
        """Return the intervals that overlap [start_s, stop_s), whole, with their facts; an event counts where it is."""
        inside = (self.start_s < stop_s) & ((self.end_s > start_s) | (self.start_s >= start_s))
        return self._rows(inside)

    def only(self, *labels: str) -> IntervalTable:
        """Return the intervals with one of these labels, with their facts."""
        return self._rows(np.array([label in labels for label in self.label], dtype=bool))

    def _rows(self, mask: NDArray[np.bool_]) -> IntervalTable:
        rows = np.flatnonzero(mask)
        rows = rows[np.argsort(self.start_s[rows], kind="stable")]
        facts = {name: tuple(column[row] for row in rows) for name, column in self.facts.items()}
        return IntervalTable(
            self.start_s[rows], self.end_s[rows], tuple(self.label[row] for row in rows), facts, self.times
        )


def facts_of(intervals: Intervals) -> tuple[Mapping[str, tuple[Any, ...]], tuple[str, ...]]:
    """Return the facts of intervals and which of them are times; plain intervals have none."""
    return (intervals.facts, intervals.times) if isinstance(intervals, IntervalTable) else ({}, ())


def same_facts(a: Mapping[str, tuple[Any, ...]], b: Mapping[str, tuple[Any, ...]]) -> bool:
    """Return whether two sets of columns hold the same values; NaN is the same as NaN, 1 is not 1.0."""
    # the text of a Python float gives exactly that float, so equal texts are equal values
    return a.keys() == b.keys() and all(repr(plain(a[name])) == repr(plain(b[name])) for name in a)


def plain(value: Any) -> Any:
    """Return numpy scalars, arrays and tuples as Python scalars and lists."""
    if isinstance(value, (np.ndarray, np.generic)):
        return plain(value.tolist()) if value.dtype.kind == "O" else value.tolist()
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    return value
