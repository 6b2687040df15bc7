"""Write spikes, uneven series and intervals as temporaldata keeps them.

    /<spikes>         IrregularTimeSeries: timestamps (n,) seconds, unit_index (n,)
    /<spikes>_units   ArrayDict: id, and the facts of the units. The only spikes, or those named so, are `spikes`, and
                      their table `units`, as torch_brain looks for them
    /<series>         IrregularTimeSeries: timestamps, and a column an array; columns `pos[0]`, `pos[1]` are one array
                      `pos` (n, 2). Attributes `columns` and `units`: their order and units
    /<intervals>      Interval: start, end, label, and the facts; those that are times are among its timekeys

temporaldata cuts an Interval only where no end falls back. Intervals inside others are therefore kept as an
IrregularTimeSeries: timestamps (the starts), end, label. Rows are stored in order of their start; `row` says where
each was, if it was elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import DataError
from .events import Series, Spikes
from .hdf5_layout import Names, arrays, facts, group, interval, irregular, mark, text
from .interval_table import facts_of
from .session import Intervals

_INDEXED = re.compile(r"(.+)\[(\d+(?:,\d+)*)\]")


def put_spikes(file: Any, name: str, units: str, spikes: Spikes) -> Any:
    """Write spikes and the table of their units; return their group."""
    made = group(file, name)
    irregular(made, spikes.times_s, {"unit_index": spikes.unit})
    columns, marks = facts(spikes.facts, Names(["id"]))
    table = group(file, units)
    arrays(table, "ArrayDict", {"id": text(spikes.unit_ids), **columns})
    mark(table, marks)
    return made


def put_series(file: Any, name: str, series: Series) -> Any:
    """Write an uneven series; return its group. DataError where two of its columns have one name."""
    if len(set(series.names)) != len(series.names):
        raise DataError(f"Series '{name}' has two columns of one name", allowed="a name of its own for each column")
    made, names = group(file, name), Names(["timestamps"])
    columns: dict[str, NDArray[np.float64]] = {}
    marks: dict[str, dict[str, Any]] = {}
    for base, at, shape in blocks(series.names):
        said = names.take(base)
        columns[said] = series.values[:, at].reshape(len(series), *shape)
        marks[said] = {} if said == base else {"name": text([base])[0]}
    irregular(made, series.times_s, columns)
    mark(made, marks)
    made.attrs["columns"], made.attrs["units"] = text(series.names), text(series.units)
    return made


def blocks(names: Sequence[str]) -> list[tuple[str, list[int], tuple[int, ...]]]:
    """Return (name, columns, shape of a row) of each array: `pos[0]`, `pos[1]` in order are one array `pos`, (2,)."""
    found = [_INDEXED.fullmatch(name) for name in names]
    bases = [match[1] if match else None for match in found]
    made: list[tuple[str, list[int], tuple[int, ...]]] = []
    at = 0
    while at < len(names):
        base, stop = bases[at], at + 1
        while base is not None and stop < len(names) and bases[stop] == base:
            stop += 1
        shape = _shape([m[2] for m in found[at:stop] if m]) if base and bases.count(base) == stop - at else None
        if base is None or shape is None or base in names:
            made += [(names[i], [i], ()) for i in range(at, stop)]
        else:
            made.append((base, list(range(at, stop)), shape))
        at = stop
    return made


def _shape(indices: list[str]) -> tuple[int, ...] | None:
    """Return the shape whose indices, in order, these are; None where there is none."""
    given = [tuple(map(int, index.split(","))) for index in indices]
    shape = tuple(last + 1 for last in given[-1])
    whole = np.prod([float(n) for n in shape]) == len(given)
    texts = [indexed("", index) for index in np.ndindex(shape)] if whole else []
    return shape if texts == [f"[{index}]" for index in indices] else None


def indexed(name: str, index: tuple[int, ...]) -> str:
    """Return the name of one column of an array: `pos` and (1,) give `pos[1]`."""
    return f"{name}[{','.join(map(str, index))}]" if index else name


def put_intervals(file: Any, name: str, intervals: Intervals) -> Any:
    """Write intervals, with their facts; return their group."""
    made, names = group(file, name), Names(["start", "end", "label", "row"])
    given, times = facts_of(intervals)
    columns, marks = facts(given, names)
    renamed = dict(zip(sorted(given), columns, strict=True))
    order = np.argsort(intervals.start_s, kind="stable")
    if (np.diff(order) < 0).any():
        columns = {n: c[order] for n, c in columns.items()} | {"row": order}
    labels = text([intervals.label[row] for row in order])
    _put_rows(
        made, intervals.start_s[order], intervals.end_s[order], labels, columns, [renamed[n] for n in sorted(times)]
    )
    mark(made, marks)
    return made


def _put_rows(
    made: Any,
    start: NDArray[np.float64],
    end: NDArray[np.float64],
    label: NDArray[np.bytes_],
    columns: dict[str, Any],
    times: Sequence[str],
) -> None:
    if (np.diff(end) < 0).any():
        irregular(made, start, {"end": end, "label": label, **columns}, ["end", *times])
    else:
        interval(made, start, end, {"label": label, **columns}, times)


def sliceable(intervals: Intervals) -> bool:
    """Return whether temporaldata can cut intervals as they are: neither starts nor ends fall back."""
    return not (np.diff(intervals.start_s) < 0).any() and not (np.diff(intervals.end_s) < 0).any()
