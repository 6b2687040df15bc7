"""HDF5 files of any form, mapped by a layout.

Notable:
- A path is `group/dataset`. A group of datasets, and a dataset of ragged rows, is a list of trains.
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
from .arrays import Array, Group, Kind
from .hdf5 import MAX_RATIO, guarded
from .hdf5_end import MAGIC, check_end, check_whole
from .layout import Layout
from .mapped import MappedReader
from .reader import AGAIN, file_size


class MappedHdf5(MappedReader):
    """HDF5 files that are not ours, described by a layout."""

    kind: Literal["mapped_hdf5"] = "mapped_hdf5"
    extensions: ClassVar[tuple[str, ...]] = (".h5", ".hdf5")
    magic: ClassVar[tuple[bytes, ...]] = (MAGIC,)
    c_library: ClassVar[bool] = True

    def tree(self, path: Path, layout: Layout | None) -> tuple[Group, Callable[[], object]]:
        import h5py

        size = file_size(path)
        check_end(path, size)
        with guarded(path):
            file = h5py.File(path, "r")
        return HdfGroup(path, file, size), file.close


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
        check_size(self.file, found, self.bytes)
        if _is_ragged(found):
            return Ragged(self.file, found, self.bytes, name)
        return HdfArray(self.file, found, name, found.shape, kind_of(found))


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


class HdfArray(Array):
    """A dataset, read by slices. turned : MATLAB's, whose axes HDF5 shows reversed."""

    def __init__(
        self,
        file: Path,
        dataset: Any,
        name: str,
        shape: Sequence[int],
        kind: Kind,
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
        return np.moveaxis(values, own, 0).reshape(stop - start, -1) if self.shape else values.reshape(1, 1)

    def numbers(self) -> NDArray[Any]:
        values = self._get(())
        return values.T if self.turned else values

    def words(self) -> list[str]:
        if self.kind == "number":
            return super().words()
        try:
            return [w.decode() if isinstance(w, bytes) else str(w) for w in self._get(()).reshape(-1).tolist()]
        except UnicodeDecodeError:
            raise RecordingError(self.file, f"a text of '{self.name}' cannot be decoded", remedy=AGAIN) from None

    def _get(self, at: tuple[slice, ...]) -> NDArray[Any]:
        if not self.dataset:
            raise DataError(f"The session of {self.file} is closed", remedy="Read before closing it, or open it again")
        with guarded(self.file):
            values = np.asarray(self.dataset[at])
            check_whole(self.file, self.dataset)
        return values.astype(bool) if self.logical else values


def kind_of(dataset: Any) -> Kind:
    """Return what a dataset holds."""
    import h5py

    if dataset.dtype.kind in "iufb" and dataset.dtype.itemsize <= 8:
        return "number"
    return "text" if dataset.dtype.kind == "S" or h5py.check_string_dtype(dataset.dtype) is not None else "other"


def _is_ragged(dataset: Any) -> bool:
    import h5py

    inner = h5py.check_vlen_dtype(dataset.dtype)
    return isinstance(inner, np.dtype) and inner.kind in "iufb" and dataset.ndim == 1


def check_size(path: Path, array: Any, size: int) -> None:
    """Raise RecordingError where an array claims more than the file can hold, or lies in another file."""
    if array.external or array.is_virtual:
        raise RecordingError(path, f"its array '{array.name}' lies in another file", allowed="whole files")
    claimed, stored = array.size * array.dtype.itemsize, array.id.get_storage_size()
    most = size * (1 if array.chunks is None else MAX_RATIO)
    if claimed and (stored == 0 or stored > size or claimed > most):
        given = f"it has {size} bytes, but its array '{array.name}' claims {claimed}"
        raise RecordingError(path, given, remedy=f"It is truncated. {AGAIN}")
