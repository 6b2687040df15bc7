"""The inner loops, compiled by numba when first used and cached.

Legend: x (n_chans, n_times) float32, overwritten; valid (n_times,) bool; state float64. Channels are the inner loop
over blocks that are transposed into a small float64 scratch: that is what the compiler vectorises, and since every
(channel, time) sees the same operations in the same order, how a stream is cut never changes a bit. No fastmath.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import numba
import numpy as np

from ..core.stream import Array

F = TypeVar("F", bound=Callable[..., object])
BLOCK = 32
LARGEST = np.float32(np.finfo(np.float32).max)
TINY = 1e-100


def _jit(function: F) -> F:
    """Compile without the GIL, cached on disk where some cache folder can be written."""
    try:
        compiled: F = numba.njit(nogil=True, cache=True, error_model="numpy")(function)
    except RuntimeError:  # a read-only installation without a home: compile in every process
        compiled = numba.njit(nogil=True, error_model="numpy")(function)
    return compiled


@_jit
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


@_jit
def _take_block(x: Array, t0: int, m: int, block: Array) -> None:
    for c in range(x.shape[0]):
        for t in range(m):
            block[t, c] = x[c, t0 + t]


@_jit
def _give_block(x: Array, t0: int, m: int, block: Array) -> None:
    for c in range(x.shape[0]):
        for t in range(m):
            x[c, t0 + t] = block[t, c]


@_jit
def sos_filter(x: Array, first: int, sos: Array, z: Array, count: int) -> None:
    """Filter x[:, first:] in place by second-order sections, direct form II transposed.

    sos (n_sections, 6), z (n_sections, 2, n_chans), count = samples seen before x. Every 1024th sample of the stream,
    states too small to matter become 0: denormal numbers would slow a flat line down a hundredfold.
    """
    n_chans, n_times = x.shape
    block = np.empty((min(BLOCK, n_times), n_chans))
    for t0 in range(first, n_times, BLOCK):
        m = min(BLOCK, n_times - t0)
        _take_block(x, t0, m, block)
        for s in range(sos.shape[0]):
            b0, b1, b2, a1, a2 = sos[s, 0], sos[s, 1], sos[s, 2], sos[s, 4], sos[s, 5]
            z0, z1 = z[s, 0], z[s, 1]
            for t in range(m):
                row = block[t]
                if (count + t0 + t) & 1023 == 0:
                    for c in range(n_chans):
                        z0[c] = 0.0 if abs(z0[c]) < TINY else z0[c]
                        z1[c] = 0.0 if abs(z1[c]) < TINY else z1[c]
                for c in range(n_chans):
                    v = row[c]
                    y = b0 * v + z0[c]
                    z0[c] = b1 * v - a1 * y + z1[c]
                    z1[c] = b2 * v - a2 * y
                    row[c] = y
        _give_block(x, t0, m, block)


@_jit
def subtract_mean(x: Array, sources: Array, targets: Array) -> None:
    """Subtract the mean over the channels `sources` from the channels `targets`, in place."""
    n_times = x.shape[1]
    mean = np.zeros(n_times)
    for c in sources:
        for t in range(n_times):
            mean[t] += x[c, t]
    share = 1.0 / sources.size
    for t in range(n_times):
        mean[t] *= share
    for c in targets:
        for t in range(n_times):
            x[c, t] -= mean[t]


@_jit
def normalise(
    x: Array, valid: Array, mean: Array, var: Array, weight: float, alpha: float, floor: float, one: bool
) -> float:
    """Centre and scale x in place by exponentially weighted moments; returns the new sum of weights.

    One weight a sample, shared by all channels; `one` divides every channel by the same number. With w the newest
    sample's share: mean += w d, var = (1 - w) (var + w d^2), d = x - mean before (West 1979).
    """
    n_chans, n_times = x.shape
    block = np.empty((min(BLOCK, n_times), n_chans))
    smallest = floor * floor
    for t0 in range(0, n_times, BLOCK):
        m = min(BLOCK, n_times - t0)
        _take_block(x, t0, m, block)
        for t in range(m):
            row = block[t]
            if valid[t0 + t]:
                weight += alpha * (1.0 - weight)
                w = alpha / weight
                for c in range(n_chans):
                    d = row[c] - mean[c]
                    mean[c] += w * d
                    var[c] = (1.0 - w) * (var[c] + w * d * d)
            if one:
                total = 0.0
                for c in range(n_chans):
                    total += var[c]
                sd = np.sqrt(max(total / n_chans, smallest))
                for c in range(n_chans):
                    row[c] = (row[c] - mean[c]) / sd
            else:
                for c in range(n_chans):
                    row[c] = (row[c] - mean[c]) / np.sqrt(max(var[c], smallest))
            if weight == 0.0:
                row[:] = 0.0
        _give_block(x, t0, m, block)
    return weight


@_jit
def clip(
    x: Array,
    valid: Array,
    scale: Array,
    weight: float,
    alpha: float,
    limit: float,
    reject: float,
    floor: float,
    warm: int,
) -> float:
    """Clip x in place at `limit` times the running mean of |x|; returns the new sum of weights.

    Samples before `warm` (counted from the start of x) only teach the scale. Beyond `reject` scales a time becomes
    invalid. What is learned is the clipped magnitude, so one artefact cannot raise the limit for the next.
    """
    n_chans, n_times = x.shape
    block = np.empty((min(BLOCK, n_times), n_chans))
    for t0 in range(0, n_times, BLOCK):
        m = min(BLOCK, n_times - t0)
        _take_block(x, t0, m, block)
        for t in range(m):
            row = block[t]
            w = 0.0
            if valid[t0 + t]:
                weight += alpha * (1.0 - weight)
                w = alpha / weight
            open_ = t0 + t < warm
            beyond = 0
            for c in range(n_chans):
                v = row[c]
                size = abs(v)
                unit = max(scale[c], floor)
                top = np.inf if open_ else limit * unit
                beyond |= 1 if (size > reject * unit and not open_) else 0
                row[c] = min(max(v, -top), top)
                scale[c] += w * (min(size, top) - scale[c])
            if beyond:
                valid[t0 + t] = False
        _give_block(x, t0, m, block)
    return weight


@_jit
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
