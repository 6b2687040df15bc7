"""MAT-files of version 7.3, which are HDF5 behind 512 bytes of text, through h5py.

Source: MathWorks gives no specification; this is what MATLAB writes. A variable is a dataset, its axes reversed, whose
attribute MATLAB_class names its class; text is uint16; a cell array is a dataset of references, whose members are
numbered from 1; a struct is a group, a struct array a group of datasets of references without a class; an empty array
is stored as its shape. Links other than HDF5's own are refused: MATLAB writes none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import RecordingError
from .arrays import Array, Form, Group, Words
from .hdf5 import guarded
from .hdf5_end import check_end
from .mapped_hdf5 import HdfArray, HdfGroup, Row, check_size, kind_of
from .reader import AGAIN, fail

_USER_BLOCK = 512
_MAX_LOADED = 1 << 28  # bytes of texts and references
_MATLAB = ("double", "single", "logical", *(f"{u}int{n}" for u in ("", "u") for n in (8, 16, 32, 64)))
_CODECS = {1: "latin-1", 2: "utf-16-le", 4: "utf-32-le"}


@dataclass
class Budget:
    """How many bytes of texts and references may still be loaded: many references may name one large text."""

    path: Path
    left: int = _MAX_LOADED

    def load(self, dataset: Any) -> NDArray[Any]:
        self.left -= dataset.size * dataset.dtype.itemsize
        if self.left < 0:
            fail(self.path, f"its texts, last '{dataset.name}', take more than {_MAX_LOADED} bytes", remedy=AGAIN)
        return np.asarray(dataset[()])


class Mat73(HdfGroup):
    """A struct, or all the variables, of a file."""

    separator = "."
    form: Form = "struct"

    def __init__(self, file: Path, group: Any, size: int, name: str, budget: Budget) -> None:
        super().__init__(file, group, size, name)
        self.budget = budget

    @classmethod
    def open(cls, path: Path, size: int) -> Mat73:
        """Return the variables of a file of `size` bytes; RecordingError where it does not end as it says."""
        import h5py

        check_end(path, size, _USER_BLOCK)
        with guarded(path):
            return cls(path, h5py.File(path, "r"), size, "", Budget(path))

    def close(self) -> None:
        self.group.file.close()

    def names(self) -> Sequence[str]:
        return [n for n in super().names() if not n.startswith("#")]

    def listed(self) -> Sequence[str]:
        return self.names()

    def get(self, name: str) -> Group | Array:
        with guarded(self.file):
            return self._made(self._child(name), self.under(name))

    def _child(self, name: str) -> Any:
        import h5py

        if not isinstance(self.group.get(name, getlink=True), h5py.HardLink):
            fail(self.file, f"its '{self.under(name)}' is a link to elsewhere", allowed="whole files", remedy=AGAIN)
        return self.group[name]

    def _made(self, found: Any, name: str) -> Group | Array:
        what = _class(found)
        if hasattr(found, "keys"):
            return self._struct(found, name, what)
        if not hasattr(found, "shape") or found.shape is None:
            return HdfArray(self.file, found, name, (), "other")
        if "MATLAB_empty" in found.attrs and np.any(found.attrs["MATLAB_empty"]):
            return Empty(name, found, text=what == "char", file=self.file)
        check_size(self.file, found, self.bytes)
        if found.dtype.kind == "O":
            return self._cells(found, name)
        if what == "char":
            return self._characters(found, name)
        if found.dtype.kind == "c" or found.dtype.names == ("real", "imag"):
            return _other(HdfArray(self.file, found, name, found.shape[::-1], "other"), "complex numbers")
        kind = "other" if what not in _MATLAB and found.dtype.kind not in "iufb" else kind_of(found)
        return HdfArray(self.file, found, name, found.shape[::-1], kind, turned=True, logical=what == "logical")

    def _struct(self, found: Any, name: str, what: str) -> Group:
        group = Mat73(self.file, found, self.bytes, name, self.budget)
        if what not in ("", "struct"):
            group.form = ""
        fields = {field: group._child(field) for field in group.names()} if name else {}
        columns = {n: f for n, f in fields.items() if _references(f) and not _class(f)}
        if not columns:
            return group
        if len(columns) != len(fields) or len({f.size for f in columns.values()}) != 1:
            fail(self.file, f"the struct array '{name}' has fields that differ in length", remedy=AGAIN)
        for column in columns.values():
            check_size(self.file, column, self.bytes)
        held = {n: self.budget.load(f).reshape(-1) for n, f in columns.items()}
        return StructArray(self, found, name, held)

    def _cells(self, found: Any, name: str) -> Group | Array:
        # HDF5 shows the reversed shape, so its own order is MATLAB's linear one
        cells = References(self, found, name, self.budget.load(found).reshape(-1))
        text = cells.references.size and _class(_follow(self.file, found, cells.references[0])) == "char"
        members = [cells.get(n) for n in cells.names()] if text else []
        if members and all(isinstance(m, Words) and m.size <= 1 for m in members):
            words = ["".join(m.words()) for m in members if isinstance(m, Words)]
            return Words(name, found.shape[::-1], words, cells=True)
        return cells

    def _characters(self, dataset: Any, name: str) -> Words:
        if dataset.ndim != 2 or dataset.dtype.kind != "u" or dataset.dtype.itemsize not in _CODECS:
            allowed = "rows of 8, 16 or 32-bit characters"
            fail(self.file, f"the text '{name}' has {dataset.dtype} {dataset.shape}", allowed=allowed, remedy=AGAIN)
        width = dataset.dtype.itemsize
        try:
            rows = self.budget.load(dataset).T.astype(f"<u{width}")  # (n_rows, n_characters), as MATLAB shows it
            words = [row.tobytes().decode(_CODECS[width]) for row in rows]
        except UnicodeDecodeError:
            fail(self.file, f"the text '{name}' cannot be decoded", remedy=AGAIN)
        return Words(name, (len(words),), words if len(words) == 1 else [word.rstrip(" \0") for word in words])


class References(Mat73):
    """A cell array, its members numbered from 1 in MATLAB's linear order."""

    form: Form = "cell"

    def __init__(self, parent: Mat73, group: Any, name: str, references: NDArray[Any]) -> None:
        super().__init__(parent.file, group, parent.bytes, name, parent.budget)
        self.references = references

    def names(self) -> Sequence[str]:
        return [str(i + 1) for i in range(self.references.size)]

    def get(self, name: str) -> Group | Array:
        with guarded(self.file):
            return self._made(_follow(self.file, self.group, self.references[int(name) - 1]), self.under(name))


class StructArray(Mat73):
    """A struct array: for each field a reference an element. row : the element that it is, if one."""

    def __init__(self, parent: Mat73, group: Any, name: str, held: dict[str, NDArray[Any]], row: int = -1) -> None:
        super().__init__(parent.file, group, parent.bytes, name, parent.budget)
        self.held, self.row, self.form = held, row, "structs" if row < 0 else "struct"

    def names(self) -> Sequence[str]:
        rows = next(iter(self.held.values())).size
        return list(self.held) if self.row >= 0 else [str(i + 1) for i in range(rows)]

    def get(self, name: str) -> Group | Array:
        if self.row < 0:
            return StructArray(self, self.group, self.under(name), self.held, int(name) - 1)
        with guarded(self.file):
            return self._made(_follow(self.file, self.group, self.held[name][self.row]), self.under(name))


class Empty(Row):
    """An empty array: its dataset holds its shape."""

    def __init__(self, name: str, dataset: Any, *, text: bool, file: Path) -> None:
        shape = tuple(int(n) for n in np.asarray(dataset[()]).reshape(-1)) if dataset.size <= 32 else (0,)
        if 0 not in shape:
            raise RecordingError(file, f"'{name}' is said to be empty, but has the shape {shape}", remedy=AGAIN)
        super().__init__(name, np.zeros(shape))
        self.kind = "text" if text else "number"

    def words(self) -> list[str]:
        return []


def _other(array: HdfArray, what: str) -> HdfArray:
    array.what = what
    return array


def _class(node: Any) -> str:
    found = node.attrs.get("MATLAB_class", "")
    return found.decode("ascii", "replace") if isinstance(found, bytes) else str(found)


def _references(node: Any) -> bool:
    return hasattr(node, "dtype") and node.dtype.kind == "O"


def _follow(file: Path, group: Any, reference: Any) -> Any:
    import h5py

    if not isinstance(reference, h5py.Reference) or not reference:
        raise RecordingError(file, f"a member of '{group.name}' is no reference", remedy=AGAIN)
    return group.file[reference]
