"""Sessions that lie elsewhere, read through fsspec: s3://, gs://, https://, memory://, file:// and what else it knows.

Nothing is copied to this machine: opening reads the descriptions in the file, a window reads its own bytes. fsspec
comes with torch; a store may need its own library (s3fs for s3://), which fsspec names.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..core.errors import MissingExtraError, RecordingError
from ..recordings import Session
from ..recordings.hdf5 import session_of
from ..recordings.hdf5_end import check_head
from ..recordings.hdf5_tree import guarded
from .raw_samples import Place, Values, changed, turned

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*(::|://)")
CHECK = "Check the address, and the settings of its store"
Options = Mapping[str, Any]


def is_remote(path: Path | str) -> bool:
    """Return whether a path is an address (`scheme://...`), which only text can be."""
    return isinstance(path, str) and _URL.match(path) is not None


def open_remote(url: str, *, subject: str | None = None, options: Options | None = None) -> Session:
    """Return the lazy session of an HDF5 file at an address; `options` go to its store (fsspec's storage_options).

    Raises RecordingError where there is no such file, or it is no session; MissingExtraError without fsspec.
    """
    import h5py

    remote = Remote(url, options)
    stream = remote.stream()
    try:
        check_head(Path(url), remote.size, stream.read(64))
        stream.seek(0)
        with guarded(Path(url)):
            file = h5py.File(stream, "r")
    except BaseException:
        stream.close()
        raise

    def close() -> None:
        file.close()
        stream.close()

    return session_of(Path(url), file, remote.size, subject, close=close)


class Remote:
    """One file at an address. size : bytes. mark : what tells it from a later one there."""

    def __init__(self, url: str, options: Options | None = None) -> None:
        try:
            from fsspec.core import url_to_fs  # type: ignore[import-untyped, unused-ignore]
        except ImportError:
            raise MissingExtraError("fsspec", "remote") from None
        self.url = url
        self.fs, self.path = _asked(url, lambda: url_to_fs(url, **(options or {})))
        info = _asked(url, lambda: self.fs.info(self.path))
        if info.get("type") != "file" or not info.get("size"):
            given = "this is a folder" if info.get("type") == "directory" else "the file is empty or of unknown size"
            raise RecordingError(url, given, allowed="one recording file")
        self.size = int(info["size"])
        self.mark = tuple(str(info[key]) for key in ("ETag", "etag", "mtime", "LastModified", "created") if key in info)

    def stream(self) -> Any:
        """Return a file object that fetches what is read of it."""
        return _asked(self.url, lambda: self.fs.open(self.path, "rb"))


class RemoteRaw:
    """The plain samples of a remote file; nothing is kept of them."""

    def __init__(self, remote: Remote, place: Place) -> None:
        self.remote, self.place = remote, place

    def close(self) -> None:
        """Do nothing: no file is held open."""

    def read_into(self, start: int, out: Values) -> bool:
        """Write samples from `start` on to `out` (n_chans, n_times); return whether all are finite."""
        begin, n_bytes = self.place.span(start, out.shape[1])
        got = _asked(self.remote.url, lambda: self.remote.fs.cat_file(self.remote.path, begin, begin + n_bytes))
        return self.place_bytes(got, out)

    def place_bytes(self, got: bytes, out: Values) -> bool:
        """Write fetched bytes to `out`."""
        if len(got) != out.shape[1] * self.place.row_bytes:
            raise changed(self.remote.url)
        return turned(np.frombuffer(got, self.place.dtype).reshape(-1, self.place.n_chans), self.place.gain, out)


def fetch(wanted: Sequence[tuple[RemoteRaw, int, Values]]) -> list[bool]:
    """Write several windows (file, first sample, out) that one store holds, asked for at once; return which are finite.

    Stores that can (s3fs, gcsfs, http) fetch them at the same time.
    """
    spans = [raw.place.span(start, out.shape[1]) for raw, start, out in wanted]
    fs, url = wanted[0][0].remote.fs, wanted[0][0].remote.url
    paths = [raw.remote.path for raw, _, _ in wanted]
    ends = [first + n for first, n in spans]
    got = _asked(url, lambda: fs.cat_ranges(paths, [first for first, _ in spans], ends, on_error="raise"))
    return [raw.place_bytes(part, out) for (raw, _, out), part in zip(wanted, got, strict=True)]


def _asked(url: str, ask: Any) -> Any:
    """Return what a store gives; its many errors are one to the user."""
    try:
        return ask()
    except FileNotFoundError:
        raise RecordingError(url, "there is no such file", remedy=CHECK) from None
    except ImportError as error:
        raise RecordingError(url, f"its store needs a library ({error})", remedy="Install it with pip") from None
    except Exception as error:  # noqa: BLE001 - each store has its own
        raise RecordingError(url, f"its store gives {type(error).__name__}: {error}", remedy=CHECK) from error
