"""An HDF5 file of a stranger, read with care: its groups, arrays and text, each checked before it is taken.

Sizes are held against the file before anything is allocated; links that lead elsewhere, groups that hold themselves
and arrays that lie in other files are refused. Whatever h5py raises becomes one RecordingError.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import DataError, RecordingError
from .hdf5_end import check_whole

AGAIN = "Copy it again from its source, or prepare it again"
MAX_RATIO = 1000  # a compressed array may be this much larger than the file
MAX_RATIO_WHOLE = 100  # one that is read whole, this much
MAX_DEPTH = 16
MAX_FACT_SIZE = 1024  # values of one entry of a column; waveforms are no fact
_TEXT_BLOCK = 8


@contextlib.contextmanager
def guarded(path: Path) -> Iterator[None]:
    """Turn what h5py raises for a damaged file, and content that cannot be, into RecordingError."""
    try:
        yield
    except RecordingError:
        raise
    except DataError as error:
        raise RecordingError(path, error.given, allowed=error.allowed, remedy=AGAIN) from None
    except Exception as error:  # noqa: BLE001 - h5py raises a dozen types for damaged bytes
        raise RecordingError(path, f"the HDF5 file is damaged ({type(error).__name__})", remedy=AGAIN) from None


def object_of(group: Any) -> str:
    """Return the class that temporaldata wrote, '' for an array or another group."""
    found = group.attrs.get("object", "") if hasattr(group, "keys") else ""
    return found.decode("ascii", "replace") if isinstance(found, bytes) else str(found)


@dataclass(frozen=True)
class Node:
    """One object of a file. path : as temporaldata says it, 'cursor.pos'. key : its name in `parent`, where it lies."""

    path: str
    key: str
    group: Any
    parent: Any

    @property
    def kind(self) -> str:
        return object_of(self.group)


class Tree:
    """An open file. own : the format_version where this package wrote it, else 0. size : bytes of the file."""

    def __init__(self, path: Path, file: Any, size: int, own: int) -> None:
        self.path, self.file, self.size, self.own = path, file, size, own

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        """Guard a read that comes later; DataError where the session is closed by then."""
        if not self.file:
            given = f"The session of {self.path} is closed"
            raise DataError(given, remedy="Read before closing it, or open it again")
        with guarded(self.path):
            yield
            check_whole(self.path, self.file)

    def nodes(self) -> Iterator[Node]:
        """Yield every object but the Data that hold others, in order of their names."""
        yield from self._under(self.file, "", set(), 0)

    def _under(self, group: Any, prefix: str, seen: set[int], depth: int) -> Iterator[Node]:
        import h5py

        number = h5py.h5g.get_objinfo(group.id).objno
        if number in seen or depth > MAX_DEPTH:
            raise RecordingError(self.path, f"its group '{group.name}' holds itself", remedy=AGAIN)
        seen.add(number)
        for name, child in self.children(group):
            path = f"{prefix}{name}"
            if object_of(child) == "Data":
                yield from self._under(child, f"{path}.", seen, depth + 1)
            else:
                yield Node(path, name, child, group)

    def children(self, group: Any) -> list[tuple[str, Any]]:
        """Return the groups and arrays of a group by name; RecordingError where one is a link that leads elsewhere."""
        import h5py

        found = []
        for name in group:
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise RecordingError(self.path, f"its '{name}' lies in another place", allowed="whole files")
            found.append((str(name), group[name]))
        return found

    def datasets(self, group: Any, *without: str) -> dict[str, Any]:
        """Return the arrays of a group by name."""
        return {
            n: a for n, a in self.children(group) if hasattr(a, "dtype") and hasattr(a, "chunks") and n not in without
        }

    def check(self, array: Any, ratio: int = MAX_RATIO) -> None:
        """Raise RecordingError where an array claims more than the file can hold, or lies in another file."""
        claimed, stored = array.size * array.dtype.itemsize, array.id.get_storage_size()
        most = self.size * (1 if array.chunks is None else ratio)
        if claimed and (stored == 0 or stored > self.size or claimed > most):
            given = f"it has {self.size} bytes, but its array '{array.name}' claims {claimed}"
            raise RecordingError(self.path, given, remedy=f"It is truncated. {AGAIN}")
        if array.external or array.is_virtual:
            raise RecordingError(self.path, f"its array '{array.name}' lies in another file", allowed="whole files")

    def array(self, array: Any) -> NDArray[Any]:
        """Return a whole array."""
        self.check(array, MAX_RATIO_WHOLE)
        return np.asarray(array[()])

    def words(self, array: Any) -> list[str]:
        """Return a column of text, or of numbers as text."""
        if array.dtype.kind == "O":
            return [self._decoded(word) for word in self._long_text(array)]
        column = self.array(array)
        return [str(x) for x in column.tolist()] if column.dtype.kind in "iufb" else self.decoded(column.tolist())

    def decoded(self, words: Iterable[Any]) -> list[str]:
        """Return texts as they were before they were stored."""
        return [self._decoded(word) for word in words]

    def _decoded(self, word: Any) -> str:
        try:
            return word.decode("unicode_escape" if self.own else "utf-8") if isinstance(word, bytes) else str(word)
        except UnicodeDecodeError:
            raise RecordingError(self.path, "a text in it cannot be decoded", remedy=AGAIN) from None

    def _long_text(self, array: Any) -> Iterator[bytes]:
        """Yield the texts of free length, a few at a time: many entries may name the same long one."""
        self.check(array, MAX_RATIO_WHOLE)
        total = 0
        for at in range(0, array.shape[0], _TEXT_BLOCK):
            block = [
                bytes(word) if isinstance(word, bytes) else str(word).encode() for word in array[at : at + _TEXT_BLOCK]
            ]
            total += sum(map(len, block))
            if total > self.size * MAX_RATIO_WHOLE:
                raise RecordingError(self.path, f"its array '{array.name}' claims more text than it has", remedy=AGAIN)
            yield from block

    def name(self, thing: Any, otherwise: str) -> str:
        """Return the name that a group or array had before it was written."""
        found = thing.attrs.get("name") if self.own else None
        return otherwise if found is None else self._decoded(found if isinstance(found, bytes) else str(found).encode())

    def attribute_words(self, group: Any, name: str) -> list[str]:
        """Return the texts of an attribute, none where there is no such."""
        found = np.asarray(group.attrs.get(name, [])).reshape(-1)
        return self.decoded(found.tolist())

    def is_fact(self, array: Any) -> bool:
        """Return whether a column can be one: numbers or text, an entry of up to 1024 values a row."""
        import h5py

        kind = array.dtype.kind
        text = kind == "S" or (kind == "O" and h5py.check_string_dtype(array.dtype) is not None)
        small = array.ndim >= 1 and int(np.prod([float(n) for n in array.shape[1:]])) <= MAX_FACT_SIZE
        return (kind in "biuf" and small) or (text and array.ndim == 1)

    def facts(self, group: Any, *without: str) -> dict[str, tuple[Any, ...]]:
        """Return the columns of a table that can be facts, as plain Python values."""
        found: dict[str, tuple[Any, ...]] = {}
        for key, array in self.datasets(group, *without).items():
            if self.is_fact(array):
                found[self.name(array, key)] = self._fact(array)
        return found

    def _fact(self, array: Any) -> tuple[Any, ...]:
        if array.dtype.kind in "biuf":
            return tuple(self.array(array).tolist())
        words = self.words(array)
        as_json = self.own and array.attrs.get("encoding") == "json"
        return tuple(json.loads(word) for word in words) if as_json else tuple(words)


def beyond(block: NDArray[Any], most: int) -> bool:
    """Return whether an array has a whole number larger than `most`, either way."""
    return block.dtype.kind in "iu" and block.size > 0 and max(int(block.max()), -int(block.min())) > most
