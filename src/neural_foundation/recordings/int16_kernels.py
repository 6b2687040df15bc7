"""Compiled passes between samples as they lie in a file, time first, and chunks, channels first.

Legend: rows (n_times, n_chans) int16; values (n_chans, n_times) float32. Both are walked in tiles that stay in the
nearest cache. Each number is what numpy's own operations on the whole arrays give, to the bit.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.compiled import jit

Array = NDArray[Any]

TILE = 32
LARGEST = 32767.0
LOW, HALF = np.uint32(0xFFFF), np.uint32(16)


@jit
def quantise(values: Array, step: float, rows: Array) -> bool:
    """Write values / step, rounded, to rows; return whether all are finite and within int16, else rows are unusable."""
    n_chans, n_times = values.shape
    tile, bad = np.empty((n_chans, TILE), np.int16), 0
    for first in range(0, n_times, TILE):
        n = min(TILE, n_times - first)
        for c in range(n_chans):
            for t in range(n):
                steps = np.rint(np.float64(values[c, first + t]) / step)
                bad |= 0 if abs(steps) <= LARGEST else 1
                tile[c, t] = np.int16(np.int32(steps))
        for t in range(n):
            for c in range(n_chans):
                rows[first + t, c] = tile[c, t]
    return bad == 0


@jit
def scale_pairs(words: Array, gain: Array, values: Array) -> None:
    """Write rows times `gain` (n_chans,) to values; rows are given as words of two, uint32 (n_times, n_chans / 2)."""
    n = words.shape[0]
    for first in range(0, n, TILE):
        last = min(first + TILE, n)
        for j in range(words.shape[1]):
            a, b = gain[2 * j], gain[2 * j + 1]
            for i in range(first, last):
                word = words[i, j]
                values[2 * j, i] = np.float32(np.float64(np.int16(word & LOW)) * a)
                values[2 * j + 1, i] = np.float32(np.float64(np.int16(word >> HALF)) * b)


@jit
def scale(rows: Array, gain: Array, values: Array) -> None:
    """Write rows times `gain` (n_chans,) to values."""
    n, n_chans = rows.shape
    for first in range(0, n, TILE):
        last = min(first + TILE, n)
        for c in range(n_chans):
            for i in range(first, last):
                values[c, i] = np.float32(np.float64(rows[i, c]) * gain[c])
