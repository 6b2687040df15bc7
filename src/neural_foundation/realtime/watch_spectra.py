"""One second of raw samples at a time: what the watch of the input and of the quality hear of it.

Shapes: a second (n_chans, n_times) float32; spectra (n_chans, n_bins) complex.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..core.specs import SignalSpec
from ..signals.features import BANDS

Float = NDArray[np.float64]
BRAIN = ("eeg", "seeg", "ecog", "dbs")
EEG_HZ, TOP_HZ, SHORTEST = (1.0, 45.0), 64.0, 16

LARGEST = 1e9  # volts or spikes; the squares of larger ones leave float32


@dataclass(frozen=True, eq=False)
class Second:
    """A second's samples (n_chans, n_times), 0 where they were not finite; its spectra and power (n_chans, n_bins).

    cov : covariance (n_chans, n_chans) of the EEG's frequencies, 1 to 45 Hz. lost : share of samples that were not
    finite (n_chans,).
    """

    values: NDArray[np.float32]
    spectra: NDArray[np.complex64]
    power: NDArray[np.float32]
    cov: NDArray[np.float64]
    lost: NDArray[np.float64]

    @property
    def whole(self) -> bool:
        """Whether each channel is finite throughout, or lost throughout."""
        return bool(((self.lost == 0) | (self.lost == 1)).all())


class Spectra:
    """Hann spectra of whole seconds of the channels that hear a brain; all, where none is said to. Counts have none."""

    def __init__(self, signal: SignalSpec, *, counts: bool = False) -> None:
        from scipy.fft import rfft

        types = signal.ch_types or ("eeg",) * signal.n_chans
        rows = [i for i, t in enumerate(types) if t in BRAIN] or list(range(signal.n_chans))
        self.rows = np.array(rows)
        self.all = len(rows) == signal.n_chans
        self.ch_names = tuple(signal.ch_names[i] for i in rows)
        self.n_times = max(1 if counts else SHORTEST, round(signal.sfreq))
        self.length_s = self.n_times / signal.sfreq
        self._counts = counts
        window = np.hanning(self.n_times + 2)[1:-1]
        self._window = (window * np.sqrt(2 / (self.n_times * np.square(window).sum()))).astype(np.float32)
        self._rfft = rfft
        hz = np.arange(self.n_times // 2 + 1) / self.length_s
        self.hz: Float = hz[hz < TOP_HZ]
        self._eeg = self.between(*EEG_HZ)

    def bands(self) -> dict[str, slice]:
        """Return the bins of the bands below 0.45 of the rate; one of all bins where there is no such band."""
        top = 0.45 * self.n_times / self.length_s
        named = {name: self.between(a, b) for name, (a, b) in BANDS.items() if b <= top}
        return named or {"power": slice(1, len(self.hz))}

    def between(self, low_hz: float, high_hz: float) -> slice:
        """Return the bins from `low_hz` up to below `high_hz`."""
        return slice(int(np.searchsorted(self.hz, low_hz - 1e-9)), int(np.searchsorted(self.hz, high_hz - 1e-9)))

    def __call__(self, values: NDArray[np.float32]) -> Second:
        """Return what is heard of a second; samples that are not finite, or beyond all sense, are heard as 0."""
        x = values if self.all else values[self.rows]
        lost = np.zeros(len(x))
        if not np.abs(x).max(initial=0) < LARGEST:
            finite = np.abs(x) < LARGEST
            lost = 1 - finite.mean(1)
            x = np.where(finite, x, np.float32(0))
        if self._counts:
            nothing = np.zeros((len(x), 0))
            return Second(x, nothing.astype(np.complex64), nothing.astype(np.float32), np.zeros((len(x),) * 2), lost)
        centred = (x - x.mean(1, keepdims=True)) * self._window
        spectra = self._rfft(centred, axis=1)[:, : len(self.hz)]
        eeg = spectra[:, self._eeg]
        cov = (eeg @ eeg.conj().T).real.astype(np.float64)
        return Second(x, spectra, np.square(spectra.real) + np.square(spectra.imag), cov, lost)
