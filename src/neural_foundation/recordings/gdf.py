"""GDF 1.x and 2.x, the general data format for biosignals: channels of any sample type and rate, and its events.

Notable:
- Lazy: opening reads the header and the table of events; `read` reads the records it needs, or parts of long ones.
- One Signal a sampling rate ('eeg', then 'eeg_2', ...), as of EDF; nothing is resampled.
- Units: volts of any decimal factor to volts. A channel that by its name is EEG, EOG, ECG or EMG must have them; any
  other unit makes a channel 'misc', its values left in that unit. Files of version 1 in mV are read as mV; MNE takes
  every unit of version 1 but uV for V.
- Values are those of the header's line, as MNE gives them, also at the digital limits. The format has a sample at or
  beyond the limits for unknown (overflow, or a gap between runs): where all integer channels are, `valid` is False, as
  it is where a float is not finite.
- Events: the label is the number of the type ('769'), as in MNE. A duration that the table does not have, or has as 0,
  is none: such an event ends where it starts (MNE gives it one sample). Their clock is the table's own rate, if any.
- Equal labels, which the format allows, are numbered as MNE does: two 'EEG' become 'EEG-0' and 'EEG-1'.
- Positions of 2.x have no declared measure or axes. Those of all electrodes at once are taken in metres or millimetres
  where that puts them on a head, at the places their 10-05 names say; else the 10-05 positions of the names stand.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from ..core.errors import one_of
from ..core.specs import Position, SignalSpec
from .channels import Channel, channel, positions, repeated
from .gdf_header import Field, Header, read_header, volts
from .header_text import MAX_HZ
from .reader import AGAIN, OpenFile, Reader, fail, naming_newlines, stem
from .session import Intervals, Mask, Session, Signal, Values

BLOCK_BYTES = 1 << 22
_HEAD_M = (0.05, 0.2)  # how far from the middle of a head an electrode can be
_NEAR_M = 0.07  # how far from the place of its name
_EEG = re.compile(r"EEG[-:]\s*(?=\S)", re.IGNORECASE)
_MODES = {1: 6, 3: 12}  # bytes an event


class GdfSignal(Signal):
    """The channels of one rate, `n` samples a record each."""

    def __init__(self, spec: SignalSpec, header: Header, fields: list[Field], factors: list[float], file: OpenFile):
        self.header, self.fields, self.file, self.n = header, fields, file, fields[0].n
        self.gain = np.array([[f.gain * v] for f, v in zip(fields, factors, strict=True)])
        self.offset = np.array([[f.offset * v] for f, v in zip(fields, factors, strict=True)])
        super().__init__(spec, header.n_records * self.n)

    def _read(self, start: int, stop: int) -> Values:
        values = np.empty((len(self.fields), stop - start), np.float32)
        for at, digital in self._digital(start, stop):
            values[:, at : at + len(digital[0])] = self._physical(digital)
        return values

    def _valid(self, start: int, stop: int) -> Mask:
        valid = np.empty(stop - start, dtype=bool)
        for at, digital in self._digital(start, stop):
            known = np.isfinite(self._physical(digital)).all(axis=0)
            whole = [_unknown(d, f) for d, f in zip(digital, self.fields, strict=True) if not f.is_float]
            valid[at : at + len(digital[0])] = known & ~np.all(whole, axis=0) if whole else known
        return valid

    def _physical(self, digital: list[NDArray[Any]]) -> Values:
        # float64 until the end: the result is the nearest float32 of what the header's line gives
        with np.errstate(over="ignore", invalid="ignore"):
            exact = np.stack([d.astype(np.float64) for d in digital]) * self.gain + self.offset
            return np.asarray(exact, dtype=np.float32)

    def _digital(self, start: int, stop: int) -> Iterator[tuple[int, list[NDArray[Any]]]]:
        """Yield (offset from start, the samples as the file has them, one array a channel), in pieces."""
        if self.header.record_size > BLOCK_BYTES:
            yield from self._parts(start, stop)
            return
        size, n = self.header.record_size, self.n
        step = BLOCK_BYTES // size
        end = -(-stop // n) if stop > start else start // n
        for record in range(start // n, end, step):
            last = min(record + step, end)
            raw = self.file.read_at((last - record) * size, self.header.size + record * size)
            rows = np.frombuffer(raw, np.uint8).reshape(last - record, size)
            left, right = max(start, record * n), min(stop, last * n)
            cut = slice(left - record * n, right - record * n)
            yield left - start, [_samples(rows[:, f.at : f.at + f.width * n], f)[cut] for f in self.fields]

    def _parts(self, start: int, stop: int) -> Iterator[tuple[int, list[NDArray[Any]]]]:
        """Yield the same where records are long: of each only the samples that are wanted."""
        at, step = start, max(1, BLOCK_BYTES // sum(f.width for f in self.fields))
        while at < stop:
            record, first = divmod(at, self.n)
            count = min(self.n - first, stop - at, step)
            base = self.header.size + record * self.header.record_size
            raws = [self.file.read_at(f.width * count, base + f.at + f.width * first) for f in self.fields]
            pieces = zip(raws, self.fields, strict=True)
            yield at - start, [_samples(np.frombuffer(raw, np.uint8), f) for raw, f in pieces]
            at += count


def _samples(raw: NDArray[np.uint8], field: Field) -> NDArray[Any]:
    """Return the samples of one channel from its bytes."""
    flat = np.ascontiguousarray(raw).reshape(-1)
    if field.width != 3:
        return flat.view(field.kind)
    three = flat.reshape(-1, 3).astype(np.int32)
    high = three[:, 2] if field.kind == "u24" else (three[:, 2] ^ 0x80) - 0x80  # the sign is in the highest byte
    return np.asarray(three[:, 0] | three[:, 1] << 8 | high << 16)


def _unknown(digital: NDArray[Any], field: Field) -> Mask:
    beyond: Mask = (digital <= field.low) | (digital >= field.high)
    return beyond


def _events(header: Header, file: OpenFile, size: int) -> Intervals:
    """Return the table of events behind the records."""
    path, rest = header.path, size - header.end
    if rest == 0:
        return Intervals()
    if rest < 8:
        fail(path, f"{rest} bytes follow the last record", allowed="none, or a table of events", remedy=AGAIN)
    head = file.read_at(8, header.end)
    if head[0] not in _MODES:
        fail(path, f"the mode of its table of events is {head[0]}", allowed="1 or 3", remedy=AGAIN)
    n, sfreq = _table_head(header, head)
    expected = 8 + n * _MODES[head[0]]
    if rest != expected:
        given = f"its table of events has {rest} bytes, but {n} events of mode {head[0]} take {expected}"
        fail(path, given, remedy=AGAIN)
    raw = file.read_at(rest - 8, header.end + 8)
    position, kind = np.frombuffer(raw, "<u4", n), np.frombuffer(raw, "<u2", n, 4 * n)
    length = np.zeros(n, np.uint32)
    if head[0] == 3:
        _check_channels(header, np.frombuffer(raw, "<u2", n, 6 * n))
        length = np.frombuffer(raw, "<u4", n, 8 * n)
    return _intervals(header, position, kind, length, sfreq) if n else Intervals()


def _table_head(header: Header, head: bytes) -> tuple[int, float]:
    """Return how many events there are, and the samples a second that they count in."""
    three, four = head[1:4], head[4:8]
    if header.version < 194:
        n, sfreq = int.from_bytes(four, "little"), float(int.from_bytes(three, "little"))
    else:
        n, sfreq = int.from_bytes(three, "little"), float(np.frombuffer(four, "<f4")[0])
    if not 0 <= sfreq <= MAX_HZ:
        fail(header.path, f"the rate of its table of events is {sfreq:g} Hz", allowed=f"0 (unknown) to {MAX_HZ:g}")
    return n, sfreq or _shared_rate(header, n)


def _shared_rate(header: Header, n_events: int) -> float:
    """Return the rate that events count in where their table names none: the one that all channels divide."""
    most, common = max(f.n for f in header.fields), math.lcm(*{f.n for f in header.fields})
    if n_events and most != common:
        given = "its table of events names no rate, and its channels have several that do not divide each other"
        fail(header.path, given, remedy="Export it with the rate of its events")
    return most / header.record_s


def _check_channels(header: Header, numbers: NDArray[np.uint16]) -> None:
    if len(numbers) and int(numbers.max()) > len(header.fields):
        given = f"an event is of channel {int(numbers.max())}"
        fail(header.path, given, allowed=f"0 (all) to {len(header.fields)}", remedy=AGAIN)


def _intervals(header: Header, position: Any, kind: Any, length: Any, sfreq: float) -> Intervals:
    """Return events as intervals, ordered by start; one that lies off the recording is a contradiction."""
    if not position.all():
        given = f"event {int(np.argmin(position)) + 1} is at sample 0, but they count from 1"
        fail(header.path, given, remedy="Correct its events in the software that wrote them")
    recorded = header.n_records * header.record_s
    slack = max(1.0, header.record_s)  # recorders mark the end a little after the last sample they kept
    start, lasts = (position.astype(np.float64) - 1) / sfreq, length.astype(np.float64) / sfreq
    for what, seconds in (("is at", start), ("lasts", lasts)):
        if seconds.max() > recorded + slack:
            given = f"event {int(np.argmax(seconds)) + 1} {what} {seconds.max():g} s of a recording of {recorded:g} s"
            fail(header.path, given, remedy=AGAIN)
    order = np.argsort(start, kind="stable")
    return Intervals(start[order], (start + lasts)[order], tuple(str(k) for k in kind[order].tolist()))


def _signals(header: Header, subject: str, file: OpenFile) -> dict[str, Signal]:
    """Return one Signal a rate, the one with the most EEG channels first."""
    channels = dict(zip(header.fields, _channels(header), strict=True))
    groups: dict[int, list[Field]] = {}
    for f in header.fields:
        groups.setdefault(f.n, []).append(f)
    ordered = sorted(groups.values(), key=lambda g: -sum(channels[f].type == "eeg" for f in g))
    signals: dict[str, Signal] = {}
    for i, group in enumerate(ordered):
        factors = [volts(f.unit) for f in group]
        spec = _spec(header, group, [channels[f] for f in group], subject)
        name = "eeg" if i == 0 else f"eeg_{i + 1}"
        signals[name] = GdfSignal(spec, header, group, [1.0 if v is None else v for v in factors], file)
    return signals


def _spec(header: Header, fields: list[Field], channels: list[Channel], subject: str) -> SignalSpec:
    names, types = tuple(c.name for c in channels), tuple(c.type for c in channels)
    units = tuple("V" if volts(f.unit) is not None else f.unit for f in fields)
    return SignalSpec(
        sfreq=fields[0].n / header.record_s,
        ch_names=names,
        ch_types=types,
        positions=_positions(fields, positions(names, types), types),
        subject=subject,
        units=() if set(units) == {"V"} else units,
    )


def _channels(header: Header) -> list[Channel]:
    found = [_channel(header, f) for f in header.fields]
    names = [c.name for c in found]
    counts = dict.fromkeys(repeated(names), 0)
    for i, name in enumerate(names):
        if name in counts:
            names[i], counts[name] = f"{name}-{counts[name]}", counts[name] + 1
    if twice := repeated(names):
        given = f"several channels are named {one_of(twice)}"
        fail(header.path, given, remedy="Rename the channels in the source")
    return [Channel(name, c.type, c.known) for name, c in zip(names, found, strict=True)]


def _channel(header: Header, field: Field) -> Channel:
    # 'EEG-C3' and 'EEG:C3' are C3, as 'EEG C3' is
    bare = channel(_EEG.sub("EEG ", field.label)) if _EEG.match(field.label) else None
    found = bare if bare and positions([bare.name], ["eeg"])[0] else channel(field.label)
    if volts(field.unit) is not None or found.type == "misc":
        return found
    if found.known:
        given = f"the unit of {found.type.upper()} channel '{found.name}' is '{field.unit}'"
        fail(header.path, given, allowed="volts", remedy="Correct the physical dimension in the header")
    return Channel(found.name, "misc", False)


def _positions(
    fields: list[Field], named: tuple[Position | None, ...], types: tuple[str, ...]
) -> tuple[Position | None, ...]:
    """Return the positions of the file where they can only be metres or millimetres, else those of the names."""
    places = [f.position if kind == "eeg" else None for f, kind in zip(fields, types, strict=True)]
    given = np.array([p for p in places if p is not None])
    for scale in (1.0, 1e-3):
        radius = np.linalg.norm(given * scale, axis=1) if len(given) else np.zeros(1)
        if not (_HEAD_M[0] <= radius.min() and radius.max() <= _HEAD_M[1]):
            continue
        scaled = tuple(None if p is None else (p[0] * scale, p[1] * scale, p[2] * scale) for p in places)
        pairs = [(a, b) for a, b in zip(scaled, named, strict=True) if a and b]
        if all(math.dist(a, b) <= _NEAR_M for a, b in pairs):
            return scaled
    return named


class Gdf(Reader):
    """GDF 1.x and 2.x."""

    kind: Literal["gdf"] = "gdf"
    extensions: ClassVar[tuple[str, ...]] = (".gdf",)
    magic: ClassVar[tuple[bytes, ...]] = (b"GDF 1.", b"GDF 2.")

    def open(self, path: Path, *, subject: str | None = None) -> Session:
        with naming_newlines(path):
            header, size = read_header(path)
            file = OpenFile(path)
            trials = _events(header, file, size)
            subject = subject or stem(path)
            return Session(stem(path), subject, _signals(header, subject, file), trials, close=file.close)
