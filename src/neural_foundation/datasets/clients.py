"""Datasets that only a program of their keepers fetches (Kaggle's client, IBL's ONE-api).

The client is imported when a file is missing, never before: a complete folder needs neither client nor network. Every
file arrives in a hidden folder, and gets its final name when it is whole. Its SHA-256 goes into SHA256SUMS.txt, which
later calls verify against; a file that nobody has a checksum of is said to be unverified.
"""

from __future__ import annotations

import os
import shutil
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.errors import DataError, did_you_mean, one_of
from ..core.store import lock, rename, sha256, write_bytes, writing
from .sources import SUMS, FetchError, Get, Remote, Source, parse_sums, safe

if TYPE_CHECKING:
    from .base import Files

PARTS = ".arriving"
OFFLINE = (ConnectionError, TimeoutError)


class Client(Source):
    """A source behind a client. needs : what a person must have or do before; '' for nothing."""

    needs: str = ""

    def kept(self, folder: Path) -> list[Remote] | None:
        return None

    def listing(self, get: Get) -> tuple[str, bytes, list[Remote]]:
        raise DataError("The files of this dataset have no addresses", remedy=f"See {self.page}")

    @abstractmethod
    def names(self, dataset: Files, target: Path, subjects: Sequence[str] | None) -> list[str]:
        """Return the files that `dataset` reads, below `target`; asks the client only for a list that is not there."""

    @abstractmethod
    def bring(self, names: Sequence[str], target: Path) -> Iterator[str]:
        """Fetch the files, yielding the name of each when it lies whole under `target`."""


def look(names: Sequence[str], target: Path) -> dict[str, list[str]]:
    """Return the names by what lies there: 'verified', 'unverified' (no checksum is known), 'wrong', 'missing'."""
    found: dict[str, list[str]] = {word: [] for word in ("verified", "unverified", "wrong", "missing")}
    known = checksums(target)
    for name in names:
        path = target / safe(name, str(target))
        if not path.is_file():
            found["missing"].append(name)
        elif name not in known:
            found["unverified"].append(name)
        else:
            found["verified" if sha256(path) == known[name] else "wrong"].append(name)
    return found


def bring(source: Client, names: Sequence[str], target: Path) -> Iterator[str]:
    """Fetch the files under the folder's lock, and write their checksums down, also when it is stopped midway."""
    with lock(target):
        sums = checksums(target)
        try:
            for name in source.bring(names, target):
                sums[name] = sha256(target / name)
                yield name
        finally:
            if sums:
                write_bytes(target / SUMS, "".join(f"{sums[n]}  {n}\n" for n in sorted(sums)).encode())
        shutil.rmtree(target / PARTS, ignore_errors=True)


def checksums(target: Path) -> dict[str, str]:
    """Return name -> SHA-256 of what was fetched into a folder; FetchError where the list is damaged."""
    path = target / SUMS
    return parse_sums(path.read_text(encoding="utf-8", errors="replace"), str(path)) if path.is_file() else {}


def settle(part: Path, target: Path, name: str) -> str:
    """Give a whole file its final name; DataError where a link would lead it out of the folder."""
    path = target / safe(name, str(target))
    if not path.resolve().is_relative_to(target.resolve()):
        raise DataError(f"{path} leads out of {target}", remedy="Remove the link")
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        rename(part, path)
    return name


def of_subjects(dataset: Files, target: Path, subjects: Sequence[str] | None) -> list[str]:
    """Return the names of the files of all recordings that the folder's own list names, in order."""
    items = dataset.found(target)
    known = sorted({item.subject for item in items})
    for name in subjects or ():
        if name not in known:
            raise DataError(f"No subject '{name}'.{did_you_mean(name, known)}", allowed=one_of(known[:20]))
    chosen = [i for i in items if subjects is None or i.subject in subjects]
    return list(dict.fromkeys(f.relative_to(target).as_posix() for i in chosen for f in i.files))


def offline(error: BaseException) -> bool:
    """Return whether no server answered: the errors of `requests` and `urllib3` are known by their names."""
    words = {cls.__name__ for cls in type(error).__mro__}
    return isinstance(error, OFFLINE) or bool(words & {"ConnectionError", "Timeout", "MaxRetryError", "URLError"})


def status(error: BaseException) -> int | None:
    """Return the HTTP status that an error of a client carries; None where it carries none."""
    for place in (error, getattr(error, "response", None)):
        for name in ("status", "status_code", "code"):
            value: Any = getattr(place, name, None)
            if type(value) is int:
                return int(value)
    return None


def refused(page: str, error: BaseException, remedy: str) -> FetchError:
    """Return what a client raised as one FetchError."""
    if offline(error):
        return FetchError(page, f"no answer ({type(error).__name__})", remedy=remedy, unreachable=True)
    text = str(error).partition("\n")[0][:200]
    return FetchError(page, f"the client stopped with {type(error).__name__}: {text}", remedy=remedy)


def is_disk(error: BaseException) -> bool:
    """Return whether the operating system refused to write; `writing` says what to do then."""
    return type(error).__module__ == "builtins" and isinstance(error, OSError) and error.filename is not None


def fresh(target: Path) -> Path:
    """Return the hidden folder where files arrive."""
    folder = target / PARTS
    with writing(folder):
        os.makedirs(folder, exist_ok=True)
    return folder
