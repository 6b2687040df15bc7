"""One session into bins: which units and trials are kept, and what is said of those that are not."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...core.errors import DataError, did_you_mean, one_of
from ...core.modalities import BinnedSessionSpec, ModalitySpec
from ...core.progress import Progress
from ...datasets.base import Item as Recording
from ...recordings import Intervals, Series, Session, Signal, Spikes, read, write_session
from ...recordings.interval_table import IntervalTable, facts_of
from ...sampling.behaviours import NO_CLASS, Dynamic
from ...sampling.binned import BinnedSession
from ...sampling.binning import Counts, Floats, Grid, counts_of, counts_per_bin, on_bins, summed
from ...signals.chain import chain

if TYPE_CHECKING:
    from .bin import Bin

log = logging.getLogger(__name__)
Mask = NDArray[np.bool_]
COUNTS = "counts"  # the signal of counts where `spikes` names none
EDGE_S = 1e-9


@dataclass(frozen=True, eq=False)
class Events:
    """What is counted: spike trains by name, or one signal of counts. span_s : from when to when it was recorded."""

    trains: Mapping[str, Spikes]
    signal: Signal | None
    span_s: tuple[float, float]

    @property
    def ids(self) -> tuple[str, ...]:
        if self.signal is not None:
            return self.signal.spec.ch_names
        alone = len(self.trains) == 1
        return tuple(i if alone else f"{name}/{i}" for name, s in self.trains.items() for i in s.unit_ids)

    def fact(self, name: str) -> tuple[Any, ...] | None:
        """Return what the files say of each unit; None where they say it of none."""
        if not any(name in s.facts for s in self.trains.values()):
            return None
        return tuple(v for s in self.trains.values() for v in s.facts.get(name, (None,) * s.n_units))

    def counts(self, grid: Grid) -> Counts:
        if self.signal is not None:
            return summed(self.signal, grid)
        return np.concatenate([counts_of(s, grid) for s in self.trains.values()], axis=1)


@dataclass
class Left:
    """Which trials are kept, and how many were left out for what."""

    kept: Mask
    why: dict[str, int] = field(default_factory=dict)

    def out(self, reason: str, mask: Mask) -> None:
        """Leave out what a mask names and is still kept."""
        self.why[reason] = self.why.get(reason, 0) + int((mask & self.kept).sum())
        self.kept = self.kept & ~mask


def binned(
    stage: Bin, recording: Recording, session: Session, folder: Path, progress: Progress
) -> tuple[BinnedSession, dict[str, Any]]:
    """Return a session in bins, and the facts of what was left out. DataError where nothing would be left."""
    name = recording.id
    events = events_of(stage, session, name)
    found = {n: _source(stage, session, n, d, folder, progress) for n, d in stage.continuous}
    sources = {n: s for n, s in found.items() if s is not None}
    trials, grid, left = _trials(stage, session, events, sources, name)
    progress(1, 3, f"binning {name}: behaviour")
    values = _behaviour(stage, sources, grid, left, name)
    _check_left(left, name)
    classes = _classes(stage, trials, left, values, name)
    _check_left(left, name)
    progress(2, 3, f"binning {name}: spikes")
    kept = grid.only(left.kept)
    counts = events.counts(kept)
    units, of_units = _units(stage, events, counts, kept, name)
    values = {n: v[left.kept] if n in classes else v[grid.rows(left.kept)] for n, v in values.items()}
    values = {"spikes": counts[:, units], **values}
    modalities, channels = _described(stage, sources, classes, tuple(events.ids[i] for i in units))
    regions = events.fact("region")
    spec = BinnedSessionSpec(
        name=name,
        subject=recording.subject,
        channels=channels,
        regions=tuple(str(regions[i] or "") for i in units) if regions is not None else (),
    )
    many = np.arange(len(kept.start_s))
    first, length = many * grid.n_bins, np.full(len(many), grid.n_bins)
    made = BinnedSession(spec, stage.bin_s, modalities, values, first, length, kept.start_s)
    facts = _facts(stage, left, of_units, made)
    log.info("%s: %s", name, facts["said"])
    progress(3, 3, f"binned {name}: {facts['said']}")
    return made, facts


def events_of(stage: Bin, session: Session, name: str) -> Events:
    """Return the spikes that a stage names, of all probes where it names none; DataError where there are none."""
    wanted = stage.spikes or tuple(session.spikes) or ((COUNTS,) if COUNTS in session.signals else ())
    known = [*session.spikes, *session.signals]
    if not wanted:
        given = f"Recording '{name}' has no spikes, and no signal '{COUNTS}'"
        raise DataError(given, allowed=one_of(known), remedy="Name its signal of counts in `spikes`, if it has one")
    for word in wanted:
        if word not in known:
            given = f"Recording '{name}' has no spikes '{word}'.{did_you_mean(word, known)}"
            raise DataError(given, allowed=one_of(known))
    if any(word not in session.spikes for word in wanted):
        return _counts_signal(stage, session, wanted, name)
    trains = {word: session.spikes[word] for word in wanted}
    if empty := [word for word, s in trains.items() if not len(s)]:
        raise DataError(f"'{empty[0]}' of recording '{name}' holds no spike", remedy="Leave it out with `spikes`")
    ends = [(float(s.times_s[0]), float(s.times_s[-1])) for s in trains.values()]
    return Events(trains, None, (max(a for a, _ in ends), min(b for _, b in ends)))


def _counts_signal(stage: Bin, session: Session, wanted: tuple[str, ...], name: str) -> Events:
    if len(wanted) > 1:
        raise DataError(f"Recording '{name}' cannot join {one_of(wanted)}", allowed="spikes, or one signal of counts")
    signal = session[wanted[0]]
    if set(signal.spec.units) not in ({""}, {"counts"}):
        given = f"Signal '{wanted[0]}' of recording '{name}' is no signal of counts: it has units"
        raise DataError(f"{given} {one_of(signal.spec.units or ('V',))}", allowed="a signal of plain numbers")
    counts_per_bin(signal, stage.bin_s)
    return Events({}, signal, (signal.start_s, signal.start_s + signal.duration_s))


def _source(
    stage: Bin, session: Session, name: str, spec: Dynamic, folder: Path, progress: Progress
) -> Series | Signal | None:
    """Return the series or signal of a behaviour; None where the session lacks it and may."""
    word = spec.source or name
    if word in session.signals:
        return _through(session, word, name, spec, folder, progress)
    if word in session.series:
        if spec.signals:
            raise DataError(f"'{name}' is a series, which no chain takes", remedy="Leave its `signals` out")
        return session.series[word]
    if stage.on_missing == "allow":
        return None
    known = [*session.series, *session.signals]
    given = f"Recording '{session.session_id}' has no series or signal '{word}' for '{name}'"
    remedy = f"Correct `{'lfp' if spec is stage.lfp else 'dynamic'}`, leave the recording out, or set on_missing: allow"
    raise DataError(f"{given}.{did_you_mean(word, known)}", allowed=one_of(known), remedy=remedy)


def _through(session: Session, word: str, name: str, spec: Dynamic, folder: Path, progress: Progress) -> Signal:
    """Return a signal, after its chain; what the chain makes lies in a file in `folder`."""
    from .prepare import cleaned

    signal = session[word]
    if not spec.signals:
        return signal
    transducer = chain(spec.signals, signal.spec)
    path = folder / f"{name}.h5"
    folder.mkdir(exist_ok=True)
    chunks = cleaned(transducer, signal, progress, f"{session.session_id} {word}")
    write_session(
        path,
        session_id=session.session_id,
        subject=session.subject,
        spec=transducer.output,
        chunks=chunks,
        trials=Intervals(),
        start_s=signal.start_s,
    )
    return read(path).signal


def _trials(
    stage: Bin, session: Session, events: Events, sources: Mapping[str, Series | Signal], name: str
) -> tuple[Intervals, Grid, Left]:
    """Return the trials, their bins, and which of them lie in the recording; a grid holds only those with an onset."""
    if stage.align == "none":
        return Intervals(), *_whole(stage, events, sources, name)
    trials = session.trials
    if not len(trials):
        remedy = "Set `align: none` to take the whole recording, or check where its trials come from"
        raise DataError(f"Recording '{name}' has no trials", remedy=remedy)
    onset = _onsets(stage.align, trials, name)
    known = np.isfinite(onset)
    start = onset[known] + stage.start_s
    if events.signal is not None:
        start = on_bins(events.signal, start)
    grid = Grid(start, round(stage.length_s / stage.bin_s), stage.bin_s)
    left = Left(np.ones(len(start), bool), {"no_onset": int((~known).sum())})
    low, high = events.span_s
    left.out("outside", (start < low - EDGE_S) | (start + stage.length_s > high + EDGE_S))
    return _rows(trials, known), grid, left


def _onsets(align: str, trials: Intervals, name: str) -> Floats:
    if not align:
        return trials.start_s
    facts, times = facts_of(trials)
    if align not in facts:
        given = f"The trials of '{name}' have no column '{align}'.{did_you_mean(align, facts)}"
        allowed = f"{one_of(times) if times else 'no column of times'}, '' for their start, or 'none'"
        raise DataError(given, allowed=allowed, remedy="Correct `align`")
    try:
        return np.array([np.nan if v is None else v for v in facts[align]], np.float64)
    except (TypeError, ValueError):
        raise DataError(f"Column '{align}' of the trials of '{name}' holds no times", allowed=one_of(times)) from None


def _rows(trials: Intervals, mask: Mask) -> Intervals:
    facts, times = facts_of(trials)
    at = np.flatnonzero(mask)
    return IntervalTable(
        trials.start_s[at],
        trials.end_s[at],
        tuple(trials.label[i] for i in at),
        {n: tuple(column[i] for i in at) for n, column in facts.items()},
        times,
    )


def _whole(stage: Bin, events: Events, sources: Mapping[str, Series | Signal], name: str) -> tuple[Grid, Left]:
    """Return the bins of the stretch where there is something of everything, as one trial."""
    spans = [events.span_s, *(spec.span_s(sources[n], stage.bin_s) for n, spec in stage.continuous if n in sources)]
    low, high = max(a for a, _ in spans), min(b for _, b in spans)
    if events.signal is not None:
        first = np.ceil((low - events.signal.start_s) * events.signal.spec.sfreq - 1e-6)
        low = events.signal.start_s + first / events.signal.spec.sfreq
    n_bins = int((high - low) / stage.bin_s + 1e-6)
    if n_bins < 1:
        told = ", ".join(f"{a:g} to {b:g} s" for a, b in spans)
        given = f"There is no time of recording '{name}' when it has everything: {told}"
        raise DataError(given, remedy="Leave out a behaviour, or the recording")
    return Grid(np.array([low]), n_bins, stage.bin_s), Left(np.ones(1, bool))


def _behaviour(
    stage: Bin, sources: Mapping[str, Series | Signal], grid: Grid, left: Left, name: str
) -> dict[str, NDArray[Any]]:
    """Return the values of what the session has of the behaviours over time; some of each are known."""
    values: dict[str, NDArray[Any]] = {}
    for n, spec in stage.continuous:
        if n not in sources:
            continue
        made = values[n] = spec.values(n, sources[n], grid).astype(np.float32)
        unknown = np.isnan(made).any(1)
        if unknown[grid.rows(left.kept)].all() and left.kept.any():
            given = f"'{n}' of recording '{name}' is known in no bin"
            raise DataError(given, remedy="Leave it out of `dynamic`, or the recording out of the dataset")
        if stage.on_gap == "drop_trial":
            left.out("gaps", unknown.reshape(-1, grid.n_bins).any(1))
    return values


def _classes(
    stage: Bin, trials: Intervals, left: Left, values: dict[str, NDArray[Any]], name: str
) -> dict[str, tuple[str, ...]]:
    """Put the class of each trial into `values`; return the classes, () of what the session lacks."""
    classes: dict[str, tuple[str, ...]] = {}
    for n, spec in stage.classes:
        try:
            words, codes = spec.codes(n, trials)
        except DataError:
            if stage.on_missing == "raise" or not spec.classes:
                raise
            classes[n] = ()
            continue
        values[n], classes[n] = codes, words
        if stage.on_no_class == "drop_trial":
            left.out("no_class", codes == NO_CLASS)
    for n, words in classes.items():
        _all_there(stage, n, words, values[n][left.kept], name) if words else None
    return classes


def _all_there(stage: Bin, modality: str, words: tuple[str, ...], codes: NDArray[Any], name: str) -> None:
    absent = [word for code, word in enumerate(words) if not (codes == code).any()]
    if len(words) < 2 or (absent and (stage.on_missing == "raise" or len(words) - len(absent) < 2)):
        given = (
            f"Recording '{name}' has {'no' if absent else 'only the'} trial of '{modality}' {one_of(absent or words)}"
        )
        remedy = "Leave it out of `static` or the recording out, or set on_missing: allow"
        raise DataError(given, allowed="trials of two classes or more", remedy=remedy)


def _check_left(left: Left, name: str) -> None:
    if not left.kept.any():
        why = ", ".join(f"{n} {reason.replace('_', ' ')}" for reason, n in left.why.items() if n)
        raise DataError(f"No trial of recording '{name}' is left: {why}", remedy="Check align, start_s and length_s")


def _units(stage: Bin, events: Events, counts: Counts, grid: Grid, name: str) -> tuple[NDArray[Any], dict[str, Any]]:
    """Return the units that are kept, and how many were left out for what."""
    total = counts.sum(0, dtype=np.int64)
    rate = total / (grid.size * grid.bin_s)
    left = Left(np.ones(len(total), bool))
    if stage.min_quality is not None:
        quality = events.fact("quality")
        if quality is None:
            given = f"The units of recording '{name}' have no `quality`"
            raise DataError(given, remedy="Leave min_quality out")
        known = np.array([np.nan if q is None else q for q in quality], np.float64)
        left.out("quality", ~(known >= stage.min_quality))
    left.out("silent", total == 0)
    left.out("below_min_rate", rate < stage.min_rate_hz)
    if stage.max_rate_hz is not None:
        left.out("above_max_rate", rate > stage.max_rate_hz)
    if not left.kept.any():
        why = ", ".join(f"{n} {reason.replace('_', ' ')}" for reason, n in left.why.items() if n)
        raise DataError(f"No unit of recording '{name}' is left of {len(total)}: {why}", remedy="Lower min_rate_hz")
    return np.flatnonzero(left.kept), {"of": len(total), "kept": int(left.kept.sum()), **left.why}


def _described(
    stage: Bin, sources: Mapping[str, Series | Signal], classes: Mapping[str, tuple[str, ...]], units: tuple[str, ...]
) -> tuple[tuple[ModalitySpec, ...], tuple[tuple[str, ...], ...]]:
    """Return the modalities, and the channels of each in this session."""
    modalities, channels = [ModalitySpec(name="spikes", kind="counts")], [units]
    for n, spec in stage.continuous:
        there = sources.get(n)
        unit = spec.unit(n, there) if there is not None else ""
        modalities.append(ModalitySpec(name=n, kind="continuous", unit=unit, neural=spec.role == "neural"))
        channels.append(spec.channels(n, there) if there is not None else ())
    for n, static in stage.classes:
        words = classes[n] or tuple(word for word, _ in static.classes)
        modalities.append(ModalitySpec(name=n, kind="classes", classes=words))
        channels.append((n,) if classes[n] else ())
    return tuple(modalities), tuple(channels)


def _facts(stage: Bin, left: Left, units: dict[str, Any], made: BinnedSession) -> dict[str, Any]:
    """Return what was left out, what is missing in what is there, and all of it in one line."""
    values = made.values
    lasting = (made.start_s[:-1] + made.length[:-1] * made.bin_s) if made.n_trials > 1 else np.zeros(0)
    trials = {
        "of": len(left.kept) + left.why.get("no_onset", 0),
        "kept": made.n_trials,
        **{reason: n for reason, n in left.why.items() if n},
        "overlapping": int((lasting > made.start_s[1:] + EDGE_S).sum()),
    }
    gaps = {n: float(np.isnan(values[n]).any(1).mean()) for n, _ in stage.continuous if n in values}
    classes = {
        m.name: {w: int((values[m.name] == k).sum()) for k, w in enumerate(m.classes)}
        | {"": int((values[m.name] == NO_CLASS).sum())}
        for m in made.modalities
        if m.kind == "classes" and m.name in values
    }
    absent = [m.name for m in made.modalities if m.name not in values]
    told = [f"{n['kept']} of {n['of']} {what}{_reasons(n)}" for n, what in ((units, "units"), (trials, "trials"))]
    told += [f"{n} unknown in {share:.1%} of the bins" for n, share in gaps.items() if share]
    told += [f"no {n}" for n in absent]
    return {
        "units": units,
        "trials": trials,
        "gaps": gaps,
        "classes": classes,
        "absent": absent,
        "said": "; ".join(told),
    }


def _reasons(counts: Mapping[str, int]) -> str:
    why = [f"{n} {r.replace('_', ' ')}" for r, n in counts.items() if r not in ("of", "kept") and n]
    return f" ({', '.join(why)})" if why else ""
