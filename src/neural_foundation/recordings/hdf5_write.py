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

How many samples come is known at their end only, and HDF5 wants to know it before the first. So HDF5 writes the file
twice without its samples, which takes milliseconds: first to see where it puts them, and, when they have been written
there and their number is known, to have all that lies before and behind them.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
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
USUAL_BYTES = 1 << 16  # samples of this size or more lie where those of any other such size do

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

    Memory is bounded by the largest chunk, and each sample is written to the disk once. Raises StreamError where chunks
    do not follow on each other, DataError where a valid sample is not finite or beyond what int16 holds, StoreError
    where the folder cannot be written.
    """
    path = Path(path)
    check_step(step)
    facts = _Facts(session_id, subject, spec, trials or Intervals(), start_s, step)
    with atomic(path) as temporary, _frame(path) as frame:
        place = _frame_of(frame, facts, -(-USUAL_BYTES // max(1, facts.row_bytes)), np.zeros((0, 2), np.int64))
        with temporary.open("w+b") as raw:
            raw.seek(place)
            runs, n_times = _collect(raw, spec, chunks, step)
            n_bytes, wanted = n_times * facts.row_bytes, _frame_of(frame, facts, n_times, runs)
            if wanted == place:
                _put_around(raw, frame, place, n_bytes)
        if wanted != place:  # few samples
            _put_inside(frame, temporary, place, wanted, n_bytes)


@dataclass(frozen=True, eq=False)
class _Facts:
    """What is known of a session before its first sample."""

    session_id: str
    subject: str
    spec: SignalSpec
    trials: Intervals
    start_s: float
    step: float | None

    @property
    def dtype(self) -> str:
        return "<i2" if self.step else "<f4"

    @property
    def row_bytes(self) -> int:
        return int(self.dtype[-1]) * self.spec.n_chans


@contextlib.contextmanager
def _frame(path: Path) -> Iterator[Path]:
    """Yield the path of a second temporary file beside `path`."""
    frame = path.with_name(f".{path.name}.{os.getpid()}.frame.tmp")
    try:
        yield frame
    finally:
        frame.unlink(missing_ok=True)


def _put_around(raw: IO[bytes], frame: Path, place: int, n_bytes: int) -> None:
    """Write to `raw` what a frame has before and behind its samples."""
    with frame.open("rb") as file:
        for begin, size in ((0, place), (place + n_bytes, -1)):
            file.seek(begin)
            raw.seek(begin)
            raw.write(file.read(size))


def _put_inside(frame: Path, temporary: Path, place: int, wanted: int, n_bytes: int) -> None:
    """Write the samples of `temporary` to their place in a frame, and put it there instead."""
    with temporary.open("rb") as raw, frame.open("r+b") as file:
        raw.seek(place)
        file.seek(wanted)
        for at in range(0, n_bytes, BLOCK_BYTES):
            file.write(raw.read(min(BLOCK_BYTES, n_bytes - at)))
    os.replace(frame, temporary)


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
        raw.write(stored(chunk, spec, step).data)
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


def _frame_of(path: Path, facts: _Facts, n_times: int, runs: Runs) -> int:
    """Write a session of n_times samples, none of which is set; return at which byte they begin, 0 without any."""
    spec, trials, start_s = facts.spec, facts.trials, facts.start_s
    with new_file(path, 64 * len(trials)) as file:
        table = bool(facts_of(trials)[0])
        version = FORMAT_VERSION if facts.step else WHOLE_VERSION if spec.units or table else PLAIN_VERSION
        head(file, version, facts.session_id, facts.subject)
        channels = spec if spec.ch_types else spec.replace(ch_types=("eeg",) * spec.n_chans)
        channels = channels.replace(positions=spec.positions or (None,) * spec.n_chans)
        write_channels(group(file, "channels"), channels, facts.step)
        series = group(file, "eeg")
        attributes(series, "RegularTimeSeries", sampling_rate=float(spec.sfreq))
        signal = series.create_dataset("signal", shape=(n_times, spec.n_chans), dtype=facts.dtype)
        if n_times:
            signal[-1] = 0  # now they have a place; before it the disk's file system leaves a hole
        times = start_s + runs / spec.sfreq
        write_domain(series, times, start_s, start_s + n_times / spec.sfreq)
        interval(group(file, "domain"), times[:, 0], times[:, 1])
        arrays(group(file, "eeg_validity"), "ArrayDict", {"start": runs[:, 0], "stop": runs[:, 1]})
        if table:
            put_intervals(file, "trials", trials)
        else:
            interval(group(file, "trials"), trials.start_s, trials.end_s, {"label": text(trials.label)})
        return int(signal.id.get_offset() or 0)


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
