"""Phase and amplitude of a frequency band, sample by sample."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
from pydantic import Field, model_validator

from ..core.specs import SignalSpec
from ..core.stream import Array, Chunk, State, Transducer
from .analytic import FilterBank, Resonators, band_taps
from .base import SignalOp, below_nyquist
from .features import of_channels, once

Gives = Literal["phase", "amplitude", "power", "cos", "sin"]
_UNITS = {"phase": "rad", "amplitude": "{}", "power": "{}^2", "cos": "", "sin": ""}
SILENCE = 1e-15  # an amplitude below is rounding, whose phase would depend on how the stream was cut
_FROM: dict[str, Callable[[Array], Array]] = {
    "phase": lambda z: np.where(_heard(z), np.angle(z), 0),
    "amplitude": np.abs,
    "power": lambda z: np.square(z.real) + np.square(z.imag),
    "cos": lambda z: np.where(_heard(z), z.real, 0) / np.maximum(np.abs(z), SILENCE),
    "sin": lambda z: np.where(_heard(z), z.imag, 0) / np.maximum(np.abs(z), SILENCE),
}


class Phase(SignalOp):
    """The analytic signal of low_hz..high_hz of every channel; rows "<channel>:phase", "<channel>:amplitude" ...

    A wave A cos(p(t)) inside the band has phase p(t) in radians, -pi to pi, amplitude A and power A^2. `cos` and `sin`
    are those of the phase, for a model that should not see it jump from pi to -pi. Of a silent channel all are 0.

    method : 'fir' a complex Hamming-windowed filter of linear phase, with half its length as look-ahead: what a
    zero-phase band-pass and a Hilbert transform (`scipy.signal.hilbert`) give together. 'resonator' waits for nothing:
    four one-pole resonators around the middle of the band. A steady wave at the middle has its true phase there; beside
    it the phase is off, and the amplitude lags. Expects signals around zero (after a high-pass).
    """

    kind: Literal["phase"] = "phase"
    low_hz: float = Field(gt=0, description="lower edge of the band")
    high_hz: float = Field(gt=0, description="upper edge of the band")
    gives: tuple[Gives, ...] = Field(("phase", "amplitude"), min_length=1, description="rows of every channel")
    method: Literal["fir", "resonator"] = Field("fir", description="fir: with look-ahead; resonator: without")

    @property
    def keeps_topography(self) -> bool:
        return False

    @model_validator(mode="after")
    def _edges(self) -> Phase:
        if self.low_hz >= self.high_hz:
            raise ValueError(f"low_hz={self.low_hz:g} must be below high_hz={self.high_hz:g}")
        once("gives", self.gives)
        return self

    def bind(self, signal: SignalSpec) -> Transducer:
        """Return the operation; SignalMismatchError where an edge is not below half the sampling rate."""
        below_nyquist("phase", "high_hz", self.high_hz, signal)
        output = of_channels(signal, [(name, _UNITS[name]) for name in self.gives])
        if self.method == "resonator":
            return CausalPhase(signal, output, self)
        return LinearPhase(signal, output, self)


class LinearPhase(FilterBank):
    """The bound 'phase' of method 'fir'."""

    def __init__(self, signal: SignalSpec, output: SignalSpec, spec: Phase) -> None:
        super().__init__(signal, output, [band_taps(spec.low_hz, spec.high_hz, signal.sfreq)])
        self._gives = spec.gives

    def given(self, analytic: Array, valid: Array, state: State) -> Chunk:
        return _rows(analytic[0], valid, self._gives, state)


class CausalPhase(Resonators):
    """The bound 'phase' of method 'resonator'."""

    def __init__(self, signal: SignalSpec, output: SignalSpec, spec: Phase) -> None:
        super().__init__(signal, output, [(spec.low_hz, spec.high_hz)])
        self._gives = spec.gives

    def given(self, analytic: Array, valid: Array, state: State) -> Chunk:
        return _rows(analytic[0], valid, self._gives, state)


def _heard(z: Array) -> Array:
    return np.asarray(np.maximum(np.abs(z.real), np.abs(z.imag)) > SILENCE)


def _rows(z: Array, valid: Array, gives: tuple[str, ...], state: State) -> Chunk:
    """Return row = channel * n_features + feature."""
    start = state["n_out"]
    state["n_out"] = start + z.shape[1]
    rows = np.stack([_FROM[name](z) for name in gives], 1)
    return Chunk(rows.reshape(len(z) * len(gives), z.shape[1]).astype(np.float32), valid, start)
