"""Firing rates from spike counts, by a kernel."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from ..core.errors import SignalMismatchError
from ..core.specs import SignalSpec
from ..core.stream import Transducer
from .base import Operation, SignalOp
from .smooth import Shape, kernel_of, leaky


class FiringRates(SignalOp):
    """Spike counts (see bin_spikes) to spikes a second: counts / bin_s, smoothed by a kernel of integral 1.

    kernel : 'gaussian' with standard deviation width_s, 'exponential' with time constant width_s, 'moving' over
    width_s. With `causal` only what has been counts (a Gaussian is its older half); without, the kernel is centred and
    half of it is look-ahead (4 width_s, or width_s / 2). Beyond the ends there are no spikes.
    """

    kind: Literal["firing_rates"] = "firing_rates"
    kernel: Shape = Field("gaussian", description="gaussian, exponential or moving")
    width_s: float = Field(
        0.05, gt=0, description="gaussian: standard deviation; exponential: time constant; moving: length"
    )
    causal: bool = Field(True, description="look back only; otherwise centred, with look-ahead")

    @property
    def keeps_topography(self) -> bool:
        return False

    @model_validator(mode="after")
    def _one_sided(self) -> FiringRates:
        if self.kernel == "exponential" and not self.causal:
            raise ValueError("an exponential kernel looks back only; for a centred one use kernel 'gaussian'")
        return self

    def bind(self, signal: SignalSpec) -> Transducer:
        """Return the operation; SignalMismatchError where the signal is no counts."""
        if set(signal.units) != {""}:
            given = sorted(set(signal.units or ("V",)))
            raise SignalMismatchError(
                f"firing_rates: the channels are in {given}, not counts",
                allowed="a signal without units of measure",
                remedy="Begin the chain with bin_spikes",
            )
        part = self._smoother(signal)
        part.output = signal.replace(units=("Hz",) * signal.n_chans)
        return part

    def _smoother(self, signal: SignalSpec) -> Operation:
        if self.kernel == "exponential":
            return leaky(signal, self.width_s, gain=signal.sfreq, settle=False)
        from .fir import Polyphase

        taps = signal.sfreq * kernel_of("firing_rates", self.kernel, self.width_s, signal, causal=self.causal)
        return Polyphase(signal, taps, linear=not self.causal, ends="zero")
