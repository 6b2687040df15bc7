"""The HDF5 below an NWB file: links, sizes, attributes and text, each checked before it is used.

Notable:
- Every link is followed here, part by part, never by HDF5: one that leaves the file is refused, so that opening a
  stranger's file opens no other, and one that goes in circles ends after 32 steps.
- An array is held against the file before it is read: nothing external or virtual, no chunk missing, no filter that
  h5py lacks, no more bytes than the file can hold.
- A damaged heap of texts makes HDF5 loop for ever: those of files up to 256 MiB are walked before it sees them. Other
  faults of the C library stay: for an attribute whose text claims 4 GB it allocates them before it says no. So open a
  stranger's file in a process of its own.
- What h5py raises for damaged bytes becomes RecordingError in `guarded`, and nowhere else.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from ..core.errors import DataError, RecordingError
from .hdf5_end import check_end, check_heaps, check_whole
from .reader import AGAIN

MAX_RATIO = 1000  # how much larger than its bytes a compressed array may be
MAX_STEPS = 32  # of links, until an object is reached
MAX_CHUNK = 1 << 29
MAX_SCANNED = 1 << 28  # a larger file is opened without a look at its heaps
_WORD = 16
_MAX_ATTRIBUTE = 1 << 20


class NwbFile:
    """An open HDF5 file, and the checked ways into it."""

    def __init__(self, path: Path, file: Any, size: int) -> None:
        self.path, self.file, self.size = path, file, size

    @classmethod
    def open(cls, path: Path, size: int) -> NwbFile:
        """Return the open file; RecordingError where its superblock and its size disagree, or h5py refuses it."""
        import h5py

        check_end(path, size)
        check_heaps(path, size, MAX_SCANNED)
        try:
            return cls(path, h5py.File(path, "r"), size)
        except Exception as error:  # noqa: BLE001 - h5py raises a dozen types for damaged bytes
            raise _damaged(path, error) from None

    @contextlib.contextmanager
    def guarded(self) -> Iterator[None]:
        """Turn what h5py raises for a damaged file, and what impossible times raise, into RecordingError."""
        if not self.file:
            raise DataError(f"The session of {self.path} is closed", remedy="Read before closing it, or open it again")
        try:
            yield
            check_whole(self.path, self.file)
        except RecordingError:
            raise
        except DataError as error:
            self.fail(error.given, allowed=error.allowed, remedy=error.remedy or "Correct it in the source")
        except Exception as error:  # noqa: BLE001 - h5py raises a dozen types for damaged bytes
            raise _damaged(self.path, error) from None

    def fail(self, given: str, *, allowed: str = "", remedy: str = "Export the file again") -> NoReturn:
        """Raise RecordingError."""
        raise RecordingError(self.path, given, allowed=allowed, remedy=remedy)

    def get(self, group: Any, path: str) -> Any:
        """Return the object at a path below a group, or None where its last part is not there."""
        *parts, last = path.split("/")
        for part in parts:
            if not _is_group(group) or not _has(group, part):
                return None
            group = self._step(group, part, MAX_STEPS)
        return self._step(group, last, MAX_STEPS) if _is_group(group) and _has(group, last) else None

    def need(self, group: Any, name: str) -> Any:
        """Return the object of this name in a group; RecordingError where it is not there."""
        found = self.get(group, name)
        if found is None:
            self.fail(f"'{group.name}' has no '{name}'", allowed="what the NWB schema requires")
        return found

    def children(self, group: Any) -> Iterator[tuple[str, Any]]:
        """Yield the name and object of each link of a group."""
        for name in list(group.keys()):
            yield name, self._step(group, name, MAX_STEPS)

    def _step(self, group: Any, name: str, steps: int) -> Any:
        import h5py

        link = group.get(name, getlink=True)
        where = f"'{group.name.rstrip('/')}/{name}'"
        if isinstance(link, h5py.ExternalLink):
            given = f"{where} is a link into another file, which is not followed"
            self.fail(given, allowed="whole files", remedy="Export the file with its data inside")
        if not isinstance(link, h5py.SoftLink):
            return group[name]
        if steps == 0:
            self.fail(f"the link {where} goes in circles")
        found = self.file if link.path.startswith("/") else group
        for part in (p for p in link.path.split("/") if p not in ("", ".")):
            if not _is_group(found) or not _has(found, part):
                self.fail(f"the link {where} leads to '{link.path}', which is not there")
            found = self._step(found, part, steps - 1)
        return found

    def attr(self, thing: Any, name: str, default: Any = None) -> Any:
        """Return an attribute, bytes as text; RecordingError where it claims an impossible size."""
        if name not in thing.attrs:
            return default
        shape = thing.attrs.get_id(name).shape
        if shape is not None and math.prod(shape) > _MAX_ATTRIBUTE:
            self.fail(f"the attribute '{name}' of '{thing.name}' has {math.prod(shape)} entries", remedy=AGAIN)
        value = thing.attrs[name]
        return value.decode() if isinstance(value, bytes) else value

    def number(self, thing: Any, name: str, default: float | None = None) -> float:
        """Return an attribute that is one finite number; `default` where there is none."""
        value = np.asarray(self.attr(thing, name, default))
        if value.size != 1 or value.dtype.kind not in "iuf" or not np.isfinite(value).all():
            self.fail(f"the {name} of '{thing.name}' is no number", allowed="one finite number")
        return float(value.reshape(-1)[0])

    def kind(self, thing: Any) -> str:
        """Return the neurodata type of an object, '' where it states none."""
        return str(self.attr(thing, "neurodata_type", ""))

    def check(self, array: Any) -> Any:
        """Return an HDF5 array that the file can hold; RecordingError otherwise, before anything is allocated."""
        if not hasattr(array, "dtype"):
            self.fail(f"'{array.name}' is no array", allowed="what the NWB schema requires")
        if array.shape is None:
            self.fail(f"'{array.name}' is an array without a shape", remedy=AGAIN)
        if array.external or array.is_virtual:
            remedy = "Export the file with its data inside"
            self.fail(f"'{array.name}' lies in another file, which is not opened", allowed="whole files", remedy=remedy)
        claimed, stored = array.size * array.dtype.itemsize, array.id.get_storage_size()
        most = stored if array.chunks is None else MAX_RATIO * stored
        if stored > self.size or claimed > most:
            given = f"it has {self.size} bytes, but '{array.name}' claims {claimed}, of which {stored} are stored"
            self.fail(given, remedy=AGAIN)
        if array.chunks is not None and claimed:
            self._check_chunks(array)
        return array

    def _check_chunks(self, array: Any) -> None:
        import h5py

        if math.prod(array.chunks) * array.dtype.itemsize > MAX_CHUNK:
            self.fail(f"'{array.name}' has chunks {array.chunks}", allowed=f"up to {MAX_CHUNK} bytes", remedy=AGAIN)
        there = array.id.get_num_chunks()
        whole = math.prod(-(-n // chunk) for n, chunk in zip(array.shape, array.chunks, strict=True))
        if there != whole:
            self.fail(f"{there} of the {whole} chunks of '{array.name}' were written", remedy=AGAIN)
        plan = array.id.get_create_plist()
        for i in range(plan.get_nfilters()):
            code, _, _, name = plan.get_filter(i)
            if not h5py.h5z.filter_avail(code):
                given = f"'{array.name}' is compressed by filter {code} ({name.decode('ascii', 'replace')})"
                remedy = "Where the filter is installed, run h5repack -f GZIP=4 on the file"
                self.fail(f"{given}, which this h5py does not have", allowed="gzip, lzf, szip", remedy=remedy)

    def array(self, array: Any) -> NDArray[Any]:
        """Return all of an array, checked."""
        return np.asarray(self.check(array)[()])

    def floats(self, array: Any) -> NDArray[np.float64]:
        """Return all of a one-dimensional array of numbers."""
        values = self.array(array)
        if values.ndim != 1 or values.dtype.kind not in "iuf":
            self.fail(f"'{array.name}' holds {values.dtype} {values.shape}", allowed="one row of numbers")
        return values.astype(np.float64)

    def column(self, array: Any) -> list[Any]:
        """Return a one-dimensional array as numbers and words; a reference becomes the name of what it points at."""
        import h5py

        if h5py.check_string_dtype(array.dtype) is not None and array.dtype.kind == "O":
            self._check_words(self.check(array))
        values = self.array(array)
        if h5py.check_ref_dtype(array.dtype) is not None:
            return [self.name_of(reference) for reference in values.tolist()]
        return [self._text(v) if isinstance(v, bytes) else v for v in values.tolist()]

    def _check_words(self, array: Any) -> None:
        """Hold the lengths of words against the file: HDF5 would allocate what they claim before it looks for them."""
        if not array.size or array.compression or array.fletcher32 or array.shuffle:
            return
        if array.chunks is None:
            stretches = [(array.id.get_offset(), array.id.get_storage_size())]
        else:
            chunks = (array.id.get_chunk_info(i) for i in range(array.id.get_num_chunks()))
            stretches = [(chunk.byte_offset, chunk.size) for chunk in chunks]
        claimed = 0
        with self.path.open("rb") as file:
            for at, n in stretches:
                if at is not None:  # none: the words lie in the header itself
                    file.seek(at)
                    # an element is a length (4 bytes), the address of a heap (8) and an index (4)
                    held = np.frombuffer(file.read(n // _WORD * _WORD), "<u4")
                    claimed += int(held[:: _WORD // 4].sum(dtype=np.int64))
        if claimed > self.size:
            self.fail(f"it has {self.size} bytes, but the words of '{array.name}' claim {claimed}", remedy=AGAIN)

    def _text(self, raw: bytes) -> str:
        try:
            return raw.decode()
        except UnicodeDecodeError:
            self.fail("a text in it is no UTF-8", remedy=AGAIN)

    def name_of(self, reference: Any) -> str:
        """Return the name of what an object reference points at, '' where it points at nothing."""
        return str(self.file[reference].name or "").rpartition("/")[2] if reference else ""


def _damaged(path: Path, error: Exception) -> RecordingError:
    return RecordingError(path, f"the HDF5 file is damaged ({type(error).__name__})", remedy=AGAIN)


def _is_group(thing: Any) -> bool:
    return hasattr(thing, "keys")


def _has(group: Any, name: str) -> bool:
    # `name in group` would follow the link to see whether it leads anywhere; where the index of a group is damaged,
    # HDF5 finds no name in it, yet lists it
    return name in list(group.keys())
