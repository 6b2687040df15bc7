"""Time-stamped annotation lists (TALs) of EDF+ (Kemp & Olivan 2003, section 2.2): onsets of records, and annotations.

A TAL is `+onset[\\x15duration]\\x14text\\x14...\\x00`; unused bytes after the last are zero. In each record the first
TAL of the first annotation channel keeps time: its onset is the start of the record, its first text is empty.
Annotations may lie in any record and any order; they are returned ordered by onset.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path

from .reader import fail

_TAL = re.compile(rb"([+-]\d+(?:\.\d*)?)(?:\x15(\d+(?:\.\d*)?))?\x14((?:[^\x14\x00]*\x14)*)\x00")
Row = tuple[float, float, str]


@dataclass(frozen=True)
class Tal:
    onset_s: float
    duration_s: float
    texts: tuple[str, ...]


def parse(path: Path, raw: bytes, record: int) -> list[Tal]:
    """Return the TALs of one record's annotation channel; RecordingError where a byte does not fit."""
    used = raw.rstrip(b"\0") + b"\0"
    tals, at = [], 0
    while at < len(used) and used != b"\0":
        match = _TAL.match(used, at)
        if match is None:
            fail(path, f"byte {at} of the annotations in record {record + 1} is no EDF+ annotation")
        tals.append(_tal(path, match, record))
        at = match.end()
    return tals


def record_onset(path: Path, tals: list[Tal], record: int) -> float:
    """Return the start of a record in seconds, from the TAL that keeps time."""
    if not tals or not tals[0].texts or tals[0].texts[0]:
        fail(path, f"record {record + 1} has no time-keeping annotation", allowed="'+seconds' with an empty text first")
    return tals[0].onset_s


def rows_of(tals: list[Tal]) -> list[Row]:
    """Return (start_s, end_s, text) of every annotation that has a text."""
    return [(t.onset_s, t.onset_s + t.duration_s, text) for t in tals for text in t.texts if text]


def _tal(path: Path, match: re.Match[bytes], record: int) -> Tal:
    onset, duration = float(match[1]), float(match[2] or 0)
    if not math.isfinite(onset + duration):
        fail(path, f"an annotation in record {record + 1} lies at no finite time")
    try:
        texts = tuple(text.decode() for text in match[3].split(b"\x14")[:-1])
    except UnicodeDecodeError:
        fail(path, f"an annotation in record {record + 1} is not UTF-8", remedy="Export the annotations as UTF-8")
    return Tal(onset, duration, texts)
