"""What a recording holds beside regular signals: spike trains, and series sampled at uneven times.

Both stay what they are: a spike is an event, not a bin, and an uneven series is not resampled. Binning and
interpolation are signal operations, chosen by who needs them. Times are seconds on the recording's own clock.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import DataError, one_of

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Spikes:
    """Spike trains of sorted units, as one stream of events in time order.

    times_s : (n,) seconds, rising. unit : (n,) index into `unit_ids`. unit_ids : a word for each unit, none twice; a
    unit without a spike is listed too. facts : columns with one entry a unit (region, depth_m, quality ...).
    DataError where lengths differ, a time is not finite or falls back, or an index has no unit.
    """

    times_s: Floats = field(default_factory=lambda: np.zeros(0))
    unit: Indices = field(default_factory=lambda: np.zeros(0, np.int64))
    unit_ids: tuple[str, ...] = ()
    facts: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "times_s", np.asarray(self.times_s, np.float64).reshape(-1))
        object.__setattr__(self, "unit", np.asarray(self.unit, np.int64).reshape(-1))
        object.__setattr__(self, "unit_ids", tuple(map(str, self.unit_ids)))
        object.__setattr__(self, "facts", {name: tuple(column) for name, column in self.facts.items()})
        if len(self.times_s) != len(self.unit):
            raise DataError(f"Spikes have {len(self.times_s)} times and {len(self.unit)} units", allowed="one each")
        _rising(self.times_s, "Spike times")
        if len(set(self.unit_ids)) != len(self.unit_ids):
            raise DataError("Two units have the same id", allowed="a word of its own for each unit")
        if len(self.unit) and not 0 <= self.unit.min() <= self.unit.max() < len(self.unit_ids):
            raise DataError(
                f"Spikes name units {self.unit.min()} to {self.unit.max()}", allowed=f"0 to {len(self.unit_ids) - 1}"
            )
        for name, column in self.facts.items():
            if len(column) != len(self.unit_ids):
                raise DataError(f"'{name}' has {len(column)} entries", allowed=f"one for each of {self.n_units} units")

    @classmethod
    def of(cls, trains: Mapping[str, Any], facts: Mapping[str, Sequence[Any]] | None = None) -> Spikes:
        """Return spikes from the times (n_k,) of each unit; equal times keep the order of the units."""
        ids = tuple(map(str, trains))
        times = [np.asarray(t, np.float64).reshape(-1) for t in trains.values()]
        unit = np.repeat(np.arange(len(ids)), [len(t) for t in times])
        joined = np.concatenate([np.zeros(0), *times])
        order = np.argsort(joined, kind="stable")
        return cls(joined[order], unit[order], ids, {n: tuple(c) for n, c in (facts or {}).items()})

    @property
    def n_units(self) -> int:
        return len(self.unit_ids)

    def __len__(self) -> int:
        return len(self.times_s)

    def train(self, unit_id: str) -> Floats:
        """Return the spike times (n_k,) of one unit."""
        if unit_id not in self.unit_ids:
            raise DataError(f"There is no unit '{unit_id}'", allowed=one_of(self.unit_ids))
        train: Floats = self.times_s[self.unit == self.unit_ids.index(unit_id)]
        return train

    def slice(self, start_s: float, stop_s: float) -> Spikes:
        """Return the spikes in [start_s, stop_s), on the same clock; all units stay."""
        a, b = np.searchsorted(self.times_s, [start_s, stop_s])
        return replace(self, times_s=self.times_s[a:b], unit=self.unit[a:b])

    def __repr__(self) -> str:
        return f"Spikes({len(self)} of {self.n_units} units)"


@dataclass(frozen=True, eq=False)
class Series:
    """Values at uneven times: position, gaze, pupil, licks with a strength.

    times_s : (n,) seconds, rising. values : (n, n_columns) float64, NaN where unknown. names : of the columns.
    units : of the columns ("m", "m/s", ""), as the file gives them. DataError where lengths differ or times fall back.
    """

    times_s: Floats
    values: Floats
    names: tuple[str, ...]
    units: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "times_s", np.asarray(self.times_s, np.float64).reshape(-1))
        values = np.asarray(self.values, np.float64)
        object.__setattr__(self, "values", values[:, None] if values.ndim == 1 else values)
        object.__setattr__(self, "names", tuple(map(str, self.names)))
        object.__setattr__(self, "units", tuple(map(str, self.units)) or ("",) * len(self.names))
        if self.values.shape != (len(self.times_s), len(self.names)) or len(self.units) != len(self.names):
            given = f"values {self.values.shape}, {len(self.times_s)} times, {len(self.names)} names"
            raise DataError(f"A series has {given}, {len(self.units)} units", allowed="(n_times, n_columns) values")
        _rising(self.times_s, "Times of a series")

    def __len__(self) -> int:
        return len(self.times_s)

    def slice(self, start_s: float, stop_s: float) -> Series:
        """Return the rows in [start_s, stop_s), on the same clock."""
        a, b = np.searchsorted(self.times_s, [start_s, stop_s])
        return replace(self, times_s=self.times_s[a:b], values=self.values[a:b])

    def __repr__(self) -> str:
        return f"Series({', '.join(self.names)}: {len(self)} rows)"


def _rising(times_s: Floats, what: str) -> None:
    if not np.isfinite(times_s).all():
        raise DataError(f"{what} are not all finite", allowed="seconds")
    if (np.diff(times_s) < 0).any():
        worst = int(np.argmin(np.diff(times_s)))
        raise DataError(f"{what} fall back after {times_s[worst]:g} s", allowed="in time order")
