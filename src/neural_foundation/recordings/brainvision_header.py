"""The text files of BrainVision recordings, read strictly: header (.vhdr) and markers (.vmrk).

Source: Brain Products, BrainVision Core Data Format, versions 1.0 and 2.0: `[Section]` lines, `key=value` lines,
`;` comments, fields delimited by commas (a comma inside one is written `\\1`), and a free [Comment] at the end, which
is not read, as it may hold personal fields.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from ..core.errors import RecordingError, one_of
from ..core.specs import Position
from .header_text import MAX_CHANNELS, MAX_HZ, MAX_PHYSICAL, decimal, whole_number
from .reader import AGAIN

MAX_TEXT = 1 << 26
HEAD_RADIUS_M = 0.095
DTYPES = {"INT_16": "i2", "INT_32": "i4", "IEEE_FLOAT_32": "f4"}

_FIRST = re.compile(r"Brain ?Vision(?: Core| V-Amp)? Data(?: Exchange)? (Header|Marker) File,? Version ([\d.]+)")
_CODEPAGES = {"utf-8": "utf-8", "utf8": "utf-8", "ansi": "cp1252", "windows-1252": "cp1252", "cp1252": "cp1252"}
_CODEPAGES |= dict.fromkeys(("latin-1", "latin1", "iso-8859-1"), "latin-1")
_SECTIONS = ("common infos", "binary infos", "channel infos", "coordinates", "marker infos")
_ENTRY = re.compile(r"(ch|mk)\d+", re.ASCII)
_ENTRIES = {"ch": ("channel infos", "coordinates"), "mk": ("marker infos",)}
_COMMENT = re.compile(rb"^[ \t]*\[comment\][ \t]*(?=[\r\n]|\Z)", re.MULTILINE | re.IGNORECASE)
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


@dataclass(frozen=True)
class ChannelInfo:
    """One line of [Channel Infos]: stored number * resolution, in `unit`."""

    name: str
    resolution: float
    unit: str


@dataclass(frozen=True)
class Header:
    """What the header says. dtype : numpy's. n_times : None where it is not said. position : one a channel or none."""

    data_file: str
    marker_file: str
    dtype: str
    vectorized: bool
    sfreq: float
    n_times: int | None
    channels: tuple[ChannelInfo, ...]
    position: tuple[Position | None, ...] | None


@dataclass(frozen=True)
class Marker:
    """One marker: `start` counts from 0, `n_times` is its length in samples."""

    type: str
    text: str
    start: int
    n_times: int


def read_header(path: Path) -> Header:
    """Return what a .vhdr says; RecordingError where it contradicts itself or names what cannot be read."""
    sections = _sections(path, path, "Header")
    common, binary = sections.get("common infos", {}), sections.get("binary infos", {})
    if not common:
        fail(path, "it has no section [Common Infos]", remedy="Copy it again from its source")
    _one_of(path, common, "DataFormat", ("BINARY",), "", "Export the recording as binary data")
    _one_of(path, common, "DataType", ("TIMEDOMAIN",), "TIMEDOMAIN", "Export the recording in the time domain")
    order = _one_of(path, common, "DataOrientation", ("MULTIPLEXED", "VECTORIZED"))
    number = _one_of(path, binary, "BinaryFormat", tuple(DTYPES))
    big = _one_of(path, binary, "UseBigEndianOrder", ("NO", "YES"), "NO") == "YES"
    n_chans = _integer(path, "NumberOfChannels", _said(path, common, "NumberOfChannels"))
    if not 1 <= n_chans <= MAX_CHANNELS:
        fail(path, f"NumberOfChannels is {n_chans}", allowed=f"1 to {MAX_CHANNELS}")
    channels = _channels(path, sections.get("channel infos", {}), n_chans)
    return Header(
        data_file=placeholder(path, _said(path, common, "DataFile")),
        marker_file=placeholder(path, common.get("markerfile", "")),
        dtype=(">" if big else "<") + DTYPES[number],
        vectorized=order == "VECTORIZED",
        sfreq=_sfreq(path, common),
        n_times=_integer(path, "DataPoints", common["datapoints"]) if common.get("datapoints") else None,
        channels=channels,
        position=_positions(path, sections["coordinates"], n_chans) if sections.get("coordinates") else None,
    )


def read_markers(path: Path, markers: Path) -> tuple[str, list[Marker]]:
    """Return the data file that a .vmrk names (or '') and its markers. Errors are those of the header, `path`."""
    sections = _sections(path, markers, "Marker")
    rows = sections.get("marker infos")
    if rows is None:
        fail(path, f"'{markers.name}' has no section [Marker Infos]", remedy="Copy it again from its source")
    found = [_marker(path, markers.name, key, text) for key, text in rows.items()]
    return placeholder(path, sections.get("common infos", {}).get("datafile", "")), found


def placeholder(path: Path, name: str) -> str:
    """Return a file name of a header; in it, $b stands for the header's own name without its extension."""
    return name.replace("$b", path.stem)


def fail(path: Path, given: str, *, allowed: str = "", remedy: str = "Correct it, or export it again") -> NoReturn:
    """Raise RecordingError."""
    raise RecordingError(path, given, allowed=allowed, remedy=remedy)


def _sections(path: Path, file: Path, kind: str) -> dict[str, dict[str, str]]:
    """Return the sections that are read, by lower-case name, their keys in lower case."""
    which = "it" if file == path else f"'{file.name}'"
    lines = re.split(r"\r\n|\n|\r", _text(path, file, which))
    found = _FIRST.match(lines[0].strip())
    if found is None or found[1] != kind:
        is_markers = " (it is a marker file: open the .vhdr that names it)" if found and kind == "Header" else ""
        fail(path, f"{which} does not start as a BrainVision {kind.lower()} file does{is_markers}")
    if found[2] not in ("1.0", "2.0"):
        fail(path, f"{which} is of version {found[2]}", allowed="1.0 or 2.0", remedy="Export the recording again")
    sections: dict[str, dict[str, str]] = {}
    section = ""
    for number, line in enumerate(lines[1:], start=2):
        text = line.strip()
        if text.startswith("[") and text.endswith("]"):
            section = text[1:-1].lower()
            if section in sections:
                fail(path, f"{which} has the section {text[:40]} twice")
            sections[section] = {}
        elif text and not text.startswith(";"):
            if not section:
                fail(path, f"line {number} of {which} stands before the first section")
            if section in _SECTIONS:  # others are the user's own
                _row(path, which, number, text, section, sections[section])
    return sections


def _row(path: Path, which: str, number: int, text: str, section: str, rows: dict[str, str]) -> None:
    key, equals, value = text.partition("=")
    key = key.strip().lower()
    if not equals or not key or not key.isascii():
        fail(path, f"line {number} of {which} is not key=value")
    entry = _ENTRY.fullmatch(key)
    if entry and section not in _ENTRIES[entry[1]]:
        fail(path, f"line {number} of {which}, '{key[:40]}', stands in [{section}]")
    if key in rows:
        fail(path, f"{which} gives '{key[:40].capitalize()}' twice")
    rows[key] = value if section == "marker infos" else value.strip()


def _text(path: Path, file: Path, which: str) -> str:
    with file.open("rb") as opened:
        raw = opened.read(MAX_TEXT + 1)
    if len(raw) > MAX_TEXT:
        fail(path, f"{which} has more than {MAX_TEXT >> 20} MiB of text", remedy="Split the recording")
    raw = _COMMENT.split(raw.removeprefix(b"\xef\xbb\xbf"), maxsplit=1)[0]
    said = re.search(rb"(?mi)^[ \t]*codepage[ \t]*=([^\r\n]*)", raw)
    codepage = _CODEPAGES.get(said[1].decode("ascii", "replace").strip().lower(), "") if said else "utf-8"
    if not codepage:
        fail(path, f"the codepage of {which} is not known", allowed="UTF-8, ANSI or Latin-1", remedy="Save it as UTF-8")
    try:
        text = raw.decode(codepage)
    except UnicodeDecodeError:
        if said:  # files that name no codepage are older than UTF-8 here, and are Latin-1
            fail(path, f"{which} is not in its codepage, {said[1].decode('ascii', 'replace').strip()}")
        text = raw.decode("latin-1")
    if _CONTROL.search(text):
        fail(path, f"{which} holds bytes that are no text", remedy="Copy it again from its source")
    if "\r\r\n" in text:
        given = f"a line-ending conversion (LF to CR LF) damaged {which}: its lines end with CR CR LF"
        fail(path, given, remedy=AGAIN)
    return text


def _said(path: Path, rows: Mapping[str, str], key: str) -> str:
    if not rows.get(key.lower()):
        fail(path, f"it gives no {key}", remedy="Copy it again from its source")
    return rows[key.lower()]


def _one_of(
    path: Path, rows: Mapping[str, str], key: str, allowed: tuple[str, ...], default: str = "", remedy: str = ""
) -> str:
    said = rows.get(key.lower(), default) or _said(path, rows, key)
    if said.upper() not in allowed:
        fail(path, f"{key} is '{said[:40]}'", allowed=one_of(allowed), remedy=remedy or "Export the recording again")
    return said.upper()


def _sfreq(path: Path, common: Mapping[str, str]) -> float:
    interval_us = _number(path, "SamplingInterval", _said(path, common, "SamplingInterval"))
    if not 1e6 / MAX_HZ <= interval_us <= 1e12:
        fail(path, f"SamplingInterval is {interval_us:g}", allowed=f"microseconds, {1e6 / MAX_HZ:g} or more")
    return 1e6 / interval_us


def _numbered(path: Path, rows: Mapping[str, str], what: str, n_chans: int) -> dict[int, list[str]]:
    """Return the fields of each line `Ch<number>=...`, by index from 0."""
    found: dict[int, list[str]] = {}
    for key, text in rows.items():
        number = re.fullmatch(r"ch([1-9]\d{0,8})", key, re.ASCII)
        if number is None or int(number[1]) > n_chans:
            fail(path, f"[{what}] has an entry '{key[:40]}'", allowed=f"Ch1 to Ch{n_chans}, as NumberOfChannels says")
        found[int(number[1]) - 1] = [field.strip() for field in text.split(",")]
    return found


def _channels(path: Path, rows: Mapping[str, str], n_chans: int) -> tuple[ChannelInfo, ...]:
    found = _numbered(path, rows, "Channel Infos", n_chans)
    if len(found) != n_chans:
        missing = next(i for i in range(n_chans) if i not in found) + 1
        fail(path, f"NumberOfChannels is {n_chans}, but [Channel Infos] has no Ch{missing}")
    return tuple(_channel(path, i + 1, found[i]) for i in range(n_chans))


def _channel(path: Path, number: int, fields: list[str]) -> ChannelInfo:
    if len(fields) < 3:
        allowed = "name, reference, resolution and unit (a comma inside one is written \\1)"
        fail(path, f"channel Ch{number} has {len(fields)} fields", allowed=allowed)
    name, _, resolution, unit = (*fields, "")[:4]
    name = name.replace("\\1", ",").strip()
    if not name:
        fail(path, f"channel Ch{number} has no name")
    # the defaults of the format: a resolution of 1, in microvolts
    value = _number(path, f"resolution of channel '{name}'", resolution) if resolution else 1.0
    if value == 0 or abs(value) > MAX_PHYSICAL:
        fail(path, f"the resolution of channel '{name}' is {value:g}", allowed=f"not 0, up to {MAX_PHYSICAL:g}")
    return ChannelInfo(name, value, unit or "µV")


def _positions(path: Path, rows: Mapping[str, str], n_chans: int) -> tuple[Position | None, ...]:
    found = _numbered(path, rows, "Coordinates", n_chans)
    return tuple(_position(path, i + 1, found[i]) if i in found else None for i in range(n_chans))


def _position(path: Path, number: int, fields: list[str]) -> Position | None:
    """Return metres in the head frame, or None where radius, theta and phi are 0, as for channels without a place.

    The radius is in millimetres; 1 is the unit sphere, for which a head of 95 mm is taken, as MNE does.
    """
    if len(fields) != 3:
        fail(path, f"the coordinates of Ch{number} have {len(fields)} fields", allowed="radius, theta and phi")
    radius, theta, phi = (_number(path, f"coordinates of Ch{number}", field) for field in fields)
    if not 0 <= radius <= 1000 or max(abs(theta), abs(phi)) > 360:
        fail(path, f"Ch{number} lies at radius {radius:g}, angles {theta:g}, {phi:g}", allowed="0 to 1000 mm, degrees")
    if radius == 0:
        return None
    metres = HEAD_RADIUS_M if radius == 1 else radius / 1000
    pole, azimuth = math.radians(theta), math.radians(phi)
    flat = metres * math.sin(pole)
    return flat * math.cos(azimuth), flat * math.sin(azimuth), metres * math.cos(pole)


def _marker(path: Path, file: str, key: str, text: str) -> Marker:
    fields = text.split(",")
    name = f"marker '{key[:20].capitalize()}' of '{file}'"
    if not re.fullmatch(r"mk\d{1,12}", key, re.ASCII):
        fail(path, f"'{file}' has an entry '{key[:20]}' among its markers", allowed="Mk1, Mk2, ...")
    if len(fields) not in (5, 6):
        allowed = "type, description, position, size and channel (a comma inside one is written \\1)"
        fail(path, f"{name} has {len(fields)} fields", allowed=allowed)
    start = _integer(path, f"position of {name}", fields[2].strip())
    length = _integer(path, f"size of {name}", fields[3].strip() or "0")
    _integer(path, f"channel of {name}", fields[4].strip())
    if start < 1 or length < 0:
        fail(
            path,
            f"{name} lies at {start}, for {length} samples",
            allowed="a position of 1 or more, a size of 0 or more",
        )
    kind, words = (field.replace("\\1", ",") for field in fields[:2])
    return Marker(kind, words, start - 1, length)


def _integer(path: Path, what: str, text: str) -> int:
    return whole_number(path, what, text, shown=True)


def _number(path: Path, what: str, text: str) -> float:
    return decimal(path, what, text, shown=True)
