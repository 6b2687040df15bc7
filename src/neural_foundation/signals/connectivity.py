"""How two channels go together in a frequency band, on windows that slide."""

from __future__ import annotations

from itertools import combinations
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator

from ..core.errors import SignalMismatchError
from ..core.specs import SignalSpec
from ..core.stream import Array, Transducer
from .features import BANDS, Bands, bins_of_bands, check_bands, described, once
from .pick import indices_of
from .spectra import SpectralOp
from .windowed import Windowed

Measure = Literal["coherence", "imaginary_coherence", "plv", "pli", "wpli"]


class Connectivity(SpectralOp):
    """One row a pair, measure and band, "C3-C4:coherence_alpha"; plain numbers.

    With X, Y the spectra of one repeat (segment or taper), S_xy = X conj(Y) and <> the mean over the repeats of a
    window, at each frequency and then averaged over the band's:

    coherence : |<S_xy>|^2 / (<S_xx> <S_yy>), as scipy.signal.coherence. imaginary_coherence : the imaginary part of
    <S_xy> / sqrt(<S_xx> <S_yy>); positive where the first channel leads (Nolte et al. 2004, Clin. Neurophysiol.
    115(10)). plv : |<S_xy / |S_xy|>| (Lachaux et al. 1999, Hum. Brain Mapp. 8(4)). pli : |<sign Im S_xy>| (Stam et al.
    2007, Hum. Brain Mapp. 28(11)). wpli : |<Im S_xy>| / <|Im S_xy|> (Vinck et al. 2011, NeuroImage 55(4)).

    The repeats are few, so values of unrelated channels are not 0: coherence and plv^2 are about 1 / n_repeats. An
    imaginary part below 1e-10 of |S_xy| counts as 0; what has no power gives 0.
    """

    segment_share: ClassVar[float] = 0.25

    kind: Literal["connectivity"] = "connectivity"
    measures: tuple[Measure, ...] = Field(("coherence",), min_length=1, description="which, in the order of the rows")
    bands: Bands = Field(BANDS, min_length=1, description="[low, high) in Hz by name")
    pairs: tuple[tuple[str, str], ...] = Field((), description="pairs of channels; empty: all")
    window_s: float = Field(4.0, gt=0, description="length of a window")
    method: Literal["welch", "multitaper"] = Field("welch", description="what a repeat is: a segment or a taper")
    segment_s: float | None = Field(None, gt=0, description="welch: length of a segment; None: a quarter of a window")

    @model_validator(mode="after")
    def _right(self) -> Connectivity:
        check_bands(self.bands)
        once("measures", self.measures)
        once("pairs", [f"{a}-{b}" for a, b in self.pairs])
        if same := [a for a, b in self.pairs if a == b]:
            raise ValueError(f"pairs: '{same[0]}' is paired with itself")
        return self

    def bind(self, signal: SignalSpec) -> Transducer:
        """Return the operation; SignalMismatchError for a missing channel, an empty band, or a single repeat."""
        return BoundConnectivity(signal, self)


class BoundConnectivity(Windowed):
    """Feature row = (pair * n_measures + measure) * n_bands + band."""

    def __init__(self, signal: SignalSpec, spec: Connectivity) -> None:
        from . import pair_kernels

        pairs = spec.pairs or tuple(combinations(signal.ch_names, 2))
        rows = [(f"{a}-{b}:{m}_{band}", "") for a, b in pairs for m in spec.measures for band in spec.bands]
        if not rows:
            raise SignalMismatchError("connectivity: the signal has one channel", allowed="at least two")
        named = [indices_of("connectivity", pair, signal) for pair in pairs]
        super().__init__(signal, spec, described(signal, rows))
        every = spec.estimator(signal)
        inside = bins_of_bands("connectivity", spec.bands, every.hz, signal)
        if every.n_repeats < 2:
            raise SignalMismatchError(
                f"connectivity: a window of {spec.window_s:g} s gives a single {_repeat(spec)}, so all would be 1",
                allowed="at least 2",
                remedy="Give shorter segments, a larger bandwidth_hz, or a longer window",
            )
        self._estimator, self._pairs = every.keep(np.logical_or.reduce(inside)), np.array(named)
        self._mean = (inside / inside.sum(1, keepdims=True))[:, np.isin(every.hz, self._estimator.hz)].T
        self._measures, self._kernels = spec.measures, pair_kernels
        self._shape = (len(pairs), len(spec.measures), len(spec.bands))

    def features(self, windows: Array) -> Array:
        out = np.empty((len(windows), *self._shape))
        for some in self._estimator.pieces(windows):
            out[some] = self._of(self._estimator.fourier(windows[some]))
        return out.reshape(len(windows), -1)

    def _of(self, spectra: Array) -> Array:
        """Return (w, n_pairs, n_measures, n_bands) of spectra (w, n_chans, n_repeats, n_freqs)."""
        values = np.empty((*self._shape[:2], spectra.shape[-1]))
        out = np.empty((len(spectra), *self._shape))
        for one, made in zip(spectra, out, strict=True):
            parts = np.ascontiguousarray(one.real), np.ascontiguousarray(one.imag)
            for m, measure in enumerate(self._measures):
                self._kernels.RULES[measure](*parts, self._estimator.weights, self._pairs, values[:, m])
            made[:] = values @ self._mean
        return out


def _repeat(spec: Connectivity) -> str:
    return "segment" if spec.method == "welch" else "taper"
