"""EDF and EDF+ (16 bit), continuous or with gaps; the base of the BDF reader.

Notable:
- Lazy: opening reads the header and the annotations; `read` reads the records it needs, in blocks.
- One Signal a sampling rate ('eeg', then 'eeg_2', ...); nothing is resampled. The primary one has the most EEG.
- EDF+D: the gaps between records are samples that are not valid (value 0) where every record starts on the grid of
  samples, to a tenth of a sample; else RecordingError. Records that overlap or go back in time are an error.
- EDF+C: the records must follow on each other, as the format says; the onset of the first is `start_s`.
- Units: V, mV, uV, nV to volts. A channel that by its name is EEG, EOG, ECG or EMG must have one of them; any other
  unit makes a channel 'misc', its values left in that unit.
- A sample outside the declared digital range is converted like any other, as MNE does.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from ..core.errors import one_of
from ..core.specs import SignalSpec
from . import tal
from .channels import VOLTS, Channel, channel, positions, repeated
from .edf_header import Field, Header, is_annotation, read_header
from .header_text import MAX_HZ
from .reader import OpenFile, Reader, fail, stem
from .session import Intervals, Mask, Session, Signal, Values

BLOCK_BYTES = 1 << 22
MAX_GAPS = 100  # as gaps are samples that are not valid, they must not outgrow the file without bound
MAX_GAPS_S = 31 * 86400.0
_ON_GRID = 0.1  # of a sample

Ints = NDArray[np.int64]


class RecordSignal(Signal):
    """The channels of one rate. `first` (n_records,): index of the first sample of each record, rising."""

    def __init__(
        self,
        spec: SignalSpec,
        header: Header,
        fields: list[Field],
        volts: list[float],
        first: Ints,
        start_s: float,
        file: OpenFile,
    ) -> None:
        self.header, self.fields, self.first, self.file = header, fields, first, file
        self.n = fields[0].n
        self.gain = np.array([[f.gain * v] for f, v in zip(fields, volts, strict=True)])
        self.offset = np.array([[f.offset * v] for f, v in zip(fields, volts, strict=True)])
        super().__init__(spec, int(first[-1]) + self.n, start_s)

    def _read(self, start: int, stop: int) -> Values:
        values = np.zeros((len(self.fields), stop - start), np.float32)
        begin, end = self._records(start, stop)
        step = max(1, BLOCK_BYTES // self.header.record_size)
        for at in range(begin, end, step):
            last = min(at + step, end)
            for record, part in enumerate(self._runs(self._convert(at, last), at, last), start=at):
                left = int(self.first[record])
                low, high = max(left, start), min(left + part.shape[1], stop)
                values[:, low - start : high - start] = part[:, low - left : high - left]
        return values

    def _runs(self, block: Values, begin: int, end: int) -> list[Values]:
        """Return records [begin, end) one by one, or as one piece where no gap lies between them."""
        if self.first[end - 1] - self.first[begin] == (end - 1 - begin) * self.n:
            return [block]
        return np.split(block, end - begin, axis=1)

    def _valid(self, start: int, stop: int) -> Mask:
        if self.n_times == len(self.first) * self.n:
            return np.ones(stop - start, dtype=bool)
        valid = np.zeros(stop - start, dtype=bool)
        for left in self.first[slice(*self._records(start, stop))].tolist():
            valid[max(left - start, 0) : max(left + self.n - start, 0)] = True
        return valid

    def _records(self, start: int, stop: int) -> tuple[int, int]:
        """Return the range of records that touch the samples [start, stop)."""
        begin = int(np.searchsorted(self.first + self.n, start, side="right"))
        return begin, max(begin, int(np.searchsorted(self.first, stop, side="left")))

    def _convert(self, begin: int, end: int) -> Values:
        """Return records [begin, end) in volts, (n_chans, (end - begin) * n)."""
        raw = _records(self.header, self.file, begin, end)
        digital = np.stack([_digital(raw, f, self.header.width) for f in self.fields])
        # float64 until the end: the result is the nearest float32 of what the header's line gives
        return np.asarray(digital * self.gain + self.offset, dtype=np.float32)


def _records(header: Header, file: OpenFile, begin: int, end: int) -> NDArray[np.uint8]:
    size = header.record_size
    raw = file.read_at((end - begin) * size, header.size + begin * size)
    return np.frombuffer(raw, np.uint8).reshape(end - begin, size)


def _digital(raw: NDArray[np.uint8], field: Field, width: int) -> NDArray[np.int32]:
    """Return the digital samples of one signal of records (n_records, record_size), joined."""
    part = np.ascontiguousarray(raw[:, field.at : field.at + width * field.n])
    if width == 2:
        return part.view("<i2").reshape(-1).astype(np.int32)
    three = part.reshape(-1, 3).astype(np.int32)
    # the sign is in the highest of the three bytes
    return three[:, 0] | three[:, 1] << 8 | (three[:, 2] ^ 0x80) - 0x80 << 16


def open_records(path: Path, subject: str | None, *, width: int) -> Session:
    """Return the session of an EDF (width 2) or BDF (width 3) file."""
    return _session(read_header(path, width=width), OpenFile(path), subject or stem(path))


def _session(header: Header, file: OpenFile, subject: str) -> Session:
    onsets, rows = _annotations(header, file)
    status = [f for f in header.fields if _is_status(f, header)]
    fields = [f for f in header.fields if not is_annotation(f) and f not in status]
    signals = _signals(header, fields, onsets, subject, file)

    def trials() -> Intervals:
        return Intervals.of(rows + [row for f in status for row in _status_rows(header, f, onsets, file)])

    # a status channel is scanned when its events are asked for: it runs through the whole file
    return Session(stem(header.path), subject, signals, trials if status else trials(), close=file.close)


def _annotations(header: Header, file: OpenFile) -> tuple[NDArray[np.float64], list[tal.Row]]:
    """Return the onset of each record in seconds, and the annotations."""
    onsets: NDArray[np.float64] = np.arange(header.n_records, dtype=np.float64) * header.record_s
    fields = [f for f in header.fields if is_annotation(f)]
    if not fields and header.variant:
        fail(header.path, "it says it is EDF+, but has no annotation channel")
    rows: list[tal.Row] = []
    step = max(1, BLOCK_BYTES // header.record_size)
    for at in range(0, header.n_records if fields else 0, step):
        raw = _records(header, file, at, min(at + step, header.n_records))
        for record, row in enumerate(raw, start=at):
            for field in fields:
                tals = tal.parse(header.path, row[field.at : field.at + header.width * field.n].tobytes(), record)
                if header.variant and field is fields[0]:
                    onsets[record] = tal.record_onset(header.path, tals, record)
                rows += tal.rows_of(tals)
    _check_onsets(header, onsets)
    return onsets, rows


def _check_onsets(header: Header, onsets: NDArray[np.float64]) -> None:
    if header.record_s == 0:  # annotations only: the records hold no time
        return
    steps = np.diff(onsets)
    if (steps <= 0).any():
        record = int(np.argmax(steps <= 0)) + 2
        fail(header.path, f"record {record} starts at {onsets[record - 1]:g} s, not after the one before it")
    recorded = header.n_records * header.record_s
    gaps = float(onsets[-1] - onsets[0]) - recorded
    if abs(onsets[0]) > MAX_GAPS_S or gaps > min(MAX_GAPS_S, MAX_GAPS * recorded):
        given = f"its records lie at {onsets[0]:g} to {onsets[-1]:g} s, for {recorded:g} s that were recorded"
        allowed = f"gaps of up to {MAX_GAPS} times what was recorded, and 31 days"
        fail(header.path, given, allowed=allowed, remedy="Split the file at its gaps")


def _first_samples(header: Header, onsets: NDArray[np.float64], n: int) -> Ints:
    """Return the index of each record's first sample, for a signal of n samples a record."""
    exact = (onsets - onsets[0]) * (n / header.record_s)
    if header.variant != "D":
        return _continuous(header, exact, n)
    first: Ints = np.rint(exact).astype(np.int64)
    off = np.abs(exact - first)
    if (off > _ON_GRID).any():
        given = f"record {int(np.argmax(off)) + 1} starts {off.max():.2g} samples off the grid of the samples before it"
        fail(header.path, given, allowed="gaps of a whole number of samples", remedy="Split the file at its gaps")
    short = np.diff(first) < n
    if short.any():
        fail(header.path, f"record {int(np.argmax(short)) + 2} starts before the one before it has ended")
    return first


def _continuous(header: Header, exact: NDArray[np.float64], n: int) -> Ints:
    first = np.arange(header.n_records, dtype=np.int64) * n
    off = np.abs(exact - first) > 0.5  # onsets are rounded to the digits of their text
    if off.any():
        given = f"record {int(np.argmax(off)) + 1} does not follow on the one before it, yet the file says EDF+C"
        fail(header.path, given, remedy="Export it as EDF+D (with gaps)")
    return first


def _signals(
    header: Header, fields: list[Field], onsets: NDArray[np.float64], subject: str, file: OpenFile
) -> dict[str, Signal]:
    """Return one Signal a rate, the one with the most EEG channels first."""
    channels = {f: _channel(header, f) for f in fields}
    if twice := repeated([c.name for c in channels.values()]):
        fail(header.path, f"several channels are named {one_of(twice)}", remedy="Rename the channels in the source")
    groups: dict[int, list[Field]] = {}
    for f in fields:
        groups.setdefault(f.n, []).append(f)
    ordered = sorted(groups.values(), key=lambda g: -sum(channels[f].type == "eeg" for f in g))
    signals: dict[str, Signal] = {}
    for i, group in enumerate(ordered):
        name = "eeg" if i == 0 else f"eeg_{i + 1}"
        spec = _spec(header, group, [channels[f] for f in group], subject)
        volts = [VOLTS.get(f.unit.lower(), 1.0) for f in group]
        first = _first_samples(header, onsets, group[0].n)
        signals[name] = RecordSignal(spec, header, group, volts, first, float(onsets[0]), file)
    return signals


def _spec(header: Header, fields: list[Field], channels: list[Channel], subject: str) -> SignalSpec:
    names, types = tuple(c.name for c in channels), tuple(c.type for c in channels)
    units = tuple("V" if f.unit.lower() in VOLTS else f.unit for f in fields)
    sfreq = (n := fields[0].n) / header.record_s
    if sfreq > MAX_HZ:
        fail(header.path, f"{n} samples in {header.record_s:g} s are {sfreq:g} Hz", allowed=f"up to {MAX_HZ:g} Hz")
    return SignalSpec(
        sfreq=sfreq,
        ch_names=names,
        ch_types=types,
        positions=positions(names, types),
        subject=subject,
        units=() if set(units) == {"V"} else units,
    )


def _channel(header: Header, field: Field) -> Channel:
    found = channel(field.label)
    if field.unit.lower() in VOLTS or found.type == "misc":
        return found
    if found.known:
        unit = f"the unit of {found.type.upper()} channel '{found.name}' is '{field.unit}'"
        fail(header.path, unit, allowed="uV, mV, nV or V", remedy="Correct the physical dimension in the header")
    return Channel(found.name, "misc", False)


def _is_status(field: Field, header: Header) -> bool:
    return field.label.lower() == "status"


def _status_rows(header: Header, field: Field, onsets: NDArray[np.float64], file: OpenFile) -> list[tal.Row]:
    """Return an event wherever the code of a status channel rises; its label is the new code."""
    rows: list[tal.Row] = []
    last: int | None = None
    step = max(1, BLOCK_BYTES // header.record_size)
    for at in range(0, header.n_records, step):
        raw = _records(header, file, at, min(at + step, header.n_records))
        codes = _codes(_digital(raw, field, header.width), field, header.width)
        before = np.concatenate([codes[:1] if last is None else [last], codes[:-1]])
        for i in np.flatnonzero(codes > before).tolist():
            record, sample = divmod(i, field.n)
            start_s = float(onsets[at + record]) + sample * header.record_s / field.n
            rows.append((start_s, start_s, str(int(codes[i]))))
        last = int(codes[-1])
    return rows


def _codes(digital: NDArray[np.int32], field: Field, width: int) -> Ints:
    if width == 3:
        return (digital & 0xFFFF).astype(np.int64)  # the 8 higher bits are the amplifier's own
    return np.asarray(np.rint(digital * field.gain + field.offset), dtype=np.int64)


class Edf(Reader):
    """EDF, EDF+C and EDF+D."""

    kind: Literal["edf"] = "edf"
    extensions: ClassVar[tuple[str, ...]] = (".edf",)
    magic: ClassVar[tuple[bytes, ...]] = (b"0       ",)

    def open(self, path: Path, *, subject: str | None = None) -> Session:
        return open_records(path, subject, width=2)
