"""A .npy file: one array of numbers.

Source: the description of the format in `numpy.lib.format` (versions 1.0 to 3.0). Its header is matched by a pattern,
not evaluated; arrays of objects (pickle) and of records are refused.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..core.errors import RecordingError
from .arrays import Array, Group, Strided
from .reader import OpenFile, file_size, newline_damage

MAGIC = b"\x93NUMPY"
NAME = "array"
_MAX_HEADER = 1 << 16
_HEADER = re.compile(
    r"\{'descr': '([<>|=]?[a-zA-Z]\d*)', 'fortran_order': (True|False), 'shape': \(((?:\d{1,18},? ?)*)\),? ?\} *\n",
    re.ASCII,
)
_AGAIN = "Copy it again from its source, in binary mode"


class Npy(Group):
    """The one array of the file, named 'array'."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.bytes_size = file_size(path)
        self.bytes = OpenFile(path)
        try:
            self.array = self._array()
        except BaseException:
            self.bytes.close()
            raise

    def names(self) -> Sequence[str]:
        return [NAME]

    def get(self, name: str) -> Group | Array:
        return self.array

    def _array(self) -> Array:
        head = self.bytes.read_at(min(self.bytes_size, 12), 0)
        if len(head) < 12 or not head.startswith(MAGIC) or head[6] not in (1, 2, 3) or head[7]:
            raise self._error("it does not start as .npy files of version 1 to 3 do")
        width = 2 if head[6] == 1 else 4
        at, n = 8 + width, int.from_bytes(head[8 : 8 + width], "little")
        if n > _MAX_HEADER or at + n > self.bytes_size:
            raise self._error(f"its header claims {n} bytes")
        text = self.bytes.read_at(n, at).decode("utf-8" if head[6] == 3 else "latin-1", "replace")
        match = _HEADER.fullmatch(text)
        if match is None:
            raise self._error("its header is not that of an array of numbers")
        shape = tuple(int(word) for word in match[3].replace(",", " ").split())
        dtype = _dtype(match[1])
        if dtype is None:
            allowed = "an array of numbers (bool, integer or float)"
            raise RecordingError(self.file, f"its array is of type '{match[1]}'", allowed=allowed)
        array = Strided(NAME, shape, dtype, self.bytes.read_at, at + n, fortran=match[2] == "True")
        expected = at + n + array.size * dtype.itemsize
        if expected != self.bytes_size:
            what = "it is truncated" if self.bytes_size < expected else f"{self.bytes_size - expected} bytes follow"
            raise self._error(f"it has {self.bytes_size} bytes, but its header describes {expected}: {what}")
        return array

    def _error(self, given: str) -> RecordingError:
        pairs, bare = newline_damage(self.file)
        if pairs and bare == 0:
            given = f"a line-ending conversion (LF to CR LF) damaged it ({given})"
        return RecordingError(self.file, given, remedy=_AGAIN)


def _dtype(word: str) -> np.dtype[np.generic] | None:
    try:
        dtype = np.dtype(word)
    except (TypeError, ValueError):
        return None
    return dtype if dtype.kind in "iufb" and dtype.itemsize <= 8 and word[1:].strip() else None
