"""Estimates of spectra of many windows at once, in float64.

Shapes: windows (w, n_chans, length) float32; spectra (w, n_chans, n_repeats, n_freqs) complex; densities (w, n_chans,
n_freqs), one-sided, in units^2 / Hz. A repeat is a segment (Welch) or a taper (multitaper).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from ..core.stream import Array

PIECE_BYTES = 1 << 21  # of spectra at a time: what a core's cache holds


class Estimator:
    """Tapered Fourier transforms of segments of windows.

    tapers (k, segment) of energy 1, weights (n_repeats,) that sum to 1, `hz` (n_freqs,) what is computed. Each
    segment is centred on its mean first. `keep` makes one that gives only some of the frequencies.
    """

    def __init__(
        self,
        sfreq: float,
        tapers: Array,
        weights: Array,
        step: int,
        n_fft: int | None = None,
        keep: Array | None = None,
    ) -> None:
        self.sfreq, self.tapers, self.weights, self.step = sfreq, tapers, weights, step
        self.n_fft = n_fft or tapers.shape[1]
        every = np.fft.rfftfreq(self.n_fft, 1 / sfreq)
        self._keep = np.flatnonzero(np.ones(len(every), bool) if keep is None else keep)
        self.hz: Array = every[self._keep]
        self._slice = slice(self._keep[0], self._keep[-1] + 1)
        once = (self._keep == 0) | (2 * self._keep == self.n_fft)
        self._gain = np.where(once, 1.0, 2.0) / sfreq

    @property
    def n_repeats(self) -> int:
        return len(self.weights)

    def keep(self, wanted: Array) -> Estimator:
        """Return the estimator of the frequencies for which `wanted` (n_freqs,) is true, and those between them."""
        every = np.zeros(self.n_fft // 2 + 1, bool)
        at = self._keep[wanted]
        every[at.min() : at.max() + 1] = True
        return Estimator(self.sfreq, self.tapers, self.weights, self.step, self.n_fft, every)

    def fourier(self, windows: Array) -> Array:
        """Return the spectra (w, n_chans, n_repeats, n_freqs)."""
        from scipy.fft import rfft

        segment = self.tapers.shape[1]
        parts = sliding_window_view(windows, segment, axis=-1)[..., :: self.step, :].astype(np.float64)
        parts -= parts.mean(-1, keepdims=True)
        tapered = parts[..., None, :] * self.tapers if len(self.tapers) > 1 else parts[..., None, :]
        if len(self.tapers) == 1:
            tapered *= self.tapers
        spectra = rfft(tapered, self.n_fft, axis=-1, overwrite_x=True)[..., self._slice]
        return np.asarray(spectra).reshape(*windows.shape[:2], self.n_repeats, len(self.hz))

    def density(self, windows: Array) -> Array:
        """Return the power spectral density (w, n_chans, n_freqs)."""
        out = np.empty((*windows.shape[:2], len(self.hz)))
        for some in self.pieces(windows):
            spectra = self.fourier(windows[some])
            power = np.square(spectra.real)
            power += np.square(spectra.imag)
            out[some] = np.matmul(self.weights, power)
        out *= self._gain
        return out

    def pieces(self, windows: Array) -> Iterator[slice]:
        """Yield slices of the windows whose spectra fit into the cache."""
        each = 16 * windows.shape[1] * self.n_repeats * (self.n_fft // 2 + 1)
        step = max(1, PIECE_BYTES // each)
        for start in range(0, len(windows), step):
            yield slice(start, start + step)


def welch(length: int, sfreq: float, segment: int, n_fft: int | None = None) -> Estimator:
    """Return Welch's estimator: periodic Hann segments, half overlapping, all of the same weight."""
    from scipy.signal.windows import hann

    taper, step = hann(segment, sym=False), segment - segment // 2
    n = (length - segment) // step + 1
    return Estimator(sfreq, taper[None] / np.linalg.norm(taper), np.full(n, 1 / n), step, n_fft)


def multitaper(length: int, sfreq: float, bandwidth_hz: float | None = None, n_fft: int | None = None) -> Estimator:
    """Return Thomson's estimator: Slepian tapers of concentration above 0.9 (or the best), weighted by it.

    The tapers are periodic, as in MNE: one longer less its last sample, which leaves them an energy 1e-4 below 1.
    """
    from scipy.signal.windows import dpss

    half = 4.0 if bandwidth_hz is None else bandwidth_hz * length / (2 * sfreq)
    half = min(half, length / 2 - 1e-3)
    tapers, ratios = dpss(length, half, max(1, min(int(2 * half), length)), sym=False, return_ratios=True)
    good = ratios > 0.9 if (ratios > 0.9).any() else ratios == ratios.max()
    return Estimator(sfreq, np.asarray(tapers[good]), ratios[good] / ratios[good].sum(), length, n_fft)
