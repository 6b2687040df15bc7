"""Any recording that has a reader, as one file of ours or as EDF+: whole or absent, and read back before it counts."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from ..core.errors import DataError, RecordingError, StoreError, one_of
from ..core.progress import Progress, silent
from ..core.store import atomic
from .edf import Edf
from .edf_write import quantisation_bound, write_edf
from .events import Series, Spikes
from .hdf5 import Hdf5
from .hdf5_whole import blocks_of, write_whole_session
from .interval_table import facts_of, same_facts
from .montage import standard_1005
from .session import Intervals, Session, Signal
from .table import read

TARGETS = (".h5", ".hdf5", ".edf")
DROPPABLE = ("positions", "spikes", "series", "intervals", "facts")
_TIME_S = 1e-6  # what a time of an EDF annotation may differ by


def convert(
    source: Path | str,
    target: Path | str,
    *,
    subject: str | None = None,
    overwrite: bool = False,
    drop: Collection[str] = (),
    progress: Progress = silent,
) -> Path:
    """Write the recording `source` as `target`, check the copy against it, and return its path.

    To .h5 goes everything, values bit for bit, in bounded memory. To .edf goes what EDF+ holds, within
    `quantisation_bound`, with the signal in memory: one signal in volts, all of it valid, with its trials; time is
    counted from its first sample. What else there is must be named in `drop`: 'positions' (EDF keeps only those that
    the channels' names say), 'spikes', 'series', 'intervals', 'facts' (of trials).
    subject : the pseudonym to give. progress : called with (values done, values in all, text).
    Raises DataError where the target cannot hold the recording, RecordingError where the source cannot be read,
    StoreError where the target is there already and `overwrite` is not set, cannot be written, or reads back
    otherwise than it was written; then nothing is left under its name.
    """
    source, target = Path(source), Path(target)
    _check_target(source, target, overwrite, drop)
    with (
        read(source, subject=subject, isolated=True) as session,
        atomic(target) as temporary,
        _named(target, temporary),
    ):
        if target.suffix.lower() == ".edf":
            _to_edf(session, temporary, target, drop, progress)
        else:
            _to_hdf5(session, temporary, target, progress)
    return target


@contextmanager
def _named(target: Path, temporary: Path) -> Iterator[None]:
    """Let an error that names the temporary file name the one that was asked for."""
    try:
        yield
    except StoreError as error:
        given = error.given.replace(str(temporary), str(target))
        raise StoreError(given, allowed=error.allowed, remedy=error.remedy) from error.__cause__


def _check_target(source: Path, target: Path, overwrite: bool, drop: Collection[str]) -> None:
    if unknown := [word for word in drop if word not in DROPPABLE]:
        raise DataError(f"Cannot drop {one_of(unknown)}", allowed=one_of(DROPPABLE))
    if target.suffix.lower() not in TARGETS:
        raise DataError(f"Cannot write '{target.suffix}' files", allowed=one_of(TARGETS), remedy=f"Rename {target}")
    if target.is_dir():
        raise StoreError(f"{target} is a folder", remedy="Name a file in it")
    if target.exists() and source.exists() and target.samefile(source):
        raise StoreError(f"{target} is the recording itself", remedy="Give the copy another name")
    if target.exists() and not overwrite:
        raise StoreError(f"{target} is there already", remedy="Choose another name, or pass overwrite=True")


def _to_hdf5(session: Session, temporary: Path, target: Path, progress: Progress) -> None:
    total = sum(signal.n_times * signal.spec.n_chans for signal in session.signals.values())
    write_whole_session(temporary, session, progress=lambda done, _, text: progress(done, 2 * total, text))
    done = total

    def step(n: int, name: str) -> None:
        nonlocal done
        done += n
        progress(done, 2 * total, f"checking {name}")

    with Hdf5().open(temporary) as copy:
        if differs := next(differences(session, copy, step), None):
            raise _spoilt(target, differs)


def _spoilt(target: Path, what: str) -> StoreError:
    remedy = "Nothing was written. Check the disk and the memory of this machine, and try again"
    return StoreError(f"{target} reads back otherwise than it was written: {what}", remedy=remedy)


def differences(a: Session, b: Session, step: Callable[[int, str], None] = lambda n, name: None) -> Iterator[str]:
    """Yield in words where two sessions differ, in any modality: no value may, not even the bits of one.

    The subject in the spec of a signal is taken to be that of its session. `step` is called with the number of
    values that were compared, and the name of the signal.
    """
    if (a.session_id, a.subject) != (b.session_id, b.subject):
        yield "its session or subject"
    for what in ("signals", "spikes", "series", "intervals"):
        if list(getattr(a, what)) != list(getattr(b, what)):
            yield f"the names of its {what}"
            return
    for name, signal in a.signals.items():
        yield from _signal_differs(name, signal, b.signals[name], a.subject, step)
    yield from (f"the spikes '{n}'" for n, spikes in a.spikes.items() if not _same_spikes(spikes, b.spikes[n]))
    yield from (f"the series '{n}'" for n, series in a.series.items() if not _same_series(series, b.series[n]))
    yield from (f"the intervals '{n}'" for n, rows in a.intervals.items() if not _same_rows(rows, b.intervals[n]))
    if not _same_rows(a.trials, b.trials):
        yield "its trials"


def _signal_differs(name: str, a: Signal, b: Signal, subject: str, step: Callable[[int, str], None]) -> Iterator[str]:
    specs = [signal.spec.replace(subject=subject) for signal in (a, b)]
    if specs[0] != specs[1] or (a.n_times, a.start_s) != (b.n_times, b.start_s):
        yield f"the channels, rate or times of '{name}'"
        return
    for chunk in blocks_of(a, name, step):
        start, stop = chunk.start, chunk.start + chunk.n_times
        given, found = (np.ascontiguousarray(v).view(np.uint32) for v in (chunk.values, b.read(start, stop)))
        if not np.array_equal(given, found) or not np.array_equal(chunk.valid, b.valid(start, stop)):
            yield f"samples {start} to {stop} of '{name}'"


def _same_spikes(a: Spikes, b: Spikes) -> bool:
    same = np.array_equal(a.times_s, b.times_s) and np.array_equal(a.unit, b.unit)
    return same and a.unit_ids == b.unit_ids and same_facts(a.facts, b.facts)


def _same_series(a: Series, b: Series) -> bool:
    same = np.array_equal(a.times_s, b.times_s) and np.array_equal(a.values, b.values, equal_nan=True)
    return same and (a.names, a.units) == (b.names, b.units)


def _same_rows(a: Intervals, b: Intervals) -> bool:
    (facts, times), (other_facts, other_times) = facts_of(a), facts_of(b)
    same = np.array_equal(a.start_s, b.start_s) and np.array_equal(a.end_s, b.end_s) and a.label == b.label
    return same and sorted(times) == sorted(other_times) and same_facts(facts, other_facts)


def _to_edf(session: Session, temporary: Path, target: Path, drop: Collection[str], progress: Progress) -> None:
    if lost := [text for word, text in _not_in_edf(session) if word not in drop]:
        remedy = "Convert it to .h5, which holds all of it"
        droppable = [word for word, _ in _not_in_edf(session) if word in DROPPABLE and word not in drop]
        remedy += f", or name in drop what may be lost: {one_of(droppable)}" if droppable else ""
        raise DataError(f"EDF cannot hold {'; '.join(lost)}", allowed="one signal in volts, and trials", remedy=remedy)
    signal = session.signal
    values, total = signal.read(), 2 * signal.n_times * signal.spec.n_chans
    trials = _shifted(session.trials, -signal.start_s)
    write_edf(temporary, values=values, spec=signal.spec, annotations=trials, subject=session.subject)
    progress(total // 2, total, "writing")
    try:
        with Edf().open(temporary, subject=session.subject) as copy:
            differs = next(_edf_differs(values, signal, trials, copy), None)
    except RecordingError as error:
        differs = error.given.removeprefix(f"{temporary}: ")
    if differs:
        raise _spoilt(target, differs)
    progress(total, total, "checking")


def _not_in_edf(session: Session) -> Iterator[tuple[str, str]]:
    """Yield what EDF has no place for: the word by which it may be dropped, '' where it may not, and the text."""
    for word in ("spikes", "series", "intervals"):
        if names := list(getattr(session, word)):
            yield word, f"the {word} {', '.join(repr(name) for name in names)}"
    if facts := facts_of(session.trials)[0]:
        yield "facts", f"the facts {', '.join(repr(name) for name in facts)} of trials"
    if len(session.signals) != 1:
        yield "", f"{len(session.signals)} signals ({', '.join(map(repr, session.signals)) or 'none'})"
        return
    signal, spec = session.signal, session.signal.spec
    if units := sorted({unit for unit in spec.units if unit != "V"}):
        yield "", f"channels in {', '.join(map(repr, units))}"
    if n_bad := sum(int((~chunk_valid).sum()) for chunk_valid in _masks(signal)):
        yield "", f"{n_bad} samples that are not valid"
    known = standard_1005()
    own = [n for n, p in zip(spec.ch_names, spec.positions, strict=False) if p and p != known.get(n)]
    if own:
        yield "positions", f"the positions of {len(own)} channels"


def _masks(signal: Signal, n_times: int = 1 << 20) -> Iterator[np.ndarray]:
    for start in range(0, signal.n_times, n_times):
        yield signal.valid(start, min(start + n_times, signal.n_times))


def _shifted(trials: Intervals, by_s: float) -> Intervals:
    return Intervals.of((start + by_s, end + by_s, label) for start, end, label in trials)


def _edf_differs(values: np.ndarray, signal: Signal, trials: Intervals, copy: Session) -> Iterator[str]:
    given, found = signal.spec, copy.signal.spec
    types = given.ch_types or ("eeg",) * given.n_chans
    if (given.sfreq, given.ch_names, types) != (found.sfreq, found.ch_names, found.ch_types):
        yield "its channels or rate"
    elif copy.signal.n_times != signal.n_times:
        yield "its length"
    elif (np.abs(copy.signal.read().astype(float) - values) > quantisation_bound(values)).any():
        yield "its samples"
    near = copy.trials.label == trials.label and all(
        np.allclose(getattr(copy.trials, name), getattr(trials, name), rtol=0, atol=_TIME_S)
        for name in ("start_s", "end_s")
    )
    if not near:
        yield "its trials"
