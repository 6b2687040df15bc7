"""What a file in temporaldata's layout is made of: groups of arrays, text in ASCII, names that Python can say.

Names: temporaldata makes an attribute of every group and array. A name that is none (a space, a leading figure, a
method of its classes) is changed for the file, and kept as it was in the attribute `name`.
Columns: numbers, True / False and text are stored as they are; a column of anything else (unknown entries, lists of
uneven length) is stored as JSON, one text an entry, and marked `encoding = json`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import DataError
from .interval_table import plain

PLAIN_VERSION = 1  # one signal in volts, and trials
WHOLE_VERSION = 2  # whatever a session holds
FORMAT_VERSION = 3  # samples as int16, too
MAX_TEXT_BYTES = 1 << 30
BALLAST_BYTES = 1 << 20
MAX_GRID_S = 1e8  # three years: temporaldata keeps an index entry for each second of a series

# what temporaldata's classes, and their files, use themselves
_RESERVED = """
    absolute_start close coalesce difference dilate domain end file format_version from_dataframe
    from_gappy_timeseries from_hdf5 from_list get_nested_attribute has_nested_attribute index_mask is_disjoint
    is_gappy is_sorted keys load materialize linspace arange object register_timekey sampling_rate save
    select_by_interval select_by_mask set_nested_attribute set_test_domain set_train_domain set_valid_domain
    slice sort split start subdivide add_split_mask allow_split_mask_overlap to_dict to_hdf5 to_irregular
    timekeys timestamp_indices_1s timestamps
"""
RESERVED = frozenset(_RESERVED.split())
_NONE: Mapping[str, Any] = {}


class Names:
    """The names of one group; `take` gives each thing a free one that Python can say."""

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self._taken = set(taken)

    def take(self, name: str, *suffixes: str) -> str:
        """Return a free name like `name`, so that it with each of the suffixes is free too, and take them all."""
        said = re.sub(r"\W", "_", name, flags=re.ASCII).lstrip("_") or "x"
        said = said if said[0].isalpha() and said not in RESERVED else f"x_{said}"
        free, n = said, 1
        while any(free + suffix in self._taken for suffix in ("", *suffixes)):
            n += 1
            free = f"{said}_{n}"
        self._taken.update(free + suffix for suffix in ("", *suffixes))
        return free


def group(parent: Any, name: str) -> Any:
    """Return a new group that keeps no times."""
    import h5py

    creation = h5py.h5p.create(h5py.h5p.GROUP_CREATE)
    creation.set_obj_track_times(False)
    return h5py.Group(h5py.h5g.create(parent.id, name.encode(), gcpl=creation))


def head(file: Any, version: int, session_id: str, subject: str) -> None:
    """Write what every session starts with: its version, and who and what it is."""
    attributes(file, "Data", absolute_start=0.0, format_version=version)
    for name, word in (("brainset", "neural_foundation"), ("session", session_id), ("subject", subject)):
        attributes(group(file, name), "Data", absolute_start=0.0, id=word)


def attributes(group: Any, kind: str, **others: Any) -> None:
    """Write the class of a group and its other attributes."""
    for name, value in {"object": kind, **others}.items():
        group.attrs[name] = value


def arrays(group: Any, kind: str, columns: Mapping[str, Any]) -> None:
    """Write arrays of one length as an object of temporaldata's class `kind`."""
    for name, array in columns.items():
        group.create_dataset(name, data=array)
    words = [name for name, array in columns.items() if array.dtype.kind == "S"]
    attributes(group, kind, _unicode_keys=np.array(words, dtype="S"))


def interval(group: Any, start: Any, end: Any, others: Mapping[str, Any] = _NONE, times: Sequence[str] = ()) -> None:
    """Write an Interval; `times` names the other columns that are times."""
    arrays(group, "Interval", {"start": start, "end": end, **others})
    group.attrs["timekeys"] = np.array(["start", "end", *times], dtype="S")


def irregular(group: Any, times_s: Any, others: Mapping[str, Any], times: Sequence[str] = ()) -> None:
    """Write an IrregularTimeSeries: its rows, its domain from first to last, and the index that slices need."""
    arrays(group, "IrregularTimeSeries", {"timestamps": times_s, **others})
    group.attrs["timekeys"] = np.array(["timestamps", *times], dtype="S")
    first, last = (float(times_s[0]), float(times_s[-1])) if len(times_s) else (0.0, 0.0)
    # one entry more than temporaldata writes: where the last second is whole, it would miss the last row
    grid = first + np.arange(_seconds(first, last) + 2.0)
    group.create_dataset("timestamp_indices_1s", data=np.searchsorted(times_s, grid))
    interval(_child(group, "domain"), np.array([first]), np.array([last]))


def _seconds(first: float, last: float) -> float:
    if last - first > MAX_GRID_S:
        given = f"Times span {last - first:g} s"
        raise DataError(given, allowed=f"up to {MAX_GRID_S:g} s", remedy="Give times in seconds, on one clock")
    return float(np.ceil(last - first))


_child = group


def text(words: Sequence[str]) -> NDArray[np.bytes_]:
    """Return words in ASCII, `unicode_escape` for all else, as an array of fixed width."""
    escaped = [word.encode("unicode_escape") for word in words]
    width = max([1, *map(len, escaped)])
    if width * len(escaped) > MAX_TEXT_BYTES:
        given = f"{len(escaped)} texts of up to {width} characters"
        raise DataError(given, allowed=f"{MAX_TEXT_BYTES >> 20} MiB in all", remedy="Shorten the longest text")
    return np.array(escaped, dtype=f"S{width}")


def facts(columns: Mapping[str, Sequence[Any]], names: Names) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Return the arrays of some columns by their name in the file, and the attributes to `mark` them with."""
    stored: dict[str, Any] = {}
    marks: dict[str, dict[str, Any]] = {}
    for name, column in sorted(columns.items()):  # equal facts give equal bytes, in whatever order they come
        said = names.take(name)
        stored[said], as_json = _column(name, column)
        marks[said] = ({"encoding": "json"} if as_json else {}) | ({} if said == name else {"name": text([name])[0]})
    return stored, marks


def mark(group: Any, marks: Mapping[str, Mapping[str, Any]]) -> None:
    """Write the attributes of some arrays of a group."""
    for name, values in marks.items():
        for key, value in values.items():
            group[name].attrs[key] = value


def _column(name: str, column: Sequence[Any]) -> tuple[NDArray[Any], bool]:
    """Return a column as an array, and whether it is JSON."""
    values = plain(list(column))
    if values and all(isinstance(value, str) for value in values):
        return text(values), False
    try:
        array = np.asarray(values if values else np.zeros(0))
        if array.dtype.kind in "biuf" and repr(array.tolist()) == repr(values):
            return array, False
    except (ValueError, OverflowError):
        pass  # lists of uneven length, or a whole number of more than 64 bit
    try:
        return text([json.dumps(value) for value in values]), True
    except TypeError as error:
        allowed = "numbers, text, True, False, None, and lists of them"
        raise DataError(f"Column '{name}' cannot be stored ({error})", allowed=allowed) from None
