"""The first bytes of an HDF5 file, and its size against the one in its superblock (HDF5 file format 3.0, II.A)."""

from __future__ import annotations

import mmap
import os
from pathlib import Path
from typing import Any

from ..core.errors import RecordingError
from .reader import AGAIN, naming_newlines

MAGIC = b"\x89HDF\r\n\x1a\n"
_NEWLINES = {b"\x89HDF\r\r\n": "LF to CR LF", b"\x89HDF\r\n\x1a\r\n": "LF to CR LF", b"\x89HDF\n": "CR LF to LF"}
MAX_SCANNED = 1 << 22  # larger ones take longer to look through than to open
_HEAP = b"GCOL\1\0\0\0"
_END_AT = {0: 40, 1: 44, 2: 28, 3: 28}  # by version: where the superblock has the end of the file


def check_end(path: Path, size: int, base: int = 0) -> None:
    """Raise RecordingError unless the file of `size` bytes, whose HDF5 part begins at byte `base`, ends as it says."""
    with path.open("rb") as file:
        file.seek(base)
        head = file.read(64)
    if damage := newlines_of(head):
        raise RecordingError(path, f"a line-ending conversion ({damage}) damaged it", remedy=AGAIN)
    with naming_newlines(path, 2):
        check_head(path, size, head)
    check_heaps(path, size)


def newlines_of(head: bytes) -> str:
    """Return which conversion of line ends damaged an HDF5 file that starts like this, '' where none did."""
    return next((damage for start, damage in _NEWLINES.items() if head.startswith(start)), "")


def check_head(path: Path, size: int, head: bytes) -> None:
    """Raise RecordingError unless a file that starts with these 64 bytes is HDF5 and has the size that they say."""
    if not head.startswith(MAGIC):
        raise RecordingError(path, "it does not start as HDF5 files do", remedy=AGAIN)
    at = _END_AT.get(head[8] if len(head) == 64 else -1)
    if at is None:
        given = f"its HDF5 header is not whole or of an unknown version ({size} bytes)"
        raise RecordingError(path, given, remedy=AGAIN)
    end = int.from_bytes(head[at : at + 8], "little")
    if end != size:
        what = "it is truncated" if size < end else f"{size - end} bytes follow its end"
        raise RecordingError(path, f"it has {size} bytes, but its header says {end}: {what}", remedy=AGAIN)


def check_whole(path: Path, thing: Any) -> None:
    """Raise RecordingError where the file of an open h5py object became shorter: beyond its end HDF5 reads zeros."""
    import h5py

    file = h5py.h5i.get_file_id(thing.id)
    if file.get_access_plist().get_driver() != h5py.h5fd.SEC2:
        return  # no file of this machine's
    size, before = os.fstat(file.get_vfd_handle()).st_size, file.get_filesize()
    if size < before:
        given = f"it has {size} bytes, and had {before} when it was opened"
        raise RecordingError(path, given, remedy="Do not write to a recording that is being read")


def check_heaps(path: Path, size: int, most: int = MAX_SCANNED) -> None:
    """Walk every global heap (HDF5 file format 3.0, section III.E): one with a damaged size has HDF5 loop for ever.

    A file of more than `most` bytes is passed over, as it takes reading it.
    """
    if size > most:
        return
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as raw:
        at = raw.find(_HEAP)
        while at >= 0:
            end, place = at + int.from_bytes(raw[at + 8 : at + 16], "little"), at + 16
            while place + 16 <= end <= len(raw):
                size = int.from_bytes(raw[place + 8 : place + 16], "little")
                # object 0 is the room that is left, its header counted in
                size = 16 + -(-size // 8) * 8 if raw[place : place + 2] != b"\0\0" else size
                if not 16 <= size <= end - place:
                    raise RecordingError(path, f"the HDF5 file is damaged (a heap of texts at {at})", remedy=AGAIN)
                place += size
            at = raw.find(_HEAP, at + 1)
