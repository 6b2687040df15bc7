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
    """Open each file once, close it, and tell the good from the bad; both keep the order of `paths`."""
    good: list[Path] = []
    bad: list[tuple[Path, str]] = []
    for path in map(Path, paths):
        try:
            read(path).close()
            good.append(path)
        except RecordingError as error:
            bad.append((path, str(error)))
    return Survey(tuple(good), tuple(bad))


def open_all(paths: Iterable[Path | str]) -> tuple[list[Session], list[tuple[Path, str]]]:
    """Return the open sessions of the good files, and (file, reason) of the bad. Close the sessions after use."""
    found = survey(paths)
    return [read(path) for path in found.good], list(found.bad)
