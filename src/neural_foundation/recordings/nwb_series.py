"""The time series of an NWB file: signals where their samples are even, series where they are not, marks in time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import RecordingError, one_of
from ..core.specs import SignalSpec
from .channels import VOLTS, channel, repeated
from .events import Series
from .header_text import MAX_HZ
from .nwb_file import NwbFile
from .nwb_tables import Electrodes
from .session import Intervals, Mask, Signal, Values

ON_GRID = 0.1  # of a sample: how far a timestamp may lie off its place, for the series to count as even
MIN_EVEN = 16  # fewer timestamps are taken for events
MAX_COLUMNS = 1 << 16
BLOCK_BYTES = 1 << 22
_ROUNDING = 1e-6  # of a sample, at the end of the series
_WORDS = {"volt": 1.0, "volts": 1.0}
_WORDS |= {p + w: s for p, s in (("milli", 1e-3), ("micro", 1e-6), ("nano", 1e-9)) for w in ("volt", "volts")}
_SCALES = _WORDS | VOLTS
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Columns:
    """What the columns of a series are: value = data * gain + offset, in `units` ('V' for volts)."""

    names: tuple[str, ...]
    types: tuple[str, ...]
    gain: Floats
    offset: float
    units: tuple[str, ...]

    def scaled(self, block: NDArray[Any]) -> Floats:
        """Return a block (n, n_columns) of the data in its unit, float64."""
        values: Floats = block.reshape(len(block), len(self.names)).astype(np.float64) * self.gain + self.offset
        return values


class NwbSignal(Signal):
    """A series with even times. `electrodes`: the columns of the electrodes table, one entry a channel (else empty)."""

    def __init__(
        self,
        nwb: NwbFile,
        data: Any,
        columns: Columns,
        spec: SignalSpec,
        start_s: float,
        electrodes: Mapping[str, tuple[Any, ...]],
    ) -> None:
        self.nwb, self.data, self.columns, self.electrodes = nwb, data, columns, electrodes
        super().__init__(spec, len(data), start_s)

    def _read(self, start: int, stop: int) -> Values:
        values = np.empty((self.spec.n_chans, stop - start), np.float32)
        for at, block in self._blocks(start, stop):
            with np.errstate(over="ignore"):
                values[:, at - start : at - start + len(block)] = block.T
            part = values[:, at - start : at - start + len(block)]
            if (np.isinf(part.T) & np.isfinite(block)).any():
                given = f"a value of '{self.data.name}' near sample {at} is too large for 32 bits"
                raise RecordingError(self.nwb.path, given, remedy="Correct its conversion")
        return values

    def _valid(self, start: int, stop: int) -> Mask:
        """A sample is valid where all its columns are finite: the file says no more of what is unknown."""
        valid = np.ones(stop - start, dtype=bool)
        if self.data.dtype.kind == "f":
            for at, block in self._blocks(start, stop):
                valid[at - start : at - start + len(block)] = np.isfinite(block).all(1)
        return valid

    def _blocks(self, start: int, stop: int) -> Any:
        step = max(1, BLOCK_BYTES // (8 * self.spec.n_chans))
        for at in range(start, stop, step):
            with self.nwb.guarded():
                block = self.columns.scaled(np.asarray(self.data[at : min(at + step, stop)]))
            yield at, block


def held(nwb: NwbFile, group: Any) -> bool:
    """Return whether a group is a time series of numbers or words with up to two axes; images are not."""
    data = nwb.get(group, "data")
    timed = nwb.get(group, "timestamps") is not None or nwb.get(group, "starting_time") is not None
    if data is None:
        if nwb.kind(group).endswith("Series") and nwb.get(group, "external_file") is None and timed:
            nwb.fail(f"'{group.name}' has no data")
        return False
    # files and frames: an ImageSeries may give no time
    if not hasattr(data, "shape") or data.shape is None or len(data.shape) > 2:
        return False
    return (timed or nwb.kind(group).endswith("Series")) and nwb.kind(group) != "SpikeEventSeries"


def opened(nwb: NwbFile, group: Any, subject: str, known: Electrodes | None) -> Signal | Callable[[], Series]:
    """Return a series of numbers as a Signal, or as the function that reads it where its times are uneven."""
    data = nwb.check(nwb.need(group, "data"))
    if data.ndim == 0 or data.dtype.kind not in "iufb":
        nwb.fail(f"'{data.name}' holds {data.dtype} {data.shape}", allowed="numbers, time first")
    n_columns = 1 if data.ndim == 1 else data.shape[1]
    if not 1 <= n_columns <= MAX_COLUMNS:
        nwb.fail(f"'{data.name}' has {n_columns} columns", allowed=f"1 to {MAX_COLUMNS}")
    times = _times(nwb, group, len(data))
    even = _rate(nwb, group) if times is None else _even(nwb, data, times)
    rows = _rows(nwb, group, n_columns, known)
    columns = _columns(nwb, group, data, n_columns, rows, known)
    if even is None:
        return _series(nwb, data, times, columns)
    facts = {} if known is None else {k: tuple(v[r] for r in rows) for k, v in known.columns.items() if rows}
    return NwbSignal(nwb, data, columns, _spec(columns, even[1], subject, rows, known), even[0], facts)


def _times(nwb: NwbFile, group: Any, n_times: int) -> Any:
    """Return the array of timestamps, None where the series states a rate."""
    times, start = nwb.get(group, "timestamps"), nwb.get(group, "starting_time")
    if (times is None) == (start is None):
        given = "both timestamps and a starting_time" if start is not None else "neither timestamps nor a starting_time"
        nwb.fail(f"'{group.name}' has {given}", allowed="one of them")
    if times is None:
        return None
    nwb.check(times)
    if times.ndim != 1 or times.dtype.kind not in "iuf" or len(times) != n_times:
        given = f"'{times.name}' holds {times.dtype} {times.shape}, for {n_times} samples"
        nwb.fail(given, allowed="one number of seconds a sample")
    return times


def _rate(nwb: NwbFile, group: Any) -> tuple[float, float]:
    """Return the start in seconds and the rate that a series states."""
    start = nwb.check(nwb.need(group, "starting_time"))
    rate = nwb.number(start, "rate")
    if not 0 < rate <= MAX_HZ:
        nwb.fail(f"the rate of '{group.name}' is {rate:g} Hz", allowed=f"more than 0, up to {MAX_HZ:g} Hz")
    value = np.asarray(nwb.array(start)).reshape(-1)
    if len(value) != 1 or value.dtype.kind not in "iuf" or not np.isfinite(value).all():
        nwb.fail(f"the starting_time of '{group.name}' is no number", allowed="seconds")
    return float(value[0]), rate


def _even(nwb: NwbFile, data: Any, times: Any) -> tuple[float, float] | None:
    """Return the start and rate of timestamps that all lie within ON_GRID samples of an even grid, else None."""
    n = len(times)
    if n < MIN_EVEN or nwb.attr(data, "continuity") == "instantaneous":
        return None
    first, last = float(times[0]), float(times[n - 1])
    if not (np.isfinite([first, last]).all() and first < last):
        return None
    rate = _rounded((n - 1) / (last - first), n)
    if rate > MAX_HZ:
        return None
    step = BLOCK_BYTES // 8
    for at in range(0, n, step):
        block = np.asarray(times[at : at + step], np.float64)
        off = np.abs((block - first) * rate - np.arange(at, at + len(block)))
        if not (off <= ON_GRID).all():
            return None
    return first, rate


def _rounded(rate: float, n: int) -> float:
    """Return the shortest decimal that moves no sample: a rate measured on rounded times is 1000.0000000001 Hz."""
    near = (round(rate, digits) for digits in range(9))
    return next((r for r in near if r > 0 and abs(r / rate - 1) * (n - 1) <= _ROUNDING), rate)


def _rows(nwb: NwbFile, group: Any, n_columns: int, known: Electrodes | None) -> list[int]:
    """Return the electrode of each channel, nothing for a series that has none."""
    region = nwb.get(group, "electrodes")
    if region is None or not hasattr(region, "dtype"):
        if nwb.kind(group) == "ElectricalSeries":
            nwb.fail(f"'{group.name}' names no electrodes", allowed="one electrode a channel")
        return []
    if known is None:
        nwb.fail(f"'{group.name}' names electrodes, but the file has no table of them")
    rows = known.rows(region, group.name)
    if len(rows) != n_columns:
        given = f"'{group.name}' has {n_columns} channels and {len(rows)} electrodes"
        nwb.fail(
            given, allowed="one electrode a channel, time first", remedy="Its axes may be swapped: export it again"
        )
    return rows


def _columns(nwb: NwbFile, group: Any, data: Any, n_columns: int, rows: list[int], known: Electrodes | None) -> Columns:
    unit = str(nwb.attr(data, "unit", "volts" if rows else "")).strip()
    scale = _SCALES.get(unit.lower())
    gain = np.full(n_columns, nwb.number(data, "conversion", 1.0)) * _channel_conversion(nwb, group, n_columns)
    offset = nwb.number(data, "offset", 0.0)
    units = ("V" if scale else unit,) * n_columns
    if rows and known is not None:
        # the name stays as the file spells it: 'c3' of a probe is no 10-05 electrode
        names = known.names(rows)
        types = tuple(channel(name).type for name in names)
    else:
        names, types = _plain_names(group, nwb.kind(group), n_columns), ("misc",) * n_columns
    if twice := repeated(names):
        nwb.fail(f"several channels of '{group.name}' are named {one_of(twice)}", remedy="Rename the electrodes")
    return Columns(tuple(names), types, gain * (scale or 1.0), offset * (scale or 1.0), units)


def _channel_conversion(nwb: NwbFile, group: Any, n_columns: int) -> Floats:
    array = nwb.get(group, "channel_conversion")
    if array is None:
        return np.ones(1)
    factors = nwb.floats(array)
    if len(factors) != n_columns or not np.isfinite(factors).all() or nwb.number(array, "axis", 1) != 1:
        given = f"'{array.name}' holds {len(factors)} factors for {n_columns} channels"
        nwb.fail(given, allowed="one finite number a channel, axis 1")
    return factors


def _plain_names(group: Any, kind: str, n_columns: int) -> list[str]:
    if kind == "SpatialSeries" and n_columns in (2, 3):
        return list("xyz"[:n_columns])
    name = str(group.name).rpartition("/")[2]
    return [name] if n_columns == 1 else [f"{name}_{i + 1}" for i in range(n_columns)]


def _spec(columns: Columns, sfreq: float, subject: str, rows: list[int], known: Electrodes | None) -> SignalSpec:
    units = () if set(columns.units) == {"V"} else columns.units
    at = known.positions(rows) if rows and known is not None else ()
    names, types = columns.names, columns.types
    return SignalSpec(sfreq=sfreq, ch_names=names, ch_types=types, positions=at, units=units, subject=subject)


def _series(nwb: NwbFile, data: Any, times: Any, columns: Columns) -> Callable[[], Series]:
    def read() -> Series:
        with nwb.guarded():
            values = columns.scaled(np.asarray(data[()]))
            return Series(nwb.floats(times), values, columns.names, columns.units)

    return read


def marks(nwb: NwbFile, group: Any) -> Callable[[], Intervals] | None:
    """Return the function that reads an AnnotationSeries (words at times) or an IntervalSeries; None for others."""
    if nwb.kind(group) not in ("AnnotationSeries", "IntervalSeries"):
        return None
    data = nwb.check(nwb.need(group, "data"))
    times = _times(nwb, group, len(data))
    if data.ndim != 1 or times is None:
        nwb.fail(f"'{data.name}' has shape {data.shape}", allowed="one mark a timestamp")

    def read() -> Intervals:
        with nwb.guarded():
            at, values = nwb.floats(times).tolist(), nwb.column(data)
            if nwb.kind(group) == "AnnotationSeries":
                return Intervals.of((t, t, str(word)) for t, word in zip(at, values, strict=True))
            return Intervals.of(_pairs(nwb, group, at, values))

    return read


def _pairs(nwb: NwbFile, group: Any, at: list[float], values: list[Any]) -> list[tuple[float, float, str]]:
    """Return the intervals of marks: k > 0 starts one of kind k, -k ends it."""
    begun: dict[int, float] = {}
    rows = []
    for t, value in zip(at, values, strict=True):
        if not isinstance(value, int) or value == 0 or (value > 0) == (abs(value) in begun):
            nwb.fail(f"'{group.name}' marks {value} at {t:g} s", allowed="k where an interval starts, -k where it ends")
        if value > 0:
            begun[value] = t
        else:
            rows.append((begun.pop(-value), t, str(-value)))
    if begun:
        nwb.fail(f"'{group.name}' starts an interval of kind {min(begun)} that never ends")
    return rows
