"""What a channel's label says: its standard name, its type, its position, and what its unit is in volts."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..core.specs import Position
from .montage import names_by_lower, standard_1005

TYPES = ("eeg", "eog", "ecg", "emg", "misc")
VOLTS = {"v": 1.0, "mv": 1e-3, "uv": 1e-6, "µv": 1e-6, "μv": 1e-6, "nv": 1e-9}  # both signs for micro

_PREFIX = re.compile(r"(EEG|EOG|ECG|EKG|EMG|MISC)\s+(?=\S)", re.IGNORECASE)
_WORD = re.compile(r"(EOG|ECG|EKG|EMG)", re.IGNORECASE)
_REFERENCE = re.compile(r"-(REF|LE|AR|AVG)$", re.IGNORECASE)
_DIFFERENCE = re.compile(r"(A1|A2|M1|M2)-(A1|A2|M1|M2)$", re.IGNORECASE)
_OTHER = re.compile(r"(EXG\d|GSR|RESP|PLET|TEMP|ERG\d|SPO2|PULSE|PHOTIC|TRIG|STATUS|MARKER|EVENT)", re.IGNORECASE)
_BIOSEMI = re.compile(r"[A-I]([1-9]|[12]\d|3[0-2])")


@dataclass(frozen=True)
class Channel:
    """name : as in the 10-05 system where the label is one of it. type : as in MNE. known : named by the label."""

    name: str
    type: str
    known: bool


def channel(label: str) -> Channel:
    """Return what a label of a recording says, e.g. 'EEG Fp1', 'Fp1.' and 'FP1' are all Fp1, of type eeg.

    A leading type word gives the type; else a type word inside ('LEOG'); a difference of two references ('A2-A1') and
    what is no brain signal ('EXG1', 'Resp') are misc; all else is eeg.
    """
    label = label.strip()
    prefix = _PREFIX.match(label)
    rest = label[prefix.end() :] if prefix else label
    name, standard = _standard(rest)
    if _DIFFERENCE.match(rest):
        return Channel(rest, "misc", True)
    if prefix:
        return Channel(name, _type(prefix[1]), True)
    if standard:
        return Channel(name, "eeg", True)
    if word := _WORD.search(rest):
        return Channel(name, _type(word[1]), True)
    return Channel(name, "misc" if _OTHER.match(rest) else "eeg", False)


def label_of(name: str, type_: str) -> str | None:
    """Return the label from which `channel` gives exactly this name and type, or None where none does."""
    candidates = (name, f"{type_.upper()} {name}")
    return next((c for c in candidates if (channel(c).name, channel(c).type) == (name, type_)), None)


def positions(names: Sequence[str], types: Iterable[str]) -> tuple[Position | None, ...]:
    """Return the 10-05 position of each EEG channel, None where the name has none.

    BioSemi's own names (A1 to A32, B1, ... I32) collide with 10-05 ones (A1, C3, F3): where one EEG channel has such
    a name that is not of the 10-05 system, none gets a position.
    """
    table = standard_1005()
    eeg = [n for n, t in zip(names, types, strict=True) if t == "eeg"]
    foreign = bool(eeg) and any(_BIOSEMI.fullmatch(n) and n not in table for n in eeg)
    return tuple(None if foreign or n not in eeg else table.get(n) for n in names)


def repeated(names: Sequence[str]) -> list[str]:
    """Return the names that occur more than once, in order."""
    return [n for n in dict.fromkeys(names) if names.count(n) > 1]


def _standard(text: str) -> tuple[str, bool]:
    known = names_by_lower()
    bare = text.rstrip(".") or text
    for candidate in (bare, _REFERENCE.sub("", bare)):
        if candidate.lower() in known:
            return known[candidate.lower()], True
    return bare, False


def _type(word: str) -> str:
    return {"ekg": "ecg"}.get(word.lower(), word.lower())
