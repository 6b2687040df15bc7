"""The header of GDF 1.x and 2.x, read strictly.

Sources: Schloegl, "GDF - A general data format for biosignals", arXiv cs/0608052 (versions 1.25 to 2.20); the tables of
units and decimal factors of ISO/IEEE 11073-10101 (Annex A), which GDF 2 takes its physical dimension codes from.
Where versions differ: up to 1.89 the old header (length in bytes, units as text, whole digital limits), from 1.91 the
new one (length in blocks of 256 bytes, units as codes, positions); from 2.21 a record's duration is one float64.
Personal fields (patient, recording, places, dates) are skipped: they are neither kept nor quoted.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..core.errors import one_of
from ..core.specs import Position
from .header_text import MAX_CHANNELS, MAX_HZ, ascii_text, check_physical, unit_text
from .reader import AGAIN, fail, file_size

MAX_RECORD_S = 31 * 86400.0
BLOCK = 256
_VERSION = re.compile(rb"GDF ([12])\.(\d)([\d ]) *")
_TAGS_FROM = 210  # before 2.10 nothing says what follows the channels in a longer header

# code of the file -> (type of numpy, bytes a sample); 24-bit samples are handled apart
TYPES = {
    1: ("<i1", 1),
    2: ("<u1", 1),
    3: ("<i2", 2),
    4: ("<u2", 2),
    5: ("<i4", 4),
    6: ("<u4", 4),
    7: ("<i8", 8),
    8: ("<u8", 8),
    16: ("<f4", 4),
    17: ("<f8", 8),
    279: ("i24", 3),
    535: ("u24", 3),
}
# the lower 5 bits of a physical dimension code: prefix, power of ten
_FACTORS_TEXT = """
1 da 1; 2 h 2; 3 k 3; 4 M 6; 5 G 9; 6 T 12; 7 P 15; 8 E 18; 9 Z 21; 10 Y 24; 16 d -1; 17 c -2; 18 m -3; 19 u -6
20 n -9; 21 p -12; 22 f -15; 23 a -18; 24 z -21; 25 y -24
"""
# and the rest of it: what biosignals are measured in; others are named by their code
_UNITS_TEXT = """
544 %; 736 deg; 768 rad; 1280 m; 1600 l; 1728 g; 2176 s; 2464 1/s; 2496 Hz; 2528 1/min; 2720 bpm; 2784 resp/min
2816 m/s; 3040 l/s; 3072 l/min; 3776 N; 3840 Pa; 3872 mmHg; 3904 cmH2O; 4160 A; 4192 C; 4288 Ohm; 4352 F; 4384 K
4416 degF; 4480 cd; 6048 degC; 65504 T
"""
_VOLT = 4256


def _rows(text: str) -> list[list[str]]:
    return [entry.split() for line in text.strip().splitlines() for entry in line.split(";")]


_FACTORS = {0: ("", 0)} | {int(code): (prefix, int(power)) for code, prefix, power in _rows(_FACTORS_TEXT)}
_UNITS = {0: "", 512: ""} | {int(code): unit for code, unit in _rows(_UNITS_TEXT)}


@dataclass(frozen=True)
class Field:
    """One channel. physical = digital * gain + offset, in `unit`; `n` samples a record, `at` bytes into it.

    low, high : the digital limits. position : as the file has it, in the file's own measure; None where all zero.
    """

    label: str
    unit: str
    gain: float
    offset: float
    low: float
    high: float
    kind: str
    width: int
    n: int
    at: int
    position: Position | None

    @property
    def is_float(self) -> bool:
        return self.kind in ("<f4", "<f8")


@dataclass(frozen=True)
class Header:
    """What the header says. version : 125 for 1.25. size : its bytes. n_records : counted where the file says -1."""

    path: Path
    version: int
    size: int
    n_records: int
    record_s: float
    fields: tuple[Field, ...]

    @property
    def record_size(self) -> int:
        """Bytes of one record."""
        return sum(f.width * f.n for f in self.fields)

    @property
    def end(self) -> int:
        """Where the records end, and the table of events begins."""
        return self.size + self.n_records * self.record_size


def read_header(path: Path) -> tuple[Header, int]:
    """Return the header, checked against the size of the file, and that size."""
    size = file_size(path)
    with path.open("rb") as file:
        fixed = file.read(BLOCK)
        if len(fixed) < BLOCK:
            fail(path, f"it ends after {size} bytes, inside its header", remedy=AGAIN)
        version = _version(path, fixed)
        n_fields, header_size = _sizes(path, fixed, version)
        if header_size > size:
            fail(path, f"it ends after {size} bytes, inside its header of {header_size}", remedy=AGAIN)
        text = file.read(header_size - BLOCK)
    if version >= _TAGS_FROM:
        _check_tags(path, text[BLOCK * n_fields :])
    fields = _fields(path, text, n_fields, version)
    record_s = _record_s(path, fixed, version)
    for f in fields:
        if f.n / record_s > MAX_HZ:
            fail(path, f"{f.n} samples of '{f.label}' in {record_s:g} s are too many", allowed=f"up to {MAX_HZ:g} Hz")
    header = Header(path, version, header_size, 1, record_s, fields)
    n_records = _n_records(header, int.from_bytes(fixed[236:244], "little", signed=True), size)
    return Header(path, version, header_size, n_records, record_s, fields), size


def _version(path: Path, fixed: bytes) -> int:
    found = _VERSION.fullmatch(fixed[:8])
    version = int(found[1] + found[2] + found[3].replace(b" ", b"0")) if found else 0
    if version < 100 or version == 190:  # drafts of 1.90 have a part of either header
        fail(path, "it does not name a version of GDF that is known", allowed="1.00 to 1.89, 1.91 to 2.99")
    return version


def _sizes(path: Path, fixed: bytes, version: int) -> tuple[int, int]:
    """Return the number of channels and the bytes of the header."""
    new = version > 190
    n_fields = int.from_bytes(fixed[252:254] if new else fixed[252:256], "little")
    if not 1 <= n_fields <= MAX_CHANNELS:
        fail(path, f"the number of channels is {n_fields}", allowed=f"1 to {MAX_CHANNELS}")
    size = int.from_bytes(fixed[184:186], "little") * BLOCK if new else int.from_bytes(fixed[184:192], "little")
    least = BLOCK * (n_fields + 1)
    if size < least or (not new and size != least):
        allowed = f"{least}{' or more' if new else ''} for {n_fields} channels"
        fail(path, f"the header says it has {size} bytes", allowed=allowed)
    return n_fields, size


def _check_tags(path: Path, text: bytes) -> None:
    """Check that the tagged entries after the channels end inside the header; what they say is not used."""
    at = 0
    while at < len(text) and text[at]:
        at += 4 + int.from_bytes(text[at + 1 : at + 4], "little")
    if at > len(text):
        fail(path, f"an entry of its header ends {at - len(text)} bytes behind the header")


def _record_s(path: Path, fixed: bytes, version: int) -> float:
    if version >= 221:
        seconds = float(np.frombuffer(fixed[244:252], "<f8")[0])
    else:
        top, bottom = np.frombuffer(fixed[244:252], "<u4").tolist()
        seconds = top / bottom if bottom else 0.0
    if not 0 < seconds <= MAX_RECORD_S:
        fail(path, f"the record duration is {seconds:g} s", allowed="more than 0, up to 31 days")
    return seconds


def _n_records(header: Header, said: int, size: int) -> int:
    if said == -1:  # the format's word for unknown: a stream that was not closed; it has no table of events
        n, rest = divmod(size - header.size, header.record_size)
        if rest or not n:
            given = f"the number of records is -1, and {rest} bytes follow its {n} whole records"
            fail(header.path, given, remedy="The recorder did not close it; close or repair it with its software")
        return n
    if said < 1:
        fail(header.path, f"the number of records is {said}", allowed="1 or more, or -1 where it is unknown")
    expected = header.size + said * header.record_size
    if size < expected:
        given = f"it has {size} bytes, but its header describes {expected}"
        fail(header.path, f"{given}: it is truncated, {expected - size} bytes are missing", remedy=AGAIN)
    return said


def _fields(path: Path, text: bytes, n_fields: int, version: int) -> tuple[Field, ...]:
    fields: list[Field] = []
    at = 0
    for i in range(n_fields):
        fields.append(_field(path, text, n_fields, i, at, version))
        at += fields[-1].width * fields[-1].n
    return tuple(fields)


def _field(path: Path, text: bytes, count: int, i: int, at: int, version: int) -> Field:
    def part(start: int, width: int, total: int = 0) -> bytes:
        """Return the entry of channel i in the column that starts after `start` bytes a channel."""
        begin = start * count + i * (total or width)
        return text[begin : begin + width]

    label = ascii_text(path, f"label of channel {i + 1}", _text(part(0, 16)))
    if not label:
        fail(path, f"channel {i + 1} has no label", allowed="1 to 16 characters")
    of = f"of channel '{label}'"
    unit = _coded(path, of, part(102, 2)) if version > 190 else _written(path, of, part(96, 8))
    code = int.from_bytes(part(220, 4), "little")
    if code not in TYPES:
        allowed = f"{one_of(map(str, TYPES))} (8 to 64 bit integers, 24 bit, float32 and float64)"
        fail(path, f"the sample type {of} is {code}", allowed=allowed, remedy="Export it with another sample type")
    kind, width = TYPES[code]
    n = int.from_bytes(part(216, 4), "little")
    if n < 1:
        remedy = "Channels that are sampled unevenly, in the table of events, are not read; export the file without"
        fail(path, f"the number of samples a record {of} is {n}", allowed="1 or more", remedy=remedy)
    limits = np.frombuffer(part(120, 8) + part(128, 8), "<f8" if version > 190 else "<i8").tolist()
    low, high = _range(path, of, np.frombuffer(part(104, 8) + part(112, 8), "<f8").tolist())
    first, last = _limits(path, of, limits, kind, width)
    gain = (high - low) / (last - first)
    offset = low - first * gain
    if not gain or not np.isfinite([gain, offset]).all():
        fail(path, f"the digital range {of}, {first:g} to {last:g}, gives its values no scale")
    where = _position(np.frombuffer(part(224, 12), "<f4").tolist()) if version > 190 else None
    return Field(label, unit, gain, offset, first, last, kind, width, n, at, where)


def _range(path: Path, of: str, limits: list[float]) -> tuple[float, float]:
    low, high = limits
    check_physical(path, of, low, high)
    return low, high


def _limits(path: Path, of: str, limits: list[float], kind: str, width: int) -> tuple[float, float]:
    """Return the digital limits; those of an integer channel may lie one beyond what its type can hold."""
    low, high = limits
    bits = 8 * width
    least, most = (0, 1 << bits) if kind.strip("<")[0] == "u" else (-(1 << bits - 1), 1 << bits - 1)
    bounded = kind in ("<f4", "<f8") or (least - 1 <= low and high <= most)
    if not (np.isfinite([low, high]).all() and low < high and bounded):
        whole = "finite numbers" if kind in ("<f4", "<f8") else f"{least} to {most}"
        fail(path, f"the digital range {of} is {low:g} to {high:g}", allowed=f"a rising range in {whole}")
    return float(low), float(high)


def _position(xyz: list[float]) -> Position | None:
    x, y, z = xyz
    return (x, y, z) if np.isfinite(xyz).all() and any(xyz) else None


def _text(raw: bytes) -> bytes:
    """Return what stands before the first NUL."""
    return raw.split(b"\0", 1)[0]


def _written(path: Path, of: str, raw: bytes) -> str:
    return unit_text(path, of, _text(raw)).replace("µ", "u")


def _coded(path: Path, of: str, raw: bytes) -> str:
    """Return the unit of a physical dimension code, e.g. 4275 is uV."""
    code = int.from_bytes(raw, "little")
    base, factor = code & ~31, code & 31
    if factor not in _FACTORS:
        fail(path, f"the physical dimension {of} has code {code}, whose decimal factor {factor} does not exist")
    prefix, power = _FACTORS[factor]
    if base == _VOLT:
        return f"{prefix}V"
    if base in (0, 512) and power:
        return f"1e{power}"
    return f"{prefix}{_UNITS[base]}" if base in _UNITS else f"code {code}"


def volts(unit: str) -> float | None:
    """Return what one of a unit is in volts, or None where it is no voltage; prefixes are told apart by their case."""
    if unit.lower() in ("v", "uv", "nv"):
        unit = unit[:-1].lower() + "V"
    powers = {f"{prefix}V": power for prefix, power in _FACTORS.values()}
    return 10.0 ** powers[unit] if unit in powers else None
