"""The inner loop of `robust_reference`, compiled by numba when first used.

Legend: x (n_chans, n_times) float32, overwritten; valid (n_times,) bool; eeg (n,) channels that are referenced.
memory: deviations from the reference (n), sizes (n), which are good (n), and the sum of the weights; all float64.
"""

from __future__ import annotations

import numpy as np

from ..core.compiled import jit
from ..core.stream import Array

BLOCK = 32
MAD_TO_SD = 1.4826  # median absolute deviation to standard deviation, for a normal distribution


@jit
def robust_rows(x: Array, valid: Array, eeg: Array, p: Array, memory: Array, count: int) -> None:
    """Subtract the mean over good channels; p: alpha, warm, every, limit, spread, floor; count = samples before x."""
    alpha, warm, every = p[0], p[1], int(p[2])
    n, n_times = eeg.size, x.shape[1]
    deviation, size, good = memory[:n], memory[n : 2 * n], memory[2 * n : 3 * n]
    block = np.empty((min(BLOCK, n_times), n))
    for t0 in range(0, n_times, BLOCK):
        m = min(BLOCK, n_times - t0)
        for i in range(n):
            for t in range(m):
                block[t, i] = x[eeg[i], t0 + t]
        for t in range(m):
            row, seen = block[t], count + t0 + t
            middle = np.median(row) if seen < warm else _mean(row, good)
            if valid[t0 + t]:
                memory[3 * n] += alpha * (1.0 - memory[3 * n])
                w = alpha / memory[3 * n]
                for i in range(n):
                    deviation[i] += w * (abs(row[i] - middle) - deviation[i])
                    size[i] += w * (abs(row[i]) - size[i])
            for i in range(n):
                row[i] -= middle
            if (seen + 1) % every == 0:
                _judge(deviation, size, good, p)
        for i in range(n):
            for t in range(m):
                x[eeg[i], t0 + t] = block[t, i]


@jit
def _mean(row: Array, good: Array) -> float:
    total, weight = 0.0, 0.0
    for i in range(row.size):
        total += good[i] * row[i]
        weight += good[i]
    return total / weight


@jit
def _judge(deviation: Array, size: Array, good: Array, p: Array) -> None:
    """Say which channels are good; all of them where none would be left."""
    middle = np.median(deviation)
    spread = max(MAD_TO_SD * np.median(np.abs(deviation - middle)), p[4] * middle)
    left = 0
    for i in range(good.size):
        ok = deviation[i] <= middle + p[3] * spread and size[i] >= p[5]
        good[i] = 1.0 if ok else 0.0
        left += 1 if ok else 0
    if left == 0:
        good[:] = 1.0
