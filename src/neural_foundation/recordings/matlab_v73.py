"""MATLAB 7.3 MAT-files, which are HDF5 behind 512 bytes of text, through h5py.

Source: The MathWorks gives no specification; this is what MATLAB writes. A variable is a dataset, transposed, whose
attribute MATLAB_class names its class; text is UTF-16 numbers; a cell array is a dataset of references; a struct is
a group, and a struct array a group of datasets of references (without a class); what is empty has MATLAB_empty.

What h5py raises for damaged bytes becomes RecordingError at one place, `guarded`. Links that lead out of the file,
and arrays that claim more than the file can hold, are refused before they are followed or read.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import RecordingError
from .hdf5_end import check_end
from .matlab import AGAIN, MAX_DEPTH, MAX_VALUE, Fields, Stored, Value, fail

MAX_RATIO = 1000  # a compressed array may be this much larger than the file
_USERBLOCK = 512
_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_DAMAGED = {b"\x89HDF\r\r\n": "LF to CR LF", b"\x89HDF\n": "CR LF to LF"}


@contextlib.contextmanager
def guarded(path: Path) -> Iterator[None]:
    """Turn what h5py raises for a damaged file into RecordingError."""
    try:
        yield
    except RecordingError:
        raise
    except Exception as error:  # noqa: BLE001 - h5py raises a dozen types for damaged bytes
        raise RecordingError(path, f"its MATLAB 7.3 data are damaged ({type(error).__name__})", remedy=AGAIN) from None


class V73Fields(Fields):
    """The members of a group."""

    def __init__(self, path: Path, group: Any, size: int, file: Any) -> None:
        self.path, self.group, self.size, self.file = path, group, size, file
        self._left = MAX_VALUE  # references may name one large array many times
        self.names = tuple(name for name in group if not name.startswith("#"))

    def value(self, name: str, keep: tuple[str, ...] = ()) -> Value:
        with guarded(self.path):
            return self._value(self._child(self.group, name), keep, 0) if name in self.names else None

    def stored(self, name: str) -> Stored | None:
        with guarded(self.path):
            node = self._child(self.group, name) if name in self.names else None
            if node is None or not hasattr(node, "dtype") or _class(node) in ("char", "cell") or _is_empty(node):
                return None
            if node.dtype.kind not in "iuf" or node.dtype.itemsize > 8:
                fail(self.path, f"its field '{name}' holds numbers of type {node.dtype}", allowed="real numbers")
            self._check_size(node)

        def frames(start: int, stop: int) -> NDArray[Any]:
            with guarded(self.path):
                return np.asarray(node[start:stop]).reshape(stop - start, -1)

        return Stored(tuple(reversed(node.shape)), frames)

    def fields(self, name: str) -> V73Fields | None:
        with guarded(self.path):
            node = self._child(self.group, name) if name in self.names else None
            if node is None or hasattr(node, "dtype") or _class(node) != "struct":
                return None
            if any(_is_references(c) and not _class(c) for c in (self._child(node, k) for k in node)):
                return None  # a struct array
            return V73Fields(self.path, node, self.size, self.file)

    def close(self) -> None:
        self.file.close()

    def _value(self, node: Any, keep: tuple[str, ...], depth: int) -> Value:
        cls = _class(node)
        if depth > MAX_DEPTH:
            return None
        if not hasattr(node, "dtype"):
            return self._struct(node, keep, depth) if cls == "struct" else None
        if _is_empty(node):
            empty: dict[str, Value] = {"char": "", "struct": [], "cell": ()}
            return empty.get(cls, np.zeros((0, 0)))
        whole = self._whole(node)
        if cls == "cell":
            return tuple(self._value(self._at(ref), keep, depth + 1) for ref in whole.T.reshape(-1, order="F"))
        if cls == "char":
            return self._text(node, whole)
        numbers: Value = whole.T.astype(np.float64) if whole.dtype.kind in "iufb" else None
        return numbers

    def _struct(self, group: Any, keep: tuple[str, ...], depth: int) -> Value:
        columns = self._columns(group, keep)
        if not columns:
            return [{k: self._value(self._child(group, k), keep, depth + 1) for k in keep if k in group}]
        if len({len(refs) for refs in columns.values()}) != 1:
            fail(self.path, f"the struct array '{group.name}' has fields of different lengths")
        rows = zip(*columns.values(), strict=True)
        return [
            {k: self._value(self._at(r), keep, depth + 1) for k, r in zip(columns, row, strict=True)} for row in rows
        ]

    def _columns(self, group: Any, keep: Any) -> dict[str, NDArray[Any]]:
        """Return the references of a struct array, by field; nothing where the group is a struct of one element."""
        children = {k: self._child(group, k) for k in keep if k in group}
        arrays = {k: c for k, c in children.items() if _is_references(c) and not _class(c)}
        if arrays and len(arrays) != len(children):
            fail(self.path, f"the struct array '{group.name}' has fields that are no arrays")
        return {k: self._whole(c).T.reshape(-1, order="F") for k, c in arrays.items()}  # MATLAB's order

    def _at(self, reference: Any) -> Any:
        if not reference:
            fail(self.path, "a reference in it leads nowhere")
        return self.file[reference]

    def _child(self, group: Any, name: str) -> Any:
        import h5py

        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            fail(self.path, f"its '{name}' is a link to elsewhere", allowed="whole files")
        return group[name]

    def _text(self, node: Any, whole: NDArray[Any]) -> str:
        if whole.dtype.kind != "u" or whole.dtype.itemsize > 4:
            fail(self.path, f"the text '{node.name}' is of type {whole.dtype}", allowed="16-bit numbers")
        codec = {1: "latin-1", 2: "utf-16-le", 4: "utf-32-le"}[whole.dtype.itemsize]
        rows = np.atleast_2d(whole.T).astype(whole.dtype.newbyteorder("<"))
        return "\n".join(row.tobytes().decode(codec) for row in rows)

    def _whole(self, node: Any) -> NDArray[Any]:
        self._check_size(node)
        self._left -= node.size * node.dtype.itemsize
        if self._left < 0:
            fail(self.path, f"what is loaded whole, last '{node.name}', has more than {MAX_VALUE} bytes")
        return np.atleast_1d(np.asarray(node[()]))

    def _check_size(self, node: Any) -> None:
        if node.external or node.is_virtual:
            fail(self.path, f"its '{node.name}' lies in another file", allowed="whole files")
        claimed, stored = node.size * node.dtype.itemsize, node.id.get_storage_size()
        most = self.size * (1 if node.chunks is None else MAX_RATIO)
        if claimed and (stored == 0 or stored > self.size or claimed > most):
            fail(self.path, f"it has {self.size} bytes, but its '{node.name}' claims {claimed}")


def open_v73(path: Path, size: int) -> V73Fields:
    """Return the variables of a MATLAB 7.3 file."""
    import h5py

    _check_head(path, size)
    with guarded(path):
        file = h5py.File(path, "r")
    try:
        with guarded(path):
            return V73Fields(path, file, size, file)
    except BaseException:
        file.close()
        raise


def _check_head(path: Path, size: int) -> None:
    """Hold the size of the file against the one in its superblock (HDF5 file format 3.0, section II.A)."""
    with path.open("rb") as file:
        head = file.read(2 * _USERBLOCK)
    block = head[_USERBLOCK : _USERBLOCK + 64]
    if not block.startswith(_SIGNATURE):
        damage = next((d for m, d in _DAMAGED.items() if m in head), None)
        given = f"a line-ending conversion ({damage}) damaged it" if damage else "it says MATLAB 7.3, but holds no HDF5"
        fail(path, given)
    check_end(path, size, _USERBLOCK)


def _class(node: Any) -> str:
    found = node.attrs.get("MATLAB_class", "")
    return found.decode("ascii", "replace") if isinstance(found, bytes) else str(found)


def _is_empty(node: Any) -> bool:
    return bool(np.any(node.attrs.get("MATLAB_empty", 0)))


def _is_references(node: Any) -> bool:
    import h5py

    return hasattr(node, "dtype") and h5py.check_ref_dtype(node.dtype) is not None
