"""Windows of many recordings, read again and again.

Opening a recording checks all that `read` checks, and keeps its facts; the file is then read as plain bytes where its
samples lie contiguous, through its reader where they do not. Up to `most_open` files are held open, in each process
its own. Shapes: n windows, C channels, T samples.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..core.errors import DataError, RecordingError, SignalMismatchError
from ..core.specs import SignalSpec
from ..recordings import Session, Signal, read
from ..recordings.hdf5_signals import SeriesSignal
from ..recordings.hdf5_tree import AGAIN
from .raw_samples import Place, RawFile, Stamp, Values, changed, place_of, stamp_of
from .remote import Options, Remote, RemoteRaw, fetch, is_remote, open_remote

Indices = NDArray[np.int64]
Mask = NDArray[np.bool_]
MOST_OPEN, MOST_KNOWN = 128, 4096


class Reader(Protocol):
    """Gives the samples of one recording."""

    def close(self) -> None:
        """Release the file."""

    def read_into(self, start: int, out: Values) -> bool:
        """Write samples from `start` on to `out` (n_chans, n_times); return whether all are finite."""


@dataclass(frozen=True, eq=False)
class Recording:
    """The facts of one recording, and how its samples are read.

    runs : (n_runs, 2) first and last + 1 sample of the valid stretches, None where only its reader knows.
    place : where the samples lie as plain bytes, None where only its reader can give them. name : of the signal.
    """

    path: Path | str
    session_id: str
    subject: str
    spec: SignalSpec
    n_times: int
    start_s: float
    name: str
    runs: Indices | None
    place: Place | None
    stamp: Any
    options: Options | None = None

    @classmethod
    def open(cls, path: Path | str, *, signal: str | None = None, options: Options | None = None) -> Recording:
        """Return the facts of a recording; raises what `read` raises, and DataError where it has no such signal."""
        stamp = _stamp(path, options)
        with _session(path, options) as session:
            chosen = session.signal if signal is None else session[signal]
            name = next(n for n, s in session.signals.items() if s is chosen)
            return cls(
                path,
                session.session_id,
                session.subject,
                chosen.spec,
                chosen.n_times,
                chosen.start_s,
                name,
                _runs_of(chosen),
                place_of(chosen),
                stamp,
                options,
            )

    def reader(self) -> Reader:
        """Return an open reader; RecordingError where the file is another than the one whose facts these are."""
        if self.place is not None and isinstance(self.path, Path):
            return RawFile(self.path, self.place, self.stamp)
        if _stamp(self.path, self.options) != self.stamp:
            raise changed(self.path)
        if self.place is not None:
            return RemoteRaw(Remote(str(self.path), self.options), self.place)
        return SessionReader(_session(self.path, self.options), self.name)

    def check(self, start: int, n_times: int) -> None:
        """Raise DataError where a window leaves the recording."""
        if not 0 <= start <= start + n_times <= self.n_times:
            given = f"{self.path}: cannot read samples {start} to {start + n_times}"
            raise DataError(given, allowed=f"0 <= start <= stop <= {self.n_times}")

    def valid(self, start: int, n_times: int) -> Mask:
        """Return which of some samples can be trusted, (n_times,)."""
        self.check(start, n_times)
        if self.runs is None:
            with _session(self.path, self.options) as session:
                return session[self.name].valid(start, start + n_times)
        mask = np.zeros(n_times, bool)
        begin = int(np.searchsorted(self.runs[:, 1], start, side="right"))
        end = int(np.searchsorted(self.runs[:, 0], start + n_times, side="left"))
        for low, high in self.runs[begin:end].tolist():
            mask[max(low - start, 0) : max(high - start, 0)] = True
        return mask

    def hold_valid(self, start: int, values: Values) -> None:
        """Raise RecordingError where a valid sample is not finite."""
        wrong = ~np.isfinite(values).all(0) & self.valid(start, values.shape[1])
        if wrong.any():
            given = f"sample {start + int(np.argmax(wrong))} is not finite, yet valid"
            raise RecordingError(self.path, given, remedy=AGAIN)


class SessionReader:
    """Reads through the session's own reader: chunked or compressed HDF5, or another format."""

    def __init__(self, session: Session, name: str) -> None:
        self.signal, self._session = session[name], session

    def close(self) -> None:
        """Close the session."""
        self._session.close()

    def read_into(self, start: int, out: Values) -> bool:
        """Write samples from `start` on to `out` (n_chans, n_times); return whether all are finite."""
        out[:] = self.signal.read(start, start + out.shape[1])  # has checked what is valid
        return True


class WindowStore:
    """Recordings by number, and their windows.

    paths : files, or addresses (`s3://...`, text) of HDF5 sessions; options : settings of their store.
    signal : which signal of each, the primary one where it is not given.

    Raises what `read` raises.
    """

    def __init__(
        self,
        paths: Sequence[Path | str],
        *,
        signal: str | None = None,
        options: Options | None = None,
        most_open: int = MOST_OPEN,
    ) -> None:
        self.recordings = tuple(known(p if is_remote(p) else Path(p), signal=signal, options=options) for p in paths)
        self._open: OrderedDict[int, Reader] = OrderedDict()
        self._most_open, self._process = most_open, os.getpid()

    def __len__(self) -> int:
        return len(self.recordings)

    def load(self, file: Indices, start: Indices, n_times: int, out: Values | None = None) -> Values:
        """Return windows (n, C, T) that begin at sample `start` (n,) of recordings `file` (n,), all of C channels.

        out : where to write them. Raises DataError outside a recording, RecordingError where a valid sample is not
        finite or a file has changed.
        """
        if out is None:
            n_chans = self.recordings[int(file[0])].spec.n_chans if len(file) else 0
            out = np.empty((len(file), n_chans, n_times), np.float32)
        if out.dtype != np.float32 or out.ndim != 3 or (len(out), out.shape[2]) != (len(file), n_times):
            given = f"'out' is {out.dtype} of shape {out.shape}"
            raise DataError(given, allowed=f"float32 ({len(file)}, n_chans, {n_times})")
        later: dict[int, list[tuple[RemoteRaw, int, Values]]] = {}
        for row in np.argsort(file, kind="stable").tolist():
            recording, first = self.recordings[int(file[row])], int(start[row])
            recording.check(first, n_times)
            if recording.spec.n_chans != out.shape[1]:
                given = f"{recording.path} has {recording.spec.n_chans} channels"
                raise SignalMismatchError(given, allowed=f"{out.shape[1]}, as the recordings before it")
            reader = self._reader(int(file[row]))
            if isinstance(reader, RemoteRaw):
                later.setdefault(id(reader.remote.fs), []).append((reader, first, out[row]))
                continue
            if not reader.read_into(first, out[row]):
                recording.hold_valid(first, out[row])
        for wanted in later.values():
            self._fetch(wanted)
        return out

    def valid(self, file: Indices, start: Indices, n_times: int) -> Mask:
        """Return which samples of windows can be trusted, (n, T)."""
        masks = [self.recordings[int(f)].valid(int(s), n_times) for f, s in zip(file, start, strict=True)]
        return np.stack(masks) if masks else np.zeros((0, n_times), bool)

    def close(self) -> None:
        """Close all files; a later `load` opens them again."""
        while self._open:
            self._open.popitem()[1].close()

    def _fetch(self, wanted: list[tuple[RemoteRaw, int, Values]]) -> None:
        by_url = {str(r.path): r for r in self.recordings}
        for finite, (raw, first, out) in zip(fetch(wanted), wanted, strict=True):
            if not finite:
                by_url[raw.remote.url].hold_valid(first, out)

    def _reader(self, file: int) -> Reader:
        if self._process != os.getpid():  # HDF5 files and connections must not be shared with a parent process
            self._open, self._process = OrderedDict(), os.getpid()
        if file not in self._open:
            while len(self._open) >= self._most_open:
                self._open.popitem(last=False)[1].close()
            self._open[file] = self.recordings[file].reader()
        self._open.move_to_end(file)
        return self._open[file]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_open": OrderedDict()}


_KNOWN: OrderedDict[Any, Recording] = OrderedDict()


def known(path: Path | str, *, signal: str | None = None, options: Options | None = None) -> Recording:
    """Return the facts of a recording; they are kept, and a file is opened again only where it changed."""
    if options is not None or isinstance(path, str):
        return Recording.open(path, signal=signal, options=options)
    key = (str(path), signal, _stamp(path, None))
    if key not in _KNOWN:
        _KNOWN[key] = Recording.open(path, signal=signal)
        while len(_KNOWN) > MOST_KNOWN:
            _KNOWN.popitem(last=False)
    _KNOWN.move_to_end(key)
    return _KNOWN[key]


def _runs_of(signal: Signal) -> Indices | None:
    if isinstance(signal, SeriesSignal):
        return signal.runs
    says_nothing = type(signal)._valid is Signal._valid
    return np.array([[0, signal.n_times]], np.int64) if says_nothing else None


def _session(path: Path | str, options: Options | None) -> Session:
    return read(path) if isinstance(path, Path) else open_remote(path, options=options)


def _stamp(path: Path | str, options: Options | None) -> Stamp | tuple[Any, ...]:
    if isinstance(path, str):
        remote = Remote(path, options)
        return remote.size, remote.mark
    try:
        return stamp_of(path.stat())
    except OSError:
        return ()  # `read` says what is wrong
