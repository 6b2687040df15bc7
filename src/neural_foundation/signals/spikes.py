"""Spike trains as signals: events counted in equal bins.

Shapes: times_s (n,) rising; counts (n_units, n_bins) float32. Bin k of a grid holds start_s + k bin_s <= t <
start_s + (k + 1) bin_s: a spike on an edge belongs to the later bin. Seconds in floating point rarely lie on an edge
exactly, so a time is first rounded to a 2^24th of a bin (0.6 ns of a bin of 10 ms); all after that is in whole numbers.
"""

from __future__ import annotations

import numpy as np

from ..core.errors import DataError, StreamError
from ..core.specs import SignalSpec
from ..core.stream import Array, Chunk, State, empty
from ..recordings.events import Spikes
from ..recordings.session import Signal, Values

TICKS_LOG2 = 24  # of a bin: fine enough for any clock, coarse enough for 10^8 bins in float64


def bins_of(times_s: Array, bin_s: float, start_s: float = 0.0) -> Array:
    """Return the bin (n,) int64 of each time; negative before the grid's start."""
    ticks = np.rint((np.asarray(times_s, np.float64) - start_s) / bin_s * (1 << TICKS_LOG2))
    bins: Array = ticks.astype(np.int64) >> TICKS_LOG2
    return bins


def counts_spec(unit_ids: tuple[str, ...], bin_s: float) -> SignalSpec:
    """Return what a signal of counts is: a channel a unit, of type misc and without a unit of measure."""
    if not unit_ids:
        raise DataError("These spikes have no units to count", allowed="one unit or more")
    if not bin_s > 0:
        raise DataError(f"bin_s={bin_s:g} is no length of a bin", allowed="bin_s > 0")
    n = len(unit_ids)
    return SignalSpec(sfreq=1 / bin_s, ch_names=unit_ids, ch_types=("misc",) * n, units=("",) * n)


class BinnedSpikes(Signal):
    """Spike counts as a `Signal`: sample k is bin k, and lies at the bin's start. Counted when read."""

    def __init__(self, spikes: Spikes, bin_s: float, start_s: float, n_bins: int) -> None:
        super().__init__(counts_spec(spikes.unit_ids, bin_s), n_bins, start_s)
        self._spikes, self._bin_s = spikes, bin_s

    def _read(self, start: int, stop: int) -> Values:
        times, n = self._spikes.times_s, stop - start
        edges = self.start_s + np.array([start - 0.5, stop + 0.5]) * self._bin_s
        a, b = np.searchsorted(times, edges)
        bins = bins_of(times[a:b], self._bin_s, self.start_s) - start
        inside = (bins >= 0) & (bins < n)
        flat = self._spikes.unit[a:b][inside] * n + bins[inside]
        return np.bincount(flat, minlength=self.spec.n_chans * n).reshape(self.spec.n_chans, n).astype(np.float32)


def binned(spikes: Spikes, bin_s: float, start_s: float = 0.0, stop_s: float | None = None) -> BinnedSpikes:
    """Return the spikes as a lazy signal of counts over the whole bins in [start_s, stop_s).

    stop_s : the end of the last spike's bin where not given. DataError where it lies before start_s, or no unit is
    there to count.
    """
    counts_spec(spikes.unit_ids, bin_s)
    if stop_s is None:
        n_bins = max(0, int(bins_of(spikes.times_s[-1:], bin_s, start_s).max(initial=-1)) + 1)
    elif stop_s < start_s:
        raise DataError(f"Cannot bin from {start_s:g} to {stop_s:g} s", allowed="start_s <= stop_s")
    else:
        n_bins = int(bins_of(np.array([stop_s]), bin_s, start_s)[0])
    return BinnedSpikes(spikes, bin_s, start_s, n_bins)


def bin_spikes(spikes: Spikes, start_s: float, stop_s: float, bin_s: float) -> Values:
    """Return the counts float32 (n_units, n_bins) in the whole bins of [start_s, stop_s)."""
    return binned(spikes, bin_s, start_s, stop_s).read()


class SpikeBinner:
    """Counts spikes as they come: what `BinnedSpikes` gives, bin by bin, however the events are cut.

    As a transducer (see core.stream) it keeps no memory of its own, but events go in, so each step is told up to when
    it has heard all of them. A bin comes out when that time has reached its end; what has come out depends on that
    time alone. The last bin, where it has not ended, does not come out. Its output feeds a chain bound to `output`.
    """

    def __init__(self, unit_ids: tuple[str, ...], bin_s: float, start_s: float = 0.0) -> None:
        self.output = counts_spec(unit_ids, bin_s)
        self.bin_s, self.start_s = bin_s, start_s

    def start(self) -> State:
        """Return the state before the first spike."""
        return {"open": np.zeros(self.output.n_chans, np.int64), "until_s": float(self.start_s), "n_out": 0}

    def step(self, spikes: Spikes, until_s: float, state: State) -> tuple[Chunk, State]:
        """Return the bins that end by `until_s`, with `spikes` the events since the last step and before it.

        StreamError where a spike or the time lies before what the last step was told, or a spike not before `until_s`.
        """
        self._check(spikes, until_s, state)
        first = state["n_out"]
        last = int(bins_of(np.array([until_s]), self.bin_s, self.start_s)[0])
        n = last - first + 1  # the open bin is counted too
        bins = bins_of(spikes.times_s, self.bin_s, self.start_s) - first
        counts = np.bincount(spikes.unit * n + bins, minlength=self.output.n_chans * n).reshape(-1, n)
        counts[:, 0] += state["open"]
        state = {"open": counts[:, -1].astype(np.int64), "until_s": float(until_s), "n_out": last}
        return Chunk(counts[:, :-1].astype(np.float32), np.ones(n - 1, np.bool_), first), state

    def flush(self, state: State) -> Chunk:
        """Return nothing: the open bin has not ended."""
        return empty(self.output.n_chans, state["n_out"])

    def _check(self, spikes: Spikes, until_s: float, state: State) -> None:
        if spikes.unit_ids != self.output.ch_names:
            raise StreamError(
                f"Spikes of {spikes.n_units} units came to a binner of {self.output.n_chans}",
                allowed="the same units in the same order",
            )
        if not until_s >= state["until_s"]:
            raise StreamError(f"Time falls back from {state['until_s']:g} to {until_s:g} s", allowed="rising times")
        early = len(spikes) and spikes.times_s[0] < state["until_s"]
        if early or (len(spikes) and spikes.times_s[-1] >= until_s):
            raise StreamError(
                f"A spike at {spikes.times_s[0 if early else -1]:g} s lies outside the step from "
                f"{state['until_s']:g} to {until_s:g} s",
                remedy="Send each spike once, with the step whose time it lies before",
            )
