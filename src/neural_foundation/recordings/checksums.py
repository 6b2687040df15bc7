"""A manifest of checksums for a folder: once written, a changed byte in any of its files is found.

Most recording formats have no checksum of their own: a flipped bit in a sample gives another sample. `SHA256SUMS` is
in the format of coreutils: `sha256sum --check SHA256SUMS` reads it, and its own manifests are read here. Paths are
relative to the folder, with '/', and in order, so that equal folders give equal bytes.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from ..core.errors import RecordingError
from ..core.progress import Progress, silent
from ..core.store import write_bytes

MANIFEST = "SHA256SUMS"
BLOCK_BYTES = 1 << 20
_UNLISTED = (MANIFEST, ".lock")  # the manifest cannot list itself; a lock is no content
_LINE = re.compile(rb"(\\?)([0-9a-f]{64}) [ *](.+)")
_ESCAPES = {"\\": r"\\", "\n": r"\n", "\r": r"\r"}
_REMEDY = "Get the manifest from where the files came from, or write it again where they are known to be right"


@dataclass(frozen=True)
class Finding:
    """What is wrong with one file: its path in the folder, and whether it is changed, missing or not listed."""

    path: str
    kind: Literal["changed", "missing", "unlisted"]


def write_checksums(folder: Path | str, *, progress: Progress = silent) -> Path:
    """Write SHA256SUMS for all files in a folder and the folders in it; return its path.

    A link to a file counts as what it leads to. progress : called as (bytes done, bytes of all, path). Memory is
    bounded. The manifest is written at once, when all files are read. RecordingError where the folder is missing or
    has no files, a link leads to a folder or nowhere, a file cannot be read, or one changes while it is read.
    """
    folder = Path(folder)
    lines = []
    for name, digest in _digests(folder, _files(folder), progress):
        escaped = "".join(_ESCAPES.get(c, c) for c in name)
        lines.append(f"{'' if escaped == name else chr(92)}{digest}  {escaped}\n")
    if not lines:
        raise RecordingError(folder, "there are no files to list", remedy="Check the path")
    write_bytes(folder / MANIFEST, os.fsencode("".join(lines)))
    return folder / MANIFEST


def check_checksums(folder: Path | str, *, progress: Progress = silent) -> list[Finding]:
    """Return what differs from the folder's SHA256SUMS, ordered by path; an empty list where nothing does.

    A file is changed where its bytes are others, missing where it is listed and not there, unlisted where it is there
    and not listed. RecordingError where there is no manifest, it is damaged, or a file cannot be read.
    """
    folder = Path(folder)
    listed, found = _listed(folder / MANIFEST), _files(folder)
    findings = [Finding(name, "missing") for name in listed.keys() - found.keys()]
    findings += [Finding(name, "unlisted") for name in found.keys() - listed.keys()]
    both = {name: found[name] for name in found if name in listed}
    findings += [Finding(name, "changed") for name, d in _digests(folder, both, progress) if d != listed[name]]
    return sorted(findings, key=lambda f: os.fsencode(f.path))


def _files(folder: Path) -> dict[str, int]:
    """Return the size of each file by its path in the folder, in the order of the paths' bytes."""
    if not folder.is_dir():
        raise RecordingError(folder, "this is not a folder", remedy="Check the path")
    found: dict[str, int] = {}
    for where, folders, files in os.walk(folder, onerror=_raise):
        for name in folders:
            if (path := Path(where, name)).is_symlink():
                raise RecordingError(path, "this link leads to a folder", remedy="Put the files themselves there")
        for name in files:
            path = Path(where, name)
            relative = path.relative_to(folder).as_posix()
            if relative not in _UNLISTED:
                found[relative] = _size(path)
    return {name: found[name] for name in sorted(found, key=os.fsencode)}


def _raise(error: OSError) -> None:
    raise RecordingError(error.filename, f"it cannot be opened ({error.strerror})", remedy="Check its permissions")


def _size(path: Path) -> int:
    if not path.is_file():
        given = "this link leads nowhere" if path.is_symlink() else "this is no file that has content"
        raise RecordingError(path, given, remedy="Remove it, or put a file there")
    return path.stat().st_size


def _digests(folder: Path, files: dict[str, int], progress: Progress) -> Iterator[tuple[str, str]]:
    """Yield (path, SHA-256) of each file."""
    total, done = sum(files.values()), 0
    for name, size in files.items():
        progress(done, total, name)
        sha = hashlib.sha256()
        read = 0
        for block in _blocks(folder / name):
            sha.update(block)
            read += len(block)
            if read > size:  # something writes to it, maybe for ever
                break
            progress(done + read, total, name)
        if read != size:
            given = f"it had {size} bytes, and {'more' if read > size else read} when it was read"
            raise RecordingError(folder / name, given, remedy="Wait until nothing writes to it")
        done += size
        yield name, sha.hexdigest()


def _blocks(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            while block := file.read(BLOCK_BYTES):
                yield block
    except OSError as error:
        remedy = "Check its permissions and its disk"
        raise RecordingError(path, f"it cannot be read ({error.strerror})", remedy=remedy) from None


def _listed(manifest: Path) -> dict[str, str]:
    """Return the SHA-256 of each path that a manifest lists."""
    if not manifest.is_file():
        raise RecordingError(manifest, "there is no manifest of checksums", remedy="Write one: write_checksums(folder)")
    raw = b"".join(_blocks(manifest))
    lines = raw.split(b"\n")
    if lines.pop():
        raise RecordingError(manifest, "its last line has no end, so it is cut off", remedy=_REMEDY)
    if lines and all(line.endswith(b"\r") for line in lines):
        given = "a line-ending conversion (LF to CR LF) damaged it"
        raise RecordingError(manifest, given, remedy=f"Turn its line ends back into LF. {_REMEDY}")
    listed: dict[str, str] = {}
    for number, line in enumerate(lines, start=1):
        name, digest = _entry(manifest, number, line)
        if name in listed:
            raise RecordingError(manifest, f"line {number} lists '{name}' again", remedy=_REMEDY)
        listed[name] = digest
    return listed


def _entry(manifest: Path, number: int, line: bytes) -> tuple[str, str]:
    found = _LINE.fullmatch(line)
    if found is None:
        allowed = "64 hexadecimal digits, two spaces and a path"
        raise RecordingError(manifest, f"line {number} is no entry", allowed=allowed, remedy=_REMEDY)
    name = os.fsdecode(found[3])
    if found[1]:
        name = _unescaped(manifest, number, name)
    name = name.removeprefix("./")
    if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts or PurePosixPath(name).as_posix() != name:
        given = f"line {number} lists '{name}'"
        raise RecordingError(manifest, given, allowed="a path inside its folder", remedy=_REMEDY)
    return name, found[2].decode()


def _unescaped(manifest: Path, number: int, name: str) -> str:
    back = {escape: char for char, escape in _ESCAPES.items()}
    parts = re.split(r"(\\.|\\$)", name)
    if any(part.startswith("\\") and part not in back for part in parts):
        allowed = r"\\, \n and \r"
        raise RecordingError(manifest, f"line {number} has an unknown escape", allowed=allowed, remedy=_REMEDY)
    return "".join(back.get(part, part) for part in parts)
