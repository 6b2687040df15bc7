"""Write a session as HDF5 in temporaldata's layout, streaming: bounded memory, whole or absent, reproducible bytes.

Layout (temporaldata 0.1: `Data.load(path)` opens it):

    /                 Data; attributes format_version, absolute_start
    /brainset, /session, /subject    Data with `id`
    /channels         ArrayDict: id, type (text), position (n_chans, 3) metres, NaN where unknown
    /eeg              RegularTimeSeries: signal (n_times, n_chans) float32 volts, contiguous; sampling_rate; domain
    /eeg_validity     ArrayDict: start, stop (n_runs,) sample indices of the valid runs: the exact mask
    /domain           Interval: the same runs in seconds, which samplers of torch_brain draw from
    /trials           Interval: start, end, label

`eeg/domain` holds the same runs, but its outer ends are those of the array even where samples there are not valid:
temporaldata takes them for the times of the first and last sample. `/domain` tells the truth at the ends as well.
Text is kept in ASCII, as temporaldata needs it, with Python's `unicode_escape` for all else.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import DataError, StreamError
from ..core.specs import SignalSpec
from ..core.store import atomic, writing
from ..core.stream import Chunk
from .session import Intervals

FORMAT_VERSION = 1
BLOCK_BYTES = 1 << 24

Runs = NDArray[np.int64]


def write_session(
    path: Path | str,
    *,
    session_id: str,
    subject: str,
    spec: SignalSpec,
    chunks: Iterable[Chunk],
    trials: Intervals | None = None,
    start_s: float = 0.0,
) -> None:
    """Write chunks (n_chans, n_times) in volts, as they come, to one session file that `read` opens.

    Memory is bounded by the largest chunk and 16 MiB: samples go through a temporary file beside `path`. Raises
    StreamError where chunks do not follow on each other, DataError where a valid sample is not finite, StoreError
    where the folder cannot be written.
    """
    path = Path(path)
    with _beside(path) as raw, atomic(path) as temporary:
        runs, n_times = _collect(raw, spec, chunks)
        _write(temporary, raw, n_times, runs, spec, session_id, subject, trials or Intervals(), start_s)


@contextlib.contextmanager
def _beside(path: Path) -> Iterator[IO[bytes]]:
    """Yield a nameless temporary file in the folder of `path`."""
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent) as raw:
            yield raw


def _collect(raw: IO[bytes], spec: SignalSpec, chunks: Iterable[Chunk]) -> tuple[Runs, int]:
    """Append the chunks to a raw file, time first; return the valid runs (n_runs, 2) and the number of samples."""
    edges: list[NDArray[np.int64]] = []
    last, n_times, first = False, 0, None
    for chunk in chunks:
        first = chunk.start if first is None else first
        _check(chunk, spec, first + n_times)
        raw.write(np.ascontiguousarray(chunk.values.T, dtype="<f4").tobytes())
        flips = np.flatnonzero(np.diff(chunk.valid, prepend=last))
        edges.append(flips + n_times)
        n_times += chunk.n_times
        last = bool(chunk.valid[-1]) if chunk.n_times else last
    ends = [np.array([n_times])] if last else []
    joined = np.concatenate([*edges, *ends, np.zeros(0)]).astype(np.int64)
    return joined.reshape(-1, 2), n_times


def _check(chunk: Chunk, spec: SignalSpec, expected: int) -> None:
    if chunk.values.ndim != 2 or len(chunk.values) != spec.n_chans or chunk.valid.shape != (chunk.n_times,):
        shapes = f"values {chunk.values.shape} and validity {chunk.valid.shape}"
        raise StreamError(f"A chunk has {shapes}", allowed=f"({spec.n_chans}, n_times) and (n_times,)")
    if chunk.start != expected:
        raise StreamError(
            f"A chunk starts at sample {chunk.start}", allowed=f"{expected}, right after the one before it"
        )
    with np.errstate(over="ignore"):
        finite = np.isfinite(chunk.values.astype(np.float32, copy=False)).all(0)
    if (chunk.valid & ~finite).any():
        at = expected + int(np.argmax(chunk.valid & ~finite))
        raise DataError(f"Sample {at} is valid but not a finite float32", remedy="Mark it as not valid, or correct it")


def _write(
    path: Path,
    raw: IO[bytes],
    n_times: int,
    runs: Runs,
    spec: SignalSpec,
    session_id: str,
    subject: str,
    trials: Intervals,
    start_s: float,
) -> None:
    file = _create(path)
    with file:
        _attributes(file, "Data", absolute_start=0.0, format_version=FORMAT_VERSION)
        for name, word in (("brainset", "neural_foundation"), ("session", session_id), ("subject", subject)):
            _attributes(_group(file, name), "Data", absolute_start=0.0, id=word)
        _channels(_group(file, "channels"), spec)
        series = _group(file, "eeg")
        _attributes(series, "RegularTimeSeries", sampling_rate=float(spec.sfreq))
        _copy(raw, series, n_times, spec.n_chans)
        times = start_s + runs / spec.sfreq
        anchored = times.copy() if len(times) else np.full((1, 2), start_s)
        anchored[0, 0], anchored[-1, 1] = start_s, start_s + n_times / spec.sfreq
        _interval(_group(series, "domain"), anchored[:, 0], anchored[:, 1])
        _interval(_group(file, "domain"), times[:, 0], times[:, 1])
        _arrays(_group(file, "eeg_validity"), "ArrayDict", start=runs[:, 0], stop=runs[:, 1])
        _interval(_group(file, "trials"), trials.start_s, trials.end_s, label=_text(trials.label))


def _create(path: Path) -> Any:
    """Return a new HDF5 file whose metadata carry checksums (format of HDF5 1.10) and no times."""
    import h5py

    creation = h5py.h5p.create(h5py.h5p.FILE_CREATE)
    creation.set_obj_track_times(False)
    access = h5py.h5p.create(h5py.h5p.FILE_ACCESS)
    access.set_libver_bounds(h5py.h5f.LIBVER_V110, h5py.h5f.LIBVER_V110)
    name = str(path).encode()
    return h5py.File(h5py.h5f.create(name, h5py.h5f.ACC_TRUNC, fcpl=creation, fapl=access))


def _group(parent: Any, name: str) -> Any:
    import h5py

    creation = h5py.h5p.create(h5py.h5p.GROUP_CREATE)
    creation.set_obj_track_times(False)
    return h5py.Group(h5py.h5g.create(parent.id, name.encode(), gcpl=creation))


def _channels(group: Any, spec: SignalSpec) -> None:
    positions = [p or (np.nan,) * 3 for p in spec.positions or (None,) * spec.n_chans]
    arrays: dict[str, Any] = {"id": _text(spec.ch_names), "position": np.array(positions, float).reshape(-1, 3)}
    _arrays(group, "ArrayDict", **arrays, type=_text(spec.ch_types or ("eeg",) * spec.n_chans))


def _copy(raw: IO[bytes], group: Any, n_times: int, n_chans: int) -> None:
    signal = group.create_dataset("signal", shape=(n_times, n_chans), dtype="<f4")
    raw.seek(0)
    step = max(1, BLOCK_BYTES // (4 * max(n_chans, 1)))
    for at in range(0, n_times, step):
        n = min(step, n_times - at)
        signal[at : at + n] = np.frombuffer(raw.read(4 * n * n_chans), "<f4").reshape(n, n_chans)


def _interval(group: Any, start: Any, end: Any, **others: Any) -> None:
    _arrays(group, "Interval", start=start, end=end, **others)
    group.attrs["timekeys"] = np.array(["start", "end"], dtype="S")


def _arrays(group: Any, kind: str, **arrays: Any) -> None:
    for name, array in arrays.items():
        group.create_dataset(name, data=array)
    words = [name for name, array in arrays.items() if array.dtype.kind == "S"]
    _attributes(group, kind, _unicode_keys=np.array(words, dtype="S"))


def _attributes(group: Any, kind: str, **others: Any) -> None:
    for name, value in {"object": kind, **others}.items():
        group.attrs[name] = value


def _text(words: Sequence[str]) -> NDArray[np.bytes_]:
    escaped = [word.encode("unicode_escape") for word in words]
    return np.array(escaped, dtype=f"S{max([1, *map(len, escaped)])}")
