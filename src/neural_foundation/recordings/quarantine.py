"""Go on past bad files: what could be opened, and what not, with the reason."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ..core.errors import RecordingError
from .session import Session
from .table import read


@dataclass(frozen=True)
class Survey:
    """good : the files that open. bad : (file, reason) of each that does not."""

    good: tuple[Path, ...]
    bad: tuple[tuple[Path, str], ...]


def survey(paths: Iterable[Path | str]) -> Survey:
    """Open each file once, close it, and tell the good from the bad; both keep the order of `paths`.

    A file is good when it opens: its header, its size and its annotations agree. Samples are checked when they are
    read.
    """
    tried = [(path, _opened(path)) for path in map(Path, paths)]
    good = tuple(path for path, reason in tried if reason is None)
    return Survey(good, tuple((path, reason) for path, reason in tried if reason is not None))


def _opened(path: Path) -> str | None:
    """Return why the file does not open, or None."""
    try:
        read(path).close()
    except RecordingError as error:
        return str(error)
    return None


def open_all(paths: Iterable[Path | str]) -> tuple[list[Session], list[tuple[Path, str]]]:
    """Return the open sessions of the good files, and (file, reason) of the bad. Close the sessions after use."""
    sessions: list[Session] = []
    bad: list[tuple[Path, str]] = []
    for path in map(Path, paths):
        try:
            sessions.append(read(path))
        except RecordingError as error:
            bad.append((path, str(error)))
    return sessions, bad
