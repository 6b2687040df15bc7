"""Complex Morlet wavelets: power, amplitude or phase at given frequencies, a column a hop."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field, model_validator

from ..core.specs import SignalSpec
from ..core.stream import Array, Transducer
from .base import SignalOp, below_nyquist
from .features import at_frequencies
from .windowed import Windowed, WindowedOp

UNITS = {"power": "{}^2/Hz", "amplitude": "{}", "phase": "rad"}
WIDTH = 5.0  # standard deviations of the envelope on either side, as in MNE


class Around(WindowedOp):
    """The windows of the longest wavelet."""

    kind: Literal["wavelet"] = "wavelet"


class Wavelet(SignalOp):
    """One row a channel and frequency, "C3:10Hz": row = channel * n_freqs + frequency, in the order given.

    With sigma = n_cycles / (2 pi f) the wavelet is w(t) = (exp(2 pi i f t) - exp(-n_cycles^2 / 2)) exp(-t^2 /
    (2 sigma^2)), cut at 5 sigma (Tallon-Baudry et al. 1997, J. Neurosci. 17(2); mne.time_frequency.morlet); y is the
    signal convolved with it, at the middle of each hop: column k at input sample k hop + hop // 2.

    power : |y|^2 with w of energy 2, over sfreq, in V^2/Hz: tfr_array_morlet's power over sfreq. amplitude : |y| scaled
    so that a sine of that frequency gives its amplitude, in V (below 3 cycles, on average over its phase). phase : of
    y, in radians, 0 at a cosine's peak.

    Look-ahead: half the longest wavelet, less half a hop. Only the columns are computed, not every sample. A column is
    valid where the longest wavelet lies in valid samples. What is constant over it does not count.
    """

    kind: Literal["wavelet"] = "wavelet"
    frequencies: tuple[float, ...] = Field(min_length=1, description="in Hz")
    n_cycles: float | tuple[float, ...] = Field(7.0, description="of all wavelets, or one a frequency")
    hop_s: float = Field(0.1, gt=0, description="a column this often")
    output: Literal["power", "amplitude", "phase"] = Field("power", description="V^2/Hz, V or radians")

    @model_validator(mode="after")
    def _right(self) -> Wavelet:
        if min(self.frequencies) <= 0 or len(set(self.frequencies)) < len(self.frequencies):
            raise ValueError("frequencies must be above 0, each given once")
        cycles = self._cycles()
        if len(cycles) != len(self.frequencies) or min(cycles) <= 0:
            raise ValueError(f"n_cycles must be above 0, one or as many as frequencies ({len(self.frequencies)})")
        return self

    @property
    def keeps_topography(self) -> bool:
        return False

    def _cycles(self) -> tuple[float, ...]:
        alike = isinstance(self.n_cycles, (int, float))
        return (self.n_cycles,) * len(self.frequencies) if alike else self.n_cycles  # type: ignore[return-value]

    def bind(self, signal: SignalSpec) -> Transducer:
        """Return the operation; SignalMismatchError where a frequency is not below half the sampling rate."""
        below_nyquist("wavelet", "the highest frequency", max(self.frequencies), signal)
        waves = [morlet(f, n, signal.sfreq) for f, n in zip(self.frequencies, self._cycles(), strict=True)]
        hop = Around(hop_s=self.hop_s).samples(signal)[1]
        length = max(hop | 1, *map(len, waves))
        windows = Around(window_s=length / signal.sfreq, hop_s=self.hop_s, place="centre")
        return BoundWavelet(signal, windows, self, waves)


def morlet(hz: float, n_cycles: float, sfreq: float) -> Array:
    """Return the wavelet at an odd number of samples, its middle at 0, of energy 2."""
    sigma = n_cycles / (2 * np.pi * hz)
    half = int(np.ceil(WIDTH * sigma * sfreq - 1e-9)) - 1  # samples strictly within
    t = np.arange(-half, half + 1) / sfreq
    wave = (np.exp(2j * np.pi * hz * t) - np.exp(-(n_cycles**2) / 2)) * np.exp(-np.square(t / sigma) / 2)
    return np.asarray(wave * np.sqrt(2) / np.linalg.norm(wave))


def _heard(wave: Array, hz: float, sfreq: float) -> float:
    """Return what a wavelet hears of exp(2 pi i hz t); half of that is what it hears of a sine, on average."""
    turns = np.exp(-2j * np.pi * hz / sfreq * (np.arange(len(wave)) - len(wave) // 2))
    return float(np.abs(wave @ turns))


class BoundWavelet(Windowed):
    """Each column is the product of its window and the wavelets, turned round: a convolution at those places alone."""

    def __init__(self, signal: SignalSpec, windows: WindowedOp, spec: Wavelet, waves: list[Array]) -> None:
        super().__init__(signal, windows, at_frequencies(signal, spec.frequencies, UNITS[spec.output]))
        bank = np.zeros((len(waves), self.window), np.complex128)
        for row, wave in zip(bank, waves, strict=True):
            begin = (self.window - len(wave)) // 2
            row[begin : begin + len(wave)] = wave.conj()
        self._bank = np.concatenate([bank.real, bank.imag]).T.copy()
        self._output = spec.output
        self._height = np.array([2 / _heard(w, f, signal.sfreq) for w, f in zip(waves, spec.frequencies, strict=True)])

    def features(self, windows: Array) -> Array:
        flat = windows.reshape(-1, self.window).astype(np.float64)
        flat -= flat.mean(1, keepdims=True)
        real, imag = np.split(flat @ self._bank, 2, axis=1)
        if self._output == "phase":
            out = np.arctan2(imag, real)
        elif self._output == "amplitude":
            out = np.hypot(real, imag) * self._height
        else:
            out = (np.square(real) + np.square(imag)) / self.input.sfreq
        return np.asarray(out.reshape(len(windows), -1))
