"""The shape of the spectrum in a few numbers, on windows that slide."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
from pydantic import Field, model_validator

from ..core.specs import SignalSpec
from ..core.stream import Array, Transducer
from .features import bins_of, of_channels, once
from .spectra import SpectralOp
from .windowed import Windowed

Shape = Literal["centroid", "bandwidth", "roll_off", "flatness", "edge", "peak", "entropy"]
SHAPES: tuple[Shape, ...] = ("centroid", "bandwidth", "roll_off", "flatness", "edge", "peak", "entropy")


class Spectral(SpectralOp):
    """Of the power P_i at the frequencies f_i with low_hz <= f < high_hz and its shares p_i = P_i / sum P, a channel:

    centroid : sum p_i f_i, in Hz. bandwidth : sqrt(sum p_i (f_i - centroid)^2), in Hz. roll_off, edge : the least f_i
    up to which the given share of the power lies, in Hz (the usual shares: 0.85 of audio, 0.95 of anaesthesia's
    spectral edge frequency). flatness : geometric over arithmetic mean of P, 1 for white noise's expectation, 0 for a
    tone (Gray & Markel 1974, IEEE Trans. ASSP 22(3)). peak : f_i of the largest P_i, in Hz. entropy : - sum p_i ln p_i
    / ln n, 1 for a flat spectrum (Inouye et al. 1991, Electroenceph. clin. Neurophysiol. 79(3)).

    Centroid, bandwidth and roll-off as in Peeters 2004 (CUIDADO report, IRCAM), of power in place of amplitude. A
    window without any power in the range gives 0.
    """

    kind: Literal["spectral"] = "spectral"
    features: tuple[Shape, ...] = Field(SHAPES, min_length=1, description="which, in the order of the rows")
    low_hz: float = Field(1.0, ge=0, description="lowest frequency that counts")
    high_hz: float = Field(45.0, gt=0, description="frequencies below this count")
    roll_off: float = Field(0.85, gt=0, lt=1, description="share of the power below the roll-off")
    edge: float = Field(0.95, gt=0, lt=1, description="share of the power below the edge frequency")

    @model_validator(mode="after")
    def _right(self) -> Spectral:
        once("features", self.features)
        if self.low_hz >= self.high_hz:
            raise ValueError(f"low_hz={self.low_hz:g} must be below high_hz={self.high_hz:g}")
        return self

    def bind(self, signal: SignalSpec) -> Transducer:
        """Return the operation; SignalMismatchError where the range holds no frequency of the spectrum."""
        return BoundSpectral(signal, self)


class BoundSpectral(Windowed):
    """Feature row = channel * n_features + feature."""

    def __init__(self, signal: SignalSpec, spec: Spectral) -> None:
        plain = ("flatness", "entropy")
        rows = [(f, "" if f in plain else "Hz") for f in spec.features]
        super().__init__(signal, spec, of_channels(signal, rows))
        every = spec.estimator(signal)
        inside = bins_of("spectral", "the range", spec.low_hz, spec.high_hz, every.hz, signal)
        self._estimator, self._spec = every.keep(inside), spec
        self._rules: dict[Shape, Callable[[Array, Array, Array], Array]] = {
            "centroid": lambda p, share, hz: share @ hz,
            "bandwidth": _bandwidth,
            "roll_off": lambda p, share, hz: _reached(share, spec.roll_off, hz),
            "flatness": lambda p, share, hz: _flatness(p),
            "edge": lambda p, share, hz: _reached(share, spec.edge, hz),
            "peak": lambda p, share, hz: hz[p.argmax(-1)],
            "entropy": lambda p, share, hz: _entropy(share),
        }

    def features(self, windows: Array) -> Array:
        power, hz = self._estimator.density(windows), self._estimator.hz
        total = power.sum(-1, keepdims=True)
        share = power / np.where(total > 0, total, 1)
        out = np.stack([self._rules[f](power, share, hz) for f in self._spec.features], -1)
        out *= total > 0
        return np.asarray(out.reshape(len(windows), -1))


def _bandwidth(power: Array, share: Array, hz: Array) -> Array:
    centre = share @ hz
    spread = np.einsum("wcf,wcf->wc", share, np.square(hz - centre[..., None]))
    return np.asarray(np.sqrt(np.maximum(0, spread)))


def _reached(share: Array, wanted: float, hz: Array) -> Array:
    """Return the first frequency up to which the sum of the shares is as large as wanted."""
    below = (np.cumsum(share, -1) < wanted - 1e-12).sum(-1)
    return np.asarray(hz[np.minimum(below, len(hz) - 1)])


def _flatness(power: Array) -> Array:
    mean = power.mean(-1)
    positive = np.where(power > 0, power, 1)
    logs = np.log(positive).mean(-1)
    return np.where((power > 0).all(-1), np.exp(logs) / np.where(mean > 0, mean, 1), 0.0)


def _entropy(share: Array) -> Array:
    terms = share * np.log(np.where(share > 0, share, 1))
    return np.asarray(-terms.sum(-1) / np.log(max(2, share.shape[-1])))
