"""The header of EDF, EDF+, BDF and BDF+, read strictly.

Sources: Kemp et al. 1992 (EDF), Kemp & Olivan 2003 (EDF+), BioSemi's description of its 24-bit BDF. All numbers are
checked before anything of their size is allocated, and the header must agree with the bytes of the file.
Personal fields (patient, recording, start) are skipped: they are neither kept nor quoted.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path

from .header_text import MAX_CHANNELS, ascii_text, check_physical, decimal, unit_text, whole_number
from .reader import AGAIN, fail, file_size, newline_damage

_FIXED = 256
_WIDTHS = (16, 80, 8, 8, 8, 8, 8, 80, 8, 32)


@dataclass(frozen=True)
class Field:
    """One signal of the header. physical = digital * gain + offset, in `unit`; `n` samples a record at byte `at`."""

    label: str
    unit: str
    gain: float
    offset: float
    n: int
    at: int


@dataclass(frozen=True)
class Header:
    """What the header says. width : bytes a sample. variant : '' or 'C' (EDF+, continuous) or 'D' (with gaps)."""

    path: Path
    width: int
    variant: str
    n_records: int
    record_s: float
    fields: tuple[Field, ...]

    @property
    def size(self) -> int:
        """Bytes of the header."""
        return _FIXED * (len(self.fields) + 1)

    @property
    def record_size(self) -> int:
        """Bytes of one record."""
        return self.width * sum(f.n for f in self.fields)


def read_header(path: Path, *, width: int, unused: re.Pattern[str] | None = None) -> Header:
    """Return the header of an EDF (width 2) or BDF (width 3) file, checked against the size of the file.

    unused : labels of inputs that the caller leaves out; their ranges, which recorders leave empty, are not read (NaN).
    """
    size = file_size(path)
    with path.open("rb") as file:
        fixed = file.read(_FIXED)
        if len(fixed) < _FIXED:
            fail(path, f"it ends after {len(fixed)} bytes, inside its header", remedy=AGAIN)
        n_fields = _count(path, fixed)
        text = file.read(_FIXED * n_fields)
    if len(text) < _FIXED * n_fields:
        fail(path, f"it ends after {size} bytes, inside its header of {_FIXED * (n_fields + 1)}", remedy=AGAIN)
    header = _header(path, fixed, text, n_fields, width, unused)
    _check_size(header, size)
    return header


def _header(path: Path, fixed: bytes, text: bytes, n_fields: int, width: int, unused: re.Pattern[str] | None) -> Header:
    n_records = _integer(path, "number of records", fixed[236:244])
    if n_records == -1:
        remedy = "The recorder did not close it; close or repair it with the recorder's software"
        fail(path, "the number of records is -1, so the recording was never finished", remedy=remedy)
    if n_records < 1:
        fail(path, f"the number of records is {n_records}", allowed="1 or more")
    record_s = _number(path, "record duration", fixed[244:252])
    fields = _fields(path, text, n_fields, width, unused)
    annotations_only = all(is_annotation(f) for f in fields)
    if record_s < 0 or (record_s == 0 and not annotations_only):
        fail(path, f"the record duration is {record_s:g} s", allowed="more than 0")
    return Header(path, width, _variant(path, fixed, width), n_records, record_s, fields)


def is_annotation(field: Field) -> bool:
    """Return whether this is EDF+'s own channel of annotations."""
    return field.label in ("EDF Annotations", "BDF Annotations")


def _count(path: Path, fixed: bytes) -> int:
    n_fields = _integer(path, "number of signals", fixed[252:256])
    if not 1 <= n_fields <= MAX_CHANNELS:
        fail(path, f"the number of signals is {n_fields}", allowed=f"1 to {MAX_CHANNELS}")
    size = _integer(path, "header size", fixed[184:192])
    if size != _FIXED * (n_fields + 1):
        fail(path, f"the header says it has {size} bytes", allowed=f"{_FIXED * (n_fields + 1)} for {n_fields} signals")
    return n_fields


def _variant(path: Path, fixed: bytes, width: int) -> str:
    name = "EDF" if width == 2 else "BDF"
    reserved = fixed[192:236].rstrip(b" \0")
    for variant in "CD":
        if reserved.startswith(f"{name}+{variant}".encode()):
            return variant
    if reserved[:4] in (b"EDF+", b"BDF+"):
        fail(path, "its reserved field names no known kind of EDF+", allowed=f"'{name}+C' or '{name}+D'")
    return ""


def _fields(path: Path, text: bytes, n_fields: int, width: int, unused: re.Pattern[str] | None) -> tuple[Field, ...]:
    columns, at = [], 0
    for size in _WIDTHS:
        columns.append([text[at + i * size : at + (i + 1) * size] for i in range(n_fields)])
        at += size * n_fields
    labels, _, units, p_min, p_max, d_min, d_max, _, counts, _ = columns
    fields: list[Field] = []
    at = 0
    for row in zip(labels, units, p_min, p_max, d_min, d_max, counts, strict=True):
        fields.append(_field(path, row, len(fields), at, width, unused))
        at += width * fields[-1].n
    return tuple(fields)


def _field(
    path: Path, row: tuple[bytes, ...], index: int, at: int, width: int, unused: re.Pattern[str] | None
) -> Field:
    label, unit, p_min, p_max, d_min, d_max, count = row
    name = ascii_text(path, f"label of signal {index + 1}", label)
    if not name:
        fail(path, f"signal {index + 1} has no label", allowed="1 to 16 characters")
    of = f"of signal '{name}'"
    if unused is not None and unused.fullmatch(name):
        return Field(name, "", math.nan, math.nan, _samples(path, of, count), at)
    low, high = _number(path, f"physical minimum {of}", p_min), _number(path, f"physical maximum {of}", p_max)
    first, last = _integer(path, f"digital minimum {of}", d_min), _integer(path, f"digital maximum {of}", d_max)
    limit = 1 << (8 * width - 1)
    if not -limit <= first < last < limit:
        fail(path, f"the digital range {of} is {first} to {last}", allowed=f"a rising range in {-limit} to {limit - 1}")
    check_physical(path, of, low, high)
    n = _samples(path, of, count)
    gain = (high - low) / (last - first)
    return Field(name, unit_text(path, of, unit), gain, low - first * gain, n, at)


def _samples(path: Path, of: str, count: bytes) -> int:
    n = _integer(path, f"samples a record {of}", count)
    if n < 1:
        fail(path, f"the number of samples a record {of} is {n}", allowed="1 or more")
    return n


def _check_size(header: Header, size: int) -> None:
    expected = header.size + header.n_records * header.record_size
    if size == expected:
        return
    path, off = header.path, abs(size - expected)
    said = f"it has {size} bytes, but its header describes {expected}"
    if size < expected:
        fail(path, f"{said}: it is truncated, {off} bytes are missing", remedy=AGAIN)
    pairs, bare = newline_damage(path)
    if bare == 0 and pairs >= off:
        given = f"{said}: a line-ending conversion (LF to CR LF) damaged it, each of its {pairs} LF follows a CR"
        fail(path, given, remedy=f"{AGAIN} (git: mark *{path.suffix} as binary in .gitattributes)")
    fail(path, f"{said}: {off} bytes follow the last record", remedy=AGAIN)


def _integer(path: Path, what: str, raw: bytes) -> int:
    return whole_number(path, what, ascii_text(path, what, raw))


def _number(path: Path, what: str, raw: bytes) -> float:
    return decimal(path, what, ascii_text(path, what, raw))
