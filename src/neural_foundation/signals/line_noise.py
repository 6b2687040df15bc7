"""Mains noise, followed in amplitude, phase and frequency and subtracted; causal."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from ..core.errors import SignalMismatchError
from ..core.specs import SignalSpec
from ..core.stream import Chunk, State, Transducer
from .base import Operation, SignalOp, below_nyquist, forgetting

EVERY_S, SLOW_HZ, LIMIT = 0.25, 5.0, 6.0


class LineNoise(SignalOp):
    """x - sum over h of (a_h cos h phi + b_h sin h phi), with a and b of each channel learned by least mean squares.

    Widrow et al. (1975, doi:10.1109/PROC.1975.10036); with a constant gain this is a notch 1 / (pi time_constant_s) Hz
    wide (Glover 1977, doi:10.1109/TASSP.1977.1162997): 0.6 Hz by default, where `notch` takes 1.7 Hz. Differences here:
    phi is shared by all channels, and its frequency follows the rotation of the fundamental (all channels, weighted by
    power, every 0.25 s), so that so narrow a notch stays on the mains; the gain begins high, as in recursive least
    squares, and falls to the constant one; errors are clipped at six times their running mean, so that a step of the
    electrode does not ring; and what lies below 5 Hz does not disturb the learning. Invalid samples teach nothing.
    """

    kind: Literal["line_noise"] = "line_noise"
    hz: float = Field(50.0, gt=10, description="mains frequency: 50 or 60")
    harmonics: int | None = Field(
        None, ge=1, description="how many multiples, the first included; None: all below half the sampling rate"
    )
    time_constant_s: float = Field(0.5, ge=0.1, description="memory of amplitude and phase")
    max_drift_hz: float = Field(0.5, ge=0, description="how far the mains may be from hz")

    def bind(self, signal: SignalSpec) -> Transducer:
        """Return the operation; SignalMismatchError where a harmonic would lie at or above half the sampling rate."""
        below_nyquist("line_noise", "hz", self.hz, signal)
        fitting = int(np.ceil(signal.sfreq / 2 / (self.hz + self.max_drift_hz))) - 1
        if (self.harmonics or 1) > fitting:
            raise SignalMismatchError(
                f"line_noise: harmonic {self.harmonics or 1} of {self.hz:g} Hz is not below half of the sampling rate "
                f"(sfreq={signal.sfreq:g} Hz)",
                allowed=f"harmonics <= {fitting}",
                remedy="Leave harmonics out to take all that fit, or use notch",
            )
        return RunningLineNoise(signal, self, self.harmonics or fitting)


class RunningLineNoise(Operation):
    """The bound `line_noise`; its state is described in `line_kernels`."""

    def __init__(self, signal: SignalSpec, spec: LineNoise, harmonics: int) -> None:
        from .line_kernels import remove_line

        super().__init__(signal)
        self._spec, self._harmonics, self._remove = spec, harmonics, remove_line
        self._every = max(1, round(EVERY_S * signal.sfreq))
        self._alpha = forgetting(spec.time_constant_s, signal.sfreq)
        self._beta = -float(np.expm1(-2 * np.pi * SLOW_HZ / signal.sfreq))
        self.settle_s = 3 * spec.time_constant_s

    def fresh(self) -> State:
        c = self.input.n_chans
        return {
            "amp": np.zeros((self._harmonics, 2, c)),
            "slow": np.zeros(c),
            "size": np.zeros(c),
            "track": np.array([0.0, self._spec.hz, 0.0, float(self._every)]),
            "before": np.zeros((2, c)),
        }

    def process(self, chunk: Chunk, state: State) -> tuple[Chunk, State]:
        rows = np.ascontiguousarray(chunk.values.T, np.float64)
        names = ("amp", "slow", "size", "track", "before")
        numbers = (
            self.input.sfreq,
            self._spec.hz,
            self._spec.max_drift_hz,
            self._alpha,
            self._beta,
            LIMIT,
            self._every,
        )
        self._remove(rows, chunk.valid, *[state[n] for n in names], *numbers)  # type: ignore[call-arg]
        return Chunk(np.ascontiguousarray(rows.T, np.float32), chunk.valid, chunk.start), state
