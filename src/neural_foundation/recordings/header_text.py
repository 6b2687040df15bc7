"""Words and numbers in the headers of recordings, each checked before it is taken: EDF, BDF, GDF, BrainVision."""

from __future__ import annotations

import math
import re
from pathlib import Path

from .reader import fail

MAX_CHANNELS = 4096
MAX_PHYSICAL = 1e12
MAX_HZ = 1e7
_INTEGER = re.compile(r"[+-]?\d{1,18}", re.ASCII)
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
# the micro sign is no ASCII, yet recorders write it, in Latin-1 or UTF-8
_MICRO = (b"\xc2\xb5", b"\xce\xbc", b"\xb5")


def ascii_text(path: Path, what: str, raw: bytes) -> str:
    """Return printable ASCII without the blanks around it."""
    if any(not 32 <= byte < 127 for byte in raw):
        fail(path, f"the {what} is not printable ASCII", remedy="Export the file again with plain labels")
    return raw.decode("ascii").strip()


def unit_text(path: Path, of: str, raw: bytes) -> str:
    """Return a unit, its micro sign as 'µ'."""
    for micro in _MICRO:
        if raw.startswith(micro):
            return "µ" + ascii_text(path, f"unit {of}", raw[len(micro) :])
    return ascii_text(path, f"unit {of}", raw)


def whole_number(path: Path, what: str, text: str, *, shown: bool = False) -> int:
    """Return a whole number. shown : whether the error may quote what else is there."""
    if not _INTEGER.fullmatch(text):
        fail(path, f"{_the(what)} is {_quoted(text, shown)}", allowed="a whole number")
    return int(text)


def decimal(path: Path, what: str, text: str, *, shown: bool = False) -> float:
    """Return a finite number. shown : whether the error may quote what else is there."""
    if not _NUMBER.fullmatch(text) or not math.isfinite(float(text)):
        fail(path, f"{_the(what)} is {_quoted(text, shown)}", allowed="a number with a decimal point")
    return float(text)


def check_physical(path: Path, of: str, low: float, high: float) -> None:
    """Raise RecordingError where a physical range is no range."""
    if not max(abs(low), abs(high)) <= MAX_PHYSICAL:
        fail(path, f"the physical range {of} is {low:g} to {high:g}", allowed=f"up to {MAX_PHYSICAL:g}")
    if low == high:
        fail(path, f"the physical minimum and maximum {of} are both {low:g}", allowed="two different numbers")


def _the(what: str) -> str:
    return what if what[0].isupper() else f"the {what}"


def _quoted(text: str, shown: bool) -> str:
    # where bytes went missing, a number's place may hold a piece of a name
    return f"'{text[:40]}'" if shown or all(c in "0123456789+-.,eE " for c in text) else "no number"
