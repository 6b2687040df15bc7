"""States of connections, kept so that a broken one can go on: in memory, and in a folder where one is given.

A file holds one state, replaced whole by a rename, readable by its owner alone. It is not synced to the disk each
time: it survives the end of the process, not of the machine.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import time
from collections.abc import Callable
from pathlib import Path

from ..core.errors import StoreError

SUFFIX = ".state"
_COUNT = itertools.count()
_NAME = re.compile(r"^[A-Za-z0-9_-]{8,32}$")


class Snapshots:
    """Bytes by connection, forgotten `keep_s` seconds after they were last written, the oldest above `most` earlier."""

    def __init__(
        self, folder: Path | None, keep_s: float, *, most: int = 1024, clock: Callable[[], float] = time.time
    ) -> None:
        self.folder, self.keep_s, self.most, self._clock = folder, keep_s, most, clock
        self._kept: dict[str, tuple[float, bytes]] = {}
        if folder is not None:
            _make(folder)
            self.sweep()

    @property
    def durable(self) -> bool:
        """Whether states survive the end of this process."""
        return self.folder is not None

    def write(self, name: str, data: bytes) -> None:
        """Keep a state in place of the last one; StoreError where the folder takes none."""
        if self.folder is None:
            self._kept.pop(name, None)
            self._kept[name] = (self._clock(), data)
            while len(self._kept) > self.most:
                del self._kept[next(iter(self._kept))]
            return
        path, temporary = self._path(name), self.folder / f".{name}.{os.getpid()}.{next(_COUNT)}"
        try:
            file = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(file, "wb") as opened:
                opened.write(data)
            temporary.replace(path)
        except OSError as error:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise StoreError(
                f"The state of a connection cannot be written to {self.folder} ({error.strerror})",
                remedy="Free space, or give another folder",
            ) from None

    def read(self, name: str) -> bytes | None:
        """Return a state, or None where there is none, or it is too old."""
        if not _NAME.match(name):
            return None
        if self.folder is None:
            at, data = self._kept.get(name, (-float("inf"), b""))
            return data if self._clock() - at <= self.keep_s else None
        try:
            path = self._path(name)
            return path.read_bytes() if self._clock() - path.stat().st_mtime <= self.keep_s else None
        except OSError:
            return None

    def drop(self, name: str) -> None:
        """Forget a state; no error where there is none."""
        self._kept.pop(name, None)
        if self.folder is not None and _NAME.match(name):
            self._path(name).unlink(missing_ok=True)

    def sweep(self) -> int:
        """Forget what is too old or too much; return how many."""
        before = self._clock() - self.keep_s
        if self.folder is not None:
            return self._sweep_folder(before)
        old = [n for n, (at, _) in self._kept.items() if at < before]
        for name in old:
            del self._kept[name]
        return len(old)

    def _sweep_folder(self, before: float) -> int:
        assert self.folder is not None
        found = []
        for path in self.folder.glob(f"*{SUFFIX}"):
            with contextlib.suppress(OSError):  # another process of the same folder was quicker
                found.append((path.stat().st_mtime, path))
        found.sort(reverse=True)
        gone = [path for i, (at, path) in enumerate(found) if at < before or i >= self.most]
        for path in gone:
            path.unlink(missing_ok=True)
        return len(gone)

    def _path(self, name: str) -> Path:
        assert self.folder is not None
        return self.folder / f"{name}{SUFFIX}"


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise StoreError(
            f"The folder {folder} for states cannot be made ({error.strerror})", remedy="Give another one"
        ) from None
