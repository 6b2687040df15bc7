"""The inner loop of `line_noise`, compiled by numba when first used and cached.

Legend: rows (n_times, n_chans) float64, overwritten; amp (n_harmonics, 2, n_chans): cosine and sine of each harmonic;
slow (n_chans,): a one-pole mean of what is left; size (n_chans,): running mean of the error's magnitude; track: phase,
hz, weight, samples until the frequency is renewed; before (2, n_chans): the fundamental when it was last renewed.
"""

from __future__ import annotations

import numpy as np

from ..core.compiled import jit
from ..core.stream import Array

PULL, BACK = 0.2, 0.002


@jit
def remove_line(
    rows: Array,
    valid: Array,
    amp: Array,
    slow: Array,
    size: Array,
    track: Array,
    before: Array,
    sfreq: float,
    nominal: float,
    most: float,
    alpha: float,
    beta: float,
    limit: float,
    every: int,
) -> None:
    """Subtract the harmonics, sample by sample; what is not valid teaches nothing."""
    n_times, n_chans = rows.shape
    wave = np.empty(n_chans)
    for t in range(n_times):
        row = rows[t]
        track[0] = (track[0] + 2 * np.pi * track[1] / sfreq) % (2 * np.pi)
        wave[:] = 0.0
        for h in range(amp.shape[0]):
            c, s = np.cos((h + 1) * track[0]), np.sin((h + 1) * track[0])
            for k in range(n_chans):
                wave[k] += amp[h, 0, k] * c + amp[h, 1, k] * s
        if valid[t]:
            if track[2] == 0.0:
                slow[:] = row
            track[2] += alpha * (1.0 - track[2])
            gain = 2 * min(alpha / track[2], 0.5 * beta)
            for k in range(n_chans):
                row[k] -= wave[k]
                slow[k] += beta * (row[k] - slow[k])
                error = row[k] - slow[k]
                edge = limit * size[k]
                if edge > 0.0:
                    error = min(max(error, -edge), edge)
                size[k] += min(1.0, alpha / track[2]) * (abs(error) - size[k])
                wave[k] = gain * error
                row[k] -= 0.5 * amp.shape[0] * wave[k]  # the gain between the notches is then 1
            for h in range(amp.shape[0]):
                c, s = np.cos((h + 1) * track[0]), np.sin((h + 1) * track[0])
                for k in range(n_chans):
                    amp[h, 0, k] += wave[k] * c
                    amp[h, 1, k] += wave[k] * s
        else:
            for k in range(n_chans):
                row[k] -= wave[k]
        track[3] -= 1.0
        if track[3] <= 0.0:
            track[3] = every
            _renew(amp, track, before, sfreq / every, nominal, most)


@jit
def _renew(amp: Array, track: Array, before: Array, rate: float, nominal: float, most: float) -> None:
    """Turn the frequency towards the rotation of the fundamental since the last time, and a little back to nominal."""
    real, imag = 0.0, 0.0
    for k in range(before.shape[1]):
        a0, b0, a1, b1 = before[0, k], before[1, k], amp[0, 0, k], amp[0, 1, k]
        real += a0 * a1 + b0 * b1
        imag += a1 * b0 - a0 * b1
        before[0, k], before[1, k] = a1, b1
    if real != 0.0 or imag != 0.0:
        track[1] += PULL * np.arctan2(imag, real) / (2 * np.pi) * rate - BACK * (track[1] - nominal)
        track[1] = min(max(track[1], nominal - most), nominal + most)
