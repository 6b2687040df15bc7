"""The inner loop of `crossings`, compiled by numba when first used.

Legend: x (n_chans, n_times) float32; valid (n_times,) bool. p: alpha, threshold, refractory samples, warm-up samples,
samples a bin. memory (n_chans, 5) float64: noise, weight, samples since the last crossing, whether beyond the
threshold, crossings in the open bin. out (n_chans, n_bins).
"""

from __future__ import annotations

import numpy as np

from ..core.compiled import jit
from ..core.stream import Array

TO_SD = np.sqrt(np.pi / 2)  # mean magnitude to standard deviation, for a normal distribution


@jit
def count_crossings(x: Array, valid: Array, p: Array, memory: Array, count: int, out: Array) -> None:
    """Count crossings into bins; count = samples seen before x."""
    alpha, threshold, refractory, warm, hop = p[0], p[1], p[2], p[3], int(p[4])
    side, level = np.sign(threshold), abs(threshold)
    for c in range(x.shape[0]):
        own, block = memory[c], 0
        for t in range(x.shape[1]):
            v, limit = float(x[c, t]), level * own[0]
            own[2] += 1.0
            beyond = side * v > limit
            if beyond and own[3] == 0.0 and own[2] > refractory and count + t >= warm and valid[t]:
                own[4] += 1.0
                own[2] = 0.0
            own[3] = 1.0 if beyond else 0.0
            if valid[t]:
                own[1] += alpha * (1.0 - own[1])
                size = abs(v) if count + t < warm else min(abs(v), limit)
                own[0] += alpha / own[1] * (TO_SD * size - own[0])
            if (count + t + 1) % hop == 0:
                out[c, block] = own[4]
                own[4], block = 0.0, block + 1
