"""Changes to a window that should not change its meaning.

Shapes: signal (batch, n_chans, n_times). Every change is drawn from one generator a window, so it does not depend on
what else is in the batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from ..core.errors import SpecError
from ..core.specs import Spec

if TYPE_CHECKING:
    from torch import Tensor


class Augment(Spec):
    """Random changes to training windows; every field is off at 0."""

    channel_dropout: float = Field(0.0, ge=0, lt=1, description="chance that a channel is silent; one always stays")
    gain: float = Field(0.0, ge=0, le=1, description="standard deviation of the log gain of a window")
    channel_gain: float = Field(0.0, ge=0, le=1, description="standard deviation of the log gain of each channel")
    noise: float = Field(0.0, ge=0, le=10, description="white noise, in parts of each channel's own RMS")
    shift_s: float = Field(0.0, ge=0, description="windows are cut this much shorter, at a random place")

    @property
    def active(self) -> bool:
        """Whether anything is changed at all."""
        return any(getattr(self, name) > 0 for name in type(self).model_fields)

    def apply(self, signal: Tensor, draws: Sequence[np.random.Generator], sfreq: float) -> Tensor:
        """Return changed windows (batch, n_chans, n_times - shift_s * sfreq); the input is left alone.

        Raises
        ------
        SpecError : `shift_s` leaves nothing of the window.
        """
        if not self.active:
            return signal
        signal = self._cut(signal, draws, sfreq) if self.shift_s else signal
        changed = signal * self._gains(signal, draws)
        return changed + self._noise(signal, draws) if self.noise else changed

    def _cut(self, signal: Tensor, draws: Sequence[np.random.Generator], sfreq: float) -> Tensor:
        import torch

        spare = round(self.shift_s * sfreq)
        kept = signal.shape[2] - spare
        if kept < 1:
            raise SpecError(
                f"augment.shift_s is {self.shift_s} s, windows last {signal.shape[2] / sfreq:g} s",
                allowed="less than a window",
            )
        firsts = [int(draw.integers(0, spare + 1)) for draw in draws]
        return torch.stack([window[:, first : first + kept] for window, first in zip(signal, firsts, strict=True)])

    def _gains(self, signal: Tensor, draws: Sequence[np.random.Generator]) -> Tensor:
        import torch

        gains = np.stack([self._gain(draw, signal.shape[1]) for draw in draws])
        return torch.as_tensor(gains, dtype=signal.dtype).to(signal.device)[:, :, None]

    def _gain(self, draw: np.random.Generator, n_chans: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        # all are drawn whether used or not, so that turning one on leaves the others as they were
        common, own, silent = draw.standard_normal(), draw.standard_normal(n_chans), draw.random(n_chans)
        kept = silent >= self.channel_dropout
        kept[np.argmax(silent)] = True
        gain: np.ndarray[tuple[int], np.dtype[np.float64]] = np.exp(self.gain * common + self.channel_gain * own) * kept
        return gain

    def _noise(self, signal: Tensor, draws: Sequence[np.random.Generator]) -> Tensor:
        import torch

        noise = np.stack([draw.standard_normal(signal.shape[1:], dtype=np.float32) for draw in draws])
        rms = signal.square().mean(2, keepdim=True).sqrt()
        return torch.as_tensor(noise, dtype=signal.dtype).to(signal.device) * rms * self.noise
