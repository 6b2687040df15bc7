"""Write one signal and its trials as HDF5 in temporaldata's layout, streaming: bounded memory, whole or absent.

Layout (temporaldata 0.1: `Data.load(path)` opens it; equal input gives equal bytes):

    /                 Data; attributes format_version, absolute_start
    /brainset, /session, /subject    Data with `id`
    /channels         ArrayDict: id, type (text), position (n_chans, 3) metres, NaN where unknown
    /eeg              RegularTimeSeries: signal (n_times, n_chans) float32 volts, contiguous; sampling_rate; domain
    /eeg_validity     ArrayDict: start, stop (n_runs,) sample indices of the valid runs: the exact mask
    /domain           Interval: the same runs in seconds, which samplers of torch_brain draw from
    /trials           Interval: start, end, label

`eeg/domain` holds the same runs, but its outer ends are those of the array even where samples there are not valid:
temporaldata takes them for the times of the first and last sample. `/domain` tells the truth at the ends as well.
Text is kept in ASCII, as temporaldata needs it, with Python's `unicode_escape` for all else. Where some channels are
not in volts, /channels has a column `unit`; where the trials have facts, /trials has their columns. The format_version
is then 2, so that no older program takes the channels for volts. It is 3 where `signal` is int16 and /channels has a
column `gain` (see hdf5_int16.py).
`write_whole_session` writes whatever else a session holds.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import DataError, StreamError
from ..core.specs import SignalSpec
from ..core.store import atomic, writing
from ..core.stream import Chunk
from .hdf5_int16 import check_step, stored
from .hdf5_layout import FORMAT_VERSION, PLAIN_VERSION, WHOLE_VERSION, arrays, attributes, group, head, interval, text
from .hdf5_new import new_file
from .hdf5_tables import put_intervals
from .interval_table import facts_of
from .session import Intervals, Mask, Signal, Values

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
    step: float | None = None,
) -> None:
    """Write chunks (n_chans, n_times) in volts, as they come, to one session file that `read` opens.

    step : keep the samples as int16, whole multiples of this (volts, or the channels' unit); None: float32.

    Memory is bounded by the largest chunk and 16 MiB: samples go through a temporary file beside `path`. Raises
    StreamError where chunks do not follow on each other, DataError where a valid sample is not finite or beyond what
    int16 holds, StoreError where the folder cannot be written.
    """
    path = Path(path)
    check_step(step)
    with _beside(path) as raw, atomic(path) as temporary:
        runs, n_times = _collect(raw, spec, chunks, step)
        _write(temporary, raw, n_times, runs, spec, session_id, subject, trials or Intervals(), start_s, step)


@contextlib.contextmanager
def _beside(path: Path) -> Iterator[IO[bytes]]:
    """Yield a nameless temporary file in the folder of `path`."""
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent) as raw:
            yield raw


def _collect(raw: IO[bytes], spec: SignalSpec, chunks: Iterable[Chunk], step: float | None = None) -> tuple[Runs, int]:
    """Append the chunks to a raw file, time first; return the valid runs (n_runs, 2) and the number of samples."""
    valid, first = ValidRuns(), None
    for chunk in chunks:
        first = chunk.start if first is None else first
        check_chunk(chunk, spec, first + valid.n_times)
        raw.write(stored(chunk, spec, step).tobytes())
        valid.add(chunk.valid)
    return valid.runs(), valid.n_times


@contextlib.contextmanager
def spooled(path: Path, spec: SignalSpec, chunks: Iterable[Chunk], start_s: float = 0.0) -> Iterator[Signal]:
    """Yield a stream of chunks (n_chans, n_times), whose length nobody knows before its end, as a signal.

    The samples lie in a nameless file beside `path`, gone afterwards; memory is bounded by the largest chunk. Raises
    what `write_session` raises.
    """
    with _beside(path) as raw:
        runs, n_times = _collect(raw, spec, chunks)
        signal = _Spooled(raw, spec, n_times, runs, start_s)
        try:
            yield signal
        finally:
            signal.closed = True


class _Spooled(Signal):
    def __init__(self, raw: IO[bytes], spec: SignalSpec, n_times: int, runs: Runs, start_s: float) -> None:
        super().__init__(spec, n_times, start_s)
        self._raw, self._runs = raw, runs

    def _read(self, start: int, stop: int) -> Values:
        n_chans = self.spec.n_chans
        self._raw.seek(4 * n_chans * start)
        block = np.frombuffer(self._raw.read(4 * n_chans * (stop - start)), "<f4").reshape(stop - start, n_chans)
        return np.ascontiguousarray(block.T, dtype=np.float32)

    def _valid(self, start: int, stop: int) -> Mask:
        begin = int(np.searchsorted(self._runs[:, 1], start, side="right"))
        end = int(np.searchsorted(self._runs[:, 0], stop, side="left"))
        valid = np.zeros(stop - start, bool)
        for low, high in self._runs[begin:end].tolist():
            valid[max(low - start, 0) : max(high - start, 0)] = True
        return valid


class ValidRuns:
    """The valid runs (n_runs, 2) of a mask that comes piece by piece."""

    def __init__(self) -> None:
        self.n_times = 0
        self._last = False
        self._edges: list[NDArray[np.int64]] = []

    def add(self, valid: NDArray[np.bool_]) -> None:
        """Append the mask (n_times,) of the samples that follow."""
        self._edges.append(np.flatnonzero(np.diff(valid, prepend=self._last)) + self.n_times)
        self.n_times += len(valid)
        self._last = bool(valid[-1]) if len(valid) else self._last

    def runs(self) -> Runs:
        """Return start and stop of each run, in samples."""
        ends = [np.array([self.n_times])] if self._last else []
        return np.concatenate([*self._edges, *ends, np.zeros(0)]).astype(np.int64).reshape(-1, 2)


def check_chunk(chunk: Chunk, spec: SignalSpec, expected: int) -> None:
    """Raise StreamError unless the chunk fits and follows, DataError where a valid sample is not finite."""
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
    step: float | None,
) -> None:
    with new_file(path, (2 if step else 4) * n_times * spec.n_chans + 64 * len(trials)) as file:
        table = bool(facts_of(trials)[0])
        version = FORMAT_VERSION if step else WHOLE_VERSION if spec.units or table else PLAIN_VERSION
        head(file, version, session_id, subject)
        channels = spec if spec.ch_types else spec.replace(ch_types=("eeg",) * spec.n_chans)
        channels = channels.replace(positions=spec.positions or (None,) * spec.n_chans)
        write_channels(group(file, "channels"), channels, step)
        series = group(file, "eeg")
        attributes(series, "RegularTimeSeries", sampling_rate=float(spec.sfreq))
        _copy(raw, series, n_times, spec.n_chans, "<i2" if step else "<f4")
        times = start_s + runs / spec.sfreq
        write_domain(series, times, start_s, start_s + n_times / spec.sfreq)
        interval(group(file, "domain"), times[:, 0], times[:, 1])
        arrays(group(file, "eeg_validity"), "ArrayDict", {"start": runs[:, 0], "stop": runs[:, 1]})
        if table:
            put_intervals(file, "trials", trials)
        else:
            interval(group(file, "trials"), trials.start_s, trials.end_s, {"label": text(trials.label)})


def write_channels(table: Any, spec: SignalSpec, step: float | None = None) -> None:
    """Write what is known of the channels: id, and position, type and unit where the spec gives them.

    step : that of int16 samples, which becomes the column `gain`.
    """
    columns: dict[str, Any] = {"id": text(spec.ch_names)}
    if spec.positions:
        columns["position"] = np.array([p or (np.nan,) * 3 for p in spec.positions], float).reshape(-1, 3)
    if spec.ch_types:
        columns["type"] = text(spec.ch_types)
    if spec.units:
        columns["unit"] = text(spec.units)
    if step is not None:
        columns["gain"] = np.full(spec.n_chans, step)
    arrays(table, "ArrayDict", columns)


def write_domain(series: Any, times: NDArray[np.float64], start_s: float, end_s: float) -> None:
    """Write the valid runs (n_runs, 2) in seconds as the domain of a series, its outer ends those of the array."""
    anchored = times.copy() if len(times) else np.full((1, 2), start_s)
    anchored[0, 0], anchored[-1, 1] = start_s, end_s
    interval(group(series, "domain"), anchored[:, 0], anchored[:, 1])


def _copy(raw: IO[bytes], series: Any, n_times: int, n_chans: int, dtype: str) -> None:
    signal = series.create_dataset("signal", shape=(n_times, n_chans), dtype=dtype)
    raw.seek(0)
    row_bytes = int(dtype[-1]) * n_chans
    rows = max(1, BLOCK_BYTES // max(row_bytes, 1))
    for at in range(0, n_times, rows):
        n = min(rows, n_times - at)
        signal[at : at + n] = np.frombuffer(raw.read(n * row_bytes), dtype).reshape(n, n_chans)
