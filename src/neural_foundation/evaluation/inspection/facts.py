"""What is in a recording: every modality of a session in numbers, with what deserves a second look."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...core.specs import SignalSpec
from ...recordings import Intervals, Series, Session, Signal, Spikes
from .quality import PIECES, Quality, quality, valid_share

FLAT, CLIPPED, MISSING, LINE = 0.05, 0.001, 0.01, 10.0  # from here on a channel is remarked on
LOUD = 5.0  # so many times the median range of the channels of its type, or its inverse


@dataclass(frozen=True)
class SignalFacts:
    """One signal. `valid`: the share of its samples that can be trusted. `remarks`: for each channel, words."""

    name: str
    spec: SignalSpec
    n_times: int
    start_s: float
    valid: float
    quality: Quality
    remarks: tuple[tuple[str, ...], ...]

    @property
    def duration_s(self) -> float:
        return self.n_times / self.spec.sfreq

    @property
    def types(self) -> dict[str, int]:
        """Channel type -> how many channels."""
        return dict(Counter(self.spec.ch_types or ("eeg",) * self.spec.n_chans))

    @property
    def n_positions(self) -> int:
        return sum(p is not None for p in self.spec.positions)


@dataclass(frozen=True)
class SpikeFacts:
    """Spike trains. `rates_hz`: of each unit, over the recording."""

    name: str
    n_units: int
    n_spikes: int
    rates_hz: tuple[float, ...]
    first_s: float
    last_s: float
    columns: tuple[str, ...]


@dataclass(frozen=True)
class SeriesFacts:
    """An uneven series. `interval_s`: the median time between its rows. `missing`: share of values that are NaN."""

    name: str
    columns: tuple[str, ...]
    units: tuple[str, ...]
    rows: int
    interval_s: float
    missing: float
    first_s: float
    last_s: float


@dataclass(frozen=True)
class LabelFacts:
    """The intervals of one label. `median_s`: their median duration."""

    label: str
    count: int
    median_s: float
    first_s: float
    last_s: float


@dataclass(frozen=True)
class Inspection:
    """All of a session in numbers. `intervals`: trials first, under the name 'trials', then the others by name."""

    session_id: str
    subject: str
    signals: tuple[SignalFacts, ...]
    spikes: tuple[SpikeFacts, ...]
    series: tuple[SeriesFacts, ...]
    intervals: dict[str, tuple[LabelFacts, ...]]

    @property
    def span_s(self) -> tuple[float, float]:
        """The first and last second that anything lies at; (0, 0) for an empty session."""
        spans = [(s.start_s, s.start_s + s.duration_s) for s in self.signals]
        spans += [(m.first_s, m.last_s) for m in self.spikes] + [(m.first_s, m.last_s) for m in self.series]
        spans += [(label.first_s, label.last_s) for labels in self.intervals.values() for label in labels]
        known = [span for span in spans if np.isfinite(span).all()]
        return (min(a for a, _ in known), max(b for _, b in known)) if known else (0.0, 0.0)


def inspect_session(session: Session, *, pieces: int = PIECES) -> Inspection:
    """Return what is in an open session; memory is bounded, and raises what reading its samples raises."""
    signals = tuple(_signal(name, signal, pieces) for name, signal in session.signals.items())
    length_s = max((s.duration_s for s in signals), default=0.0)
    intervals = {"trials": session.trials, **{name: session.intervals[name] for name in session.intervals}}
    return Inspection(
        session.session_id,
        session.subject,
        signals,
        tuple(_spikes(name, session.spikes[name], length_s) for name in session.spikes),
        tuple(_series(name, session.series[name]) for name in session.series),
        {name: labels(found) for name, found in intervals.items()},
    )


def _signal(name: str, signal: Signal, pieces: int) -> SignalFacts:
    found = quality(signal, pieces=pieces)
    said = remarks(signal.spec, found)
    return SignalFacts(name, signal.spec, signal.n_times, signal.start_s, valid_share(signal), found, said)


def remarks(spec: SignalSpec, found: Quality) -> tuple[tuple[str, ...], ...]:
    """Return the words for each channel that deserves a second look; an empty tuple for one that does not."""
    width, out = found.high - found.low, []
    types = np.array(spec.ch_types or ("eeg",) * spec.n_chans)
    for i in range(spec.n_chans):
        alike = width[(types == types[i]) & (found.flat < FLAT)]
        usual = float(np.nanmedian(alike)) if len(alike) > 2 and np.isfinite(alike).any() else np.nan
        words = ["flat"] * bool(found.flat[i] >= FLAT) + ["clipped"] * bool(found.clipped[i] >= CLIPPED)
        words += ["missing"] * bool(found.missing[i] >= MISSING)
        words += [f"{hz:g} Hz" for hz, ratio in found.line.items() if ratio[i] >= LINE]
        words += ["loud"] * bool(width[i] > LOUD * usual) + ["quiet"] * bool(width[i] < usual / LOUD)
        out.append(tuple(words))
    return tuple(out)


def _spikes(name: str, spikes: Spikes, length_s: float) -> SpikeFacts:
    first, last = (float(spikes.times_s[0]), float(spikes.times_s[-1])) if len(spikes) else (np.nan, np.nan)
    over = length_s or (last - first if len(spikes) > 1 else np.nan)
    counts = np.bincount(spikes.unit, minlength=spikes.n_units)
    rates = tuple((counts / over).tolist()) if over and np.isfinite(over) else (np.nan,) * spikes.n_units
    return SpikeFacts(name, spikes.n_units, len(spikes), rates, first, last, tuple(spikes.facts))


def _series(name: str, series: Series) -> SeriesFacts:
    first, last = (float(series.times_s[0]), float(series.times_s[-1])) if len(series) else (np.nan, np.nan)
    interval = float(np.median(np.diff(series.times_s))) if len(series) > 1 else np.nan
    missing = float(np.isnan(series.values).mean()) if series.values.size else 0.0
    return SeriesFacts(name, series.names, series.units, len(series), interval, missing, first, last)


def labels(found: Intervals) -> tuple[LabelFacts, ...]:
    """Return the intervals by label, in the order of their first appearance."""
    order = {label: i for i, label in enumerate(dict.fromkeys(found.label))}
    group = np.array([order[label] for label in found.label], dtype=np.int64)
    by_label = np.split(np.argsort(group, kind="stable"), np.cumsum(np.bincount(group, minlength=len(order)))[:-1])
    return tuple(_label(label, found, which) for label, which in zip(order, by_label, strict=False))


def _label(label: str, found: Intervals, which: NDArray[np.int64]) -> LabelFacts:
    start, end = found.start_s[which], found.end_s[which]
    return LabelFacts(label, len(start), float(np.median(end - start)), float(start.min()), float(end.max()))
