"""Power in named frequency bands, on windows that slide."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field, model_validator

from ..core.specs import SignalSpec
from ..core.stream import Array, Transducer
from .features import BANDS, Bands, Scale, bins_of_bands, check_bands, decibels, of_channels
from .spectra import SpectralOp
from .windowed import Windowed


class BandPowers(SpectralOp):
    """One row a channel and band, "C3:alpha": the spectrum summed over the band's frequencies, low <= f < high.

    scale 'absolute' : in V^2, sum of the density times the spacing of the frequencies, so that adjacent bands add up
    to their union. 'relative' : its share of all frequencies from the lowest edge to the highest (0 where a channel is
    flat). 'log' : 10 log10 of the absolute power, in dB against 1 V^2, no lower than -300.
    """

    kind: Literal["band_powers"] = "band_powers"
    bands: Bands = Field(BANDS, min_length=1, description="[low, high) in Hz by name")
    scale: Scale = Field("absolute", description="absolute: V^2; relative: share of all bands' range; log: dB")

    @model_validator(mode="after")
    def _edges(self) -> BandPowers:
        check_bands(self.bands)
        return self

    def bind(self, signal: SignalSpec) -> Transducer:
        """Return the operation; SignalMismatchError where a band holds no frequency of the spectrum."""
        return BoundBandPowers(signal, self)


class BoundBandPowers(Windowed):
    """Feature row = channel * n_bands + band."""

    def __init__(self, signal: SignalSpec, spec: BandPowers) -> None:
        unit = {"absolute": "{}^2", "relative": "", "log": "dB"}[spec.scale]
        super().__init__(signal, spec, of_channels(signal, [(b, unit) for b in spec.bands]))
        every = spec.estimator(signal)
        inside = bins_of_bands("band_powers", spec.bands, every.hz, signal)
        self._estimator = every.keep(np.logical_or.reduce(inside))
        df = every.sfreq / every.n_fft
        self._sum = inside[:, np.isin(every.hz, self._estimator.hz)].T * df
        self._whole = np.full(len(self._estimator.hz), df)
        self._scale = spec.scale

    def features(self, windows: Array) -> Array:
        density = self._estimator.density(windows)
        power = density @ self._sum
        if self._scale == "relative":
            total = (density @ self._whole)[..., None]
            power /= np.where(total > 0, total, 1)
        elif self._scale == "log":
            power = decibels(power)
        return np.asarray(power.reshape(len(windows), -1))
