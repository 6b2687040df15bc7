"""NumPy's .npy arrays, read strictly: plain numbers and fixed text only, in a file of their own or inside an .npz.

Source: the description of the format in `numpy.lib.format` (versions 1.0 to 3.0). The header is matched by a pattern,
not evaluated, and nothing is unpickled. The bytes of the file must be those that its header describes.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import RecordingError
from .arrays import Array, Group, Strided
from .reader import AGAIN, OpenFile, fail, file_size, naming_newlines

MAGIC = b"\x93NUMPY"
MAX_HEADER = 1 << 16
NAME = "array"
_SHAPE = r"(|\d{1,14},|\d{1,14}(?:, ?\d{1,14}){1,3},?)"
_HEADER = re.compile(
    rf"\{{'descr': '([^'\\]{{1,40}})', 'fortran_order': (True|False), 'shape': \({_SHAPE} ?\),? ?\}} *\n?", re.ASCII
)
_DTYPE = re.compile(r"[<>|=]?(b1|[iu][1248]|f[248]|U[1-9]\d{0,3})")


@dataclass(frozen=True)
class Header:
    """What a header says: dtype, shape, whether the first axis runs fastest, and where the data starts."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    fortran: bool
    at: int

    @property
    def n_bytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize

    def array(self, raw: bytes) -> NDArray[Any]:
        """Return the array of the bytes that follow the header."""
        return np.frombuffer(raw, self.dtype).reshape(self.shape, order="F" if self.fortran else "C")


def read_header(path: Path, head: bytes, what: str = "") -> Header:
    """Return what the first bytes of an array (up to MAX_HEADER) say. what : its name where it lies inside `path`."""
    where = f"'{what}' in it" if what else "it"
    if len(head) < 12 or not head.startswith(MAGIC) or head[6] not in (1, 2, 3) or head[7]:
        fail(path, f"{where} does not start as .npy files of version 1 to 3 do", remedy=AGAIN)
    width = 2 if head[6] == 1 else 4
    length = int.from_bytes(head[8 : 8 + width], "little")
    text = head[8 + width : 8 + width + length]
    if length + 12 > MAX_HEADER or len(text) < length:
        fail(path, f"the header of {where} claims {length} bytes", remedy=AGAIN)
    found = _HEADER.fullmatch(text.decode("utf-8" if head[6] == 3 else "latin-1", "replace"))
    if found is None:
        fail(path, f"the header of {where} is not that of an array of numbers or fixed text", remedy=AGAIN)
    if not _DTYPE.fullmatch(found[1]):
        allowed = "numbers (bool, integer or float) or fixed text, never objects"
        fail(path, f"the array of {where} is of type '{found[1]}'", allowed=allowed, remedy="Save it as plain numbers")
    shape = tuple(int(word) for word in found[3].replace(",", " ").split())
    return Header(np.dtype(found[1]), shape, found[2] == "True", 8 + width + length)


def _header(path: Path) -> Header:
    """Return the header of a file of one array; RecordingError where its size is not the one it states."""
    size = file_size(path)
    with path.open("rb") as file:
        head = file.read(MAX_HEADER)
    with naming_newlines(path):
        said = read_header(path, head)
        if size != (expected := said.at + said.n_bytes):
            what = "it is truncated" if size < expected else f"{size - expected} bytes follow its end"
            fail(path, f"it has {size} bytes, but its header describes {expected}: {what}", remedy=AGAIN)
    return said


def load(path: Path) -> NDArray[Any]:
    """Return the array of a .npy file, memory-mapped; RecordingError where its size is not the one it states."""
    said = _header(path)
    if said.n_bytes == 0:
        return np.zeros(said.shape, said.dtype)
    order: Any = "F" if said.fortran else "C"
    return np.memmap(path, said.dtype, mode="r", offset=said.at, shape=said.shape, order=order)


def row(path: Path, values: NDArray[Any], what: str) -> NDArray[Any]:
    """Return a row of numbers or words, (n,) or (n, 1) or (1, n), as (n,); RecordingError for any other shape."""
    one = values.ndim == 1 or (values.ndim == 2 and 1 in values.shape)
    if not one or values.dtype.kind not in "iufU":
        given = f"the {what} have shape {values.shape} and type {values.dtype}"
        raise RecordingError(path, given, allowed="one row, one entry a spike")
    return values.reshape(-1)


class NpyGroup(Group):
    """The one array of numbers of a file, named 'array', read by slices."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        said = _header(path)
        if said.dtype.kind == "U":
            fail(path, f"its array is of type '{said.dtype.str}'", allowed="numbers", remedy="Save it as plain numbers")
        self.bytes = OpenFile(path)
        self.array = Strided(NAME, said.shape, said.dtype, self.bytes.read_at, said.at, fortran=said.fortran)

    def names(self) -> Sequence[str]:
        return [NAME]

    def get(self, name: str) -> Group | Array:
        return self.array
