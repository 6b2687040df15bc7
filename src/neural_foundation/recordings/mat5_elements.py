"""The data elements of MAT-files of level 5: tags, the heads of arrays, and compressed variables.

Source: MathWorks, "MAT-File Format" (R2018a and later), chapter "MATLAB Level 5 MAT-Files". A file is a header of 128
bytes and a chain of elements: a tag (type, size) and its bytes, padded to 8; an array is an element of elements (flags,
dimensions, name, content). Every size is held against what contains it before anything of that size is read.
"""

from __future__ import annotations

import os
import struct
import tempfile
import threading
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, NamedTuple, NoReturn

from ..core.errors import DataError
from .reader import AGAIN, OpenFile, fail

INT8, INT32, UINT32, MATRIX, COMPRESSED = 1, 5, 6, 14, 15
COMPLEX, LOGICAL = 0x0800, 0x0200
OPAQUE = (17, 18)  # objects without dimensions
MAX_RATIO = 100  # a larger one is refused, ...
MIN_UNPACKED = 1 << 26  # ... beyond this size
MAX_HELD = 1 << 22
_DEFLATE = 1032  # no deflated stream unpacks to more than this many times its size
_MAX_AXES, _MAX_NAME = 32, 256
_PEEK = 1 << 12  # more than the head of any array takes
_STEP = 1 << 20

ReadAt = Callable[[int, int], bytes]


class Element(NamedTuple):
    """One data element: its type, where its bytes are, how many, and where the next one begins."""

    type: int
    at: int
    size: int
    next: int


class Matrix(NamedTuple):
    """The head of an array: its class and flags, shape, name, and where its contents are. Class 0: nothing in it."""

    cls: int
    flags: int
    shape: tuple[int, ...]
    name: str
    at: int
    end: int

    @property
    def n_values(self) -> int:
        n = 1
        for axis in self.shape:
            n *= axis
        return n


@dataclass(frozen=True)
class Source:
    """Bytes that hold elements. order : '<' or '>'. end : how far they reach.

    read_at : of the elements, maybe from memory. stored_at : of numbers, from where they are stored.
    """

    path: Path
    read_at: ReadAt
    stored_at: ReadAt
    order: str
    end: int

    def damaged(self, given: str) -> NoReturn:
        fail(self.path, given, remedy=AGAIN)

    def words(self, n: int, at: int, code: str = "I") -> tuple[int, ...]:
        """Return n numbers of 4 bytes."""
        return struct.unpack(f"{self.order}{n}{code}", self.read_at(4 * n, at))

    def held(self, at: int, end: int) -> Source:
        """Return the source with the bytes from `at` to `end` in memory, where they are few."""
        if self.read_at is not self.stored_at or end - at > MAX_HELD:
            return self
        raw = self.read_at(end - at, at)
        return replace(self, read_at=lambda n, place: raw[place - at : place - at + n], end=end)

    def element(self, at: int, end: int, *, top: bool = False) -> Element:
        """Return the element at a place; it and its padding must lie before `end`."""
        if at + 8 > end:
            self.damaged(f"it is truncated or damaged: at byte {end} it ends inside the tag of an element")
        kind, size = self.words(2, at)
        if kind >> 16:  # the small form: both in the first four bytes
            kind, size = kind & 0xFFFF, kind >> 16
            if size > 4 or top:
                self.damaged(f"an element in the small form has {size} bytes")
            return Element(kind, at + 4, size, at + 8)
        if top and kind not in (MATRIX, COMPRESSED):
            self.damaged(f"an element of type {kind} stands where a variable is expected")
        padded = size if kind == COMPRESSED else size + -size % 8
        if at + 8 + padded > end:
            missing = at + 8 + padded - end
            self.damaged(f"an element of {size} bytes does not fit: {missing} bytes are missing, it is truncated")
        return Element(kind, at + 8, size, at + 8 + padded)

    def elements(self, at: int, end: int, count: int, what: str, most: int) -> list[Element]:
        """Return `count` elements that fill [at, end)."""
        if count > min((end - at) // 8, most):
            self.damaged(f"{what} claims {count} members in {end - at} bytes")
        found = []
        for _ in range(count):
            found.append(self.element(at, end))
            at = found[-1].next
        if at != end:
            self.damaged(f"{end - at} bytes follow the members of {what}")
        return found

    def part(self, at: int, end: int, kind: int, what: str, size: int | None = None) -> Element:
        """Return the element at a place, which must be of a type and size."""
        found = self.element(at, end)
        if found.type != kind or size not in (None, found.size):
            self.damaged(f"the {what} of an array at byte {at} are of type {found.type}, {found.size} bytes long")
        return found

    def matrix(self, element: Element) -> Matrix:
        """Return the head of an array."""
        if element.type != MATRIX:
            self.damaged(f"an element of type {element.type} stands where an array is expected")
        end = element.at + element.size
        if element.size == 0:  # an empty cell or field
            return Matrix(0, 0, (0, 0), "", end, end)
        flags = self.part(element.at, end, UINT32, "flags", 8)
        word = self.words(1, flags.at)[0]
        cls = word & 0xFF
        if not 1 <= cls <= 18:
            self.damaged(f"an array at byte {element.at} is of class {cls}")
        if cls in OPAQUE:
            return Matrix(cls, 0, (), self._name(flags.next, end), end, end)
        dims = self.part(flags.next, end, INT32, "dimensions")
        if dims.size % 4 or not 8 <= dims.size <= 4 * _MAX_AXES:
            self.damaged("the dimensions of an array are not 2 to 32 numbers")
        shape = self.words(dims.size // 4, dims.at, "i")
        if min(shape) < 0:
            self.damaged(f"an array has the shape {shape}")
        name = self.element(dims.next, end)
        return Matrix(cls, word & ~0xFF, shape, self._name(dims.next, end), name.next, end)

    def _name(self, at: int, end: int) -> str:
        found = self.part(at, end, INT8, "name")
        raw = self.read_at(found.size, found.at) if found.size <= _MAX_NAME else b"\xff"
        if not raw.isascii():
            self.damaged(f"the name of an array is not ASCII of up to {_MAX_NAME} characters")
        return raw.decode("ascii")


class Inflated:
    """A compressed variable: its head unpacked at once, all of it when a value is asked for, into a nameless file."""

    def __init__(self, file: OpenFile, at: int, size: int, order: str) -> None:
        self.file, self.at, self.size, self._lock = file, at, size, threading.Lock()
        self._whole: OpenFile | None = None
        try:
            self._head = zlib.decompressobj().decompress(file.read_at(min(size, _PEEK), at), _PEEK)
        except zlib.error:
            self._damaged("is damaged (zlib)")
        if len(self._head) < 8:
            self._damaged("is truncated")
        kind, n = struct.unpack(f"{order}II", self._head[:8])
        self.end = 8 + n
        if kind != MATRIX or self.end > _DEFLATE * size + 1024:
            self._damaged(f"of {size} bytes holds an element of type {kind}, {n} bytes long")
        if self.end > max(MAX_RATIO * size, MIN_UNPACKED):
            given = f"a compressed variable of {size} bytes would unpack to more than {MAX_RATIO} times their size"
            fail(file.path, given, remedy="Save it without compression (-v6) if you trust it")

    def head_at(self, n: int, at: int) -> bytes:
        """Return n bytes of the head, not held against the checksum yet, or of the whole."""
        if at + n <= min(len(self._head), self.end):
            return self._head[at : at + n]
        return self.read_at(n, at)

    def read_at(self, n: int, at: int) -> bytes:
        """Return n bytes; RecordingError where the whole is not what its tag and checksum say."""
        self.file.read_at(0, 0)  # DataError where it is closed
        if at + n > self.end:
            self._damaged("is shorter than its size")
        with self._lock:
            if self._whole is None:
                self._whole = self._unpacked()
        return self._whole.read_at(n, at)

    def close(self) -> None:
        if self._whole is not None:
            self._whole.close()

    def _unpacked(self) -> OpenFile:
        try:
            with tempfile.NamedTemporaryFile(prefix="neural-foundation-", delete=False) as out:
                try:
                    self._unpack(out)
                    out.flush()
                    return OpenFile(Path(out.name))
                finally:
                    os.unlink(out.name)
        except OSError as error:
            given = f"A compressed variable of {self.file.path} cannot be unpacked into {tempfile.gettempdir()}"
            remedy = "Free room there, or name another place in TMPDIR"
            raise DataError(f"{given} ({error.strerror})", remedy=remedy) from None

    def _unpack(self, out: IO[bytes]) -> None:
        engine, size, at, end = zlib.decompressobj(), 0, self.at, self.at + self.size
        try:
            while not engine.eof and size <= self.end:
                packed = engine.unconsumed_tail
                if not packed:
                    packed = self.file.read_at(min(_STEP, end - at), at)
                    at += len(packed)
                # one byte more than there should be, so that a stream that is longer shows it
                more = engine.decompress(packed, min(4 * _STEP, self.end + 1 - size) or 1)
                if not packed and not more:
                    self._damaged("is truncated")
                size += out.write(more)
        except zlib.error:
            self._damaged("is damaged (zlib)")
        if size != self.end or not engine.eof or engine.unused_data or engine.unconsumed_tail or at < end:
            self._damaged("does not end where its size says")

    def _damaged(self, given: str) -> NoReturn:
        fail(self.file.path, f"a compressed variable {given}", remedy=AGAIN)
