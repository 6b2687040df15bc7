"""One compiled pass for operations that change rows of samples in place.

Legend: x (n_chans, n_times) float32, overwritten; valid (n_times,) bool; a block is up to 32 rows (time, n_chans) in
float64. A program is a table `codes` (n_steps, 4): what to do, where its numbers begin in `params`, where its memory
begins and ends in `memory`, all float64. Between two steps values are rounded to float32, so a program gives, to the
bit, what its steps give one after the other; and since every (channel, time) sees the same operations in the same
order, how a stream is cut never changes a bit either. Channels are the inner loop, which is what the compiler
vectorises. No fastmath.
"""

from __future__ import annotations

import numpy as np

from ..core.compiled import jit
from ..core.stream import Array
from .kernels import hold_finite

BLOCK = 32
TINY = 1e-100
SECTIONS, SUBTRACT, CLIP, MOMENTS, GAIN = range(5)


@jit
def enter(
    values: Array,
    ok: Array,
    held: Array,
    x: Array,
    valid: Array,
    codes: Array,
    params: Array,
    memory: Array,
    count: int,
) -> None:
    """Copy `values` and `ok` into x and valid, free of what is not finite (see `hold_finite`), and run the program."""
    hold_finite(values, ok, held, x, valid)
    run_rows(x, valid, codes, params, memory, count)


@jit
def run_rows(x: Array, valid: Array, codes: Array, params: Array, memory: Array, count: int) -> None:
    """Run a program over x in place; `count` = samples seen before x."""
    n_chans, n_times = x.shape
    block = np.empty((min(BLOCK, n_times), n_chans))
    for t0 in range(0, n_times, BLOCK):
        m = min(BLOCK, n_times - t0)
        for c in range(n_chans):
            for t in range(m):
                block[t, c] = x[c, t0 + t]
        for i in range(codes.shape[0]):
            if i > 0:
                _round(block, m)
            p, own = params[codes[i, 1] :], memory[codes[i, 2] : codes[i, 3]]
            if codes[i, 0] == SECTIONS:
                _sections(block, m, valid[t0 : t0 + m], p, own, count + t0)
            elif codes[i, 0] == SUBTRACT:
                _subtract(block, m, p)
            elif codes[i, 0] == CLIP:
                _clip(block, m, valid[t0 : t0 + m], p, own, count + t0)
            elif codes[i, 0] == MOMENTS:
                _moments(block, m, valid[t0 : t0 + m], p, own)
            else:
                _gain(block, m, p)
        for c in range(n_chans):
            for t in range(m):
                x[c, t0 + t] = block[t, c]


@jit
def _round(block: Array, m: int) -> None:
    for t in range(m):
        row = block[t]
        for c in range(row.size):
            row[c] = np.float32(row[c])


@jit
def _sections(block: Array, m: int, valid: Array, p: Array, own: Array, count: int) -> None:
    """Second-order sections, direct form II transposed.

    p: number of sections, whether to settle, then b0 b1 b2 a1 a2 and the steady state (2) of each; own: the state
    (n_sections, 2, n_chans), then whether it is settled. Until the first valid sample the output is 0; there the state
    becomes the steady one of its values. Every 1024th sample of the stream, states too small to matter become 0:
    denormal numbers would slow a flat line down a hundredfold.
    """
    n_chans, n_sections = block.shape[1], int(p[0])
    first = 0
    if own[-1] == 0.0 and p[1] != 0.0:
        while first < m and not valid[first]:
            block[first] = 0.0
            first += 1
        if first == m:
            return
        for s in range(n_sections):
            at = 2 * s * n_chans
            for c in range(n_chans):
                own[at + c] = p[7 + 7 * s] * block[first, c]
                own[at + n_chans + c] = p[8 + 7 * s] * block[first, c]
    own[-1] = 1.0
    for s in range(n_sections):
        q, at = p[2 + 7 * s : 9 + 7 * s], 2 * s * n_chans
        b0, b1, b2, a1, a2 = q[0], q[1], q[2], q[3], q[4]
        z0, z1 = own[at : at + n_chans], own[at + n_chans : at + 2 * n_chans]
        for t in range(first, m):
            row = block[t]
            if (count + t) & 1023 == 0:
                for c in range(n_chans):
                    z0[c] = 0.0 if abs(z0[c]) < TINY else z0[c]
                    z1[c] = 0.0 if abs(z1[c]) < TINY else z1[c]
            for c in range(n_chans):
                v = row[c]
                y = b0 * v + z0[c]
                z0[c] = b1 * v - a1 * y + z1[c]
                z1[c] = b2 * v - a2 * y
                row[c] = y


@jit
def _subtract(block: Array, m: int, p: Array) -> None:
    """Subtract the mean over the sources from the targets; p: 1 / number of sources, then two masks (n_chans,)."""
    n_chans = block.shape[1]
    source, target = p[1 : 1 + n_chans], p[1 + n_chans : 1 + 2 * n_chans]
    for t in range(m):
        row, mean = block[t], 0.0
        for c in range(n_chans):
            mean += source[c] * row[c]
        mean *= p[0]
        for c in range(n_chans):
            row[c] -= target[c] * mean


@jit
def _clip(block: Array, m: int, valid: Array, p: Array, own: Array, count: int) -> None:
    """Clip at `limit` times the running mean of |x|; p: alpha, limit, reject, floor, warm; own: scales, weight.

    Samples before `warm`, and up to the first valid one, only teach the scale. Beyond `reject` scales a time becomes
    invalid. What is learned is the clipped magnitude, so one artefact cannot raise the limit for the next.
    """
    alpha, limit, reject, floor, warm = p[0], p[1], p[2], p[3], p[4]
    scale = own[:-1]
    for t in range(m):
        row, w, unheard = block[t], 0.0, own[-1] == 0.0
        if valid[t]:
            own[-1] += alpha * (1.0 - own[-1])
            w = alpha / own[-1]
        if count + t < warm or unheard:
            for c in range(row.size):
                scale[c] += w * (abs(row[c]) - scale[c])
            continue
        beyond = 0
        for c in range(row.size):
            size = abs(row[c])
            unit = max(scale[c], floor)
            clipped = min(size, limit * unit)
            beyond |= 1 if size > reject * unit else 0
            row[c] = np.copysign(clipped, row[c])
            scale[c] += w * (clipped - scale[c])
        if beyond:
            valid[t] = False


@jit
def _moments(block: Array, m: int, valid: Array, p: Array, own: Array) -> None:
    """Centre and scale by exponentially weighted moments; p: alpha, floor, one;
    own: means, variances, weight.

    One weight a sample, shared by all channels; `one` divides every channel by the same number. With w the newest
    sample's share: mean += w d, var = (1 - w) (var + w d^2), d = x - mean before (West 1979).
    """
    n_chans = block.shape[1]
    alpha, smallest, one = p[0], p[1] * p[1], p[2] != 0.0
    mean, var = own[:n_chans], own[n_chans : 2 * n_chans]
    for t in range(m):
        row = block[t]
        if valid[t]:
            own[-1] += alpha * (1.0 - own[-1])
            w = alpha / own[-1]
            for c in range(n_chans):
                d = row[c] - mean[c]
                mean[c] += w * d
                var[c] = (1.0 - w) * (var[c] + w * d * d)
        if own[-1] == 0.0:
            row[:] = 0.0
        elif one:
            total = 0.0
            for c in range(n_chans):
                total += var[c]
            sd = np.sqrt(max(total / n_chans, smallest))
            for c in range(n_chans):
                row[c] = (row[c] - mean[c]) / sd
        else:
            for c in range(n_chans):
                row[c] = (row[c] - mean[c]) / np.sqrt(max(var[c], smallest))


@jit
def _gain(block: Array, m: int, p: Array) -> None:
    for t in range(m):
        row = block[t]
        for c in range(row.size):
            row[c] *= p[0]
