"""What a report shows of predictions: some stretches, means over trials, maps over positions; true and predicted.

Which ones depends on what is true alone, so that all models show the same. Arrays are named by what they hold:
"bins" (E, L) bins of E example stretches, "values/NAME" (E, L, C), "psth/NAME" (K, T, C), "classes/NAME" (m, K),
"map" (gy, gx, U), "raster" (m, T, U).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..sampling.binned import Indices
from .trial_scores import LEAST_TRIALS, POSITION, HeldOut

Array = NDArray[Any]
EXAMPLES = 4
STRETCH_S = 20.0  # of a recording without trials
GRID = 20  # cells of a map along each side
MAPPED = 6  # units with a map
RASTERED = 4  # units of which all tested trials are kept


@dataclass(frozen=True, eq=False)
class Shown:
    """Which rows of the tested bins are shown: rows (E, L) of `HeldOut.bins`; mapped, rastered (U,) units."""

    tested: HeldOut
    rows: Indices
    mapped: Indices
    rastered: Indices

    @classmethod
    def of(cls, tested: HeldOut) -> Shown:
        """Return what to show of one session."""
        return cls(tested, _stretches(tested), _mapped(tested), _busiest(tested))

    def arrays(self, said: Mapping[str, Array]) -> dict[str, Array]:
        """Return what is shown of a model's predictions."""
        t, made = self.tested, {}
        for m in t.modalities:
            if m.name not in said:
                continue
            values = said[m.name]
            if m.kind == "classes":
                made[f"classes/{m.name}"] = np.asarray(values, np.float32)
                continue
            made[f"values/{m.name}"] = np.asarray(values[self.rows], np.float32)
            if t.aligned:
                made |= {f"psth/{m.name}/{c}": a for c, a in _means(t, values).items()}
            if m.kind == "counts" and len(self.mapped):
                made["map"] = _map(t, values[:, self.mapped])
            if m.kind == "counts" and t.aligned:
                made["raster"] = np.asarray(t.folded(values)[:, :, self.rastered], np.float32)
        return made

    def truth(self) -> dict[str, Array]:
        """Return the same of what is true, and the bins, the trials and units that are shown."""
        t = self.tested
        made = self.arrays({m.name: t.true(m.name) for m in t.modalities if m.kind != "classes"})
        made |= {f"classes/{m.name}": t.true(m.name) for m in t.modalities if m.kind == "classes"}
        made["bins"] = t.bins[self.rows]
        made["trials"] = t.trials
        made["shown_trials"] = np.searchsorted(t.session.first, t.bins[self.rows[:, 0]], side="right") - 1
        made["start_s"] = np.asarray(t.session.start_s)[made["shown_trials"]] + t.session.bin_s * (
            t.bins[self.rows[:, 0]] - t.session.first[made["shown_trials"]]
        )
        made |= {"mapped": self.mapped, "rastered": self.rastered}
        return made


def _stretches(t: HeldOut) -> Indices:
    """Return example stretches, (E, L) rows of the tested bins: whole trials, or pieces of the longest runs."""
    if t.aligned:
        chosen = _evenly(len(t.trials))
        return np.asarray(chosen[:, None] * t.aligned + np.arange(t.aligned), np.int64)
    trial = np.searchsorted(t.session.first, t.bins, side="right")
    breaks = np.flatnonzero((np.diff(t.bins) != 1) | (np.diff(trial) != 0)) + 1
    runs = np.split(np.arange(len(t.bins)), breaks)
    length = min(max(len(r) for r in runs), max(round(STRETCH_S / t.session.bin_s), 1))
    pieces = [r[i : i + length] for r in runs for i in range(0, len(r) - length + 1, length)]
    return np.asarray([pieces[i] for i in _evenly(len(pieces))], np.int64)


def _evenly(n: int) -> Indices:
    return np.unique(np.linspace(0, n - 1, min(n, EXAMPLES)).round().astype(np.int64))


def _busiest(t: HeldOut) -> Indices:
    counts = next((m.name for m in t.modalities if m.kind == "counts"), "")
    return np.argsort(-t.true(counts).sum(0, dtype=np.int64), kind="stable")[:RASTERED] if counts else np.zeros(0, int)


def _means(t: HeldOut, values: Array) -> dict[str, Array]:
    """Return the mean over the tested trials of each class, (K, T, C), by modality of classes; NaN for too few."""
    folded = t.folded(np.asarray(values, np.float32))
    static = [m for m in t.modalities if m.kind == "classes"]
    if not static:
        return {"": folded.mean(0)[None]}
    made = {}
    for m in static:
        target, means = t.true(m.name), np.full((len(m.classes), *folded.shape[1:]), np.nan, np.float32)
        for k in range(len(m.classes)):
            if (target == k).sum() >= LEAST_TRIALS:
                means[k] = folded[target == k].mean(0)
        made[m.name] = means
    return made


def _cells(t: HeldOut) -> Indices:
    """Return the cell of each tested bin on a grid over the positions, -1 where it is not known."""
    position = np.asarray(t.true(POSITION), np.float64)
    known = np.isfinite(position).all(1)
    low, high = np.quantile(position[known], (0.005, 0.995), axis=0)
    cell = np.clip((position - low) / np.maximum(high - low, 1e-9) * GRID, 0, GRID - 1)
    return np.where(
        known, np.nan_to_num(cell[:, 1]).astype(np.int64) * GRID + np.nan_to_num(cell[:, 0]).astype(int), -1
    )


def _map(t: HeldOut, values: Array) -> Array:
    """Return mean events a bin by cell, (gy, gx, U); NaN where the animal never was."""
    cell = _cells(t)
    known = cell >= 0
    total = np.zeros((GRID**2, values.shape[1]))
    np.add.at(total, cell[known], np.asarray(values[known], np.float64))
    count = np.bincount(cell[known], minlength=GRID**2)[:, None]
    made = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    return np.asarray(made.reshape(GRID, GRID, -1), np.float32)


def _mapped(t: HeldOut) -> Indices:
    """Return the units whose counts say most of the position: bits a bin (Skaggs et al. 1993), of those that fire."""
    counts = next((m.name for m in t.modalities if m.kind == "counts"), "")
    if not counts or POSITION not in t.session.values or len(t.channels(POSITION)) != 2:
        return np.zeros(0, np.int64)
    cell = _cells(t)
    if not (cell >= 0).any():
        return np.zeros(0, np.int64)
    rate = np.nan_to_num(_map(t, t.true(counts)).reshape(GRID**2, -1).astype(np.float64))
    share = (np.bincount(cell[cell >= 0], minlength=GRID**2) / (cell >= 0).sum())[:, None]
    mean = np.maximum((share * rate).sum(0), 1e-12)
    bits = (share * np.where(rate > 0, rate * np.log2(np.maximum(rate, 1e-12) / mean), 0)).sum(0)
    return np.sort(np.argsort(-bits, kind="stable")[:MAPPED])
