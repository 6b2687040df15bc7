"""The inner loops of complex resonators and of means over their output, compiled by numba when first used.

Legend: z (n_bands, n_chans, n_times) complex128; x (n_chans, n_times) float32; memory (n_bands, order, 2, n_chans)
float64, real and imaginary parts of each pole's last output. In the resonators channels are the inner loop over blocks
that are transposed into small float64 scratches, so that the compiler vectorises them; every (channel, time) sees the
same operations in the same order, however the stream is cut.
"""

from __future__ import annotations

import numpy as np

from ..core.compiled import jit
from ..core.stream import Array

BLOCK = 32
TINY = 1e-100  # a state below becomes 0: denormal numbers would slow a flat line down


@jit
def resonate(x: Array, poles: Array, memory: Array, out: Array) -> None:
    """Run y_k[t] = (1 - |p|) y_(k-1)[t] + p y_k[t-1], k = 1 ... order, y_0 = 2 x, for the pole p of each band."""
    n_chans, n_times = x.shape
    real, imag = np.empty((BLOCK, n_chans)), np.empty((BLOCK, n_chans))
    for t0 in range(0, n_times, BLOCK):
        m = min(BLOCK, n_times - t0)
        for band in range(poles.size):
            for c in range(n_chans):
                for t in range(m):
                    real[t, c], imag[t, c] = 2.0 * x[c, t0 + t], 0.0
            for k in range(memory.shape[1]):
                _pole(real, imag, m, poles[band].real, poles[band].imag, memory[band, k, 0], memory[band, k, 1])
            for c in range(n_chans):
                for t in range(m):
                    out[band, c, t0 + t] = complex(real[t, c], imag[t, c])


@jit
def _pole(real: Array, imag: Array, m: int, a: float, b: float, u: Array, v: Array) -> None:
    gain = 1.0 - np.sqrt(a * a + b * b)
    for t in range(m):
        re, im = real[t], imag[t]
        for c in range(u.size):
            old = u[c]
            u[c] = gain * re[c] + a * old - b * v[c]
            v[c] = gain * im[c] + a * v[c] + b * old
            u[c] = 0.0 if abs(u[c]) < TINY else u[c]
            v[c] = 0.0 if abs(v[c]) < TINY else v[c]
            re[c], im[c] = u[c], v[c]


@jit
def block_means(z: Array, hop: int, root: bool, sums: Array, filled: int, out: Array) -> None:
    """Write the means of |z|^2 (or |z|) over blocks of `hop` samples.

    sums (n_bands, n_chans) hold the `filled` samples of the open block;
    out (n_chans, n_bands, n_blocks) float64. Every sum is taken in the order of time, so cuts change nothing.
    """
    n_bands, n_chans, n_times = z.shape
    for band in range(n_bands):
        for c in range(n_chans):
            total, left, block = sums[band, c], hop - filled, 0
            for t in range(n_times):
                v = z[band, c, t]
                size = v.real * v.real + v.imag * v.imag
                total += np.sqrt(size) if root else size
                left -= 1
                if left == 0:
                    out[c, band, block] = total / hop
                    total, left, block = 0.0, hop, block + 1
            sums[band, c] = total
