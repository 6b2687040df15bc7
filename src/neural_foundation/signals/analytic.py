"""Complex band filters: a band's amplitude and phase, sample by sample.

Shapes: b bands; taps (b, length) complex; analytic signals (b, n_chans, n_times) complex128. Where a channel holds
A cos(2 pi f t + p) with f inside the band, its analytic signal there is A exp(i (2 pi f t + p)).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from ..core.specs import SignalSpec
from ..core.stream import Array, Chunk, State, empty
from .base import Operation

FFT_FROM = 16  # samples from which the FFT is faster than the sum
ORDER = 4  # one-pole resonators in a row


def band_taps(low_hz: float, high_hz: float, sfreq: float) -> Array:
    """Return an odd number of taps of a linear-phase filter that passes low_hz..high_hz and no negative frequency.

    A Hamming-windowed low-pass, moved to the band's middle and doubled; its transitions are a quarter of the lower
    edge, at least 2 Hz, no wider than there is room below the band and up to its mirror image beyond half of the
    sampling rate: 3.3 / width seconds. What it would pass of an offset is taken off, as from a Morlet wavelet.
    """
    from scipy.signal import firwin

    width = min(max(0.25 * low_hz, 2.0), low_hz, sfreq - 2 * high_hz)
    half = (high_hz - low_hz) / 2
    n = int(np.ceil(3.3 / width * sfreq)) | 1
    slow = firwin(n, half + width / 2, window="hamming", fs=sfreq)
    turns = np.exp(2j * np.pi * (low_hz + high_hz) / 2 / sfreq * (np.arange(n) - n // 2))
    taps = 2 * slow * turns
    return np.asarray(taps - taps.sum() * slow)


class FilterBank(Operation):
    """Complex FIR filters on every channel, all with the look-ahead of the longest. The values at both ends are held.

    A subclass says what becomes of the analytic signals. State: the last samples, their validity, counts.
    """

    def __init__(self, signal: SignalSpec, output: SignalSpec, taps: Sequence[Array]) -> None:
        super().__init__(signal, output)
        self.length = max(len(t) for t in taps)
        self.taps = np.array([np.pad(t, (self.length - len(t)) // 2) for t in taps])
        self.delay = self.length // 2
        self.lookahead_s = self.delay / signal.sfreq
        self.settle_s = self.delay / signal.sfreq
        self._spectra: dict[int, tuple[Array, Array]] = {}
        newest_last = self.taps[:, ::-1]
        self._sum = np.ascontiguousarray(np.concatenate([newest_last.real, newest_last.imag]).T)

    @abstractmethod
    def given(self, analytic: Array, valid: Array, state: State) -> Chunk:
        """Return what comes out for the next samples; the chunk's start is set by the caller where rates agree."""

    def fresh(self) -> State:
        c = self.input.n_chans
        return {"tail": np.zeros((c, 0), np.float32), "ok": np.zeros(0, np.bool_), "n": 0, "n_out": 0}

    def process(self, chunk: Chunk, state: State) -> tuple[Chunk, State]:
        return self._take(chunk.values, chunk.valid, state), state

    def flush(self, state: State) -> Chunk:
        """Return what the end of the stream had kept waiting, the last value held."""
        if not state["n"]:
            return empty(self.output.n_chans, 0)
        values = np.repeat(state["tail"][:, -1:], self.delay, 1)
        return self._take(values, np.full(self.delay, state["ok"][-1]), state)

    def _take(self, values: Array, valid: Array, state: State) -> Chunk:
        if values.shape[1] and not state["n"]:
            state["tail"] = np.repeat(values[:, :1], self.length - 1, 1)
            state["ok"] = np.full(self.length - 1, valid[0])
        x, ok = np.concatenate([state["tail"], values], 1), np.concatenate([state["ok"], valid])
        state["n"] += values.shape[1]
        m = min(max(0, state["n"] - self.delay), values.shape[1])
        kept = max(0, x.shape[1] - self.length + 1)
        state["tail"], state["ok"] = x[:, kept:].copy(), ok[kept:].copy()
        shown = x.shape[1] - self.delay
        analytic = self._filtered(x[:, x.shape[1] - m - self.length + 1 :] if m else x[:, :0])
        return self.given(analytic, ok[shown - m : shown] if m else ok[:0], state)

    def _filtered(self, x: Array) -> Array:
        """Return the full-overlap convolution (b, n_chans, n - length + 1) of (n_chans, n) samples."""
        c, m = len(x), max(0, x.shape[1] - self.length + 1)
        out = np.empty((len(self.taps), c, m), np.complex128)
        if m < FFT_FROM:
            for t, window in enumerate(np.moveaxis(sliding_window_view(x, self.length, 1), 1, 0) if m else ()):
                both = window.astype(np.float64) @ self._sum
                out[:, :, t] = (both[:, : len(out)] + 1j * both[:, len(out) :]).T
            return out
        size = self._size(m)
        step = size - self.length + 1
        for at in range(0, m, step):
            self._by_fft(x[:, at : at + size], out[:, :, at : at + step], size)
        return out

    def _size(self, m: int) -> int:
        from scipy.fft import next_fast_len

        return int(next_fast_len(min(m, max(3 * self.length, 8192)) + self.length - 1, real=True))

    def _by_fft(self, x: Array, out: Array, size: int) -> None:
        from scipy.fft import irfft, rfft

        if size not in self._spectra:
            self._spectra[size] = rfft(self.taps.real, size, axis=1), rfft(self.taps.imag, size, axis=1)
        n, first = out.shape[2], self.length - 1
        spectrum = rfft(x.astype(np.float64), size, axis=1)
        for band, (real, imag) in enumerate(zip(*self._spectra[size], strict=True)):
            out[band].real = irfft(spectrum * real, size, axis=1)[:, first : first + n]
            out[band].imag = irfft(spectrum * imag, size, axis=1)[:, first : first + n]


class Resonators(Operation):
    """The causal form: four complex one-pole low-passes in a row around a band's middle, for each band.

    -3 dB at the band's edges together. At the middle a steady wave keeps its phase exactly; beside it the phase is off
    by up to four times the angle of one pole. State: one complex number a pole, channel and band.
    """

    def __init__(self, signal: SignalSpec, output: SignalSpec, bands: Sequence[tuple[float, float]]) -> None:
        from .analytic_kernels import resonate

        super().__init__(signal, output)
        self._kernel, self._poles = resonate, np.array([_pole(low, high, signal.sfreq) for low, high in bands])
        slowest = 1 - np.abs(self._poles).max()
        self.settle_s = float(2 * ORDER / (slowest * signal.sfreq))

    @abstractmethod
    def given(self, analytic: Array, valid: Array, state: State) -> Chunk:
        """Return what comes out for the next samples."""

    def fresh(self) -> State:
        return {"poles": np.zeros((len(self._poles), ORDER, 2, self.input.n_chans)), "n_out": 0}

    def process(self, chunk: Chunk, state: State) -> tuple[Chunk, State]:
        out = np.empty((len(self._poles), *chunk.values.shape), np.complex128)
        self._kernel(chunk.values, self._poles, state["poles"], out)
        return self.given(out, chunk.valid, state), state


def _pole(low_hz: float, high_hz: float, sfreq: float) -> complex:
    """Return the pole of one of ORDER equal resonators that together lose 3 dB at the edges."""
    beta = (high_hz - low_hz) / 2 / np.sqrt(2 ** (1 / ORDER) - 1)
    return complex(np.exp(2 * np.pi * (-beta + 0.5j * (low_hz + high_hz)) / sfreq))
