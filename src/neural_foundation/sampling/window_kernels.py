"""Compiled passes from stored samples to windows.

Legend: rows (n_times, n_chans) as they lie in a file, time first; out (n_chans, n_times) float32, overwritten. Samples
are turned in tiles that stay in the nearest cache, and two values at a time, as one word, where shapes are even.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.compiled import jit
from ..signals.spikes import TICKS_LOG2

Array = NDArray[Any]

TILE = 16
TICKS = float(1 << TICKS_LOG2)
PAIRS = 4  # pairs of rows a tile of words has: the compiler keeps them in registers
LOW, SHIFT = np.uint64(0xFFFFFFFF), np.uint64(32)
EXPONENTS, ONE, CARRIES = np.uint64(0x7F8000007F800000), np.uint64(0x0080000000800000), np.uint64(0x8000000080000000)


@jit
def all_finite(words: Array) -> bool:
    """Whether float32 values, given as words of two, are all finite: an exponent of ones carries into the sign."""
    found = np.uint64(0)
    for i in range(words.size):
        found |= ((words[i] & EXPONENTS) + ONE) & CARRIES
    return bool(found == np.uint64(0))


@jit
def turn_pairs(rows: Array, out: Array) -> None:
    """Transpose float32 given as words of two: rows (n, n_chans / 2), out (n_chans, n / 2), both uint64."""
    pairs, words = rows.shape[0] // 2, rows.shape[1]
    whole = pairs - pairs % PAIRS
    for first in range(0, whole, PAIRS):
        for j in range(words):
            for k in range(PAIRS):
                i = first + k
                a, b = rows[2 * i, j], rows[2 * i + 1, j]
                out[2 * j, i] = (a & LOW) | (b << SHIFT)
                out[2 * j + 1, i] = (a >> SHIFT) | (b & ~LOW)
    for i in range(whole, pairs):
        for j in range(words):
            a, b = rows[2 * i, j], rows[2 * i + 1, j]
            out[2 * j, i] = (a & LOW) | (b << SHIFT)
            out[2 * j + 1, i] = (a >> SHIFT) | (b & ~LOW)


@jit
def turn(rows: Array, out: Array) -> None:
    """Transpose float32 of any shape."""
    n, n_chans = rows.shape
    whole = n - n % TILE
    for first in range(0, whole, TILE):
        for j in range(n_chans):
            for i in range(TILE):
                out[j, first + i] = rows[first + i, j]
    for i in range(whole, n):
        for j in range(n_chans):
            out[j, i] = rows[i, j]


@jit
def count_events(
    times: Array, unit: Array, first: Array, last: Array, start: Array, bin_s: float, counts: Array
) -> None:
    """Add the events [first, last) of each window to counts (n, n_units, n_bins).

    A time's bin is that of `signals.spikes.bins_of`: what an edge is does not depend on who counts.
    """
    n_bins = counts.shape[2]
    for w in range(counts.shape[0]):
        begin = start[w]
        for e in range(first[w], last[w]):
            k = np.int64(np.rint((times[e] - begin) / bin_s * TICKS)) >> TICKS_LOG2
            if 0 <= k < n_bins:
                counts[w, unit[e], k] += np.float32(1.0)
