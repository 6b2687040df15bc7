"""The journal of an adapting decoder: one JSON line for each update, each chained to the one before by its hash.

A line: {"entry": 0, 1, 2, ..., "kind": ..., "package": digest, "sample": raw sample, ..., "previous": hash,
"hash": hash}. `hash` is the SHA-256 of `previous` and of the line without `hash`. Lines are only ever appended, each by
one write, so a killed process leaves at most one torn last line. Reading passes over it; opening the journal again
removes it and says so in an entry of its own.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from pathlib import Path
from typing import Any

from ..core.errors import StoreError
from ..core.store import writing

FIRST = "0" * 64
Entry = dict[str, Any]


class Journal:
    """An open journal; one process writes a file at a time (StoreError for another). Close it, or use it in a `with`.

    package : digest of what decodes, part of each entry. Writing is not forced to the disk at each entry: it survives
    the process's end however it comes, not a power cut.
    """

    def __init__(self, path: Path | str, package: str = "") -> None:
        self.path, self.package = Path(path), package
        with writing(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            self._lock()
            self._go_on()
        except BaseException:
            os.close(self._file)
            raise

    def _lock(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StoreError(
                f"Another process writes the journal {self.path}", remedy="Give each process one of its own"
            ) from None

    def _go_on(self) -> None:
        data = self.path.read_bytes()
        entries, torn = _parse(data, self.path)
        self._entry, self._previous = len(entries), entries[-1]["hash"] if entries else FIRST
        if torn:
            os.ftruncate(self._file, len(data) - torn)
            self.append("recovered", sample=int(entries[-1]["sample"]) if entries else 0, torn_bytes=torn)

    def append(self, kind: str, *, sample: int, **facts: Any) -> None:
        """Write one entry; `facts` are JSON values. StoreError where the disk refuses."""
        head = {"entry": self._entry, "kind": kind, "package": self.package, "sample": sample}
        body = {**head, **facts, "previous": self._previous}
        body["hash"] = _hash(body)
        data = _line(body)
        with writing(self.path):
            size = os.fstat(self._file).st_size
            if os.write(self._file, data) != len(data):
                os.ftruncate(self._file, size)  # what follows must not begin in the middle of a line
                raise StoreError(f"Cannot write {self.path} to its end", remedy="Free some space on the disk")
        self._entry, self._previous = self._entry + 1, body["hash"]

    def close(self) -> None:
        """Force the journal to the disk and let it go."""
        if self._file >= 0:
            with writing(self.path):
                os.fsync(self._file)
            os.close(self._file)
            self._file = -1

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def read_journal(path: Path | str) -> list[Entry]:
    """Return the entries of a journal, oldest first; a torn last line is left out.

    StoreError where it is missing, or where a line is damaged, missing, or not what was written.
    """
    try:
        data = Path(path).read_bytes()
    except FileNotFoundError:
        raise StoreError(f"{path} is missing", remedy="Check the path of the journal") from None
    return _parse(data, Path(path))[0]


def _parse(data: bytes, path: Path) -> tuple[list[Entry], int]:
    """Return the entries, and the bytes of a torn last line."""
    *lines, last = data.split(b"\n")
    entries: list[Entry] = []
    previous = FIRST
    for number, line in enumerate(lines):
        entry = _entry(line)
        if entry is None or entry["previous"] != previous or entry["entry"] != number or entry["hash"] != _hash(entry):
            raise StoreError(
                f"{path}, line {number + 1}: the entry is not as it was written, or one before it is missing",
                remedy="Keep the file as evidence and start another journal",
            )
        previous = entry["hash"]
        entries.append(entry)
    return entries, len(last)


def _entry(line: bytes) -> Entry | None:
    try:
        value = json.loads(line)
    except (json.JSONDecodeError, UnicodeDecodeError):
        return None
    whole = isinstance(value, dict) and {"entry", "kind", "package", "sample", "previous", "hash"} <= value.keys()
    return value if whole else None


def _hash(entry: Entry) -> str:
    text = json.dumps({k: v for k, v in entry.items() if k != "hash"}, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _line(entry: Entry) -> bytes:
    return (json.dumps(entry, sort_keys=True, separators=(",", ":"), allow_nan=False) + "\n").encode()
