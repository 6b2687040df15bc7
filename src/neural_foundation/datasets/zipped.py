"""Small files inside a zip archive, read in memory: nothing is unpacked on disk, so no name in it leads anywhere.

Whatever the archive says of itself is doubted: how many members, how large, how packed. Each bound is far above what a
published archive of segments holds, and far below what would hurt.
"""

from __future__ import annotations

import weakref
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..core.errors import RecordingError
from ..recordings.reader import OpenFile

MAX_ARCHIVE = 1 << 28  # bytes
MAX_MEMBERS = 1 << 14
MAX_MEMBER = 1 << 20  # bytes, unpacked
AGAIN = "Get the archive again"
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


def members(archive: Path) -> list[str]:
    """Return the names of the files in an archive; RecordingError where it is no zip, damaged or out of bounds."""
    return [info.filename for info in _guarded(archive, lambda packed: packed.infolist()) if not info.is_dir()]


def content(archive: Path, name: str) -> bytes:
    """Return the bytes of a member, whose checksum holds; RecordingError where they cannot be had or are too many."""

    def read(packed: zipfile.ZipFile) -> bytes:
        info = packed.getinfo(name)
        if info.flag_bits & 1 or info.compress_type not in _METHODS:
            raise RecordingError(inside(archive, name), "it is encrypted, or packed in a way other than deflate")
        if info.file_size > MAX_MEMBER:
            given = f"it claims {info.file_size} bytes"
            raise RecordingError(inside(archive, name), given, allowed=f"{MAX_MEMBER} at most", remedy=AGAIN)
        with packed.open(info) as member:  # gives no more than was claimed, and checks the CRC at its end
            return member.read()

    held: bytes = _guarded(archive, read)
    return held


def inside(archive: Path, name: str) -> Path:
    """Return what messages call a member: the archive and its bare name."""
    return archive / name.rpartition("/")[2]


def _guarded(archive: Path, use: Callable[[zipfile.ZipFile], Any]) -> Any:
    """Turn what the zip library raises for damaged bytes into one RecordingError."""
    if not archive.is_file():
        raise RecordingError(archive, "there is no such file", remedy="Check `path`")
    if (size := archive.stat().st_size) > MAX_ARCHIVE:
        raise RecordingError(archive, f"it has {size} bytes", allowed=f"{MAX_ARCHIVE} at most", remedy=AGAIN)
    try:
        with zipfile.ZipFile(archive) as packed:
            if len(packed.infolist()) > MAX_MEMBERS:
                given = f"it has {len(packed.infolist())} members"
                raise RecordingError(archive, given, allowed=f"{MAX_MEMBERS} at most", remedy=AGAIN)
            return use(packed)
    except RecordingError:
        raise
    except OSError as error:
        raise RecordingError(archive, f"it cannot be read ({error.strerror or error})", remedy=AGAIN) from None
    except Exception as error:  # noqa: BLE001 - zipfile and zlib raise a dozen types for damaged bytes
        raise RecordingError(archive, f"the zip is damaged ({type(error).__name__}: {error})", remedy=AGAIN) from None


class Held(OpenFile):
    """Bytes in memory where a reader takes an open file; `path` is what messages call them."""

    def __init__(self, path: Path, content: bytes) -> None:
        self.path, self._content = path, content
        self.close = weakref.finalize(self, _nothing, -1)

    def read_at(self, n: int, at: int) -> bytes:
        """Return exactly n bytes from `at`; RecordingError where there are fewer."""
        if len(part := self._content[at : at + n]) < n:
            raise RecordingError(self.path, "it ends too early", remedy=AGAIN)
        return part


def _nothing(fd: int) -> None:
    """Close what was never opened."""
