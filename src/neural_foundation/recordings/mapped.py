"""From the arrays of a file and a layout to a session.

Notable:
- A signal's values are read when asked for, in volts, or in the unit that the layout names. NaN is a sample that is
  not valid; an infinite value, or one beyond float32, is an error.
- `times` of a signal must be even: each within half a sample of `start + i / sfreq`, and so is each step. Its first and
  last one are read at the opening, the others with the samples. The rate that follows from them is rounded to the
  fewest digits within a millionth.
- Spikes are put in time order; all else keeps the order of the file, and must rise where the session says so.
- Paths and shapes are checked at the opening; spikes, series and intervals are read when asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from ..core.errors import DataError, RecordingError, one_of
from ..core.specs import SignalSpec
from .arrays import Array, Floats, Group, find_all, find_array
from .channels import TYPES, VOLTS, channel, positions, repeated
from .events import Series, Spikes
from .header_text import MAX_CHANNELS, MAX_HZ
from .layout import (
    Axes,
    Clocked,
    IntervalsLayout,
    Layout,
    SeriesLayout,
    SignalLayout,
    SpikesLayout,
    find_layout,
    has_layout,
)
from .reader import Reader, stem
from .session import Intervals, Mask, Session, Signal, Values
from .starter import starter

_PER_S = {"s": 1.0, "ms": 1e3, "us": 1e6}
_PIECE = 1 << 18  # numbers that are converted at a time
_EVEN = 0.5  # of a sample: times are rounded to the digits of their text


class MappedReader(Reader):
    """Base of the readers of files whose arrays a layout describes."""

    kind: str
    layout: Layout | None = None

    def takes(self, path: Path) -> bool:
        """Tables and arrays lie beside recordings too; one with a layout is meant."""
        return self.layout is not None or has_layout(path)

    def open(self, path: Path, *, subject: str | None = None) -> Session:
        layout, origin = find_layout(path, self.layout)
        root, close = self.tree(path, layout)
        try:
            if layout is None:
                _ask(path, root, origin)
            return _session(root, layout, origin, subject or stem(path), close)
        except BaseException:
            close()
            raise

    def tree(self, path: Path, layout: Layout | None) -> tuple[Group, Callable[[], object]]:
        """Return the arrays of the file, and what closes it."""
        raise NotImplementedError


class MappedSignal(Signal):
    """Channels of an array. axis : of time. picks : channels to take. gain (n_chans,) : to volts."""

    def __init__(
        self,
        root: Group,
        spec: SignalSpec,
        array: Array,
        axis: int,
        picks: tuple[int, ...],
        gain: Floats,
        start_s: float,
        times: tuple[Array, float] | None,
    ) -> None:
        self.path, self.array, self.axis, self.picks, self.gain, self.times = root.file, array, axis, picks, gain, times
        super().__init__(spec, array.size if array.is_vector else array.shape[axis], start_s)
        self._last: tuple[int, int, Mask] | None = None

    def _read(self, start: int, stop: int) -> Values:
        values, valid = self._load(start, stop)
        self._last = (start, stop, valid)
        return values

    def _load(self, start: int, stop: int) -> tuple[Values, Mask]:
        values = np.empty((self.spec.n_chans, stop - start), np.float32)
        width = self.array.size // max(1, self.n_times)
        step = max(1, _PIECE // max(1, width)) if self.array.in_pieces else stop - start
        for at in range(start, stop, step or 1):
            end = min(at + step, stop)
            block = self.array.block(self.axis, at, end)
            block = block[:, list(self.picks)] if self.picks else block
            with np.errstate(over="ignore", invalid="ignore"):
                values[:, at - start : end - start] = (block * self.gain).T
        if np.isinf(values).any():
            at = start + int(np.argmax(np.isinf(values).any(0)))
            given = f"sample {at} of '{self.array.name}' is not finite"
            raise RecordingError(self.path, given, allowed="numbers, or NaN where unknown", remedy="Correct the file")
        self._check_times(start, stop)
        return values, np.asarray(~np.isnan(values).any(0), dtype=bool)

    def _valid(self, start: int, stop: int) -> Mask:
        if self.array.exact:
            return np.ones(stop - start, dtype=bool)
        last = self._last  # chunks are read first, then asked whether they are valid
        if last is not None and last[:2] == (start, stop):
            return last[2].copy()
        return self._load(start, stop)[1]

    def _check_times(self, start: int, stop: int) -> None:
        if self.times is None or start == stop:
            return
        array, per_s = self.times
        first = max(start - 1, 0)
        times = array.block(0, first, stop)[:, 0] / per_s
        with np.errstate(invalid="ignore"):
            off = (times - self.start_s) * self.spec.sfreq - np.arange(first, stop)
            bad = ~(np.abs(off) <= _EVEN)  # NaN is bad too
            bad[1:] |= ~(np.abs(np.diff(off)) <= _EVEN)
        if bad.any():
            at = first + int(np.argmax(bad))
            given = f"time {at} of '{array.name}' is {times[at - first]:.9g} s, not even at {self.spec.sfreq:g} Hz"
            remedy = "Give 'sfreq' without 'times' if its times are rough, or describe it under 'series'"
            raise RecordingError(self.path, given, allowed="times within half a sample of even ones", remedy=remedy)


def _ask(path: Path, root: Group, name: str) -> NoReturn:
    """Raise the error that shows a layout to begin with."""
    suffix = path.suffix.lower()
    given = f"a '{suffix}' file has no agreed layout, and there is no '{name}' beside it"
    raise RecordingError(path, given, remedy=f"Save this as '{name}' beside it, and complete it:\n\n{starter(root)}")


def _session(root: Group, layout: Layout, origin: str, subject: str, close: Callable[[], object]) -> Session:
    at = _At(root, origin)
    signals = {name: at.run(f"signals.{name}", _signal, part, subject) for name, part in layout.signals.items()}
    spikes = {name: at.run(f"spikes.{name}", _spikes, part, name) for name, part in layout.spikes.items()}
    series = {name: at.run(f"series.{name}", _series, part) for name, part in layout.series.items()}
    stretches = {n: at.run(f"intervals.{n}", _intervals, part, n) for n, part in layout.intervals.items()}
    trials = at.run("trials", _intervals, layout.trials, "trial") if layout.trials else None
    name = stem(root.file)
    return Session(
        name, subject, signals, trials, spikes=spikes, series=series, intervals=stretches, close=lambda: _none(close())
    )


def _none(_: object) -> None:
    return None


class _At:
    """Runs a step for a part of the layout; its errors name the file, the layout and the part."""

    def __init__(self, root: Group, origin: str) -> None:
        self.root, self.origin = root, origin

    def run(self, part: str, step: Callable[..., Any], *given: Any) -> Any:
        """Return what the step gives; a function that it gives runs here too."""
        try:
            made = step(self.root, *given)
        except DataError as error:
            raise self._named(part, error) from None
        return partial(self.run, part, lambda _: made()) if callable(made) else made

    def _named(self, part: str, error: DataError) -> DataError:
        if str(error).startswith("The session of"):  # it was closed
            return error
        text = error.given.removeprefix(f"{self.root.file}: ")
        allowed, remedy = error.allowed, error.remedy or "Correct the layout or the file"
        return RecordingError(self.root.file, f"{self.origin}, {part}: {text}", allowed=allowed, remedy=remedy)


def _signal(root: Group, part: SignalLayout, subject: str) -> MappedSignal:
    array = _joined(root, part.paths)
    axis, n_chans = _axis(array, part.axes)
    n_chans = _picked(part.picks, n_chans, array)
    n_times = array.size if array.is_vector else array.shape[axis]
    if n_times < 1:
        raise DataError(f"{array} is empty", allowed="1 sample or more")
    names = _channel_names(root, part, n_chans)
    units = (part.unit,) * n_chans if isinstance(part.unit, str) else part.unit
    _one_each("unit", units, n_chans)
    gain = np.array([VOLTS.get(u.lower(), 1.0) for u in units])
    sfreq, start_s, times = _clock(root, part, n_times)
    volts = all(u.lower() in VOLTS for u in units)
    types = _channel_types(part, names, units)
    spec = SignalSpec(
        sfreq=sfreq,
        ch_names=names,
        ch_types=types,
        positions=positions(names, types),
        subject=subject,
        units=() if volts else tuple("V" if u.lower() in VOLTS else u for u in units),
    )
    return MappedSignal(root, spec, array, axis, part.picks, gain, start_s, times)


def _joined(root: Group, paths: tuple[str, ...]) -> Array:
    arrays = [find_array(root, path) for path in paths]
    if len(arrays) == 1:
        return arrays[0]
    if wide := next((a for a in arrays if not a.is_vector), None):
        raise DataError(f"{wide} is not one column", allowed="one path of an array, or paths of vectors")
    if short := next((a for a in arrays if a.size != arrays[0].size), None):
        raise DataError(f"{arrays[0]} and {short} differ in length", allowed="vectors of one length")
    return root.stack(arrays)


def _axis(array: Array, axes: Axes | None) -> tuple[int, int]:
    """Return the axis of time, and how many columns there are across it."""
    if array.is_vector:
        return 0, 1
    if len(array.shape) != 2:
        raise DataError(f"{array} has {len(array.shape)} axes", allowed="1 or 2", remedy="Reshape it in the source")
    if axes is None and not array.columns:
        raise DataError(f"{array} has two axes", allowed="axes: 'time channel' or 'channel time'")
    axis = 1 if axes == "channel time" and not array.columns else 0
    if array.shape[1 - axis] > MAX_CHANNELS:
        given = f"{array} has {array.shape[1 - axis]} channels"
        raise DataError(given, allowed=f"1 to {MAX_CHANNELS}", remedy=f"Swap the words of axes: '{axes}'")
    return axis, array.shape[1 - axis]


def _picked(picks: tuple[int, ...], n_chans: int, array: Array) -> int:
    if picks and not (len(set(picks)) == len(picks) and 0 <= min(picks) <= max(picks) < n_chans):
        given = f"columns {', '.join(map(str, picks))} of {array}"
        raise DataError(given, allowed=f"numbers from 0 to {n_chans - 1}, each once")
    return len(picks) or n_chans


def _channel_names(root: Group, part: SignalLayout, n_chans: int) -> tuple[str, ...]:
    if isinstance(part.ch_names, str):
        array = find_array(root, part.ch_names, "text")
        names = tuple(array.words())
        if part.picks and len(names) > max(part.picks):
            names = tuple(names[i] for i in part.picks)
    elif part.ch_names:
        names = part.ch_names
    else:
        own = part.paths if len(part.paths) == n_chans > 1 else ()
        names = own or tuple(f"ch{i + 1}" for i in range(n_chans))
    _one_each("ch_names", names, n_chans)
    if twice := repeated(names):
        raise DataError(f"several channels are named {one_of(twice)}", remedy="Give each a name of its own")
    return names


def _channel_types(part: SignalLayout, names: tuple[str, ...], units: tuple[str, ...]) -> tuple[str, ...]:
    if part.ch_types:
        types = (part.ch_types,) * len(names) if isinstance(part.ch_types, str) else part.ch_types
        _one_each("ch_types", types, len(names))
        return tuple(t.lower() if t.lower() in TYPES else t for t in types)
    return tuple(channel(n).type if u.lower() in VOLTS else "misc" for n, u in zip(names, units, strict=True))


def _one_each(what: str, given: tuple[str, ...], n: int) -> None:
    if len(given) != n:
        raise DataError(f"{what} has {len(given)} entries for {n} channels", allowed="one for each channel")


def _clock(root: Group, part: SignalLayout, n_times: int) -> tuple[float, float, tuple[Array, float] | None]:
    """Return the rate, the start, and where the times are."""
    sfreq = None if part.sfreq is None else _number(root, part.sfreq)
    if part.times is None:
        start_s = 0.0 if part.start_s is None else _number(root, part.start_s)
        return _checked_rate(sfreq), start_s, None
    array, per_s = find_array(root, part.times), _PER_S[part.time_unit]
    if not array.is_vector or array.size != n_times:
        raise DataError(f"{array} for {n_times} samples", allowed="one time a sample")
    first, last = (float(array.block(0, i, i + 1)[0, 0]) / per_s for i in (0, n_times - 1))
    if sfreq is None:
        if not last > first:
            raise DataError(f"the times of {array} go from {first:g} to {last:g} s", allowed="rising times, or 'sfreq'")
        sfreq = _rounded((n_times - 1) / (last - first))
    if not np.isfinite(first) or not abs((last - first) * sfreq - (n_times - 1)) <= _EVEN:
        given = f"its times go from {first:g} to {last:g} s, but {n_times} samples at {sfreq:g} Hz do not"
        raise DataError(given, allowed="a rate and times that agree")
    return _checked_rate(sfreq), first, (array, per_s)


def _checked_rate(sfreq: float | None) -> float:
    if sfreq is None or not 0 < sfreq <= MAX_HZ:
        raise DataError(f"the rate is {sfreq} Hz", allowed=f"more than 0, up to {MAX_HZ:g}")
    return sfreq


def _rounded(sfreq: float) -> float:
    """Return the number of fewest digits within a millionth of `sfreq`."""
    short = (float(f"{sfreq:.{digits}g}") for digits in range(1, 17))
    return next((f for f in short if abs(f - sfreq) <= 1e-6 * sfreq), sfreq)


def _number(root: Group, given: float | str) -> float:
    if not isinstance(given, str):
        return float(given)
    array = find_array(root, given)
    if array.size != 1:
        raise DataError(f"{array} is no single number", allowed="one number")
    value = float(array.numbers().reshape(-1)[0])
    if not np.isfinite(value):
        raise DataError(f"'{given}' is {value}", allowed="a finite number")
    return value


def _seconds(root: Group, part: Clocked) -> Callable[[Array], Floats]:
    """Return a function from an array of times to seconds."""
    rate = _checked_rate(_number(root, part.sfreq)) if part.sfreq is not None else _PER_S[part.time_unit]

    def convert(array: Array) -> Floats:
        with np.errstate(invalid="ignore"):
            times: Floats = np.asarray(array.numbers(), np.float64).reshape(-1)
            return (times - part.first_sample) / rate + part.start_s

    return convert


def _vector(root: Group, path: str) -> Array:
    array = find_array(root, path)
    if not array.is_vector:
        raise DataError(f"{array}", allowed="a vector", remedy="Choose one with a single axis longer than 1")
    return array


def _same_length(arrays: dict[str, Array]) -> None:
    if len({a.size for a in arrays.values()}) > 1:
        sizes = ", ".join(f"'{name}' has {a.size}" for name, a in arrays.items())
        raise DataError(f"lengths differ: {sizes}", allowed="one entry of each")


def _spikes(root: Group, part: SpikesLayout, name: str) -> Callable[[], Spikes]:
    seconds = _seconds(root, part)
    if part.times is not None:
        times = _vector(root, part.times)
        if part.unit is None:
            return lambda: Spikes.of({name: np.sort(seconds(times))})
        unit = find_array(root, part.unit, "text")
        _same_length({"times": times, "unit": unit})
        return lambda: _labelled(seconds(times), unit)
    paths = (part.trains,) if isinstance(part.trains, str) else part.trains
    trains = {key: array for path in paths for key, array in find_all(root, path).items()}
    if wide := next((a for a in trains.values() if a.kind != "number" or not a.is_vector), None):
        raise DataError(f"{wide}", allowed="a vector of times for each unit")
    ids = _unit_ids(root, part, tuple(trains))
    return lambda: Spikes.of({key: seconds(a) for key, a in zip(ids, trains.values(), strict=True)})


def _unit_ids(root: Group, part: SpikesLayout, keys: tuple[str, ...]) -> tuple[str, ...]:
    named = part.unit_ids
    ids = tuple(find_array(root, named, "text").words()) if isinstance(named, str) else (named or keys)
    if len(ids) != len(keys) or len(set(ids)) != len(ids):
        raise DataError(f"{len(ids)} unit_ids for {len(keys)} trains", allowed="one for each train, none twice")
    return ids


def _labelled(times: Floats, unit: Array) -> Spikes:
    """Return spikes in time order; units in the order of their numbers or words."""
    if unit.kind == "number":
        values, index = np.unique(unit.numbers().reshape(-1), return_inverse=True)
        ids = [str(int(v)) if float(v).is_integer() else repr(float(v)) for v in values.tolist()]
    else:
        words, index = np.unique(np.asarray(unit.words(), dtype=str), return_inverse=True)
        ids = words.tolist()
    order = np.argsort(times, kind="stable")
    return Spikes(times[order], np.asarray(index, np.int64)[order], tuple(ids))


def _series(root: Group, part: SeriesLayout) -> Callable[[], Series]:
    seconds = _seconds(root, part)
    paths = (part.values,) if isinstance(part.values, str) else part.values
    times, array = _vector(root, part.times), _joined(root, paths)
    axis, n_columns = _axis(array, part.axes)
    n_rows = array.size if array.is_vector else array.shape[axis]
    if n_rows != times.size:
        raise DataError(f"{array} for {times.size} times", allowed="one row of values a time")
    last = tuple(p.rpartition(root.separator)[2] if root.separator else p for p in paths)
    own = last if len(last) == n_columns else tuple(f"{last[0]}_{i + 1}" for i in range(n_columns))
    names = part.names or own
    for what, given in (("names", names), ("units", part.units or names)):
        if len(given) != n_columns:
            raise DataError(f"{what} has {len(given)} entries for {n_columns} columns", allowed="one for each column")
    return lambda: Series(seconds(times), array.block(axis, 0, n_rows), names, part.units)


def _intervals(root: Group, part: IntervalsLayout, name: str) -> Callable[[], Intervals]:
    seconds, lengths = _seconds(root, part), _seconds(root, part.model_copy(update={"first_sample": 0, "start_s": 0.0}))
    given = {"start": part.start, "end": part.end, "duration": part.duration}
    arrays = {key: _vector(root, path) for key, path in given.items() if path is not None}
    label = find_array(root, part.label, "text") if part.label is not None else None
    _same_length({**arrays, "label": label} if label is not None else arrays)

    def read() -> Intervals:
        start: NDArray[np.float64] = seconds(arrays["start"])
        end = seconds(arrays["end"]) if part.end else start
        if part.duration:
            end = start + lengths(arrays["duration"])
        words = label.words() if label is not None else [name] * len(start)
        checked = Intervals(start, end, tuple(words))
        return Intervals.of(checked)

    return read
