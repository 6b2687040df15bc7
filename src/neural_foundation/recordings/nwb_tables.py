"""The tables of an NWB file: electrodes, units, trials, epochs, events. A table is a group of columns (hdmf-common).

A ragged column holds all its rows end to end; `<column>_index` says where each row ends. The index must rise and end
where the column ends.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.specs import Position
from .events import Spikes
from .interval_table import IntervalTable
from .nwb_file import NwbFile
from .session import Intervals

MICROMETRE = 1e-6
_LABELS = ("label", "labels", "condition", "trial_type", "type", "name", "annotation")
_NAMES = ("channel_name", "channel_label", "ch_name", "label", "electrode_name", "name")
_JOIN = ", "
Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Table:
    """One DynamicTable. n_rows : entries of its id. names : its columns, in the order the file states.

    members : what lies in its group, by name. checked : those of them that were held against the file.
    """

    nwb: NwbFile
    group: Any
    n_rows: int
    names: tuple[str, ...]
    members: dict[str, Any]
    checked: dict[str, Any] = field(default_factory=dict)

    @property
    def path(self) -> str:
        return str(self.group.name)

    def has(self, name: str) -> bool:
        return name in self.members

    def is_ragged(self, name: str) -> bool:
        return self.has(f"{name}_index")

    def at(self, name: str) -> Any:
        """Return the array of a column, checked."""
        if name not in self.checked:
            self.checked[name] = self.nwb.check(_member(self.nwb, self.group, self.members, name))
        return self.checked[name]

    def ids(self) -> tuple[str, ...]:
        return tuple(str(i) for i in self.nwb.column(self.at("id")))

    def ends(self, name: str) -> Ints:
        """Return where each row of a ragged column ends, int64 (n_rows,); RecordingError where it cannot be so."""
        index, length = self.at(f"{name}_index"), len(self.at(name))
        if index.ndim != 1 or index.dtype.kind not in "iu" or len(index) != self.n_rows:
            self.nwb.fail(f"'{index.name}' holds {index.dtype} {index.shape}", allowed=f"{self.n_rows} whole numbers")
        ends = self.nwb.array(index)
        if len(ends) and int(ends.max()) > length:
            self.nwb.fail(f"'{index.name}' reaches {int(ends.max())}, but '{name}' has {length} entries")
        ends = ends.astype(np.int64)
        if (np.diff(ends, prepend=0) < 0).any():
            row = int(np.argmax(np.diff(ends, prepend=0) < 0))
            self.nwb.fail(f"'{index.name}' falls back at row {row}", allowed="an index that rises")
        if (int(ends[-1]) if len(ends) else 0) != length:
            given = f"'{index.name}' ends at {int(ends[-1]) if len(ends) else 0}, but '{name}' has {length} entries"
            self.nwb.fail(given, allowed="an index that ends where its column does")
        return ends

    def is_scalar(self, name: str) -> bool:
        """Return whether a column has one number, word or object a row."""
        array = self.at(name)
        return array.ndim == 1 and not self.is_ragged(name) and array.dtype.names is None

    def is_number(self, name: str) -> bool:
        return self.is_scalar(name) and self.at(name).dtype.kind in "iuf"

    def is_text(self, name: str) -> bool:
        """Return whether a column holds words, or a list of words a row."""
        import h5py

        array = self.at(name)
        held = array.dtype.kind == "S" or h5py.check_string_dtype(array.dtype) is not None
        return held and array.ndim == 1 and not self.has(f"{name}_index_index")

    def values(self, name: str) -> list[Any] | None:
        """Return the value of each row, a list where it is ragged or has two axes; None for what is not held."""
        array = self.at(name)
        if self.is_scalar(name):
            return self.nwb.column(array)
        if array.dtype.names is not None or array.ndim > 2 or self.has(f"{name}_index_index"):
            return None
        if self.is_ragged(name) and array.ndim == 1:
            return _split(self.nwb.column(array), self.ends(name))
        return None if self.is_ragged(name) or array.dtype.kind not in "iufb" else list(self.nwb.array(array).tolist())


def _split(values: list[Any], ends: Ints) -> list[Any]:
    starts = [0, *ends.tolist()]
    return [values[a:b] for a, b in zip(starts[:-1], starts[1:], strict=True)]


def open_table(nwb: NwbFile, group: Any) -> Table:
    """Return a table whose columns are all there, each as long as its ids."""
    members = dict(nwb.children(group))
    ids = nwb.check(_member(nwb, group, members, "id"))
    if ids.ndim != 1:
        nwb.fail(f"'{ids.name}' has shape {ids.shape}", allowed="one id a row")
    stated = nwb.attr(group, "colnames", ())
    names = tuple(n.decode() if isinstance(n, bytes) else str(n) for n in np.asarray(stated, object).reshape(-1))
    table = Table(nwb, group, len(ids), names, members)
    for name in names:
        shape = getattr(_member(nwb, group, members, name), "shape", None)
        if not shape or (not table.is_ragged(name) and shape[0] != len(ids)):
            given = f"the column '{table.path}/{name}' has shape {shape}, its table {len(ids)} rows"
            nwb.fail(given, allowed="one entry a row")
    return table


def _member(nwb: NwbFile, group: Any, members: dict[str, Any], name: str) -> Any:
    if name not in members:
        nwb.fail(f"'{group.name}' has no '{name}'", allowed="what the NWB schema requires")
    return members[name]


@dataclass(frozen=True)
class Electrodes:
    """The electrodes table, its columns with one value a row, read once."""

    table: Table
    ids: tuple[str, ...]
    columns: dict[str, list[Any]] = field(default_factory=dict)

    def rows(self, region: Any, what: str) -> list[int]:
        """Return the rows that a region of this table names; RecordingError where one is not there."""
        nwb = self.table.nwb
        target = nwb.attr(region, "table")
        if target and nwb.file[target] != self.table.group:
            nwb.fail(f"the electrodes of '{what}' point at '{nwb.name_of(target)}'", allowed=f"'{self.table.path}'")
        nwb.check(region)
        if region.ndim != 1 or region.dtype.kind not in "iu":
            nwb.fail(f"'{region.name}' holds {region.dtype} {region.shape}", allowed="one row number an electrode")
        rows = nwb.array(region).tolist()
        if rows and not 0 <= min(rows) <= max(rows) < len(self.ids):
            given = f"the electrodes of '{what}' are rows {min(rows)} to {max(rows)} of a table of {len(self.ids)}"
            nwb.fail(given, allowed=f"0 to {len(self.ids) - 1}")
        return [int(row) for row in rows]

    def names(self, rows: Sequence[int]) -> list[str]:
        """Return a name for each row: of the first column of names in which they differ, else the ids."""
        for column in (self.columns[n] for n in _NAMES if n in self.columns):
            words = [column[row] for row in rows]
            if all(isinstance(w, str) and w.strip() for w in words) and len(set(words)) == len(words):
                return words
        return [self.ids[row] for row in rows]

    def positions(self, rows: Sequence[int]) -> tuple[Position | None, ...]:
        """Return right, front and up in metres: the schema's x is posterior, y inferior, z right, in micrometres."""
        if not {"x", "y", "z"} <= set(self.columns):
            return (None,) * len(rows)
        return tuple(self._position(row) for row in rows)

    def _position(self, row: int) -> Position | None:
        x, y, z = (self.columns[axis][row] for axis in "xyz")
        at = (float(z) * MICROMETRE, -float(x) * MICROMETRE, -float(y) * MICROMETRE)
        return at if np.isfinite(at).all() else None


def electrodes(nwb: NwbFile) -> Electrodes | None:
    """Return the electrodes of the file, None where it has none."""
    group = nwb.get(nwb.file, "general/extracellular_ephys/electrodes")
    if group is None:
        return None
    table = open_table(nwb, group)
    columns = {name: nwb.column(table.at(name)) for name in table.names if table.is_scalar(name)}
    for axis in set("xyz") & set(columns):
        if not all(isinstance(v, (int, float)) for v in columns[axis]):
            nwb.fail(f"the column '{axis}' of '{table.path}' holds words", allowed="numbers")
    return Electrodes(table, table.ids(), columns)


def spikes_of(table: Table, known: Electrodes | None) -> Callable[[], Spikes]:
    """Return the function that reads the spikes of a Units table, whose index is checked now."""
    nwb, array = table.nwb, table.at("spike_times")
    if array.ndim != 1 or array.dtype.kind not in "iuf":
        nwb.fail(f"'{array.name}' holds {array.dtype} {array.shape}", allowed="one row of seconds")
    if not table.is_ragged("spike_times"):
        nwb.fail(f"'{table.path}' has spike_times, but no spike_times_index")
    ends = table.ends("spike_times")

    def read() -> Spikes:
        with nwb.guarded():
            times, unit = nwb.floats(array), np.repeat(np.arange(table.n_rows), np.diff(ends, prepend=0))
            # the schema does not oblige a train to rise; the order in time is that of a stream of events
            order = np.argsort(times, kind="stable")
            return Spikes(times[order], unit[order], table.ids(), _facts(table, known))

    return read


def _facts(table: Table, known: Electrodes | None) -> dict[str, tuple[Any, ...]]:
    names = [n for n in table.names if n not in ("spike_times", "electrodes") and table.is_scalar(n)]
    facts = {name: tuple(table.nwb.column(table.at(name))) for name in names}
    if "region" not in facts and (region := _regions(table, known)):
        facts["region"] = region
    return facts


def _regions(table: Table, known: Electrodes | None) -> tuple[str, ...]:
    """Return where each unit lies: the locations of its electrodes, or else that of its electrode group."""
    nwb = table.nwb
    if "electrodes" in table.names:
        if known is None or "location" not in known.columns:
            nwb.fail(f"'{table.path}' names electrodes, but the file has no locations of them")
        where = [str(known.columns["location"][row]) for row in known.rows(table.at("electrodes"), table.path)]
        ends = table.ends("electrodes") if table.is_ragged("electrodes") else np.arange(1, table.n_rows + 1)
        return tuple(_JOIN.join(dict.fromkeys(row)) for row in _split(where, ends))
    if "electrode_group" not in table.names:
        return ()
    groups = nwb.array(table.at("electrode_group")).tolist()
    return tuple(str(nwb.attr(nwb.file[g], "location", "")) if g else "" for g in groups)


def observed(table: Table) -> Callable[[], Intervals]:
    """Return the function that reads when each unit was observed; the label is the unit's id."""
    nwb, array = table.nwb, table.at("obs_intervals")
    if array.ndim != 2 or array.shape[1] != 2 or array.dtype.kind not in "iuf":
        nwb.fail(f"'{array.name}' holds {array.dtype} {array.shape}", allowed="(n, 2) seconds")
    if not table.is_ragged("obs_intervals"):
        nwb.fail(f"'{table.path}' has obs_intervals, but no obs_intervals_index")
    ends = table.ends("obs_intervals")

    def read() -> Intervals:
        with nwb.guarded():
            ids = np.repeat(np.asarray(table.ids(), object), np.diff(ends, prepend=0)).tolist()
            rows = nwb.array(array).astype(float).tolist()
            return Intervals.of((a, b, i) for (a, b), i in zip(rows, ids, strict=True))

    return read


def intervals_of(table: Table) -> Callable[[], IntervalTable]:
    """Return the function that reads a table of times, its other columns as facts.

    The table needs start_time and stop_time, or timestamp (events; with a duration that may be NaN where unknown).
    """
    nwb = table.nwb
    times = ("start_time", "stop_time") if "start_time" in table.names else ("timestamp", "duration")
    rest = [n for n in table.names if n not in times]
    label = next((n for n in _LABELS if n in rest and table.is_text(n)), None)
    label = label or next((n for n in rest if table.is_text(n)), None)

    def read() -> IntervalTable:
        with nwb.guarded():
            start = nwb.floats(table.at(times[0]))
            order = np.argsort(start, kind="stable")
            facts = {n: values for n in rest if (values := table.values(n)) is not None}
            words = [table.path.rpartition("/")[2]] * table.n_rows if label is None else map(_word, facts[label])
            columns = {n: tuple(values[i] for i in order) for n, values in facts.items()}
            seconds = tuple(n for n in facts if n.endswith("_time") and table.is_number(n))
            labels = np.asarray([*words, ""], object)[order]
            return IntervalTable(start[order], _stops(table, start)[order], tuple(labels), columns, seconds)

    return read


def _word(value: Any) -> str:
    return _JOIN.join(map(str, value)) if isinstance(value, list) else str(value)


def _stops(table: Table, start: Floats) -> Floats:
    if "start_time" in table.names:
        return table.nwb.floats(table.at("stop_time"))
    if "duration" not in table.names:
        return start
    duration = table.nwb.floats(table.at("duration"))
    stops: Floats = start + np.where(np.isnan(duration), 0.0, duration)
    return stops
