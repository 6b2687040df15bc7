"""What a reader is: a row of the room's table, the extensions and first bytes it answers to, and `open`."""

from __future__ import annotations

import contextlib
import os
import stat
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, NoReturn

from ..core.errors import DataError, RecordingError
from ..core.specs import Spec
from .session import Session

AGAIN = "Copy it again from its source, in binary mode"


class Reader(Spec):
    """Base of every reader.

    extensions : the endings it answers to, lower case, the longest tried first. magic : what its files start with.
    c_library : whether a library in C parses the files, which a hostile one may crash or hang; see `isolated.rehearse`.
    """

    kind: str
    extensions: ClassVar[tuple[str, ...]] = ()
    magic: ClassVar[tuple[bytes, ...]] = ()
    c_library: ClassVar[bool] = False

    def recognises(self, head: bytes, name: str) -> bool:
        """Return whether a file of this name that starts with `head` can be of this format."""
        return any(head.startswith(magic) for magic in self.magic)

    def takes(self, path: Path) -> bool:
        """Return whether a search through a folder takes a file with an ending of this format for a recording."""
        return True

    def open(self, path: Path, *, subject: str | None = None) -> Session:
        """Return the lazy session of `path`; RecordingError where the file is not what it says it is."""
        raise NotImplementedError


def stem(path: Path) -> str:
    """Return the file's name without its extension ('.fif.gz' counts as one)."""
    name = path.name.removesuffix(".gz")
    return name.rpartition(".")[0] or name


def file_size(path: Path) -> int:
    """Return the bytes of a file; RecordingError where it is missing, unreadable, a folder, a pipe or empty."""
    try:
        mode = path.stat().st_mode  # before it is opened: opening a pipe waits for ever for who writes into it
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            given = "this is a pipe, a socket or a device"
            raise RecordingError(path, given, allowed="a file", remedy="Copy what comes out of it into a file")
        with path.open("rb") as file:
            size = file.seek(0, 2)
    except FileNotFoundError:
        raise RecordingError(path, "there is no such file", remedy="Check the path") from None
    except IsADirectoryError:
        raise RecordingError(path, "this is a folder", allowed="one recording file") from None
    except OSError as error:
        raise RecordingError(path, f"it cannot be opened ({error.strerror})", remedy="Check its permissions") from None
    if size == 0:
        raise RecordingError(path, "the file is empty", remedy="Copy it again from its source")
    return size


def is_file(path: Path) -> bool:
    """Return whether this is a file; False, too, where the system takes no such name (255 bytes on most)."""
    try:
        return path.is_file()
    except OSError:
        return False


def newline_damage(path: Path) -> tuple[int, int]:
    """Return how many LF follow a CR and how many do not, counted in blocks of 1 MiB."""
    pairs = bare = 0
    last = b""
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            block = last + block
            crlf = block.count(b"\r\n")
            pairs, bare = pairs + crlf, bare + block.count(b"\n") - crlf
            last = b"\r" if block.endswith(b"\r") else b""
    return pairs, bare


def fail(path: Path, given: str, *, allowed: str = "", remedy: str = "Export the file again") -> NoReturn:
    """Raise RecordingError."""
    raise RecordingError(path, given, allowed=allowed, remedy=remedy)


@contextlib.contextmanager
def naming_newlines(path: Path, least: int = 1) -> Iterator[None]:
    """Where a binary file is refused and all its LF, `least` or more, follow a CR, name that before what it led to."""
    try:
        yield
    except RecordingError as error:
        pairs, bare = newline_damage(path) if path.is_file() else (0, 0)
        if bare or pairs < least:
            raise
        led_to = error.given.removeprefix(f"{error.path}: ")
        given = f"a line-ending conversion (LF to CR LF) damaged it, each of its {pairs} LF follows a CR: {led_to}"
        remedy = f"{AGAIN} (git: mark *{path.suffix} as binary in .gitattributes)"
        raise RecordingError(path, given, remedy=remedy) from None


class OpenFile:
    """A file held open for reading at any place; threads and forks may share it, as it keeps no position.

    It is closed by `close`, or when nothing refers to it any more.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd = os.open(path, os.O_RDONLY)
        self.close = weakref.finalize(self, os.close, self._fd)

    def read_at(self, n: int, at: int) -> bytes:
        """Return exactly n bytes from `at`; RecordingError where the file became shorter."""
        if not self.close.alive:
            raise DataError(f"The session of {self.path} is closed", remedy="Read before closing it, or open it again")
        parts, left = [], n
        while left:
            part = os.pread(self._fd, left, at + n - left)
            if not part:
                given = "it became shorter while it was open"
                raise RecordingError(self.path, given, remedy="Do not write to a recording that is being read")
            parts.append(part)
            left -= len(part)
        return b"".join(parts)
