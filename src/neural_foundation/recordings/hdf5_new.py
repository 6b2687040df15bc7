"""New HDF5 files, on disks that may be full: each failure is one OSError, and nothing is lost without one.

What HDF5 does where a disk fills, and what is done about it here:
- What it holds back in its sieve buffer is written when an array is closed, and h5py cannot raise there: the numbers
  would be gone in silence. There is no such buffer here.
- Where it cannot write its metadata while it closes, the process crashes at its end. A disk without enough space is
  refused beforehand, and some space is held beside the file until there is nothing to write but metadata.
- It says why at length, or, when closing fails after writing did, not at all. Here it is the system's own words.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from .hdf5_layout import BALLAST_BYTES


@contextlib.contextmanager
def new_file(path: Path, n_bytes: int) -> Iterator[Any]:
    """Yield a new HDF5 file for about n_bytes; OSError with the system's number where it cannot be written."""
    disk = os.statvfs(path.parent)
    if disk.f_bavail * disk.f_frsize < n_bytes + 2 * BALLAST_BYTES:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    try:
        with tempfile.TemporaryFile(dir=path.parent) as ballast:
            os.posix_fallocate(ballast.fileno(), 0, BALLAST_BYTES)
            with contextlib.closing(_create(path)) as file, _released(ballast):
                yield file
    except (OSError, RuntimeError) as error:
        number = _number(error)
        if number is None:
            raise
        raise OSError(number, os.strerror(number)) from None


@contextlib.contextmanager
def _released(ballast: IO[bytes]) -> Iterator[None]:
    """Give the space back before the file is closed, however it is left."""
    try:
        yield
    finally:
        ballast.close()


def _create(path: Path) -> Any:
    """Return a new HDF5 file whose metadata carry checksums (format of HDF5 1.10) and no times."""
    import h5py

    creation = h5py.h5p.create(h5py.h5p.FILE_CREATE)
    creation.set_obj_track_times(False)
    access = h5py.h5p.create(h5py.h5p.FILE_ACCESS)
    access.set_libver_bounds(h5py.h5f.LIBVER_V110, h5py.h5f.LIBVER_V110)
    access.set_sieve_buf_size(0)
    return h5py.File(h5py.h5f.create(str(path).encode(), h5py.h5f.ACC_TRUNC, fcpl=creation, fapl=access))


def _number(error: BaseException | None) -> int | None:
    """Return the system's number of an error, or of the one it came after."""
    if not isinstance(error, (OSError, RuntimeError)):
        return None
    found = re.search(r"errno = (\d+)", str(error))
    own = int(found[1]) if found else error.errno if isinstance(error, OSError) else None
    return own or _number(error.__context__)
