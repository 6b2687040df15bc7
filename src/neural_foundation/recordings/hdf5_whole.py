"""Write everything that a session holds as one HDF5 file in temporaldata's layout, whatever reader gave it.

A session of one signal `eeg` in volts and its trials has the bytes that `write_session` gives, format_version 1. Any
other has format_version 2, or 3 where samples are int16, and this layout (of spikes, series and intervals in
hdf5_tables.py):

    /                 Data; attributes format_version, absolute_start
    /brainset, /session, /subject    Data with `id`
    /<signal>         RegularTimeSeries: signal (n_times, n_chans) float32, contiguous; sampling_rate; domain
    /<signal>_channels    ArrayDict: id, and type, position, unit where they are given; `channels` for `eeg`
    /<signal>_validity    ArrayDict: start, stop (n_runs,) sample indices of the valid runs
    /domain           Interval: where any signal is valid; without signals, from the first to the last of the events

Each group of these has attributes `modality`, `order`, and `name` where the group is not named as in the session.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import DataError
from ..core.progress import Progress, silent
from ..core.store import atomic
from ..core.stream import Chunk
from .hdf5_int16 import check_step, stored
from .hdf5_layout import FORMAT_VERSION, WHOLE_VERSION, Names, arrays, attributes, group, head, interval, text
from .hdf5_new import new_file
from .hdf5_tables import put_intervals, put_series, put_spikes, sliceable
from .hdf5_write import BLOCK_BYTES, ValidRuns, check_chunk, write_channels, write_domain, write_session
from .header_text import MAX_CHANNELS
from .interval_table import facts_of
from .session import Intervals, Session, Signal

TAKEN = ("brainset", "session", "subject", "domain", "channels", "units", "trials")

Times = NDArray[np.float64]


def write_whole_session(
    path: Path | str, session: Session, *, step: float | None = None, progress: Progress = silent
) -> None:
    """Write all signals, spikes, series, intervals and trials of a session to one file that `read` opens as they are.

    Signals are streamed in blocks of 16 MiB; of the rest, each is in memory once, as the session gives it. Whole or
    absent, and equal sessions give equal bytes. The subject of each signal comes back as that of the session; facts
    that are tuples come back as lists. step : keep the samples of the primary signal as int16, whole multiples of
    this; the format_version is then 3. Raises DataError where a valid sample is not finite or a fact is no number,
    text, truth value or list of them; StoreError where the folder cannot be written.
    """
    check_step(step)
    told = _Steps(session, progress)
    if _is_plain(session):
        write_session(
            path,
            session_id=session.session_id,
            subject=session.subject,
            spec=session.signal.spec,
            chunks=blocks_of(session.signal, "eeg", told),
            trials=session.trials,
            start_s=session.signal.start_s,
            step=step,
        )
        return
    with atomic(path) as temporary, new_file(temporary, _size(session)) as file:
        _write(file, session, told, step)


def _size(session: Session) -> int:
    """Return about how many bytes a session takes."""
    samples = sum(signal.n_times * signal.spec.n_chans for signal in session.signals.values())
    events = (session.spikes, session.series, session.intervals)
    n_rows = len(session.trials) + sum(len(rows) for held in events for rows in held.values())
    values = sum(series.values.nbytes for series in session.series.values())
    return 4 * samples + 64 * n_rows + values


def blocks_of(signal: Signal, name: str, step: Callable[[int, str], None]) -> Iterator[Chunk]:
    """Yield a signal in blocks of up to 16 MiB, and tell each block's number of values."""
    for chunk in signal.chunks(max(1, BLOCK_BYTES // (4 * signal.spec.n_chans))):
        yield chunk
        step(chunk.values.size, name)


class _Steps:
    """Progress over the values of all signals."""

    def __init__(self, session: Session, progress: Progress) -> None:
        self._total = sum(signal.n_times * signal.spec.n_chans for signal in session.signals.values())
        self._done, self._progress = 0, progress

    def __call__(self, n: int, name: str) -> None:
        self._done += n
        self._progress(self._done, self._total, f"writing {name}")


def _is_plain(session: Session) -> bool:
    """Return whether format_version 1 holds all of a session."""
    alone = list(session.signals) == ["eeg"] and not (session.spikes or session.series or session.intervals)
    if not alone:
        return False
    spec, trials = session.signal.spec, session.trials
    told = bool(spec.ch_types and spec.positions) and not spec.units and 1 <= spec.n_chans <= MAX_CHANNELS
    return told and sliceable(trials) and not facts_of(trials)[0]


def _write(file: Any, session: Session, told: _Steps, step: float | None) -> None:
    names, steps = Names(TAKEN), [step, *[None] * len(session.signals)]
    head(file, FORMAT_VERSION if step and session.signals else WHOLE_VERSION, session.session_id, session.subject)
    signals = enumerate(session.signals.items())
    valid = [_put_signal(file, n, i, s, names, told, steps[i]) for i, (n, s) in signals]
    spans = _put_spikes(file, session, names) + _put_series(file, session, names)
    for order, (name, intervals) in enumerate(session.intervals.items()):
        made = put_intervals(file, names.take(name), intervals)
        _label(made, "intervals", name, order)
        spans += [] if valid else _span(intervals)
    _label(put_intervals(file, "trials", session.trials), "trials", "trials", 0)
    times = union(np.concatenate([*valid, *([] if valid else [*spans, *_span(session.trials)]), np.zeros((0, 2))]))
    interval(group(file, "domain"), times[:, 0], times[:, 1])


def _label(made: Any, modality: str, name: str, order: int) -> None:
    made.attrs["modality"], made.attrs["order"] = modality, order
    if made.name != f"/{name}":
        made.attrs["name"] = text([name])[0]


def _put_signal(
    file: Any, name: str, order: int, signal: Signal, names: Names, told: _Steps, step: float | None
) -> Times:
    """Write one signal in blocks, then what is known of it; return its valid runs in seconds."""
    spec = signal.spec
    if not 1 <= spec.n_chans <= MAX_CHANNELS:
        raise DataError(f"Signal '{name}' has {spec.n_chans} channels", allowed=f"1 to {MAX_CHANNELS}")
    said, valid = names.take(name, "_channels", "_validity"), ValidRuns()
    series = group(file, said)
    attributes(series, "RegularTimeSeries", sampling_rate=float(spec.sfreq))
    dtype = "<i2" if step else "<f4"
    samples = series.create_dataset("signal", shape=(signal.n_times, spec.n_chans), dtype=dtype)
    for chunk in blocks_of(signal, name, told):
        check_chunk(chunk, spec, valid.n_times)
        samples[chunk.start : chunk.start + chunk.n_times] = stored(chunk, spec, step)
        valid.add(chunk.valid)
    runs = valid.runs()
    times: Times = signal.start_s + runs / spec.sfreq
    write_domain(series, times, signal.start_s, signal.start_s + signal.n_times / spec.sfreq)
    arrays(group(file, f"{said}_validity"), "ArrayDict", {"start": runs[:, 0], "stop": runs[:, 1]})
    write_channels(group(file, "channels" if said == "eeg" else f"{said}_channels"), spec, step)
    _label(series, "signal", name, order)
    return times


def _put_spikes(file: Any, session: Session, names: Names) -> list[Times]:
    spans: list[Times] = []
    for order, (name, spikes) in enumerate(session.spikes.items()):
        said = names.take("spikes" if len(session.spikes) == 1 else name, "_units")
        made = put_spikes(file, said, "units" if said == "spikes" else f"{said}_units", spikes)
        _label(made, "spikes", name, order)
        spans += [spikes.times_s[[0, -1]].reshape(1, 2)] if len(spikes) else []
    return spans


def _put_series(file: Any, session: Session, names: Names) -> list[Times]:
    spans: list[Times] = []
    for order, (name, series) in enumerate(session.series.items()):
        _label(put_series(file, names.take(name), series), "series", name, order)
        spans += [series.times_s[[0, -1]].reshape(1, 2)] if len(series) else []
    return spans


def _span(intervals: Intervals) -> list[Times]:
    return [np.stack([intervals.start_s, intervals.end_s], 1)] if len(intervals) else []


def union(spans: Times) -> Times:
    """Return the union of some spans (n, 2) as spans that rise and lie apart."""
    if not len(spans):
        return spans
    spans = spans[np.argsort(spans[:, 0], kind="stable")]
    reach = np.maximum.accumulate(spans[:, 1])
    first = np.r_[True, spans[1:, 0] > reach[:-1]]
    last = np.r_[first[1:], True]
    return np.stack([spans[first, 0], reach[last]], 1)
