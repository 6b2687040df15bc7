"""The inner loops, compiled by numba when first used and cached.

Legend: x (n_chans, n_times) float32, overwritten; valid (n_times,) bool; state float64. Channels are the inner loop
over blocks that are transposed into a small float64 scratch: that is what the compiler vectorises, and since every
(channel, time) sees the same operations in the same order, how a stream is cut never changes a bit. No fastmath.
"""

from __future__ import annotations

import numpy as np

from ..core.compiled import jit
from ..core.stream import Array

LARGEST = np.float32(np.finfo(np.float32).max)


@jit
def hold_finite(values: Array, valid: Array, held: Array, out: Array, out_valid: Array) -> None:
    """Copy `values`; a sample that is not finite becomes the last finite one (`held`), its time invalid."""
    n_chans, n_times = values.shape
    for t in range(n_times):
        out_valid[t] = valid[t]
    for c in range(n_chans):
        bad = 0
        for t in range(n_times):
            v = values[c, t]
            out[c, t] = v
            bad |= 0 if abs(v) <= LARGEST else 1
        if bad:
            last = held[c]
            for t in range(n_times):
                if abs(out[c, t]) <= LARGEST:
                    last = out[c, t]
                else:
                    out[c, t] = last
                    out_valid[t] = False
        if n_times:
            held[c] = out[c, n_times - 1]


@jit
def polyphase(
    buffer: Array,
    ok: Array,
    base: int,
    taps: Array,
    down: int,
    delay: int,
    span: int,
    k0: int,
    out: Array,
    out_ok: Array,
) -> None:
    """Write outputs k0, k0 + 1, ... of a rational FIR resampler.

    buffer (rows, n_chans) time-major, its row 0 is input `base`; taps (up, n_taps). Output k lies at k * down on the
    fine grid (up points an input sample) and weighs the inputs around k * down + delay - (taps). It is valid where
    the inputs within `span` fine points of its place are.
    """
    up, n_taps = taps.shape
    n_chans, n_out = out.shape
    total = np.empty(n_chans)
    for i in range(n_out):
        place = (k0 + i) * down
        phase, row = (place + delay) % up, (place + delay) // up - base
        total[:] = 0.0
        for j in range(n_taps):
            h = taps[phase, j]
            line = buffer[row - j]
            for c in range(n_chans):
                total[c] += h * line[c]
        for c in range(n_chans):
            out[c, i] = total[c]
        good = True
        ahead = min(place + span, place + delay)
        for r in range(-((span - place) // up) - base, ahead // up - base + 1):
            good &= ok[r]
        out_ok[i] = good
