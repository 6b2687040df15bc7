"""Files that are whole or absent: atomic writes, checksums, deterministic array files, one lock a folder."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import shutil
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .errors import StoreError

_ADVICE = {
    errno.ENOSPC: "The disk is full. Free some space and run again; nothing finished is lost",
    errno.EDQUOT: "The disk quota is used up. Free some space and run again; nothing finished is lost",
    errno.EFBIG: "The file would be too large for this disk, or for `ulimit -f`. Choose another with --output",
    errno.EROFS: "The folder is on a read-only file system. Choose another with --output",
    errno.ENOTDIR: "A part of the path is a file. Choose another with --output",
    errno.ENOENT: "The folder cannot be made there. Choose another with --output",
    errno.EPERM: "That is not allowed there. Choose another folder with --output",
    errno.EIO: "The disk reports an error. Check it, and choose another folder with --output",
    errno.EACCES: "You may not write there. Choose another folder with --output",
}


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn the operating system's refusal to write `path` into one StoreError that says what to do."""
    try:
        yield
    except OSError as error:
        if error.errno not in _ADVICE:
            raise
        raise StoreError(f"Cannot write {path} ({error.strerror})", remedy=_ADVICE[error.errno]) from error


@contextlib.contextmanager
def atomic(path: Path | str) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it is synced and renamed, on failure removed."""
    path = Path(path)
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        try:
            yield temporary
            _sync(temporary)
            os.replace(temporary, path)
            _sync(path.parent)
        finally:
            temporary.unlink(missing_ok=True)


def write_bytes(path: Path | str, data: bytes) -> None:
    """Write a whole file atomically."""
    with atomic(path) as temporary:
        temporary.write_bytes(data)


def write_json(path: Path | str, value: Any) -> None:
    """Write JSON atomically: sorted keys, so that equal values give equal bytes."""
    write_bytes(path, (json.dumps(value, sort_keys=True, indent=1, allow_nan=False) + "\n").encode())


def read_json(path: Path | str) -> Any:
    """Return the value of a JSON file; StoreError where it is missing or damaged."""
    try:
        return json.loads(Path(path).read_text())
    except FileNotFoundError:
        raise StoreError(f"{path} is missing", remedy="Run the stage that writes it again") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise StoreError(f"{path} is not JSON ({error})", remedy="Remove its folder and run again") from None


def save_arrays(path: Path | str, arrays: Mapping[str, Any]) -> None:
    """Write numeric and text arrays as npz: no pickle, equal arrays give equal bytes."""
    with atomic(path) as temporary, temporary.open("wb") as file:
        np.savez(file, allow_pickle=False, **{k: np.asarray(v) for k, v in sorted(arrays.items())})


def load_arrays(path: Path | str) -> dict[str, Any]:
    """Return the arrays of an npz file; pickled content is refused."""
    try:
        with np.load(path, allow_pickle=False) as file:
            return {k: file[k] for k in file.files}
    except FileNotFoundError:
        raise StoreError(f"{path} is missing", remedy="Run the stage that writes it again") from None
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise StoreError(f"{path} is not an array file ({error})", remedy="Remove its folder and run again") from None


def sha256(path: Path | str) -> str:
    """Return the SHA-256 of a file's bytes."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def lock(folder: Path) -> Iterator[None]:
    """Hold the folder's only lock; StoreError where another process holds it. A killed holder leaves none."""
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        handle = (folder / ".lock").open("w")
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StoreError(
                f"Another run is writing {folder}", remedy="Wait for it to end, or give --output DIR"
            ) from None
        yield


def rename(temporary: Path, final: Path) -> None:
    """Give a finished folder its final name; what an unfinished or damaged one left there is replaced."""
    remove(final)
    _sync(temporary)
    os.replace(temporary, final)
    _sync(final.parent)


def remove(folder: Path) -> None:
    """Remove a folder and all in it, if it is there."""
    with writing(folder):
        shutil.rmtree(folder, ignore_errors=False) if folder.exists() else None


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
