"""HDF5 files of any form, mapped by a layout, and the inside of MAT-files of version 7.3.

Notable:
- A path is `group/dataset`. A group of datasets, and a dataset of ragged rows, is a list of trains.
- Of MATLAB: shapes are reversed, as HDF5 shows them, and turned back; text is uint16; a cell array is a dataset of
  references, whose members are numbered from 1; an empty array is stored as its shape.
- Sizes are checked against the file before anything is allocated. What lies in another file is refused.
- What h5py raises for damaged bytes becomes one RecordingError.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from ..core.errors import DataError, RecordingError
from .arrays import Array, Group, Words
from .hdf5 import MAX_RATIO, guarded
from .hdf5_end import check_end
from .layout import Layout
from .mapped import MappedReader
from .reader import file_size

_MAGIC = b"\x89HDF\r\n\x1a\n"
_AGAIN = "Copy it again from its source, in binary mode"


class MappedHdf5(MappedReader):
    """HDF5 files that are not ours, described by a layout."""

    kind: Literal["mapped_hdf5"] = "mapped_hdf5"
    extensions: ClassVar[tuple[str, ...]] = (".h5", ".hdf5")
    magic: ClassVar[tuple[bytes, ...]] = (_MAGIC,)
    c_library: ClassVar[bool] = True

    def tree(self, path: Path, layout: Layout | None) -> tuple[Group, Callable[[], object]]:
        return open_groups(path, file_size(path), base=0, matlab=False)


def open_groups(path: Path, size: int, *, base: int, matlab: bool) -> tuple[Group, Callable[[], object]]:
    """Return the groups of an HDF5 file that begins at byte `base`, and what closes it."""
    import h5py

    check_end(path, size, base)
    with guarded(path):
        file = h5py.File(path, "r")
    return (MatlabGroup if matlab else HdfGroup)(path, file, size), file.close


class HdfGroup(Group):
    """A group of an HDF5 file."""

    separator = "/"

    def __init__(self, file: Path, group: Any, size: int, name: str = "") -> None:
        super().__init__(file, name)
        self.group, self.bytes = group, size

    def names(self) -> Sequence[str]:
        with guarded(self.file):
            return list(self.group)

    def listed(self) -> Sequence[str]:
        import h5py

        with guarded(self.file):  # a link may lead in a circle, or out of the file
            return [n for n in self.group if isinstance(self.group.get(n, getlink=True), h5py.HardLink)]

    def get(self, name: str) -> Group | Array:
        import h5py

        with guarded(self.file):
            link = self.group.get(name, getlink=True)
            if isinstance(link, h5py.ExternalLink):
                raise RecordingError(self.file, f"'{self.under(name)}' lies in another file", allowed="whole files")
            found = self.group[name]
            return self._made(found, self.under(name))

    def _made(self, found: Any, name: str) -> Group | Array:
        if hasattr(found, "keys"):
            return type(self)(self.file, found, self.bytes, name)
        if not hasattr(found, "shape") or found.shape is None:
            return HdfArray(self.file, found, name, (), "other")
        _check_size(self.file, found, self.bytes)
        if _is_ragged(found):
            return Ragged(self.file, found, self.bytes, name)
        return HdfArray(self.file, found, name, found.shape, _kind(found))


class MatlabGroup(HdfGroup):
    """A struct, or all the variables, of a MAT-file of version 7.3."""

    separator = "."

    def names(self) -> Sequence[str]:
        return [n for n in super().names() if not n.startswith("#")]

    def listed(self) -> Sequence[str]:
        return self.names()

    def _made(self, found: Any, name: str) -> Group | Array:
        if hasattr(found, "keys"):
            fields = [f for f in found if hasattr(found[f], "dtype") and found[f].dtype.kind == "O"]
            rows = found[fields[0]].size if fields and len(fields) == len(found) else 1
            alike = rows > 1 and all(found[f].size == rows and "MATLAB_class" not in found[f].attrs for f in fields)
            return StructArray(self.file, found, self.bytes, name, rows) if alike else super()._made(found, name)
        what = found.attrs.get("MATLAB_class", b"")
        what = what.decode("ascii", "replace") if isinstance(what, bytes) else str(what)
        if "MATLAB_empty" in found.attrs and found.attrs["MATLAB_empty"]:
            return Empty(name, found, text=what == "char", file=self.file)
        if found.dtype.kind == "O":
            return self._cells(found, name)
        _check_size(self.file, found, self.bytes)
        if what == "char":
            return _characters(self.file, found, name)
        kind = "other" if what not in _MATLAB and found.dtype.kind not in "iufb" else _kind(found)
        return HdfArray(self.file, found, name, found.shape[::-1], kind, turned=True, logical=what == "logical")

    def _cells(self, found: Any, name: str) -> Group | Array:
        _check_size(self.file, found, self.bytes)
        cells = Cells(self.file, found, self.bytes, name)
        members = [cells.get(n) for n in cells.names()] if cells.is_text() else []
        if members and all(isinstance(m, Words) and m.size <= 1 for m in members):
            return Words(name, found.shape[::-1], ["".join(m.words()) for m in members if isinstance(m, Words)])
        return cells


_MATLAB = ("double", "single", "logical", *(f"{u}int{n}" for u in ("", "u") for n in (8, 16, 32, 64)))


class Cells(MatlabGroup):
    """A cell array: references, numbered from 1 in MATLAB's linear order."""

    def names(self) -> Sequence[str]:
        return [str(i + 1) for i in range(self.group.size)]

    def get(self, name: str) -> Group | Array:
        with guarded(self.file):
            # HDF5 shows the reversed shape, so its own order is MATLAB's linear one
            reference = self.group[np.unravel_index(int(name) - 1, self.group.shape)]
            return self._made(_follow(self.file, self.group, reference), self.under(name))

    def is_text(self) -> bool:
        """Return whether the first member is text; it then pays to look at all."""
        with guarded(self.file):
            if not self.group.size:
                return False
            first = _follow(self.file, self.group, self.group[(0,) * self.group.ndim])
            return first.attrs.get("MATLAB_class", b"") in (b"char", "char")


class StructArray(MatlabGroup):
    """A struct array of several elements: each field is a dataset of references."""

    def __init__(self, file: Path, group: Any, size: int, name: str, rows: int) -> None:
        super().__init__(file, group, size, name)
        self.rows = rows

    def names(self) -> Sequence[str]:
        return [str(i + 1) for i in range(self.rows)]

    def get(self, name: str) -> Group | Array:
        return StructRow(self.file, self.group, self.bytes, self.under(name), int(name) - 1)


class StructRow(MatlabGroup):
    """One element of a struct array."""

    def __init__(self, file: Path, group: Any, size: int, name: str, row: int) -> None:
        super().__init__(file, group, size, name)
        self.row = row

    def get(self, name: str) -> Group | Array:
        with guarded(self.file):
            field = self.group[name]
            reference = field[np.unravel_index(self.row, field.shape)]
            return self._made(_follow(self.file, self.group, reference), self.under(name))


class Ragged(Group):
    """A dataset whose rows differ in length: a list of vectors."""

    separator = "/"

    def __init__(self, file: Path, dataset: Any, size: int, name: str) -> None:
        super().__init__(file, name)
        self.dataset = dataset

    def names(self) -> Sequence[str]:
        return [str(i) for i in range(self.dataset.shape[0])]

    def get(self, name: str) -> Group | Array:
        with guarded(self.file):
            return Row(self.under(name), np.asarray(self.dataset[int(name)]))


class Row(Array):
    """A vector in memory."""

    def __init__(self, name: str, values: NDArray[Any]) -> None:
        super().__init__(name, values.shape, "number" if values.dtype.kind in "iufb" else "other")
        self.values = values

    def _block(self, axis: int, start: int, stop: int) -> NDArray[Any]:
        return self.values.reshape(-1)[start:stop, None]


class Empty(Row):
    """An empty array of MATLAB: its dataset holds its shape."""

    def __init__(self, name: str, dataset: Any, *, text: bool, file: Path) -> None:
        shape = tuple(int(n) for n in np.asarray(dataset[()]).reshape(-1)) if dataset.size <= 32 else (0,)
        if 0 not in shape:
            raise RecordingError(file, f"'{name}' is said to be empty, but has the shape {shape}", remedy=_AGAIN)
        super().__init__(name, np.zeros(shape))
        self.kind = "text" if text else "number"

    def words(self) -> list[str]:
        return []


class HdfArray(Array):
    """A dataset, read by slices. turned : MATLAB's, whose axes HDF5 shows reversed."""

    def __init__(
        self,
        file: Path,
        dataset: Any,
        name: str,
        shape: Sequence[int],
        kind: Literal["number", "text", "other"],
        *,
        turned: bool = False,
        logical: bool = False,
    ) -> None:
        dtype = getattr(dataset, "dtype", None)
        super().__init__(name, shape, kind, exact=dtype is not None and dtype.kind in "iub")
        self.file, self.dataset, self.turned, self.logical = file, dataset, turned, logical

    def _block(self, axis: int, start: int, stop: int) -> NDArray[Any]:
        own = len(self.shape) - 1 - axis if self.turned else axis
        if self.is_vector:  # the axis that is longer than 1
            own = int(np.argmax(self.dataset.shape)) if self.dataset.shape else 0
        at = tuple(slice(start, stop) if i == own else slice(None) for i in range(len(self.shape)))
        values = self._get(at)
        return values.reshape(-1, 1) if self.is_vector else (values if own == 0 else values.T)

    def numbers(self) -> NDArray[Any]:
        values = self._get(())
        return values.T if self.turned else values

    def words(self) -> list[str]:
        if self.kind == "number":
            return super().words()
        try:
            return [w.decode() if isinstance(w, bytes) else str(w) for w in self._get(()).reshape(-1).tolist()]
        except UnicodeDecodeError:
            raise RecordingError(self.file, f"a text of '{self.name}' cannot be decoded", remedy=_AGAIN) from None

    def _get(self, at: tuple[slice, ...]) -> NDArray[Any]:
        if not self.dataset:
            raise DataError(f"The session of {self.file} is closed", remedy="Read before closing it, or open it again")
        with guarded(self.file):
            values = np.asarray(self.dataset[at])
        return values.astype(bool) if self.logical else values


def _kind(dataset: Any) -> Literal["number", "text", "other"]:
    import h5py

    if dataset.dtype.kind in "iufb":
        return "number"
    return "text" if dataset.dtype.kind == "S" or h5py.check_string_dtype(dataset.dtype) is not None else "other"


def _is_ragged(dataset: Any) -> bool:
    import h5py

    inner = h5py.check_vlen_dtype(dataset.dtype)
    return isinstance(inner, np.dtype) and inner.kind in "iufb" and dataset.ndim == 1


def _follow(file: Path, group: Any, reference: Any) -> Any:
    import h5py

    if not isinstance(reference, h5py.Reference) or not reference:
        raise RecordingError(file, f"a member of '{group.name}' is no reference", remedy=_AGAIN)
    return group.file[reference]


def _characters(file: Path, dataset: Any, name: str) -> Words:
    if dataset.ndim != 2 or dataset.dtype.kind != "u":
        raise RecordingError(file, f"the text '{name}' has the shape {dataset.shape}", allowed="rows of characters")
    rows = dataset[()].T  # (n_rows, n_characters), as MATLAB shows it
    try:
        words = [row.astype("<u2").tobytes().decode("utf-16-le") for row in rows]
    except UnicodeDecodeError:
        raise RecordingError(file, f"the text '{name}' cannot be decoded", remedy=_AGAIN) from None
    return Words(name, (len(words),), words if len(words) == 1 else [word.rstrip(" \0") for word in words])


def _check_size(path: Path, array: Any, size: int) -> None:
    if array.external or array.is_virtual:
        raise RecordingError(path, f"its array '{array.name}' lies in another file", allowed="whole files")
    claimed, stored = array.size * array.dtype.itemsize, array.id.get_storage_size()
    most = size * (1 if array.chunks is None else MAX_RATIO)
    if claimed and (stored == 0 or stored > size or claimed > most):
        given = f"it has {size} bytes, but its array '{array.name}' claims {claimed}"
        raise RecordingError(path, given, remedy=f"It is truncated. {_AGAIN}")
