"""A layout to begin with, from the arrays that a file holds."""

from __future__ import annotations

import json
import re

from .arrays import MAX_LISTED, Array, Group, listing

_TIMES = ("t", "time", "times", "timestamp", "timestamps", "time_s", "ts")
_RATES = ("fs", "sfreq", "srate", "sampling_rate", "samplingrate", "sample_rate", "hz")
_MIN_SAMPLES = 10
_SIGNALS, _SHOWN = 3, 30
_PLAIN = re.compile(r"[A-Za-z_][\w/.*]*")


def starter(root: Group) -> str:
    """Return a layout in YAML that names the longest arrays, with blanks where the file does not say; and all else."""
    found = [a for a in listing(root) if a.size]
    numbers = [a for a in found if a.kind == "number"]
    times = next((a for a in numbers if _last(root, a) in _TIMES and a.is_vector and a.size >= _MIN_SAMPLES), None)
    rate = next((a for a in numbers if _last(root, a) in _RATES and a.size == 1), None)
    signals = [a for a in numbers if a is not times and a.size >= _MIN_SAMPLES and len(a.shape) <= 2]
    if root.separator == "":
        chosen = [_table(signals, times)] if signals else []
    else:
        most = sorted(signals, key=lambda a: -max(a.shape))[:_SIGNALS]
        short = len({_last(root, a) for a in most}) == len(most)
        chosen = [_signal(root, a, times, rate, short=short) for a in most]
    lines = ["signals:", *chosen] if chosen else ["signals: {}"]
    lines += ["# spikes: {units: {times: , unit: , time_unit: s}}", "# trials: {start: , end: , label: }"]
    lines += ["# what there is:"] + [f"#   {a}" for a in found[:_SHOWN]]
    if len(found) > _SHOWN:
        more = f"{len(found) - _SHOWN}" + (" or more" if len(found) == MAX_LISTED else "")
        lines.append(f"#   and {more} others")
    return "\n".join(lines)  # it ends in a comment, so that a full stop after it does no harm


def _signal(root: Group, array: Array, times: Array | None, rate: Array | None, *, short: bool) -> str:
    name = _last(root, array, keep=True) if short else array.name
    lines = [f"  {_quoted(name)}:", f"    values: {_quoted(array.name)}  # {array.shape}"]
    long = max(array.shape)
    if not array.is_vector:
        axes = "time channel" if array.shape[0] == long else "channel time"
        lines.append(f"    axes: {axes}  # or the other way round")
    if times is not None and times.size in array.shape:
        lines.append(f"    times: {_quoted(times.name)}")
    elif rate is not None:
        lines.append(f"    sfreq: {_quoted(rate.name)}")
    else:
        lines.append("    sfreq:  # samples a second")
    return "\n".join([*lines, "    unit:  # V, mV, uV, nV, or another word"])


def _table(columns: list[Array], times: Array | None) -> str:
    names = ", ".join(_quoted(a.name) for a in columns[:_SHOWN])
    clock = f"times: {_quoted(times.name)}" if times is not None else "sfreq:  # samples a second"
    return f"  table:\n    values: [{names}]\n    {clock}\n    unit:  # V, mV, uV, nV, or another word"


def _last(root: Group, array: Array, *, keep: bool = False) -> str:
    word = array.name.rpartition(root.separator)[2] if root.separator else array.name
    return word if keep else word.lower()


def _quoted(name: str) -> str:
    return name if _PLAIN.fullmatch(name) and name.lower() not in ("true", "false", "null") else json.dumps(name)
