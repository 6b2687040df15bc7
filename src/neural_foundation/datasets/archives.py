"""Archives that a person put into a dataset's folder: verified, unpacked, and what came out of them written down."""

from __future__ import annotations

import shutil
import zipfile
import zlib
from pathlib import Path

from ..core.errors import RecordingError
from ..core.store import atomic, lock, sha256, write_bytes
from .base import Files
from .sources import SUMS, ByHand, parse_sums

MAX_MEMBER = 1 << 34


def unpack(dataset: Files, source: ByHand, target: Path) -> None:
    """Unpack the archives in the folder that were not yet, beside them, and add to the list of checksums.

    Only the members that the dataset reads, by their bare names. RecordingError where an archive is not as published.
    """
    done = unpacked(target)
    new = [target / name for name in source.archives if name not in done and (target / name).is_file()]
    for path in new:
        if (found := sha256(path)) != source.archives[path.name]:
            remedy = f"Get it again: {source.by_hand(target)}"
            raise RecordingError(path, f"its SHA-256 is {found}", allowed=source.archives[path.name], remedy=remedy)
    if new:
        with lock(target):
            for path in new:
                done |= {path.name: source.archives[path.name]} | _members(dataset, path)
            write_bytes(target / SUMS, "".join(f"{done[name]}  {name}\n" for name in sorted(done)).encode())


def unpacked(target: Path) -> dict[str, str]:
    """Return name -> SHA-256 of the archives that were unpacked here, and of what came out of them."""
    path = target / SUMS
    return parse_sums(path.read_text(encoding="utf-8", errors="replace"), str(path)) if path.is_file() else {}


def _members(dataset: Files, archive: Path) -> dict[str, str]:
    sums: dict[str, str] = {}
    try:
        with zipfile.ZipFile(archive) as packed:
            for member in packed.infolist():
                name = member.filename.rpartition("/")[2]
                if dataset.subject_of(name) is None or member.file_size > MAX_MEMBER:
                    continue
                with atomic(archive.with_name(name)) as to, packed.open(member) as file, to.open("wb") as out:
                    shutil.copyfileobj(file, out)
                sums[name] = sha256(archive.with_name(name))
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise RecordingError(archive, f"it cannot be unpacked ({error})", remedy="Get it again") from None
    return sums
