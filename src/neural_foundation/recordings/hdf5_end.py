"""The size of an HDF5 file against the one in its superblock (HDF5 file format 3.0, section II.A)."""

from __future__ import annotations

from pathlib import Path

from ..core.errors import RecordingError
from .reader import newline_damage

_END_AT = {0: 40, 1: 44, 2: 28, 3: 28}  # by version: where the superblock has the end of the file
_AGAIN = "Copy it again from its source, in binary mode"


def check_end(path: Path, size: int, base: int = 0) -> None:
    """Raise RecordingError unless the file of `size` bytes, whose HDF5 part begins at byte `base`, ends as it says."""
    with path.open("rb") as file:
        file.seek(base)
        head = file.read(64)
    at = _END_AT.get(head[8] if len(head) == 64 and head.startswith(b"\x89HDF\r\n\x1a\n") else -1)
    if at is None:
        pairs, bare = newline_damage(path)
        damage = "a line-ending conversion (LF to CR LF) damaged it: " if pairs > 1 and bare == 0 else ""
        given = f"{damage}its HDF5 header is not whole or of an unknown version ({size} bytes)"
        raise RecordingError(path, given, remedy=_AGAIN)
    end = int.from_bytes(head[at : at + 8], "little")
    if end != size:
        what = "it is truncated" if size < end else f"{size - end} bytes follow its end"
        raise RecordingError(path, f"it has {size} bytes, but its header says {end}: {what}", remedy=_AGAIN)
