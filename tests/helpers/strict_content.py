"""What a recording holds according to a second parser, and how it differs from what the reader of this package gives.

Each `strict_<format>.py` parses its format from the specification, or through the format's own library, without the
readers. It raises ValueError where the format forbids what is there, and Unsure where it says nothing about it. Only
the names of channels go through `channels.channel`, which is a rule of this package and not of a format.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np

from neural_foundation.core.errors import RecordingError
from neural_foundation.recordings import Session, read

Row = tuple[float, float, str]
VOLTS = {"V": 1.0, "mV": 1e-3, "uV": 1e-6, "µV": 1e-6, "μV": 1e-6, "nV": 1e-9}


class Unsure(Exception):
    """The second parser cannot say what this file holds."""


@dataclass(frozen=True)
class Channel:
    """values (n_times,) in `unit`, NaN where unknown, right within `slack` where float64 rounds them."""

    name: str
    sfreq: float
    values: Any
    unit: str = "V"
    start_s: float = 0.0
    slack: float = 0.0


@dataclass(frozen=True)
class Content:
    """What a file holds. trials : None where the parser does not look at them. spikes : times by unit, likewise."""

    channels: Sequence[Channel] = ()
    trials: Sequence[Row] | None = None
    spikes: dict[str, Any] | None = None


def need(condition: bool, said: str) -> None:
    if not condition:
        raise ValueError(said)


def volts(unit: str) -> tuple[str, float]:
    """Return the unit of the values, and what one of the stored ones is in it."""
    known = {word.lower(): factor for word, factor in VOLTS.items()}
    return ("V", known[unit.lower()]) if unit.lower() in known else (unit, 1.0)


def verdict(path: Path, kind: str) -> list[Any]:
    """Return ["refused", "agrees", "unsure: ..." or "differs: ...", seconds of CPU time of the reader]."""
    began = process_time()
    try:
        with read(path) as session:
            held = _held(session)
    except RecordingError:
        return ["refused", process_time() - began]
    seconds = process_time() - began
    try:
        theirs = parser(kind)(path)
    except Unsure as error:
        return [f"unsure: {error}", seconds]
    except Exception as error:  # noqa: BLE001 - a library refuses damaged bytes in any way
        return [f"differs: it is refused ({type(error).__name__}: {str(error)[:200]})", seconds]
    said = difference(theirs, *held)
    return [f"differs: {said}" if said else "agrees", seconds]


def parser(kind: str) -> Callable[[Path], Content]:
    """Return the second parser of a format."""
    import importlib

    module, name = PARSERS[kind].split(":")
    found: Callable[[Path], Content] = getattr(importlib.import_module(module), name)
    return found


PARSERS = {
    "edf": "strict_edf:edf",
    "bdf": "strict_edf:bdf",
    "gdf": "strict_gdf:content",
    "brainvision": "strict_brainvision:content",
    "eeglab": "strict_mat:eeglab",
    "fif": "strict_fif:content",
    "hdf5": "strict_hdf5:session",
    "nwb": "strict_hdf5:nwb",
    "mapped_hdf5": "strict_mapped:hdf5",
    "mat73": "strict_mapped:mat73",
    "mat": "strict_mat:mapped",
    "csv": "strict_mapped:csv",
    "parquet": "strict_mapped:parquet",
    "npy": "strict_mapped:npy",
    "phy": "strict_spikes:phy",
    "spike_arrays": "strict_spikes:npz",
}


def _held(session: Session) -> tuple[list[Channel], Any, list[Row], dict[str, Any]]:
    channels, valid = [], []
    for signal in session.signals.values():
        spec = signal.spec
        assert signal.n_times * spec.n_chans < 1_000_000
        values, mask = signal.read(), signal.valid()
        for i, name in enumerate(spec.ch_names):
            unit = spec.units[i] if spec.units else "V"
            channels.append(Channel(name, spec.sfreq, values[i], unit, signal.start_s))
            valid.append(mask)
    others = [*session.series.values(), *session.intervals.values()]
    assert sum(map(len, others)) < 1_000_000
    trains = {f"{name}/{u}": s.train(u) for name, s in session.spikes.items() for u in s.unit_ids}
    return channels, valid, list(session.trials), trains


def difference(theirs: Content, ours: list[Channel], valid: Any, trials: list[Row], trains: dict[str, Any]) -> str:
    """Return the first difference in words, '' where there is none."""
    names = [sorted(c.name for c in side) for side in (theirs.channels, ours)]
    if names[0] != names[1]:
        return f"channels {names[0][:4]}, ours {names[1][:4]}"
    by_name = {c.name: c for c in theirs.channels}
    for channel, mask in zip(ours, valid, strict=True):
        if said := _channel(by_name[channel.name], channel, mask):
            return f"channel {channel.name}: {said}"
    if theirs.trials is not None and (said := _rows(sorted(theirs.trials), sorted(trials))):
        return said
    return _trains(theirs.spikes, trains) if theirs.spikes is not None else ""


def _channel(a: Channel, b: Channel, valid: Any) -> str:
    facts = [(c.unit, len(c.values)) for c in (a, b)]
    if facts[0] != facts[1] or not np.allclose([a.sfreq, a.start_s], [b.sfreq, b.start_s], rtol=1e-9, atol=1e-9):
        return f"{facts[0]} {a.sfreq} {a.start_s}, ours {facts[1]} {b.sfreq} {b.start_s}"
    x, y = np.asarray(a.values, np.float64)[valid], np.asarray(b.values, np.float64)[valid]
    if not np.isfinite(y).all():
        return "values that are not finite are said to be valid"
    with np.errstate(invalid="ignore"):
        off = ~(np.abs(x - y) <= 2e-7 * np.abs(x) + 1e-45 + a.slack)
    return f"sample {int(np.argmax(off))} is {x[off][0]}, ours {y[off][0]}" if off.any() else ""


def _rows(theirs: list[Row], ours: list[Row]) -> str:
    if len(theirs) != len(ours):
        return f"{len(theirs)} trials, ours {len(ours)}"
    for a, b in zip(theirs, ours, strict=True):
        if a[2] != b[2] or not np.allclose(a[:2], b[:2], rtol=1e-9, atol=1e-9):
            return f"trial {a}, ours {b}"
    return ""


def _trains(theirs: dict[str, Any], ours: dict[str, Any]) -> str:
    units = [{u.rpartition("/")[2] for u in side} for side in (theirs, ours)]
    if units[0] != units[1]:
        return f"units {sorted(units[0])[:5]}, ours {sorted(units[1])[:5]}"
    for name, times in ours.items():
        expected = np.sort(theirs[name.rpartition("/")[2]])
        if len(expected) != len(times) or not np.allclose(expected, times, rtol=1e-12, atol=0):
            return f"spikes of unit {name} differ"
    return ""
