"""MAT-files of level 5 (MATLAB 5 to 7.2, Octave, scipy, EEGLAB), read strictly and without a library.

Notable:
- Opening walks the chain of variables, which must end where the file ends, and all that is not compressed, member by
  member, so that damage is seen also where nothing is read from later. Of a compressed variable the head is unpacked;
  the rest when its values are first asked for, to the length that its tag says, and its Adler-32 checksum must hold.
- An uncompressed array is read in place, piece by piece.
- Numbers keep the class that MATLAB shows (a double that is stored as uint8 is float64); logicals are bool; a row of
  characters is one word, so a matrix of characters is a word a row (its trailing blanks removed), and so is a cell
  array of rows. Cells and struct arrays are groups whose members are numbered from 1, in MATLAB's linear order.
- Complex and sparse arrays, functions, and objects other than the old ones hold no arrays here ('other').
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import RecordingError
from .arrays import Array, Form, Group, Strided, Words
from .mat5_elements import COMPLEX, COMPRESSED, INT8, INT32, LOGICAL, MATRIX, Element, Inflated, Matrix, ReadAt, Source
from .reader import AGAIN, OpenFile, fail, naming_newlines

HEADER = 128
_NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_TEXTS = {1: "latin-1", 2: "latin-1", 4: "utf-16", 16: "utf-8", 17: "utf-16", 18: "utf-32"}
_UNITS = {"utf-32-le": "<u4", "utf-16-le": "<u2", "utf-8": "u1"}  # what the size of a text may count
_CLASSES = {6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4", 14: "i8", 15: "u8"}
_CELL, _STRUCT, _OBJECT, _CHAR = 1, 2, 3, 4
_FIELD_NAME = re.compile(rb"[A-Za-z_]\w*", re.ASCII)
_MAX_DEPTH = 32
_MAX_MEMBERS = 1 << 21
_MAX_WIDTH, _MAX_NAMES = 4096, 1 << 20  # bytes of a field name, and of all


class Mat5(Group):
    """The variables of a file, by name."""

    def __init__(self, path: Path, file: OpenFile, size: int) -> None:
        super().__init__(path)
        self.bytes, self._packed = file, []
        self._made: dict[str, Group | Array] = {}
        with naming_newlines(path, 2):
            self.variables = self._variables(size)

    def names(self) -> Sequence[str]:
        return list(self.variables)

    def get(self, name: str) -> Group | Array:
        if name not in self._made:
            source, matrix = self.variables[name]
            if matrix.cls not in _CLASSES:  # of numbers the head is enough until they are read
                source = replace(source, read_at=source.stored_at)
            self._made[name] = _node(source, matrix, name, 0)
        return self._made[name]

    def close(self) -> None:
        self.bytes.close()
        for packed in self._packed:
            packed.close()

    _packed: list[Inflated]

    def _variables(self, size: int) -> dict[str, tuple[Source, Matrix]]:
        whole = _source(self.file, self.bytes, size)
        found: dict[str, tuple[Source, Matrix]] = {}
        at = HEADER
        while at < size:
            element = whole.element(at, size, top=True)
            source, matrix = self._unpacking(whole, element)
            if matrix.name in found:
                whole.damaged("two variables have one name")
            if source is whole:  # a checksum protects what is compressed
                _check(_node(source, matrix, matrix.name, 0))
            if matrix.name:  # MATLAB keeps what belongs to objects in a variable without a name
                found[matrix.name] = (source, matrix)
            at = element.next
        if not found:
            raise RecordingError(self.file, "it holds no variable", allowed="1 or more")
        return found

    def _unpacking(self, whole: Source, element: Element) -> tuple[Source, Matrix]:
        if element.type != COMPRESSED:
            return whole, whole.matrix(element)
        packed = Inflated(self.bytes, element.at, element.size, whole.order)
        self._packed.append(packed)
        source = Source(self.file, packed.head_at, packed.read_at, whole.order, packed.end)
        return source, source.matrix(Element(MATRIX, 8, packed.end - 8, packed.end))


class Members(Group):
    """The fields of one struct, or the members of a cell array by number."""

    def __init__(self, source: Source, name: str, found: dict[str, Element], depth: int, form: Form) -> None:
        super().__init__(source.path, name)
        self.source, self.found, self.depth, self.form = source, found, depth, form

    def names(self) -> Sequence[str]:
        return list(self.found)

    def get(self, name: str) -> Group | Array:
        matrix = self.source.matrix(self.found[name])
        if matrix.name:
            self.source.damaged(f"'{self.under(name)}' has a name of its own, as no member has")
        return _node(self.source, matrix, self.under(name), self.depth + 1)


class Structs(Group):
    """A struct array that is not of one element, by number from 1."""

    form: Form = "structs"

    def __init__(self, path: Path, name: str, elements: list[Members]) -> None:
        super().__init__(path, name)
        self.elements = elements

    def names(self) -> Sequence[str]:
        return [str(i + 1) for i in range(len(self.elements))]

    def get(self, name: str) -> Group | Array:
        return self.elements[int(name) - 1]


class Other(Array):
    """What holds no plain numbers or words. what : what it is, where that is worth saying."""

    def __init__(self, name: str, shape: Sequence[int], what: str = "") -> None:
        super().__init__(name, shape, "other")
        self.what = what

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


def _source(path: Path, file: OpenFile, size: int) -> Source:
    if size < HEADER + 8:
        fail(path, f"it has {size} bytes, less than a header and a variable", remedy=AGAIN)
    head = file.read_at(HEADER, 0)
    order = {b"IM": "<", b"MI": ">"}.get(head[126:128])
    version = int.from_bytes(head[124:126], "little" if order == "<" else "big")
    if order is None or version != 0x0100:
        fail(path, "its header says neither its byte order nor version 1 of level 5", remedy=AGAIN)
    return Source(path, file.read_at, file.read_at, order, size)


def _check(node: Group | Array) -> None:
    """Make every node below one, which checks it."""
    if isinstance(node, Group):
        for name in node.names():
            _check(node.get(name))


def _node(source: Source, matrix: Matrix, name: str, depth: int) -> Group | Array:
    if depth > _MAX_DEPTH:
        source.damaged(f"its cells and structs are nested more than {_MAX_DEPTH} deep")
    if matrix.cls in _CLASSES or matrix.cls == 0:
        return _number(source, matrix, name)
    if matrix.cls == _CHAR:
        return _text(source, matrix, name)
    if matrix.cls == _CELL:
        return _cells(source.held(matrix.at, matrix.end), matrix, name, depth)
    if matrix.cls in (_STRUCT, _OBJECT):
        return _structs(source.held(matrix.at, matrix.end), matrix, name, depth)
    return Other(name, matrix.shape)


def _number(source: Source, matrix: Matrix, name: str) -> Array:
    if matrix.cls == 0:
        return Strided(name, matrix.shape, np.dtype("f8"), source.stored_at, matrix.at, fortran=True)
    part = _values(source, matrix, matrix.at, name)
    end = part.next
    if matrix.flags & COMPLEX:
        end = _values(source, matrix, end, name).next
    if end != matrix.end:
        source.damaged(f"{matrix.end - end} bytes follow the values of '{name}'")
    if matrix.flags & COMPLEX:
        return Other(name, matrix.shape, "complex numbers")
    target = "?" if matrix.flags & LOGICAL else _CLASSES[matrix.cls]
    return Cast(name, matrix, f"{source.order}{_NUMBERS[part.type]}", target, source.stored_at, part.at)


def _values(source: Source, matrix: Matrix, at: int, name: str) -> Element:
    part = source.element(at, matrix.end)
    stored = _NUMBERS.get(part.type)
    if stored is None or part.size != matrix.n_values * np.dtype(stored).itemsize:
        source.damaged(f"'{name}' has the shape {matrix.shape}, but {part.size} bytes of type {part.type}")
    return part


def _text(source: Source, matrix: Matrix, name: str) -> Array:
    part = source.element(matrix.at, matrix.end)
    if part.type not in _TEXTS or part.next != matrix.end:
        source.damaged(f"the text '{name}' is of type {part.type}, {part.size} bytes long")
    codec = _TEXTS[part.type]
    if codec in ("utf-16", "utf-32"):
        codec += {"<": "-le", ">": "-be"}[source.order]
    try:
        text = source.read_at(part.size, part.at).decode(codec)
        return Words(name, matrix.shape[:1], _rows(source, matrix, name, text))
    except UnicodeError:
        source.damaged(f"the text '{name}' cannot be decoded")


def _rows(source: Source, matrix: Matrix, name: str, text: str) -> list[str]:
    """Return a word a row. The size counts characters, units of UTF-16 (MATLAB) or bytes of UTF-8 (Octave)."""
    n_rows = matrix.shape[0]
    if not matrix.n_values and not text:
        return [""] * min(n_rows, 1)
    for codec, unit in _UNITS.items():
        units = np.frombuffer(text.encode(codec), unit)
        if units.size == matrix.n_values and len(matrix.shape) == 2:
            rows = [row.tobytes().decode(codec) for row in units.reshape(-1, n_rows).T]  # the first axis runs fastest
            return rows if n_rows == 1 else [row.rstrip(" \0") for row in rows]
    return source.damaged(f"the text '{name}' has {len(text)} characters, but the shape {matrix.shape}")


def _cells(source: Source, matrix: Matrix, name: str, depth: int) -> Group | Array:
    parts = source.elements(matrix.at, matrix.end, matrix.n_values, f"'{name}'", _MAX_MEMBERS)
    members = Members(source, name, {str(i + 1): part for i, part in enumerate(parts)}, depth, "cell")
    # a cell array of words is one array of words
    all_chars = all(source.matrix(part).cls == _CHAR for part in parts)
    texts = [members.get(n) for n in members.names()] if all_chars else []
    if texts and all(isinstance(t, Words) and t.size <= 1 for t in texts):
        return Words(name, matrix.shape, ["".join(t.words()) for t in texts if isinstance(t, Words)], cells=True)
    return members


def _structs(source: Source, matrix: Matrix, name: str, depth: int) -> Group:
    at = matrix.at
    if matrix.cls == _OBJECT:
        at = source.element(at, matrix.end).next
    fields, at = _field_names(source, matrix, at, name)
    n = matrix.n_values if fields else 0
    parts = source.elements(at, matrix.end, n * len(fields), f"'{name}'", _MAX_MEMBERS)
    rows = [dict(zip(fields, parts[i * len(fields) :], strict=False)) for i in range(n)]
    if matrix.n_values == 1:
        return Members(source, name, rows[0] if rows else {}, depth, "struct")
    elements = [Members(source, f"{name}.{i + 1}", row, depth + 1, "struct") for i, row in enumerate(rows)]
    return Structs(source.path, name, elements)


def _field_names(source: Source, matrix: Matrix, at: int, name: str) -> tuple[list[str], int]:
    """Return the names of a struct's fields, and where their values begin."""
    width = source.part(at, matrix.end, INT32, "length of the field names", 4)
    length = source.words(1, width.at, "i")[0]
    names = source.part(width.next, matrix.end, INT8, "field names")
    if not 1 <= length <= _MAX_WIDTH or names.size % length or names.size > _MAX_NAMES:
        source.damaged(f"the field names of '{name}' take {names.size} bytes, {length} each")
    raw = source.read_at(names.size, names.at)
    words = [raw[i : i + length].split(b"\0")[0] for i in range(0, len(raw), length)]
    if len(set(words)) != len(words) or not all(_FIELD_NAME.fullmatch(word) for word in words):
        source.damaged(f"'{name}' has field names that are none, or twice")
    return [word.decode("ascii") for word in words], names.next
