"""The variables of a MAT-file of either version as plain values, where the fields and their meaning are known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import RecordingError
from .arrays import Array, Group, Words
from .mat5 import Mat5
from .mat73 import Mat73
from .reader import AGAIN, OpenFile, fail

MAX_LOADED = 1 << 28  # bytes of what is loaded whole
MAX_DEPTH = 6
V5, V73 = b"MATLAB 5.0 MAT-f", b"MATLAB 7.3 MAT-f"

# str: text (rows of a text array joined by LF). array: numbers, in MATLAB's shape. list: a struct array, element by
# element, with the fields that were asked for. tuple: a cell array. None: a value of another class.
Value = str | NDArray[np.float64] | list[dict[str, Any]] | tuple[Any, ...] | None


def open_mat(path: Path, size: int) -> Mat5 | Mat73:
    """Return the variables of a MAT-file of `size` bytes, of level 5 or version 7.3."""
    with path.open("rb") as file:
        head = file.read(len(V5))
    if head == V73:
        return Mat73.open(path, size)
    if head != V5:
        raise RecordingError(
            path,
            "it does not start as MAT-files of level 5 or version 7.3 do",
            allowed="what MATLAB's save writes with -v6, -v7 or -v7.3",
            remedy="Save it again so (save -v7), or copy it again from its source",
        )
    opened = OpenFile(path)
    try:
        return Mat5(path, opened, size)
    except BaseException:
        opened.close()
        raise


class Fields:
    """The fields of a struct, or the variables of a file."""

    def __init__(self, group: Group) -> None:
        self.group = group
        self.names = tuple(group.names())
        self._left = MAX_LOADED  # references may name one large array many times

    def value(self, name: str, keep: tuple[str, ...] = ()) -> Value:
        """Return the field, loaded; of a struct in it only the fields `keep`. None where there is no such field."""
        return self._value(self.group.get(name), keep, 0) if name in self.names else None

    def stored(self, name: str) -> Array | None:
        """Return the numbers of a field, not loaded, or None where it holds none."""
        found = self.group.get(name) if name in self.names else None
        if isinstance(found, Array) and found.what:
            fail(self.group.file, f"its field '{name}' holds {found.what}", allowed="real numbers", remedy=AGAIN)
        return found if isinstance(found, Array) and found.kind == "number" and found.size else None

    def fields(self, name: str) -> Fields | None:
        """Return the fields of a struct of one element, or None where it is none."""
        found = self.group.get(name) if name in self.names else None
        return Fields(found) if isinstance(found, Group) and found.form == "struct" else None

    def _value(self, node: Group | Array, keep: tuple[str, ...], depth: int) -> Value:
        if depth > MAX_DEPTH:
            return None
        if isinstance(node, Array):
            return self._loaded(node)
        if node.form == "struct":
            return [self._row(node, keep, depth)]
        members = (node.get(name) for name in node.names())
        if node.form == "structs":
            return [self._row(element, keep, depth) for element in members if isinstance(element, Group)]
        return tuple(self._value(member, keep, depth + 1) for member in members) if node.form == "cell" else None

    def _row(self, struct: Group, keep: tuple[str, ...], depth: int) -> dict[str, Any]:
        names = struct.names()
        return {name: self._value(struct.get(name), keep, depth + 1) for name in keep if name in names}

    def _loaded(self, array: Array) -> Value:
        if isinstance(array, Words):
            return tuple(array.words()) if array.cells else "\n".join(array.words())
        if array.kind == "text":
            return ""
        self._left -= 8 * array.size
        if self._left < 0:
            fail(self.group.file, f"what is loaded whole, last '{array.name}', has more than {MAX_LOADED} bytes")
        return np.asarray(array.numbers(), np.float64) if array.kind == "number" else None
