"""MAT-files of level 5 (MATLAB 5 to 7.2, Octave, scipy), read strictly and without a library.

Source: MathWorks, "MAT-File Format" (R2018a and later), chapter "MATLAB Level 5 MAT-Files".

Notable:
- Opening walks the top-level elements: they must end where the file ends. Of a compressed variable only the first
  bytes are unpacked; the rest, when its values are first asked for, and kept. It must be exactly as long as its tag
  says, and its Adler-32 checksum must hold. An uncompressed array is read in place, piece by piece.
- Sizes are held against what contains them before anything is allocated; nothing unpacks to more than 1032 times its
  size, as deflate cannot.
- Numbers keep the class that MATLAB shows (a double that is stored as uint8 is float64); logicals are bool; a row of
  characters is one word, so a matrix of characters is a word a row (its trailing blanks removed), and so is a cell
  array of rows. Cells and struct arrays are groups whose members are numbered from 1, in MATLAB's linear order.
- Complex and sparse arrays, functions, and objects other than the old ones hold no arrays here ('other').
"""

from __future__ import annotations

import threading
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from ..core.errors import RecordingError
from .arrays import Array, Group, Strided, Words
from .reader import OpenFile, newline_damage

HEADER = 128
MAX_RATIO = 1032  # of deflate
_AGAIN = "Copy it again from its source, in binary mode"
_NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_TEXTS = {1: "latin-1", 2: "latin-1", 4: "utf-16", 16: "utf-8", 17: "utf-16", 18: "utf-32"}
_CLASSES = {6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4", 14: "i8", 15: "u8"}
_CELL, _STRUCT, _OBJECT, _CHAR = 1, 2, 3, 4
_MATRIX, _COMPRESSED = 14, 15
_COMPLEX, _LOGICAL = 0x0800, 0x0200
_MAX_AXES = 32
_MAX_DEPTH = 32
_STEP = 1 << 16
_HEAD = 4096  # more than the head of any array takes

ReadAt = Callable[[int, int], bytes]


@dataclass(frozen=True)
class Source:
    """Bytes that hold elements. read_at(n, at) -> n bytes. order : '<' or '>'. end : how far they reach."""

    path: Path
    read_at: ReadAt
    order: str
    end: int

    def fail(self, given: str) -> NoReturn:
        raise RecordingError(self.path, given, remedy=_AGAIN)


@dataclass(frozen=True)
class Element:
    """One data element: its type, where its bytes are, how many, and where the next one begins."""

    type: int
    at: int
    size: int
    next: int


@dataclass(frozen=True)
class Matrix:
    """The head of an array: its class and flags, shape, name, and where its contents are."""

    cls: int
    flags: int
    shape: tuple[int, ...]
    name: str
    at: int
    end: int


class Inflated:
    """A compressed element, unpacked as far as it was read. It begins at byte `at` of the file, `size` bytes long."""

    def __init__(self, path: Path, file: OpenFile, at: int, size: int, order: str) -> None:
        self.path, self.file, self.at, self.left = path, file, at, size
        self._zlib, self._bytes, self._lock = zlib.decompressobj(), bytearray(), threading.Lock()
        self.end = _HEAD
        kind, n = np.frombuffer(self.read_at(8, 0), f"{order}u4").tolist()
        self.end = 8 + n
        if kind != _MATRIX or self.end > MAX_RATIO * size + 1024:
            _damaged(path, f"a compressed variable of {size} bytes holds an element of type {kind}, {n} bytes long")

    def read_at(self, n: int, at: int) -> bytes:
        """Return n bytes; RecordingError where the whole is not what its tag and checksum say."""
        with self._lock:  # the state of zlib is one for all threads
            if at + n > len(self._bytes):
                self._unpack(_HEAD if at + n <= _HEAD else self.end)
        if at + n > len(self._bytes):
            _damaged(self.path, "a compressed variable is shorter than its size")
        return bytes(memoryview(self._bytes)[at : at + n])

    def _unpack(self, upto: int) -> None:
        """Unpack to `upto` bytes or a little more; to its end also hold length and checksum against its tag."""
        whole = upto == self.end and upto != _HEAD
        # one byte more than there should be, so that the stream comes to its end, or shows that it is longer
        while not self._zlib.eof and len(self._bytes) < upto + whole:
            packed = self._zlib.unconsumed_tail or self._next()
            try:
                more = self._zlib.decompress(packed, upto + 1 - len(self._bytes))
            except zlib.error:
                _damaged(self.path, "a compressed variable is damaged (zlib)")
            if not packed and not more:
                _damaged(self.path, "a compressed variable is truncated")
            self._bytes += more
        extra = self.left or self._zlib.unused_data
        if whole and (len(self._bytes) != self.end or not self._zlib.eof or extra):
            _damaged(self.path, "a compressed variable does not end where its size says")

    def _next(self) -> bytes:
        n = min(self.left, _STEP)
        packed = self.file.read_at(n, self.at) if n else b""
        self.at, self.left = self.at + n, self.left - n
        return packed


class Mat5(Group):
    """The variables of a file, by name."""

    def __init__(self, path: Path, file: OpenFile, size: int) -> None:
        super().__init__(path)
        self.variables = _variables(path, file, size)
        self._made: dict[str, Group | Array] = {}

    def names(self) -> Sequence[str]:
        return list(self.variables)

    def get(self, name: str) -> Group | Array:
        if name not in self._made:
            self._made[name] = _node(*self.variables[name], name, 0)
        return self._made[name]


class Members(Group):
    """The members of a cell or struct array: by number, and by field where there is one struct."""

    def __init__(self, source: Source, name: str, found: dict[str, int], depth: int) -> None:
        super().__init__(source.path, name)
        self.source, self.found, self.depth = source, found, depth

    def names(self) -> Sequence[str]:
        return list(self.found)

    def get(self, name: str) -> Group | Array:
        element = _element(self.source, self.found[name], self.source.end)
        return _node(self.source, _matrix(self.source, element), self.under(name), self.depth + 1)


class Structs(Group):
    """A struct array of several elements, by number from 1."""

    def __init__(self, name: str, elements: list[Members]) -> None:
        super().__init__(elements[0].file if elements else Path(), name)
        self.elements = elements

    def names(self) -> Sequence[str]:
        return [str(i + 1) for i in range(len(self.elements))]

    def get(self, name: str) -> Group | Array:
        return self.elements[int(name) - 1]


class Other(Array):
    """What holds no plain numbers or words."""

    def __init__(self, name: str, shape: Sequence[int]) -> None:
        super().__init__(name, shape, "other")

    def _block(self, axis: int, start: int, stop: int) -> NDArray[Any]:
        raise TypeError("no numbers")  # find_array lets none pass


class Cast(Strided):
    """Numbers that are stored in a smaller type than that of their class."""

    def __init__(self, name: str, matrix: Matrix, stored: str, target: str, read_at: ReadAt, at: int) -> None:
        super().__init__(name, matrix.shape, np.dtype(stored), read_at, at, fortran=True)
        self.target = np.dtype(target)
        self.exact = self.target.kind in "iub" or self.stored.kind in "iu"

    def _run(self, first: int, n: int) -> NDArray[Any]:
        return super()._run(first, n).astype(self.target)


def _damaged(path: Path, given: str) -> NoReturn:
    pairs, bare = newline_damage(path)
    if pairs > 1 and bare == 0:
        given = f"a line-ending conversion (LF to CR LF) damaged it, each of its {pairs} LF follows a CR ({given})"
    raise RecordingError(path, given, remedy=_AGAIN)


def _variables(path: Path, file: OpenFile, size: int) -> dict[str, tuple[Source, Matrix]]:
    if size < HEADER + 8:
        _damaged(path, f"it has {size} bytes, less than a header and a variable")
    head = file.read_at(HEADER, 0)
    order = {b"IM": "<", b"MI": ">"}.get(head[126:128])
    version = int.from_bytes(head[124:126], "little" if order == "<" else "big")
    if order is None or version != 0x0100:
        _damaged(path, "its header says neither its byte order nor version 1 of level 5")
    whole = Source(path, file.read_at, order, size)
    found: dict[str, tuple[Source, Matrix]] = {}
    at = HEADER
    while at < size:
        element = _element(whole, at, size, top=True)
        source, inner = whole, element
        if element.type == _COMPRESSED:
            packed = Inflated(path, file, element.at, element.size, order)
            source = Source(path, packed.read_at, order, packed.end)
            inner = Element(_MATRIX, 8, packed.end - 8, packed.end)
        matrix = _matrix(source, inner)
        if matrix.name in found:
            _damaged(path, "two variables have one name")
        if matrix.name:  # MATLAB keeps what belongs to objects in a variable without a name
            found[matrix.name] = (source, matrix)
        at = element.next
    if not found:
        raise RecordingError(path, "it holds no variable", allowed="1 or more")
    return found


def _element(source: Source, at: int, end: int, *, top: bool = False) -> Element:
    """Return the element at a place; it must lie before `end`."""
    if at + 8 > end:
        _damaged(source.path, f"it ends at byte {end}, inside the tag of an element")
    head = source.read_at(8, at)
    kind, size = np.frombuffer(head, f"{source.order}u4").tolist()
    if kind >> 16:  # the small form: both in the first four bytes
        kind, size = kind & 0xFFFF, kind >> 16
        if size > 4 or top:
            _damaged(source.path, f"an element in the small form has {size} bytes")
        return Element(kind, at + 4, size, at + 8)
    if top and kind not in (_MATRIX, _COMPRESSED):
        _damaged(source.path, f"an element of type {kind} stands where a variable is expected")
    padded = size if kind == _COMPRESSED else size + -size % 8
    if at + 8 + size > end:
        missing = at + 8 + size - end
        _damaged(source.path, f"an element of {size} bytes does not fit: {missing} bytes are missing, it is truncated")
    if at + 8 + padded > end:
        _damaged(source.path, "the padding of its last element is missing: it is truncated")
    return Element(kind, at + 8, size, at + 8 + padded)


def _matrix(source: Source, element: Element) -> Matrix:
    if element.type != _MATRIX:
        _damaged(source.path, f"an element of type {element.type} stands where an array is expected")
    end = element.at + element.size
    if element.size == 0:  # an empty cell or field
        return Matrix(6, 0, (0, 0), "", element.at, end)
    flags = _element(source, element.at, end)
    if (flags.type, flags.size) != (6, 8):
        _damaged(source.path, "the flags of an array are not two words")
    word = int(np.frombuffer(source.read_at(4, flags.at), f"{source.order}u4")[0])
    dims = _element(source, flags.next, end) if word & 0xFF != 17 else None
    if dims is None:  # opaque: an object of a class, without dimensions
        name = _element(source, flags.next, end)
        return Matrix(17, 0, (), _ascii(source, name), name.next, end)
    if dims.type != 5 or dims.size % 4 or not 8 <= dims.size <= 4 * _MAX_AXES:
        _damaged(source.path, "the dimensions of an array are not 2 to 32 numbers")
    shape = tuple(np.frombuffer(source.read_at(dims.size, dims.at), f"{source.order}i4").tolist())
    if min(shape) < 0:
        _damaged(source.path, f"an array has the shape {shape}")
    name = _element(source, dims.next, end)
    return Matrix(word & 0xFF, word & ~0xFF, shape, _ascii(source, name), name.next, end)


def _ascii(source: Source, element: Element) -> str:
    if element.type not in (1, 2, 16) or element.size > 4096:
        _damaged(source.path, "the name of an array is no text")
    raw = source.read_at(element.size, element.at)
    try:
        return raw.decode("ascii")
    except UnicodeDecodeError:
        _damaged(source.path, "the name of an array is not ASCII")


def _node(source: Source, matrix: Matrix, name: str, depth: int) -> Group | Array:
    if depth > _MAX_DEPTH:
        _damaged(source.path, f"its cells and structs are nested more than {_MAX_DEPTH} deep")
    if matrix.cls in _CLASSES:
        return _number(source, matrix, name)
    if matrix.cls == _CHAR:
        return _text(source, matrix, name)
    if matrix.cls == _CELL:
        return _cells(source, matrix, name, depth)
    if matrix.cls in (_STRUCT, _OBJECT):
        return _structs(source, matrix, name, depth)
    if matrix.cls not in (5, 16, 17):
        _damaged(source.path, f"'{name}' is of class {matrix.cls}")
    return Other(name, matrix.shape)


def _count(matrix: Matrix) -> int:
    n = 1
    for axis in matrix.shape:
        n *= axis
    return n


def _number(source: Source, matrix: Matrix, name: str) -> Array:
    if matrix.at == matrix.end:
        if _count(matrix):
            _damaged(source.path, f"'{name}' has the shape {matrix.shape}, but no values")
        return Strided(name, matrix.shape, np.dtype("f8"), source.read_at, matrix.at, fortran=True)
    part = _element(source, matrix.at, matrix.end)
    stored = _NUMBERS.get(part.type)
    if stored is None or part.size != _count(matrix) * np.dtype(stored).itemsize:
        _damaged(source.path, f"'{name}' has the shape {matrix.shape}, but {part.size} bytes of type {part.type}")
    if matrix.flags & _COMPLEX:
        return Other(name, matrix.shape)
    if part.next != matrix.end:
        _damaged(source.path, f"{matrix.end - part.next} bytes follow the values of '{name}'")
    target = "?" if matrix.flags & _LOGICAL else _CLASSES[matrix.cls]
    return Cast(name, matrix, f"{source.order}{stored}", target, source.read_at, part.at)


def _text(source: Source, matrix: Matrix, name: str) -> Array:
    if matrix.at == matrix.end or _count(matrix) == 0:
        return Words(name, (matrix.shape[0] if matrix.shape else 0,), [""] * min(matrix.shape[0], 1))
    part = _element(source, matrix.at, matrix.end)
    if part.type not in _TEXTS:
        _damaged(source.path, f"the text '{name}' is of type {part.type}")
    order = {"<": "-le", ">": "-be"}[source.order] if _TEXTS[part.type].startswith("utf-") and part.type != 16 else ""
    try:
        text = source.read_at(part.size, part.at).decode(_TEXTS[part.type] + order)
    except UnicodeDecodeError:
        _damaged(source.path, f"the text '{name}' cannot be decoded")
    if len(text) != _count(matrix) or len(matrix.shape) != 2:
        _damaged(source.path, f"the text '{name}' has {len(text)} characters, but the shape {matrix.shape}")
    n_rows = matrix.shape[0]
    rows = [text[i::n_rows] for i in range(n_rows)]  # the first axis runs fastest
    return Words(name, (n_rows,), rows if n_rows == 1 else [row.rstrip(" \0") for row in rows])


def _starts(source: Source, at: int, n: int, end: int, name: str) -> list[int]:
    """Return where each of n elements begins; they must fill the rest of what contains them."""
    if n * 8 > end - at:
        _damaged(source.path, f"'{name}' claims {n} members in {end - at} bytes")
    starts = []
    for _ in range(n):
        starts.append(at)
        at = _element(source, at, end).next
    if at != end:
        _damaged(source.path, f"{end - at} bytes follow the members of '{name}'")
    return starts


def _cells(source: Source, matrix: Matrix, name: str, depth: int) -> Group | Array:
    starts = _starts(source, matrix.at, _count(matrix), matrix.end, name)
    members = Members(source, name, {str(i + 1): at for i, at in enumerate(starts)}, depth)
    # a cell array of words is one array of words
    texts = [members.get(n) for n in members.names()] if _all_chars(source, starts) else []
    if texts and all(isinstance(t, Words) and t.size <= 1 for t in texts):
        return Words(name, matrix.shape, ["".join(t.words()) for t in texts if isinstance(t, Words)])
    return members


def _all_chars(source: Source, starts: list[int]) -> bool:
    return all(_matrix(source, _element(source, at, source.end)).cls == _CHAR for at in starts)


def _structs(source: Source, matrix: Matrix, name: str, depth: int) -> Group:
    at = matrix.at
    if matrix.cls == _OBJECT:
        at = _element(source, at, matrix.end).next
    width = _element(source, at, matrix.end)
    if (width.type, width.size) != (5, 4):
        _damaged(source.path, f"the length of the field names of '{name}' is no number")
    length = int(np.frombuffer(source.read_at(4, width.at), f"{source.order}i4")[0])
    names = _element(source, width.next, matrix.end)
    if length < 1 or names.size % length or names.type not in (1, 2):
        _damaged(source.path, f"the field names of '{name}' are not {length} bytes each")
    raw = source.read_at(names.size, names.at)
    try:
        words = [raw[i : i + length].split(b"\0")[0].decode("ascii") for i in range(0, len(raw), length)]
    except UnicodeDecodeError:
        _damaged(source.path, f"a field name of '{name}' is not ASCII")
    if len(set(words)) != len(words):
        _damaged(source.path, f"two fields of '{name}' have one name")
    n = _count(matrix)
    starts = _starts(source, names.next, n * len(words), matrix.end, name) if words else []
    rows = [dict(zip(words, starts[i * len(words) :], strict=False)) for i in range(n if words else 0)]
    if n == 1:
        return Members(source, name, rows[0] if rows else {}, depth)
    elements = [Members(source, f"{name}.{i + 1}", row, depth + 1) for i, row in enumerate(rows)]
    return Structs(name, elements) if elements else Members(source, name, {}, depth)
