"""The spectrum of a window that slides: short-time Fourier, multitaper, or mel."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field, model_validator

from ..core.errors import SignalMismatchError
from ..core.specs import SignalSpec
from ..core.stream import Array, Transducer
from .base import below_nyquist
from .estimates import Estimator
from .features import at_frequencies, decibels
from .windowed import Windowed, WindowedOp


class Spectrogram(WindowedOp):
    """One row a channel and frequency, "C3:10.5Hz": row = channel * n_freqs + frequency, ascending. `frequencies_of`
    reads the frequencies from the output's spec, `unfold` gives (n_chans, n_freqs, n_columns).

    stft : the centred window under a periodic Hann taper, as scipy.signal.spectrogram. multitaper : under Slepian
    tapers, as mne.time_frequency.psd_array_multitaper (see band_powers). mel : the stft's density averaged by n_mels
    triangles that overlap by half, their corners equally spaced in mel(f) = log(1 + f / mel_corner_hz) (O'Shaughnessy
    1987, Speech Communication, p. 150, who has 700 Hz), each of sum 1. EEG lies far below 700 Hz, where that scale is
    linear: a corner near 8 Hz gives narrow low and wide high filters from 1 to 45 Hz.

    Densities in V^2/Hz, or 10 log10 of them in dB, no lower than -300.
    """

    kind: Literal["spectrogram"] = "spectrogram"
    method: Literal["stft", "multitaper", "mel"] = Field("stft", description="estimate of the spectrum")
    low_hz: float = Field(1.0, ge=0, description="lowest frequency")
    high_hz: float = Field(45.0, gt=0, description="highest frequency, itself included")
    resolution_hz: float | None = Field(
        None, gt=0, description="spacing of the frequencies, by padding; None: 1 / window_s"
    )
    bandwidth_hz: float | None = Field(
        None, gt=0, description="multitaper: full width of the smoothing; None: 8 / window_s"
    )
    n_mels: int = Field(20, ge=1, le=512, description="mel: number of filters")
    mel_corner_hz: float = Field(700.0, gt=0, description="mel: linear well below, logarithmic well above")
    scale: Literal["power", "db"] = Field("power", description="power: V^2/Hz; db: 10 log10 of it")

    @model_validator(mode="after")
    def _right(self) -> Spectrogram:
        if self.low_hz >= self.high_hz:
            raise ValueError(f"low_hz={self.low_hz:g} must be below high_hz={self.high_hz:g}")
        if self.bandwidth_hz is not None and self.method != "multitaper":
            raise ValueError(f"bandwidth_hz belongs to method 'multitaper', but method is '{self.method}'")
        if self.bandwidth_hz is not None and self.bandwidth_hz * self.window_s < 1:
            raise ValueError(f"bandwidth_hz={self.bandwidth_hz:g} is finer than 1 / window_s={1 / self.window_s:g}")
        if self.resolution_hz is not None and self.resolution_hz * self.window_s > 1 + 1e-9:
            raise ValueError(
                f"resolution_hz={self.resolution_hz:g} is coarser than 1 / window_s={1 / self.window_s:g}; padding only"
                " makes it finer: shorten the window"
            )
        for field in ("n_mels", "mel_corner_hz"):
            if getattr(self, field) != type(self).model_fields[field].default and self.method != "mel":
                raise ValueError(f"{field} belongs to method 'mel', but method is '{self.method}'")
        return self

    def bind(self, signal: SignalSpec) -> Transducer:
        """Return the operation; SignalMismatchError where the range, the padding or a mel filter does not fit."""
        below_nyquist("spectrogram", "high_hz", self.high_hz, signal)
        every = self._estimator(signal)
        inside = (every.hz >= self.low_hz - 1e-9) & (every.hz <= self.high_hz + 1e-9)
        if not inside.any():
            raise SignalMismatchError(
                f"spectrogram: no frequency of the spectrum lies in {self.low_hz:g} to {self.high_hz:g} Hz",
                remedy="Use longer windows or a wider range",
            )
        estimator = every.keep(inside)
        if self.method != "mel":
            return BoundSpectrogram(signal, self, estimator, estimator.hz, None)
        centres, filters = mel_filters(estimator.hz, self.low_hz, self.high_hz, self.n_mels, self.mel_corner_hz)
        return BoundSpectrogram(signal, self, estimator, centres, filters)

    def _estimator(self, signal: SignalSpec) -> Estimator:
        from . import estimates

        n, fs = self.samples(signal)[0], signal.sfreq
        n_fft = n if self.resolution_hz is None else round(fs / self.resolution_hz)
        if self.resolution_hz is not None and abs(n_fft * self.resolution_hz / fs - 1) > 1e-9 or n_fft < n:
            raise SignalMismatchError(
                f"spectrogram: resolution_hz={self.resolution_hz:g} does not divide sfreq={fs:g} Hz",
                remedy=f"Give {fs / max(n, n_fft):.9g}, or sfreq over another whole number",
            )
        if self.method == "multitaper":
            return estimates.multitaper(n, fs, self.bandwidth_hz, n_fft)
        return estimates.welch(n, fs, n, n_fft)


class BoundSpectrogram(Windowed):
    """Feature row = channel * n_freqs + frequency."""

    def __init__(
        self, signal: SignalSpec, spec: Spectrogram, estimator: Estimator, hz: Array, filters: Array | None
    ) -> None:
        unit = "dB" if spec.scale == "db" else "{}^2/Hz"
        super().__init__(signal, spec, at_frequencies(signal, hz, unit))
        self._estimator, self._filters, self._db = estimator, filters, spec.scale == "db"

    def features(self, windows: Array) -> Array:
        density = self._estimator.density(windows)
        if self._filters is not None:
            density = density @ self._filters
        if self._db:
            density = decibels(density)
        return density.reshape(len(windows), -1)


def mel_filters(hz: Array, low_hz: float, high_hz: float, n_mels: int, corner_hz: float) -> tuple[Array, Array]:
    """Return the centres (n_mels,) in Hz and the triangles (n_freqs, n_mels), each of sum 1.

    SignalMismatchError where a triangle lies between two frequencies of the spectrum.
    """
    mels = np.linspace(np.log1p(low_hz / corner_hz), np.log1p(high_hz / corner_hz), n_mels + 2)
    corners = corner_hz * np.expm1(mels)
    left, centre, right = corners[:-2], corners[1:-1], corners[2:]
    f = hz[:, None]
    weights = np.maximum(0, np.minimum((f - left) / (centre - left), (right - f) / (right - centre)))
    total = weights.sum(0)
    if not (total > 0).all():
        i = int(np.argmin(total))
        raise SignalMismatchError(
            f"spectrogram: mel filter {i} ({left[i]:.3g} to {right[i]:.3g} Hz) holds no frequency of the spectrum",
            remedy="Use fewer filters, longer windows, or a finer resolution_hz",
        )
    return centre, weights / total
