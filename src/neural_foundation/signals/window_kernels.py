"""The inner loops of features in the time domain, compiled by numba when first used and cached.

Legend: windows (w, n_chans, n) float32; out (w, n_chans, n_features) float64, overwritten. Sums run in float64 over
the samples less the window's mean (or its first sample), so an offset costs no digits. No fastmath.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core.compiled import jit
from ..core.stream import Array


@jit
def line_lengths(windows: Array, out: Array) -> None:
    """Write the sum of the absolute differences."""
    for w in range(windows.shape[0]):
        for c in range(windows.shape[1]):
            x, total = windows[w, c], 0.0
            for i in range(1, x.size):
                total += abs(np.float64(x[i]) - np.float64(x[i - 1]))
            out[w, c, 0] = total


@jit
def hjorth(windows: Array, out: Array) -> None:
    """Write the variances of the window, of its first and of its second differences."""
    n = windows.shape[2]
    for w in range(windows.shape[0]):
        for c in range(windows.shape[1]):
            x = windows[w, c]
            first = np.float64(x[0])
            s0, s1, s2, q0, q1, q2, last, slope = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
            for i in range(n):
                v = x[i] - first
                s0 += v
                q0 += v * v
                d = v - last
                if i > 0:
                    s1 += d
                    q1 += d * d
                if i > 1:
                    s2 += d - slope
                    q2 += (d - slope) * (d - slope)
                last, slope = v, d
            out[w, c, 0] = max(0.0, q0 / n - (s0 / n) ** 2)
            out[w, c, 1] = max(0.0, q1 / (n - 1) - (s1 / (n - 1)) ** 2)
            out[w, c, 2] = max(0.0, q2 / (n - 2) - (s2 / (n - 2)) ** 2)


@jit
def moments(windows: Array, out: Array) -> None:
    """Write mean, the central moments 2 to 4, crossings of the mean, least and largest (less the first sample)."""
    n = windows.shape[2]
    for w in range(windows.shape[0]):
        for c in range(windows.shape[1]):
            x = windows[w, c]
            first = np.float64(x[0])
            mean, low, high = 0.0, 0.0, 0.0
            for i in range(n):
                v = x[i] - first
                mean += v
                low, high = min(low, v), max(high, v)
            mean /= n
            m2, m3, m4, crossings = 0.0, 0.0, 0.0, 0
            above = mean <= 0
            for i in range(n):
                v = x[i] - first - mean
                square = v * v
                m2 += square
                m3 += square * v
                m4 += square * square
                crossings += above != (v >= 0)
                above = v >= 0
            out[w, c, 0], out[w, c, 1], out[w, c, 2], out[w, c, 3] = first + mean, m2 / n, m3 / n, m4 / n
            out[w, c, 4], out[w, c, 5], out[w, c, 6] = crossings, low, high


@jit
def sample_entropies(windows: Array, m: int, tolerance: float, out: Array) -> None:
    """Write the sample entropy: -ln(A / B) of the pairs within tolerance * SD over m + 1 and over m samples.

    Pairs are counted lag by lag, so that the inner loops run over neighbours in memory. Without a match over m + 1
    samples the least A that could have been seen stands in: 1 pair of all (Richman & Moorman 2000).
    """
    n = windows.shape[2]
    close, both = np.empty(n, np.uint8), np.empty(n, np.uint8)
    x = np.empty(n)
    for w in range(windows.shape[0]):
        for c in range(windows.shape[1]):
            r = tolerance * _copied(windows[w, c], x)
            some, more = 0, 0
            for lag in range(1, n - m):
                last = n - m - lag  # templates i and i + lag, both among the first n - m
                _within(x, lag, r, close)
                _together(close, m, last, both)
                found: Any = np.int32(0)
                longer: Any = np.int32(0)
                after = close[m:]
                for i in range(last):
                    found += both[i]
                    longer += both[i] & after[i]
                some += found
                more += longer
            pairs = 0.5 * (n - m - 1) * (n - m)
            if some > 0 and more > 0:
                out[w, c, 0] = -np.log(more / some)
            else:
                out[w, c, 0] = np.log(pairs)


@jit
def approximate_entropies(windows: Array, m: int, tolerance: float, out: Array) -> None:
    """Write the approximate entropy: phi(m) - phi(m + 1), self-matches counted (Pincus 1991)."""
    n = windows.shape[2]
    close, both = np.empty(n, np.uint8), np.empty(n, np.uint8)
    short, long = np.empty(n, np.int32), np.empty(n, np.int32)
    x = np.empty(n)
    for w in range(windows.shape[0]):
        for c in range(windows.shape[1]):
            r = tolerance * _copied(windows[w, c], x)
            short[:], long[:] = 1, 1
            for lag in range(1, n - m + 1):
                last = n - m + 1 - lag
                _within(x, lag, r, close)
                _together(close, m, last, both)
                _add(both, short[:last])
                _add(both, short[lag : lag + last])
                after = close[m:]
                for i in range(last - 1):
                    both[i] &= after[i]
                _add(both, long[: last - 1])
                _add(both, long[lag : lag + last - 1])
            out[w, c, 0] = _mean_log(short, n - m + 1) - _mean_log(long, n - m)


@jit
def permutation_entropies(windows: Array, order: int, delay: int, out: Array) -> None:
    """Write the entropy in bits of the order patterns; of equal samples the earlier counts as the lower."""
    n = windows.shape[2]
    n_patterns = 1
    for k in range(2, order + 1):
        n_patterns *= k
    counts = np.empty(n_patterns, np.int64)
    last = n - (order - 1) * delay
    for w in range(windows.shape[0]):
        for c in range(windows.shape[1]):
            x = windows[w, c]
            counts[:] = 0
            for t in range(last):
                code = 0
                for i in range(order - 1):  # the pattern's Lehmer code in the factorial number system
                    larger = 0
                    for j in range(i + 1, order):
                        larger += x[t + i * delay] > x[t + j * delay]
                    code = code * (order - i) + larger
                counts[code] += 1
            total = 0.0
            for k in range(n_patterns):
                if counts[k] > 0:
                    total -= counts[k] / last * np.log2(counts[k] / last)
            out[w, c, 0] = total


@jit
def _copied(source: Array, x: Array) -> float:
    """Copy a window, less its first sample, and return its standard deviation (of the population)."""
    n, mean, square = x.size, 0.0, 0.0
    first = np.float64(source[0])
    for i in range(n):
        x[i] = source[i] - first
        mean += x[i]
    mean /= n
    for i in range(n):
        square += (x[i] - mean) * (x[i] - mean)
    return float(np.sqrt(square / n))


@jit
def _within(x: Array, lag: int, r: float, close: Array) -> None:
    y = x[lag:]  # slices: an index i + lag could be a negative one, and the compiler would not vectorise
    for i in range(y.size):
        close[i] = np.uint8(1) if abs(x[i] - y[i]) <= r else np.uint8(0)


@jit
def _together(close: Array, m: int, last: int, both: Array) -> None:
    """Write where m neighbours are all close."""
    for i in range(last):
        both[i] = close[i]
    for k in range(1, m):
        after = close[k:]
        for i in range(last):
            both[i] &= after[i]


@jit
def _add(both: Array, counts: Array) -> None:
    for i in range(counts.size):
        counts[i] += both[i]


@jit
def _mean_log(counts: Array, n: int) -> float:
    total = 0.0
    for i in range(n):
        total += np.log(counts[i] / n)
    return total / n
