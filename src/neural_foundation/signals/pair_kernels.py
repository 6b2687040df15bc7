"""The inner loops of connectivity, compiled by numba when first used and cached.

Legend: re, im (n_chans, n_repeats, n_freqs) float64, one window's spectra; weights (n_repeats,) that sum to 1; pairs
(n_pairs, 2); out (n_pairs, n_freqs), overwritten. Frequencies are the inner loop, which is what the compiler
vectorises. S = X conj(Y) of a pair. No fastmath.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..core.compiled import jit
from ..core.stream import Array

NOTHING = 1e-10  # of |S|: an imaginary part below it is rounding


@jit
def coherence(re: Array, im: Array, weights: Array, pairs: Array, out: Array) -> None:
    """Write |<S>|^2 / (<|X|^2> <|Y|^2>)."""
    power = _powers(re, im, weights)
    real, imag = np.empty(re.shape[2]), np.empty(re.shape[2])
    for p in range(pairs.shape[0]):
        a, b = pairs[p, 0], pairs[p, 1]
        _cross(re, im, weights, a, b, real, imag)
        for f in range(real.size):
            both = power[a, f] * power[b, f]
            out[p, f] = (real[f] * real[f] + imag[f] * imag[f]) / both if both > 0 else 0.0


@jit
def imaginary_coherence(re: Array, im: Array, weights: Array, pairs: Array, out: Array) -> None:
    """Write Im <S> / sqrt(<|X|^2> <|Y|^2>)."""
    power = _powers(re, im, weights)
    real, imag = np.empty(re.shape[2]), np.empty(re.shape[2])
    for p in range(pairs.shape[0]):
        a, b = pairs[p, 0], pairs[p, 1]
        _cross(re, im, weights, a, b, real, imag)
        for f in range(real.size):
            both = power[a, f] * power[b, f]
            out[p, f] = imag[f] / np.sqrt(both) if both > 0 else 0.0


@jit
def plv(re: Array, im: Array, weights: Array, pairs: Array, out: Array) -> None:
    """Write |<S / |S|>|."""
    unit_re, unit_im = np.empty_like(re), np.empty_like(im)
    for c in range(re.shape[0]):
        for s in range(re.shape[1]):
            for f in range(re.shape[2]):
                size = np.sqrt(re[c, s, f] * re[c, s, f] + im[c, s, f] * im[c, s, f])
                unit_re[c, s, f] = re[c, s, f] / size if size > 0 else 0.0
                unit_im[c, s, f] = im[c, s, f] / size if size > 0 else 0.0
    real, imag = np.empty(re.shape[2]), np.empty(re.shape[2])
    for p in range(pairs.shape[0]):
        _cross(unit_re, unit_im, weights, pairs[p, 0], pairs[p, 1], real, imag)
        for f in range(real.size):
            out[p, f] = np.sqrt(real[f] * real[f] + imag[f] * imag[f])


@jit
def pli(re: Array, im: Array, weights: Array, pairs: Array, out: Array) -> None:
    """Write |<sign Im S>|."""
    for p in range(pairs.shape[0]):
        a, b, total = pairs[p, 0], pairs[p, 1], out[p]
        total[:] = 0.0
        for s in range(re.shape[1]):
            w, ar, ai, br, bi = weights[s], re[a, s], im[a, s], re[b, s], im[b, s]
            for f in range(total.size):
                real, imag = ar[f] * br[f] + ai[f] * bi[f], ai[f] * br[f] - ar[f] * bi[f]
                total[f] += w * ((imag > NOTHING * abs(real)) - np.float64(imag < -NOTHING * abs(real)))
        for f in range(total.size):
            total[f] = abs(total[f])


@jit
def wpli(re: Array, im: Array, weights: Array, pairs: Array, out: Array) -> None:
    """Write |<Im S>| / <|Im S|>."""
    size = np.empty(re.shape[2])
    for p in range(pairs.shape[0]):
        a, b, total = pairs[p, 0], pairs[p, 1], out[p]
        total[:], size[:] = 0.0, 0.0
        for s in range(re.shape[1]):
            w, ar, ai, br, bi = weights[s], re[a, s], im[a, s], re[b, s], im[b, s]
            for f in range(total.size):
                real, imag = ar[f] * br[f] + ai[f] * bi[f], ai[f] * br[f] - ar[f] * bi[f]
                imag = w * imag if abs(imag) > NOTHING * abs(real) else 0.0
                total[f] += imag
                size[f] += abs(imag)
        for f in range(total.size):
            total[f] = abs(total[f]) / size[f] if size[f] > 0 else 0.0


@jit
def _powers(re: Array, im: Array, weights: Array) -> Array:
    power = np.zeros((re.shape[0], re.shape[2]))
    for c in range(re.shape[0]):
        for s in range(re.shape[1]):
            for f in range(re.shape[2]):
                power[c, f] += weights[s] * (re[c, s, f] * re[c, s, f] + im[c, s, f] * im[c, s, f])
    return power


@jit
def _cross(re: Array, im: Array, weights: Array, a: int, b: int, real: Array, imag: Array) -> None:
    real[:], imag[:] = 0.0, 0.0
    for s in range(re.shape[1]):
        w, ar, ai, br, bi = weights[s], re[a, s], im[a, s], re[b, s], im[b, s]
        for f in range(real.size):
            real[f] += w * (ar[f] * br[f] + ai[f] * bi[f])
            imag[f] += w * (ai[f] * br[f] - ar[f] * bi[f])


RULES: dict[str, Callable[..., None]] = {
    "coherence": coherence,
    "imaginary_coherence": imaginary_coherence,
    "plv": plv,
    "pli": pli,
    "wpli": wpli,
}
