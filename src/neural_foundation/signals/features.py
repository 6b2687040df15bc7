"""What the kinds of features share: the spec of their output, bands, and the layout of frequencies in it.

Feature channels are named "<channel>:<feature>", channel by channel: row = channel * n_features + feature. Their type
is "misc", and where a feature is no voltage its unit says so ("V^2", "1/s", "" for a plain number).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Annotated, Literal, TypeVar

import numpy as np
from pydantic import AfterValidator

from ..core.errors import SignalMismatchError
from ..core.specs import SignalSpec
from ..core.stream import Array
from .base import below_nyquist

T = TypeVar("T", bound=str)


def _by_edges(bands: dict[str, tuple[float, float]]) -> dict[str, tuple[float, float]]:
    return dict(sorted(bands.items(), key=lambda band: band[1]))


# by their edges, however they are written: JSON's keys have no order that a package could rely on
Bands = Annotated[dict[str, tuple[float, float]], AfterValidator(_by_edges)]
BANDS: Bands = {
    "delta": (1.0, 4.0),
    "theta": (4.0, 8.0),
    "alpha": (8.0, 13.0),
    "beta": (13.0, 30.0),
    "gamma": (30.0, 45.0),
}
_HERTZ = re.compile(r"(.+):([0-9][0-9.e+-]*)Hz")


def of_channels(signal: SignalSpec, features: Iterable[tuple[str, str]]) -> SignalSpec:
    """Return the output with every feature (name, unit) of every channel; a unit's "{}" becomes the channel's."""
    units, features = signal.units or ("V",) * signal.n_chans, list(features)
    rows = [
        (f"{c}:{name}", in_units(unit, u))
        for c, u in zip(signal.ch_names, units, strict=True)
        for name, unit in features
    ]
    return described(signal, rows)


def described(signal: SignalSpec, rows: Sequence[tuple[str, str]]) -> SignalSpec:
    """Return the output with the given (name, unit) rows; SignalMismatchError where a name comes twice."""
    names = tuple(name for name, _ in rows)
    twice = sorted({n for n in names if names.count(n) > 1}) if len(set(names)) < len(names) else []
    if twice:
        raise SignalMismatchError(f"Two features would be named '{twice[0]}'", remedy="Rename a channel or a band")
    units = tuple(unit for _, unit in rows)
    plain = () if set(units) == {"V"} else units
    return SignalSpec(
        sfreq=signal.sfreq, ch_names=names, ch_types=("misc",) * len(names), subject=signal.subject, units=plain
    )


def in_units(pattern: str, unit: str) -> str:
    """Return a pattern such as "{}^2/Hz" for a channel's unit; a plain number stays one."""
    if "{}" not in pattern or unit:
        return pattern.replace("{}", unit)
    rest = pattern.replace("{}^2", "").replace("{}", "")
    return f"1{rest}" if rest else ""


def check_bands(bands: Bands) -> None:
    """Raise ValueError where a band's edges are no low < high, or its name cannot stand in a channel's."""
    for name, (low, high) in bands.items():
        if not 0 <= low < high:
            raise ValueError(f"band '{name}': [{low:g}, {high:g}] must be [low, high] with 0 <= low < high")
        if not name or ":" in name:
            raise ValueError(f"band '{name}': a name must not be empty or hold ':'")


def once(what: str, values: Sequence[T]) -> None:
    """Raise ValueError where one of the values is named twice."""
    twice = [v for i, v in enumerate(values) if v in values[:i]]
    if twice:
        raise ValueError(f"{what}: '{twice[0]}' is named twice")


def bins_of(kind: str, name: str, low: float, high: float, hz: Array, signal: SignalSpec) -> Array:
    """Return which of `hz` lie in [low, high); SignalMismatchError where none does or `high` is beyond Nyquist."""
    below_nyquist(kind, f"upper edge of {name}", high, signal)
    inside: Array = (hz >= low) & (hz < high)
    if not inside.any():
        raise SignalMismatchError(
            f"{kind}: no frequency of the spectrum lies in {name} ({low:g} to {high:g} Hz)",
            allowed=f"bands wider than {hz[1] - hz[0] if len(hz) > 1 else hz[0]:g} Hz",
            remedy="Use longer windows or segments, or a wider band",
        )
    return inside


def bins_of_bands(kind: str, bands: Bands, hz: Array, signal: SignalSpec) -> Array:
    """Return (n_bands, n_freqs), which of `hz` lie in each band; errors as `bins_of`."""
    return np.array([bins_of(kind, f"'{name}'", low, high, hz, signal) for name, (low, high) in bands.items()])


def long_enough(kind: str, window: int, least: int, signal: SignalSpec) -> None:
    """Raise SignalMismatchError where a window holds fewer samples than the feature needs."""
    if window < least:
        raise SignalMismatchError(
            f"{kind}: a window has {window} samples at {signal.sfreq:g} Hz",
            allowed=f"at least {least}",
            remedy=f"Give window_s >= {least / signal.sfreq:g}",
        )


def at_frequencies(signal: SignalSpec, hz: Iterable[float], unit: str) -> SignalSpec:
    """Return the output with one row a channel and frequency, named "C3:10.5Hz"."""
    return of_channels(signal, [(f"{f:.9g}Hz", unit) for f in hz])


def frequencies_of(spec: SignalSpec) -> Array:
    """Return the frequencies (n_freqs,) in Hz of a spectrogram's or wavelet's output, as its channel names say them.

    SignalMismatchError where the names are not "<channel>:<number>Hz" with the same numbers for each channel.
    """
    return np.array(_layout(spec)[1])


def unfold(values: Array, spec: SignalSpec) -> Array:
    """Return (n_chans, n_freqs, n_columns) of a spectrogram's or wavelet's output (n_chans * n_freqs, n_columns)."""
    names, hz = _layout(spec)
    return values.reshape(len(names), len(hz), values.shape[1])


def _layout(spec: SignalSpec) -> tuple[list[str], list[float]]:
    found = [_HERTZ.fullmatch(name) for name in spec.ch_names]
    rows = [(m[1], float(m[2])) for m in found if m]
    names, hz = list(dict.fromkeys(c for c, _ in rows)), list(dict.fromkeys(f for _, f in rows))
    if len(rows) < spec.n_chans or rows != [(c, f) for c in names for f in hz]:
        raise SignalMismatchError(
            f"These {spec.n_chans} channels ('{spec.ch_names[0]}', ...) are no channels by frequencies",
            allowed="'<channel>:<number>Hz', every frequency of a channel before the next channel",
            remedy="Give the output of spectrogram or wavelet, not picked from",
        )
    return names, hz


Scale = Literal["absolute", "relative", "log"]
FLOOR = 1e-30  # of what a logarithm is taken: a flat channel has power 0


def decibels(power: Array) -> Array:
    """Return 10 log10 of the power, no lower than -300."""
    return np.asarray(10 * np.log10(np.maximum(power, FLOOR)))
