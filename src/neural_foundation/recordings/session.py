"""What every reader gives: a lazy `Session` of signals, spikes, uneven series and labelled intervals.

Shapes: values (n_chans, n_times) float32, in volts unless the signal's spec names another unit; valid (n_times,) True
where a sample can be trusted. Times are seconds on the file's own clock: sample i of a signal lies at
`start_s + i / sfreq`, and all else counts on the same clock.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from types import TracebackType
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..core.errors import DataError, one_of
from ..core.specs import SignalSpec
from ..core.stream import Chunk
from .events import Series, Spikes

Floats = NDArray[np.float64]
Values = NDArray[np.float32]
Mask = NDArray[np.bool_]
T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, eq=False)
class Intervals:
    """Labelled stretches of time (trials, events). An event without duration ends where it starts.

    start_s, end_s : (n,) seconds. label : n words. Raises DataError where lengths differ, a time is not finite or an
    interval ends before it starts.
    """

    start_s: Floats = field(default_factory=lambda: np.zeros(0))
    end_s: Floats = field(default_factory=lambda: np.zeros(0))
    label: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("start_s", "end_s"):
            object.__setattr__(self, name, np.array(getattr(self, name), dtype=np.float64).reshape(-1))
        object.__setattr__(self, "label", tuple(str(word) for word in self.label))
        if not len(self.start_s) == len(self.end_s) == len(self.label):
            lengths = f"{len(self.start_s)} starts, {len(self.end_s)} ends and {len(self.label)} labels"
            raise DataError(f"Intervals have {lengths}", allowed="one of each an interval")
        if not (np.isfinite(self.start_s).all() and np.isfinite(self.end_s).all()):
            raise DataError("Intervals have a start or end that is not finite", allowed="seconds")
        if (self.end_s < self.start_s).any():
            worst = int(np.argmax(self.start_s - self.end_s))
            raise DataError(f"Interval {worst} ends at {self.end_s[worst]} s, before its start {self.start_s[worst]} s")

    @classmethod
    def of(cls, rows: Iterable[tuple[float, float, str]]) -> Intervals:
        """Return intervals from (start_s, end_s, label) rows, ordered by start; equal starts keep their order."""
        ordered = sorted(rows, key=lambda row: row[0])
        starts, ends, labels = zip(*ordered, strict=True) if ordered else ((), (), ())
        return cls(np.asarray(starts, float), np.asarray(ends, float), tuple(labels))

    def __len__(self) -> int:
        return len(self.label)

    def __iter__(self) -> Iterator[tuple[float, float, str]]:
        return zip(self.start_s.tolist(), self.end_s.tolist(), self.label, strict=True)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Intervals):
            return NotImplemented
        same_times = np.array_equal(self.start_s, other.start_s) and np.array_equal(self.end_s, other.end_s)
        return same_times and self.label == other.label

    def slice(self, start_s: float, stop_s: float) -> Intervals:
        """Return the intervals that overlap [start_s, stop_s), whole; an event counts where it is."""
        return Intervals.of(r for r in self if r[0] < stop_s and (r[1] > start_s or r[0] >= start_s))

    def only(self, *labels: str) -> Intervals:
        """Return the intervals with one of these labels."""
        return Intervals.of(row for row in self if row[2] in labels)


class Signal(ABC):
    """One continuous signal, read piece by piece.

    spec : rate, channels, positions. n_times : samples. start_s : time of the first one.
    """

    def __init__(self, spec: SignalSpec, n_times: int, start_s: float = 0.0) -> None:
        self.spec, self.n_times, self.start_s = spec, n_times, start_s
        self.closed = False

    def read(self, start: int = 0, stop: int | None = None) -> Values:
        """Return the samples [start, stop), float32 (n_chans, stop - start), in volts or the unit of the spec.

        Raises DataError outside 0 <= start <= stop <= n_times, RecordingError where the file cannot give them.
        """
        return self._read(*self._bounds(start, stop))

    def valid(self, start: int = 0, stop: int | None = None) -> Mask:
        """Return which of the samples [start, stop) can be trusted, bool (stop - start,)."""
        return self._valid(*self._bounds(start, stop))

    def chunks(self, n_times: int = 65536) -> Iterator[Chunk]:
        """Yield the whole signal in chunks of `n_times` samples."""
        for start in range(0, self.n_times, n_times):
            stop = min(start + n_times, self.n_times)
            yield Chunk(self.read(start, stop), self.valid(start, stop), start)

    @property
    def duration_s(self) -> float:
        return self.n_times / self.spec.sfreq

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.spec.n_chans} channels, {self.spec.sfreq:g} Hz, {self.duration_s:.1f} s)"

    def _bounds(self, start: int, stop: int | None) -> tuple[int, int]:
        stop = self.n_times if stop is None else stop
        if self.closed:
            raise DataError("The session of this signal is closed", remedy="Read before closing it, or open it again")
        if not 0 <= start <= stop <= self.n_times:
            raise DataError(f"Cannot read samples {start} to {stop}", allowed=f"0 <= start <= stop <= {self.n_times}")
        return start, stop

    @abstractmethod
    def _read(self, start: int, stop: int) -> Values: ...

    def _valid(self, start: int, stop: int) -> Mask:
        return np.ones(stop - start, dtype=bool)


class ArraySignal(Signal):
    """A signal that lies in memory: values (n_chans, n_times) in volts, `valid` all True unless given."""

    def __init__(self, values: Any, spec: SignalSpec, *, valid: Any = None, start_s: float = 0.0) -> None:
        self.values: Values = np.asarray(values, dtype=np.float32)
        if self.values.ndim != 2 or len(self.values) != spec.n_chans:
            raise DataError(f"Values have shape {self.values.shape}", allowed=f"({spec.n_chans}, n_times)")
        super().__init__(spec, self.values.shape[1], start_s)
        self.mask: Mask = np.ones(self.n_times, bool) if valid is None else np.asarray(valid, dtype=bool)
        if self.mask.shape != (self.n_times,):
            raise DataError(f"The validity mask has shape {self.mask.shape}", allowed=f"({self.n_times},)")

    def _read(self, start: int, stop: int) -> Values:
        return self.values[:, start:stop].copy()

    def _valid(self, start: int, stop: int) -> Mask:
        return self.mask[start:stop].copy()


class SignalSlice(Signal):
    """A stretch of another signal, as lazy as that one, on the same clock."""

    def __init__(self, whole: Signal, first: int, stop: int) -> None:
        super().__init__(whole.spec, stop - first, whole.start_s + first / whole.spec.sfreq)
        self._whole, self._first = whole, first

    def _read(self, start: int, stop: int) -> Values:
        return self._whole.read(self._first + start, self._first + stop)

    def _valid(self, start: int, stop: int) -> Mask:
        return self._whole.valid(self._first + start, self._first + stop)


class Lazy(Mapping[str, T_co]):
    """A mapping whose values may be given as functions; each is called once, when its value is first asked for."""

    def __init__(self, given: Mapping[str, T_co | Callable[[], T_co]], what: str) -> None:
        self._given, self._what = dict(given), what

    def __getitem__(self, name: str) -> T_co:
        if name not in self._given:
            raise DataError(f"There are no {self._what} '{name}'", allowed=one_of(self._given))
        value = self._given[name]
        if callable(value):
            value = self._given[name] = value()
        return value

    def __contains__(self, name: object) -> bool:
        return name in self._given

    def __iter__(self) -> Iterator[str]:
        return iter(self._given)

    def __len__(self) -> int:
        return len(self._given)


class Session:
    """One recording: its modalities by name (the primary signal first), its trials, and who it is of.

    signals : regularly sampled, each at its own rate. spikes : spike trains. series : unevenly sampled.
    intervals : labelled stretches other than `trials`. All count on one clock; `slice` cuts them together.
    subject : a pseudonym; no reader passes personal fields on. `trials`, and each of spikes, series and intervals, may
    be given as a function that is called once, when they are first asked for. Close it, or use it as a context manager.
    """

    def __init__(
        self,
        session_id: str,
        subject: str,
        signals: Mapping[str, Signal],
        trials: Intervals | Callable[[], Intervals] | None = None,
        *,
        spikes: Mapping[str, Spikes | Callable[[], Spikes]] | None = None,
        series: Mapping[str, Series | Callable[[], Series]] | None = None,
        intervals: Mapping[str, Intervals | Callable[[], Intervals]] | None = None,
        close: Callable[[], None] | None = None,
    ) -> None:
        self.session_id, self.subject, self.signals = session_id, subject, dict(signals)
        self.spikes: Mapping[str, Spikes] = Lazy(spikes or {}, "spikes")
        self.series: Mapping[str, Series] = Lazy(series or {}, "series")
        self.intervals: Mapping[str, Intervals] = Lazy(intervals or {}, "intervals")
        self._trials: Intervals | Callable[[], Intervals] = Intervals() if trials is None else trials
        self._close = close

    @property
    def signal(self) -> Signal:
        """The primary signal: the only one, or the one with the most EEG channels. DataError when there is none."""
        if not self.signals:
            remedy = "Choose a recording that has channels beside its annotations"
            raise DataError(f"Session '{self.session_id}' has no signal", remedy=remedy)
        return next(iter(self.signals.values()))

    @property
    def trials(self) -> Intervals:
        """Trials, events and annotations, ordered by start."""
        if callable(self._trials):
            self._trials = self._trials()
        return self._trials

    def __getitem__(self, name: str) -> Signal:
        if name not in self.signals:
            raise DataError(f"Session '{self.session_id}' has no signal '{name}'", allowed=one_of(self.signals))
        return self.signals[name]

    def slice(self, start_s: float, stop_s: float) -> Session:
        """Return the session of [start_s, stop_s): every modality cut by time, on the same clock, as lazy as this one.

        A sample, spike or row counts where it lies; an interval where it overlaps, and stays whole. Closing the slice
        leaves this session open. DataError where the times are not in order.
        """
        if not start_s <= stop_s:
            raise DataError(f"Cannot cut from {start_s:g} to {stop_s:g} s", allowed="start_s <= stop_s")
        return Session(
            self.session_id,
            self.subject,
            {name: _cut(signal, start_s, stop_s) for name, signal in self.signals.items()},
            lambda: self.trials.slice(start_s, stop_s),
            spikes={n: partial(_sliced, self.spikes, n, start_s, stop_s) for n in self.spikes},
            series={n: partial(_sliced, self.series, n, start_s, stop_s) for n in self.series},
            intervals={n: partial(_sliced, self.intervals, n, start_s, stop_s) for n in self.intervals},
        )

    def close(self) -> None:
        """Release the file; a second call does nothing."""
        close, self._close = self._close, None
        for signal in self.signals.values():
            signal.closed = True
        if close is not None:
            close()

    def __enter__(self) -> Session:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Session('{self.session_id}', subject='{self.subject}', signals={self.signals})"


def _cut(signal: Signal, start_s: float, stop_s: float) -> Signal:
    """Return the samples whose time lies in [start_s, stop_s); a rounding error of a time is no sample."""
    at = [np.ceil(round((t - signal.start_s) * signal.spec.sfreq, 6)) for t in (start_s, stop_s)]
    first, stop = (int(np.clip(a, 0, signal.n_times)) for a in at)
    return SignalSlice(signal, first, stop)


def _sliced(held: Mapping[str, Any], name: str, start_s: float, stop_s: float) -> Any:
    return held[name].slice(start_s, stop_s)
