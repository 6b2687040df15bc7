"""The .npy arrays of sorted spikes, read strictly and memory-mapped: plain numbers and fixed text only.

Source: the description of the format in `numpy.lib.format` (versions 1.0 to 3.0). The header is a literal and is read
as one; nothing is unpickled. The bytes of the file must be those that its header describes.
"""

from __future__ import annotations

import ast
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import RecordingError
from .reader import file_size, newline_damage

MAGIC = b"\x93NUMPY"
MAX_HEADER = 1 << 16
_DTYPE = re.compile(r"[<>|=]?(b1|[iu][1248]|f[248]|U[1-9]\d{0,3})")
_AGAIN = "Copy it again from its source, in binary mode"


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
    if not head.startswith(MAGIC) or len(head) < 12:
        raise RecordingError(path, f"{where} does not start as .npy files do", remedy=_AGAIN)
    width = {1: 2, 2: 4, 3: 4}.get(head[6], 0) if head[7] == 0 else 0
    length = int.from_bytes(head[8 : 8 + width], "little")
    text = head[8 + width : 8 + width + length]
    if not width or length + 12 > MAX_HEADER or len(text) < length:
        raise RecordingError(path, f"the header of {where} is not whole (version {head[6]})", remedy=_AGAIN)
    fields = _fields(text)
    if fields is None:
        given = f"the header of {where} describes no plain array"
        raise RecordingError(path, given, allowed="numbers or fixed text, never objects", remedy=_AGAIN)
    return Header(*fields, 8 + width + length)


def _fields(text: bytes) -> tuple[np.dtype[Any], tuple[int, ...], bool] | None:
    try:
        held = ast.literal_eval(text.decode("utf-8").strip())
        order, shape, descr = held["fortran_order"], held["shape"], held["descr"]
    except (ValueError, TypeError, KeyError, SyntaxError, MemoryError, RecursionError):
        return None
    plain = isinstance(shape, tuple) and all(type(n) is int and 0 <= n < 1 << 48 for n in shape) and len(shape) <= 4
    if len(held) != 3 or type(order) is not bool or not plain:
        return None
    return (np.dtype(descr), shape, order) if isinstance(descr, str) and _DTYPE.fullmatch(descr) else None


def load(path: Path) -> NDArray[Any]:
    """Return the array of a .npy file, memory-mapped; RecordingError where its size is not the one it states."""
    size = file_size(path)
    with path.open("rb") as file:
        head = file.read(MAX_HEADER)
    try:
        said = read_header(path, head)
        if size != said.at + said.n_bytes:
            what = f"it has {size} bytes, but its header describes {said.at + said.n_bytes}"
            raise RecordingError(path, f"{what}: it is truncated or has bytes after its end", remedy=_AGAIN)
    except RecordingError as error:
        pairs, bare = newline_damage(path)
        if bare or not pairs or not head.startswith(MAGIC):
            raise
        given = f"{error.given.partition(': ')[2]}; a line-ending conversion (LF to CR LF) damaged it"
        raise RecordingError(path, given, remedy=_AGAIN) from None
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
