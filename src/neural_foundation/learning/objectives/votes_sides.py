"""Left and right of a montage, told from the names of its channels."""

from __future__ import annotations

import re

from ...core.errors import SpecError, one_of
from ...core.specs import SignalSpec
from ...recordings.montage import names_by_lower
from ...signals.montages import OLD_NAMES

NO_SIDE = ("ecg", "emg", "misc")  # types of channels that a change of sides leaves as they are
_ELECTRODE = re.compile(r"([a-z]+?)(\d+|z)(h?)")
_REFERENCES = ("ref", "le", "ar", "avg", "car")
_NEW = {old.lower(): new.lower() for new, old in OLD_NAMES.items()}

Flip = tuple[tuple[int, ...], tuple[float, ...]]


def flip_of(signal: SignalSpec) -> Flip:
    """Return, for each channel, which one it comes from when left and right are exchanged, and its sign.

    Electrodes are those of the 10-05 system: an odd number is left of the even one after it, `z` is the midline. A
    difference (`Fp1-F7`) becomes that of the electrodes opposite, its sign turned where the montage has it the other
    way round (`Cz-C4` for `C3-Cz`). Upper and lower case are the same, and so are old and new names (T3, T7). Channels
    of other types than EEG stay; so does a common reference.

    SpecError names the channels that have no partner.
    """
    types = signal.ch_types or ("eeg",) * signal.n_chans
    sides = [None if t in NO_SIDE else _parts(n) for n, t in zip(signal.ch_names, types, strict=True)]
    place = {parts: i for i, parts in enumerate(sides) if parts}
    index, sign, alone = [], [], []
    for i, (name, kind, parts) in enumerate(zip(signal.ch_names, types, sides, strict=True)):
        opposite = tuple(_opposite(p) for p in parts or ())
        if kind in NO_SIDE:
            found, turned = i, 1.0
        elif parts and opposite in place:
            found, turned = place[opposite], 1.0
        elif parts and opposite[::-1] in place:
            found, turned = place[opposite[::-1]], -1.0
        else:
            alone.append(name)
            continue
        index.append(found)
        sign.append(turned)
    if alone:
        raise SpecError(
            f"flips exchanges left and right, but {one_of(alone)} has no partner on the other side",
            allowed="electrodes of the 10-05 system, or differences of two, each with the one opposite",
            remedy="Set flips to 0, or pick the channels that have one",
        )
    if len(set(index)) < len(index):
        twice = [n for i, n in enumerate(signal.ch_names) if index.count(i) > 1]
        raise SpecError(f"{one_of(twice)} is the partner of several channels", remedy="Pick one of each electrode")
    return tuple(index), tuple(sign)


def _parts(name: str) -> tuple[str, ...]:
    """Return the electrodes of a channel in lower case and new names; () where one is not known."""
    parts = tuple(_NEW.get(p, p) for p in name.strip().lower().split("-"))
    known = names_by_lower()
    good = len(parts) <= 2 and parts[0] in known and all(p in known or p in _REFERENCES for p in parts)
    return parts if good else ()


def _opposite(electrode: str) -> str:
    match = _ELECTRODE.fullmatch(electrode)
    if match is None or match[2] == "z":
        return electrode
    number = int(match[2])
    return f"{match[1]}{number + 1 if number % 2 else number - 1}{match[3]}"
