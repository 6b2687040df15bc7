"""The spikes, uneven series and intervals of an HDF5 session: checked when it is opened, read when they are asked for.

- An IrregularTimeSeries with `unit_index` is spikes; its units are the table `<spikes>_units` or `units`: `id` (or
  `unit_id`), else each unit is named by its number; the other columns are facts.
- Any other is a series: its arrays of numbers are its columns, `pos[0]`, `pos[1]` where one is (n, 2).
- An Interval is intervals: `label` (or `labels`, `name`, `names`, `id`), else its own name; the other columns are
  facts, those among its timekeys are times.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import RecordingError
from .events import Series, Spikes
from .hdf5_tables import indexed
from .hdf5_tree import AGAIN, Node, Tree, beyond, object_of
from .interval_table import IntervalTable
from .session import Intervals

_LABELS = ("label", "labels", "name", "names", "id")
_UNIT_IDS = ("id", "unit_id")
_NOT_COLUMNS = ("timestamps", "timestamp_indices_1s")
MAX_COLUMNS = 4096
MAX_UNITS = 1 << 20
EXACT = 1 << 53  # whole numbers up to here are float64 too


def unit_tables(tree: Tree, node: Node) -> tuple[str, ...]:
    """Return where beside spikes their units may be described, the first that is there counts."""
    if tree.own:
        return ("units",) if node.key == "spikes" else (f"{node.key}_units",)
    return (f"{node.key}_units", "units")


def spikes_of(tree: Tree, node: Node) -> tuple[Callable[[], Spikes], list[str]]:
    """Return how to read spikes, and the names of the columns that they have no field for."""
    arrays = tree.datasets(node.group)
    times, unit = _rows(tree, node, arrays, "timestamps"), _rows(tree, node, arrays, "unit_index", "iu")
    places = [node.parent.get(key) for key in unit_tables(tree, node)]
    places += [] if tree.own else [tree.file.get("units")]
    table = next((place for place in places if object_of(place) == "ArrayDict"), None)
    if tree.own and table is None:
        raise RecordingError(tree.path, f"the units of '{node.path}' are missing", remedy=AGAIN)

    def load() -> Spikes:
        with tree.reading():
            index = tree.array(unit).astype(np.int64)
            ids, facts = _units(tree, table, index)
            return Spikes(tree.array(times).astype(np.float64), index, tuple(ids), facts)

    return load, [key for key in arrays if key not in (*_NOT_COLUMNS, "unit_index")] + _unheld(tree, table)


def _unheld(tree: Tree, table: Any) -> list[str]:
    arrays = {} if table is None else tree.datasets(table)
    return [f"units.{key}" for key, array in arrays.items() if not tree.is_fact(array)]


def _units(tree: Tree, table: Any, index: NDArray[np.int64]) -> tuple[list[str], dict[str, tuple[Any, ...]]]:
    """Return the ids and facts of the units."""
    if table is None:
        if len(index) and not 0 <= index.min() <= index.max() < MAX_UNITS:
            given = f"its spikes name units {index.min()} to {index.max()}"
            raise RecordingError(tree.path, given, allowed=f"0 to {MAX_UNITS - 1}", remedy=AGAIN)
        return [str(i) for i in range(int(index.max(initial=-1)) + 1)], {}
    arrays = tree.datasets(table)
    known = next((key for key in _UNIT_IDS if key in arrays), None)
    facts = tree.facts(table, *([known] if known else []))
    if known:
        return tree.words(arrays[known]), facts
    n_units = max((array.shape[0] for array in arrays.values()), default=0)
    tree.check(max(arrays.values(), key=lambda array: array.shape[0])) if arrays else None
    return [str(i) for i in range(n_units)], facts


def series_of(tree: Tree, node: Node) -> tuple[Callable[[], Series], list[str]]:
    """Return how to read an uneven series, and the names of the columns that it has no field for."""
    arrays = tree.datasets(node.group)
    times = _rows(tree, node, arrays, "timestamps")
    columns = {k: a for k, a in arrays.items() if k not in _NOT_COLUMNS and a.dtype.kind in "biuf" and a.ndim}
    widths = {key: float(np.prod([float(n) for n in array.shape[1:]])) for key, array in columns.items()}
    columns = {key: array for key, array in columns.items() if 1 <= widths[key] <= MAX_COLUMNS}
    for key in columns:
        _rows(tree, node, arrays, key, "biuf", times.shape[0])

    def load() -> Series:
        with tree.reading():
            given = [_column(tree, key, array) for key, array in columns.items()]
            names = [name for column_names, _ in given for name in column_names]
            values = np.concatenate([np.zeros((times.shape[0], 0)), *(block for _, block in given)], axis=1)
            order, units = _order(tree, node, names)
            ordered = tuple(names[i] for i in order)
            return Series(tree.array(times).astype(np.float64), values[:, order], ordered, units)

    return load, [key for key in arrays if key not in (*_NOT_COLUMNS, *columns)]


def _column(tree: Tree, key: str, array: Any) -> tuple[list[str], NDArray[np.float64]]:
    """Return the names of an array's columns, and their values (n, n_columns)."""
    block = tree.array(array)
    if beyond(block, EXACT):
        given = f"'{array.name}' has numbers beyond {EXACT}, which float64 cannot hold exactly"
        raise RecordingError(tree.path, given, remedy="Store them as times, or as floating-point numbers")
    names = [indexed(tree.name(array, key), index) for index in np.ndindex(block.shape[1:])]
    return names, block.reshape(len(block), len(names)).astype(np.float64)


def _order(tree: Tree, node: Node, names: list[str]) -> tuple[list[int], tuple[str, ...]]:
    """Return the columns in their order, and their units; a stranger's lie by name and have none."""
    if not tree.own:
        return list(range(len(names))), ()
    columns, units = (tree.attribute_words(node.group, key) for key in ("columns", "units"))
    if sorted(columns) != sorted(names) or len(set(names)) != len(names) or len(units) != len(names):
        raise RecordingError(tree.path, f"the columns of '{node.path}' are not those it names", remedy=AGAIN)
    at = {name: i for i, name in enumerate(names)}
    return [at[name] for name in columns], tuple(units)


def intervals_of(tree: Tree, node: Node) -> tuple[Callable[[], Intervals], list[str]]:
    """Return how to read intervals, and the names of the columns that they have no field for."""
    arrays = tree.datasets(node.group)
    begin = "timestamps" if node.kind == "IrregularTimeSeries" else "start"
    start, end = _rows(tree, node, arrays, begin, "fiu"), _rows(tree, node, arrays, "end", "fiu")
    texts = [key for key in _LABELS[: 1 if tree.own else None] if key in arrays and arrays[key].ndim == 1]
    label = texts[0] if texts else None
    # a trial of a stranger's without a label is just a trial
    otherwise = "trial" if node.path == "trials" else node.key
    without = [begin, "end", "row", *([label] if label else []), *_NOT_COLUMNS]

    def load() -> Intervals:
        with tree.reading():
            labels = tree.words(arrays[label]) if label else [otherwise] * start.shape[0]
            times = tree.array(start).astype(float), tree.array(end).astype(float)
            facts = tree.facts(node.group, *without)
            return _sorted_back(tree, node, arrays, (*times, labels), facts)

    skipped = [key for key, array in arrays.items() if key not in without and not tree.is_fact(array)]
    return load, skipped


def _sorted_back(
    tree: Tree, node: Node, arrays: dict[str, Any], rows: tuple[Any, Any, list[str]], facts: dict[str, tuple[Any, ...]]
) -> Intervals:
    """Return the intervals in the order in which they were given."""
    start, end, labels = rows
    if not len(start) == len(end) == len(labels) or not np.isfinite([start, end]).all() or (end < start).any():
        what = "trials" if node.path == "trials" else f"intervals '{node.path}'"
        raise RecordingError(tree.path, f"its {what} are not one finite start, end and label each", remedy=AGAIN)
    names = {key: tree.name(array, key) for key, array in arrays.items()}
    times = [names[key] for key in tree.attribute_words(node.group, "timekeys") if names.get(key) in facts]
    if not (tree.own and "row" in arrays):
        return (
            IntervalTable(start, end, tuple(labels), facts, tuple(times))
            if facts
            else Intervals(start, end, tuple(labels))
        )
    rank = tree.array(arrays["row"])
    if sorted(rank.tolist()) != list(range(len(start))):
        raise RecordingError(tree.path, f"the rows of '{node.path}' are not in any order", remedy=AGAIN)
    back = np.argsort(rank)
    moved = {name: tuple(column[i] for i in back) for name, column in facts.items()}
    labels = [labels[i] for i in back]
    made = Intervals(start[back], end[back], tuple(labels))
    return IntervalTable(made.start_s, made.end_s, made.label, moved, tuple(times)) if facts else made


def _rows(tree: Tree, node: Node, arrays: dict[str, Any], key: str, kinds: str = "f", n: int | None = None) -> Any:
    """Return an array of one entry a row; RecordingError where it is missing or is another thing."""
    array, first = arrays.get(key), arrays.get("timestamps", arrays.get("start"))
    n_rows = n if n is not None else first.shape[0] if first is not None and first.ndim else -1
    if array is None or array.dtype.kind not in kinds or not array.ndim or array.shape[0] != n_rows:
        given = f"'{node.path}' has no array '{key}' of one number a row"
        raise RecordingError(tree.path, given, allowed="as temporaldata writes it", remedy=AGAIN)
    tree.check(array)
    return array
