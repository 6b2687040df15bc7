"""MATLAB 5.0 MAT-files, parsed lazily and strictly.

Source: The MathWorks, "MAT-File Format" (level 5). A file is a header of 128 bytes and a chain of data elements: a
tag (type, size) and its bytes, padded to 8; a matrix is an element of elements (flags, dimensions, name, content).

Notable:
- Every size is checked against the element it lies in before anything of that size is read, and the chain must end
  where the file ends. An array whose dimensions and bytes differ is an error.
- Numbers of a variable that is not compressed are read from the file, slice by slice; a compressed variable is
  unpacked, when it is asked for, into a temporary file that has no name any more. Its checksum must hold.
- Opening walks all that is not compressed, field by field, so damage is seen also where nothing is read from later.
"""

from __future__ import annotations

import contextlib
import os
import re
import struct
import tempfile
import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from .frames import check_newlines
from .matlab import MAX_DEPTH, MAX_RATIO, MAX_VALUE, MIN_UNPACKED, Fields, Stored, Value, fail
from .reader import OpenFile

_HEADER = 128
_INT8, _INT32, _UINT32, _MATRIX, _COMPRESSED = 1, 5, 6, 14, 15
_NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_CODECS = {1: "latin-1", 2: "latin-1", 4: "utf-16", 16: "utf-8", 17: "utf-16", 18: "utf-32"}
_NOTHING, _CELL, _STRUCT, _CHAR, _NUMERIC = 0, 1, 2, 4, range(6, 16)
_NAMED = (*_NUMERIC, _CELL, _STRUCT, _CHAR)
_COMPLEX = 0x0800
_FIELD_NAME = re.compile(rb"[A-Za-z_]\w*", re.ASCII)
_PEEK = 1 << 12
MAX_ELEMENTS = 1 << 21  # of one struct array
MAX_NESTED = 32
MAX_HELD = 1 << 22


class Bytes(Protocol):
    """What bytes are read from."""

    def read_at(self, n: int, at: int) -> bytes: ...


@dataclass(frozen=True)
class Held:
    """Bytes in memory that lie at `at` of a file."""

    raw: bytes
    at: int

    def read_at(self, n: int, at: int) -> bytes:
        return self.raw[at - self.at : at - self.at + n]


class Element(NamedTuple):
    """One data element: its type, the place and number of its bytes, and the place of the next."""

    type: int
    at: int
    n: int
    next: int


class Matrix(NamedTuple):
    """The head of a matrix. at, end : where its content lies. A class that is not read has no dimensions."""

    cls: int
    complex: bool
    dims: tuple[int, ...]
    name: str
    at: int
    end: int

    @property
    def size(self) -> int:
        size = 1
        for n in self.dims:
            size *= n
        return size


@dataclass(frozen=True)
class Parser:
    """Reads elements from bytes, `order` '<' or '>'; what does not fit is RecordingError."""

    path: Path
    source: Bytes
    order: str

    def element(self, at: int, end: int) -> Element:
        if at + 8 > end:
            fail(self.path, f"its MATLAB data are truncated or damaged at byte {at}")
        word, n = struct.unpack(f"{self.order}II", self.source.read_at(8, at))
        if word >> 16:  # up to 4 bytes are kept in the tag itself
            element = Element(word & 0xFFFF, at + 4, word >> 16, at + 8)
            fits = element.n <= 4
        else:
            padded = n if word == _COMPRESSED else -(-n // 8) * 8
            element = Element(word, at + 8, n, min(at + 8 + padded, end))
            fits = at + 8 + n <= end
        if not fits:
            fail(self.path, f"an element of its MATLAB data at byte {at} claims {element.n} bytes, more than there are")
        return element

    def matrix(self, element: Element) -> Matrix:
        if element.type != _MATRIX:
            fail(self.path, f"its MATLAB data at byte {element.at} are of type {element.type}", allowed="a matrix (14)")
        end = element.at + element.n
        if element.n == 0:
            return Matrix(_NOTHING, False, (), "", end, end)
        flags = self._part(element.at, end, _UINT32, "flags", 8)
        word = struct.unpack(f"{self.order}I", self.source.read_at(4, flags.at))[0]
        cls = word & 0xFF
        if not 1 <= cls <= 18:
            fail(self.path, f"a matrix at byte {element.at} is of class {cls}", allowed="1 to 18")
        if cls not in _NAMED:
            return Matrix(cls, False, (), "", end, end)
        dims = self._part(flags.next, end, _INT32, "dimensions")
        if not 8 <= dims.n <= 256 or dims.n % 4:
            fail(self.path, f"a matrix at byte {element.at} has {dims.n} bytes of dimensions", allowed="2 or more of 4")
        shape = struct.unpack(f"{self.order}{dims.n // 4}i", self.source.read_at(dims.n, dims.at))
        if min(shape) < 0:
            fail(self.path, f"a matrix at byte {element.at} has the dimensions {shape}", allowed="0 or more")
        name = self._part(dims.next, end, _INT8, "name")
        if name.n > 256:
            fail(self.path, f"a matrix at byte {element.at} has a name of {name.n} bytes", allowed="up to 256")
        text = self.source.read_at(name.n, name.at).decode("ascii", "replace")
        return Matrix(cls, bool(word & _COMPLEX), shape, text, name.next, end)

    def field_places(self, matrix: Matrix) -> tuple[tuple[str, ...], int]:
        """Return the field names of a struct, and where its elements begin."""
        length = self._part(matrix.at, matrix.end, _INT32, "length of field names", 4)
        width = struct.unpack(f"{self.order}i", self.source.read_at(4, length.at))[0]
        names = self._part(length.next, matrix.end, _INT8, "field names")
        if not 1 <= width <= 4096 or names.n % width or names.n > 1 << 20:
            fail(self.path, f"a struct at byte {matrix.at} has {names.n} bytes of field names, {width} each")
        raw = self.source.read_at(names.n, names.at)
        words = [raw[i : i + width].split(b"\0")[0] for i in range(0, len(raw), width)]
        if len(set(words)) != len(words) or not all(_FIELD_NAME.fullmatch(w) for w in words):
            fail(self.path, f"a struct at byte {matrix.at} has field names that are none, or twice")
        return tuple(w.decode("ascii") for w in words), names.next

    def elements(self, at: int, end: int, count: int) -> list[Element]:
        """Return `count` elements that fill [at, end)."""
        if count > min((end - at) // 8, MAX_ELEMENTS):
            fail(self.path, f"its MATLAB data at byte {at} claim {count} elements", allowed=f"{MAX_ELEMENTS} that fit")
        found: list[Element] = []
        for _ in range(count):
            found.append(self.element(at, end))
            at = found[-1].next
        self._at_end(at, end)
        return found

    def numbers(self, matrix: Matrix) -> Element:
        """Return the element of a numeric matrix's real part, checked against its dimensions."""
        part = self.element(matrix.at, matrix.end)
        if part.type not in _NUMBERS:
            fail(self.path, f"numbers at byte {part.at} are of type {part.type}", allowed="a numeric type")
        if matrix.size * np.dtype(_NUMBERS[part.type]).itemsize != part.n:
            fail(self.path, f"an array at byte {part.at} of {matrix.dims} numbers has {part.n} bytes")
        after = part.next
        if matrix.complex:
            imaginary = self.element(after, matrix.end)
            after = imaginary.next
            if matrix.size * np.dtype(_NUMBERS.get(imaginary.type, "V0")).itemsize != imaginary.n:
                fail(self.path, f"the imaginary part of an array at byte {part.at} does not fit it")
        self._at_end(after, matrix.end)
        return part

    def check(self, element: Element, depth: int = 0) -> None:
        """Walk all that is in a matrix; texts are decoded, numbers are not read."""
        if depth > MAX_NESTED:
            fail(self.path, f"its MATLAB data at byte {element.at} are nested more than {MAX_NESTED} deep")
        matrix = self.matrix(element)
        if matrix.cls in (_STRUCT, _CELL) and element.n <= MAX_HELD and not isinstance(self.source, Held):
            return replace(self, source=Held(self.source.read_at(element.n, element.at), element.at))._walk(
                matrix, depth
            )
        return self._walk(matrix, depth)

    def _walk(self, matrix: Matrix, depth: int) -> None:
        if matrix.cls in (_STRUCT, _CELL):
            names, at = self.field_places(matrix) if matrix.cls == _STRUCT else (("",), matrix.at)
            for part in self.elements(at, matrix.end, matrix.size * len(names) if names else 0):
                self.check(part, depth + 1)
        elif matrix.cls == _CHAR:
            self._text(matrix)
        elif matrix.cls in _NUMERIC:
            self.numbers(matrix)

    def value(self, element: Element, keep: tuple[str, ...], depth: int = 0) -> Value:
        matrix = self.matrix(element)
        if matrix.cls == _NOTHING:
            return np.zeros((0, 0))
        if matrix.cls not in _NAMED or depth > MAX_DEPTH:
            return None
        if matrix.cls == _CHAR:
            return self._text(matrix)
        if matrix.cls == _STRUCT:
            return self._struct(matrix, keep, depth)
        if matrix.cls == _CELL:
            parts = self.elements(matrix.at, matrix.end, matrix.size)
            return tuple(self.value(part, keep, depth + 1) for part in parts)
        part = self.numbers(matrix)
        if matrix.size == 0:
            return np.zeros(matrix.dims)
        raw = np.frombuffer(self.source.read_at(part.n, part.at), self.order + _NUMBERS[part.type])
        return None if matrix.complex else raw.astype(np.float64).reshape(matrix.dims, order="F")

    def _struct(self, matrix: Matrix, keep: tuple[str, ...], depth: int) -> Value:
        names, at = self.field_places(matrix)
        if not names:
            return []
        parts = self.elements(at, matrix.end, matrix.size * len(names))
        wanted = [(i, name) for i, name in enumerate(names) if name in keep]
        starts = range(0, len(parts), len(names))
        return [{name: self.value(parts[s + i], keep, depth + 1) for i, name in wanted} for s in starts]

    def _text(self, matrix: Matrix) -> Value:
        if matrix.size == 0:
            part = self.element(matrix.at, matrix.end)
            if part.n:
                fail(self.path, f"a text at byte {part.at} of {matrix.dims} characters has {part.n} bytes")
            return ""
        part = self.element(matrix.at, matrix.end)
        self._at_end(part.next, matrix.end)
        codec = _CODECS.get(part.type)
        if codec is None:
            fail(self.path, f"a text at byte {part.at} is of type {part.type}", allowed="a type of text")
        if codec.startswith("utf-") and codec != "utf-8":
            codec += "-le" if self.order == "<" else "-be"
        try:
            text = self.source.read_at(part.n, part.at).decode(codec)
        except UnicodeDecodeError:
            fail(self.path, f"a text at byte {part.at} cannot be decoded")
        n_units = len(text.encode("utf-16-le")) // 2  # MATLAB counts these
        if matrix.size not in (len(text), n_units, part.n if part.type == 16 else -1):
            fail(self.path, f"a text at byte {part.at} has {len(text)} characters, but the dimensions {matrix.dims}")
        rows = matrix.dims[0]
        return text if rows == 1 or matrix.size != len(text) else "\n".join(text[i::rows] for i in range(rows))

    def _part(self, at: int, end: int, kind: int, what: str, n: int | None = None) -> Element:
        part = self.element(at, end)
        if part.type != kind or n not in (None, part.n):
            fail(self.path, f"the {what} of a matrix at byte {at} are of type {part.type}, with {part.n} bytes")
        return part

    def _at_end(self, at: int, end: int) -> None:
        if end - at >= 8:
            fail(self.path, f"{end - at} bytes follow the content of a matrix at byte {at}")


class V5Fields(Fields):
    """Fields by name. parts : what holds each: the parser of its bytes, and its element."""

    def __init__(self, path: Path, parts: dict[str, tuple[Parser, Element]], file: OpenFile) -> None:
        self.path, self.parts, self.file = path, parts, file
        self.names = tuple(parts)
        self._unpacked: dict[str, tuple[Parser, Element]] = {}

    def value(self, name: str, keep: tuple[str, ...] = ()) -> Value:
        if name not in self.parts:
            return None
        parser, element = self._plain(name)
        if element.n > MAX_VALUE:
            fail(self.path, f"its field '{name}' has {element.n} bytes", allowed=f"up to {MAX_VALUE}")
        held = Held(parser.source.read_at(element.n, element.at), element.at)
        return replace(parser, source=held).value(element, keep)

    def stored(self, name: str) -> Stored | None:
        if name not in self.parts:
            return None
        parser, element = self._plain(name)
        matrix = parser.matrix(element)
        if matrix.cls not in _NUMERIC or matrix.size == 0:
            return None
        if matrix.complex:
            fail(self.path, f"its field '{name}' holds complex numbers", allowed="real numbers")
        part = parser.numbers(matrix)
        dtype, n_rows = np.dtype(parser.order + _NUMBERS[part.type]), matrix.dims[0]

        def frames(start: int, stop: int) -> NDArray[Any]:
            width = n_rows * dtype.itemsize
            raw = parser.source.read_at((stop - start) * width, part.at + start * width)
            return np.frombuffer(raw, dtype).reshape(stop - start, n_rows)

        return Stored(matrix.dims, frames)

    def fields(self, name: str) -> V5Fields | None:
        if name not in self.parts:
            return None
        parser, element = self._plain(name)
        matrix = parser.matrix(element)
        if matrix.cls != _STRUCT or matrix.size != 1:
            return None
        names, at = parser.field_places(matrix)
        places = parser.elements(at, matrix.end, len(names))
        return V5Fields(self.path, {n: (parser, e) for n, e in zip(names, places, strict=True)}, self.file)

    def close(self) -> None:
        self.file.close()
        for parser, _ in self._unpacked.values():
            if isinstance(parser.source, OpenFile):
                parser.source.close()

    def _plain(self, name: str) -> tuple[Parser, Element]:
        """Return the field's parser and element; of a compressed one those of its unpacked bytes."""
        parser, element = self.parts[name]
        if element.type != _COMPRESSED:
            return parser, element
        if name not in self._unpacked:
            source, size = _unpack(parser, element)
            inner = replace(parser, source=source)
            self._unpacked[name] = inner, inner.element(0, size)
        return self._unpacked[name]


def open_v5(path: Path, size: int) -> V5Fields:
    """Return the variables of a MATLAB 5.0 file."""
    file = OpenFile(path)
    try:
        return V5Fields(path, _variables(path, file, size), file)
    except BaseException:
        file.close()
        with contextlib.suppress(OSError):
            check_newlines(path, path)
        raise


def _variables(path: Path, file: OpenFile, size: int) -> dict[str, tuple[Parser, Element]]:
    if size < _HEADER:
        fail(path, f"it ends after {size} bytes, inside its header of {_HEADER}")
    head = file.read_at(_HEADER, 0)
    order = {b"IM": "<", b"MI": ">"}.get(head[126:128], "")
    version = struct.unpack(f"{order or '<'}H", head[124:126])[0]
    if not order or version != 0x0100:
        fail(path, f"its MATLAB header ends with {head[124:128]!r}", allowed="version 0x0100 and 'IM' or 'MI'")
    parser = Parser(path, file, order)
    found: dict[str, tuple[Parser, Element]] = {}
    at = _HEADER
    while at < size:
        element = parser.element(at, size)
        name = _name(parser, element)
        if name in found:
            fail(path, f"it holds two variables named '{name[:40]}'")
        if element.type == _MATRIX:  # a checksum protects what is compressed
            parser.check(element)
        found[name] = (parser, element)
        at = element.next
    return found


def _name(parser: Parser, element: Element) -> str:
    if element.type != _COMPRESSED:
        return parser.matrix(element).name
    try:
        raw = zlib.decompressobj().decompress(parser.source.read_at(min(element.n, _PEEK), element.at), _PEEK)
    except zlib.error:
        fail(parser.path, f"compressed data at byte {element.at} are damaged")
    if len(raw) < 8:
        fail(parser.path, f"compressed data at byte {element.at} are truncated")
    inner = replace(parser, source=Held(raw, 0))
    # its content is not all here: only the head of the matrix is read
    kind, n = struct.unpack(f"{parser.order}II", raw[:8])
    return inner.matrix(Element(kind, 8, min(n, len(raw) - 8), 8 + n)).name


def _unpack(parser: Parser, element: Element) -> tuple[OpenFile, int]:
    """Return the unpacked bytes of a compressed element, in a file without a name, and how many they are."""
    with tempfile.NamedTemporaryFile(prefix="neural-foundation-", delete=False) as out:
        try:
            size = _inflate(parser, element, out)
            out.flush()
            return OpenFile(Path(out.name)), size
        finally:
            os.unlink(out.name)


def _inflate(parser: Parser, element: Element, out: Any) -> int:
    engine = zlib.decompressobj()
    size: int = 0
    most = max(MAX_RATIO * element.n, MIN_UNPACKED)
    at, end = element.at, element.at + element.n
    try:
        while at < end and not engine.eof:
            block = parser.source.read_at(min(1 << 20, end - at), at)
            at += len(block)
            while block:
                size += out.write(engine.decompress(block, 1 << 22))
                block = engine.unconsumed_tail
                if size > most:
                    given = f"compressed data at byte {element.at} unpack to more than {MAX_RATIO} times their size"
                    fail(parser.path, given, remedy="Save it without compression (-v6) if you trust it")
        size += out.write(engine.flush())
    except zlib.error:
        fail(parser.path, f"compressed data at byte {element.at} are damaged")
    if not engine.eof or engine.unused_data or at < end:
        fail(parser.path, f"compressed data at byte {element.at} do not end where they should")
    return size
