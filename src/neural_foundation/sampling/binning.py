"""Spikes and behaviour in the bins of trials.

Shapes: start_s (n,) where each trial's bins begin; every trial has `n_bins` bins of `bin_s` seconds, so that N =
n * n_bins bins come out, one trial after the other. Bin k of a trial is [start + k bin_s, start + (k + 1) bin_s).
Counts are uint16 (N, n_units); behaviour is float64 (N, n_channels), NaN where it is not known.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..core.errors import DataError
from ..recordings import Series, Signal, Spikes
from ..signals.spikes import bins_of

Floats = NDArray[np.float64]
Counts = NDArray[np.uint16]
GAP_INTERVALS = 3.0  # so many median sample intervals without a sample are a gap
_BLOCK = 1 << 14  # bins that are counted at once
_MOST = np.iinfo(np.uint16).max


@dataclass(frozen=True, eq=False)
class Grid:
    """The bins of trials of one length. start_s : (n,) seconds on the recording's clock."""

    start_s: Floats
    n_bins: int
    bin_s: float

    @property
    def edges_s(self) -> Floats:
        """Begin and end of every bin, (n, n_bins + 1)."""
        edges: Floats = self.start_s[:, None] + np.arange(self.n_bins + 1) * self.bin_s
        return edges

    @property
    def size(self) -> int:
        """Bins of all trials."""
        return len(self.start_s) * self.n_bins

    def rows(self, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return the mask (N,) of the bins of the trials of a mask (n,)."""
        return np.repeat(mask, self.n_bins)

    def only(self, mask: NDArray[np.bool_]) -> Grid:
        """Return the grid of some trials."""
        return Grid(self.start_s[mask], self.n_bins, self.bin_s)

    def blocks(self) -> Iterator[tuple[int, float, int]]:
        """Yield (first row, start, number of bins) of stretches of the trials that are read at once."""
        for trial, start in enumerate(self.start_s.tolist()):
            for first in range(0, self.n_bins, _BLOCK):
                n = min(_BLOCK, self.n_bins - first)
                yield trial * self.n_bins + first, start + first * self.bin_s, n


def counts_of(spikes: Spikes, grid: Grid) -> Counts:
    """Return how many spikes each unit has in each bin; edges as `signals.spikes` has them."""
    out = np.empty((grid.size, spikes.n_units), np.uint16)
    for row, start, n in grid.blocks():
        reach = np.array([start - 0.5 * grid.bin_s, start + (n + 0.5) * grid.bin_s])
        a, b = np.searchsorted(spikes.times_s, reach)
        bins = bins_of(spikes.times_s[a:b], grid.bin_s, start)
        inside = (bins >= 0) & (bins < n)
        flat = bins[inside] * spikes.n_units + spikes.unit[a:b][inside]
        counted = np.bincount(flat, minlength=n * spikes.n_units)
        out[row : row + n] = _few(counted).reshape(n, spikes.n_units)
    return out


def counts_per_bin(signal: Signal, bin_s: float) -> int:
    """Return how many samples of a signal of counts make one bin; DataError where they are no whole number."""
    ratio = bin_s * signal.spec.sfreq
    if round(ratio) < 1 or abs(ratio - round(ratio)) > 1e-6:
        given = f"bin_s={bin_s:g} cannot be made of counts in bins of {1 / signal.spec.sfreq:g} s"
        raise DataError(given, allowed=f"{1 / signal.spec.sfreq:g} s, or a whole multiple of it")
    return round(ratio)


def on_bins(signal: Signal, start_s: Floats) -> Floats:
    """Return the begin of the signal's sample nearest to each time: where bins of counts may begin."""
    at = np.rint((np.asarray(start_s) - signal.start_s) * signal.spec.sfreq)
    moved: Floats = signal.start_s + at / signal.spec.sfreq
    return moved


def summed(signal: Signal, grid: Grid) -> Counts:
    """Return the sums of a signal of counts over bins that begin where its samples do, within the signal.

    DataError where a value is no count: negative, no whole number, or one that cannot be trusted.
    """
    per = counts_per_bin(signal, grid.bin_s)
    out = np.empty((grid.size, signal.spec.n_chans), np.uint16)
    for row, start, n in grid.blocks():
        first = round((start - signal.start_s) * signal.spec.sfreq)
        values = signal.read(first, first + n * per)
        if not signal.valid(first, first + n * per).all() or (values < 0).any() or (values != np.rint(values)).any():
            given = f"The counts after {start:g} s hold values that are no counts, or cannot be trusted"
            raise DataError(given, allowed="whole numbers from 0", remedy="Cut the recording before and after them")
        out[row : row + n] = _few(values.astype(np.int64).reshape(len(values), n, per).sum(2).T)
    return out


def _few(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    if counts.max(initial=0) > _MOST:
        raise DataError(f"A bin holds {counts.max()} spikes of one unit", allowed=f"up to {_MOST}")
    return counts


class Track:
    """Values over time, linear between samples; where samples are too far apart, nothing is known.

    times_s : (m,) rising. values : (m, n_channels); a row that is not finite is no sample. longest_s : samples further
    apart are a gap; None: three median intervals.
    """

    def __init__(self, times_s: Floats, values: Floats, *, longest_s: float | None = None) -> None:
        known = np.isfinite(values).all(axis=1)
        self.times, self.values = times_s[known], values[known]
        steps = np.diff(self.times)
        limit = GAP_INTERVALS * float(np.median(np.diff(times_s))) if longest_s is None and len(steps) else longest_s
        gaps = np.where(steps > (limit or 0.0) * (1 + 1e-9), steps, 0.0)
        self._gap = np.concatenate([[0.0], np.cumsum(gaps)]) if len(self.times) else np.zeros(0)
        area = steps[:, None] * (self.values[1:] + self.values[:-1]) / 2
        self._area = np.concatenate([np.zeros((1, values.shape[1])), np.cumsum(area, axis=0)])

    @property
    def span_s(self) -> tuple[float, float]:
        """Times of the first and the last sample; (0, 0) where there is none."""
        return (float(self.times[0]), float(self.times[-1])) if len(self.times) else (0.0, 0.0)

    def mean(self, edges_s: Floats) -> Floats:
        """Return the means over bins, (N, n_channels), of edges (n, n_bins + 1)."""
        return self._over(edges_s, self._integral(edges_s))

    def change(self, edges_s: Floats) -> Floats:
        """Return the changes a second over bins, (N, n_channels)."""
        return self._over(edges_s, self._at(edges_s))

    def _over(self, edges_s: Floats, at_edges: Floats) -> Floats:
        rate = np.diff(at_edges, axis=1) / np.diff(edges_s, axis=1)[:, :, None]
        return np.where(self._known(edges_s)[:, :, None], rate, np.nan).reshape(-1, self.values.shape[1])

    def _known(self, edges_s: Floats) -> NDArray[np.bool_]:
        """Return which bins (n, n_bins) lie between samples, and touch no gap."""
        if len(self.times) < 2:
            return np.zeros((len(edges_s), edges_s.shape[1] - 1), bool)
        low, high = self.span_s
        inside = (edges_s[:, :-1] >= low - 1e-9) & (edges_s[:, 1:] <= high + 1e-9)
        missing = np.diff(np.interp(edges_s, self.times, self._gap), axis=1)
        known: NDArray[np.bool_] = inside & (missing <= 1e-6 * np.diff(edges_s, axis=1))
        return known

    def _at(self, t: Floats) -> Floats:
        if not len(self.times):
            return np.zeros((*t.shape, self.values.shape[1]))
        return np.stack([np.interp(t, self.times, column) for column in self.values.T], axis=-1)

    def _integral(self, t: Floats) -> Floats:
        """Return the area under the values from the first sample to each time."""
        if not len(self.times):
            return np.zeros((*t.shape, self.values.shape[1]))
        clipped = np.clip(t, *self.span_s)
        before = np.clip(np.searchsorted(self.times, clipped, side="right") - 1, 0, len(self.times) - 1)
        rest = (clipped - self.times[before])[..., None]
        area: Floats = self._area[before] + rest * (self.values[before] + self._at(clipped)) / 2
        return area


def track_of(source: Series | Signal, columns: list[int], *, on_change: bool = False) -> Track:
    """Return some columns as a track. on_change : it has samples only where something changed, so has no gaps."""
    longest = np.inf if on_change else None
    if isinstance(source, Series):
        return Track(source.times_s, source.values[:, columns], longest_s=longest)
    # a sample holds for the middle of the time it stands for where it is a bin; a signal's sample lies where it is said
    times = source.start_s + np.arange(source.n_times) / source.spec.sfreq
    values = np.where(source.valid()[:, None], source.read().T[:, columns].astype(np.float64), np.nan)
    return Track(times, values, longest_s=longest)


def sampled_mean(signal: Signal, columns: list[int], grid: Grid) -> Floats:
    """Return the mean of a signal's samples in each bin; NaN where a sample of the bin is absent or not trusted.

    For signals that have a sample or more in each bin.
    """
    out = np.full((grid.size, len(columns)), np.nan)
    for row, start, n in grid.blocks():
        edges = start + np.arange(n + 1) * grid.bin_s
        at = np.ceil(np.round((edges - signal.start_s) * signal.spec.sfreq, 6)).astype(np.int64)
        inside = (at[:-1] >= 0) & (at[1:] <= signal.n_times)
        if not inside.any():
            continue
        first, last = int(np.argmax(inside)), n - int(np.argmax(inside[::-1]))
        low, high = int(at[first]), int(at[last])
        values = np.where(signal.valid(low, high), signal.read(low, high)[columns].astype(np.float64), np.nan)
        many = np.diff(at[first : last + 1])
        sums = np.add.reduceat(values, (at[first:last] - low), axis=1)
        out[row + first : row + last] = (sums / many).T
    return out
