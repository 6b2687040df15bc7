"""Power over time at chosen frequencies, by convolution with fixed tapered sinusoids, so that it exports as such.

Shapes: B batch, C channels, T samples, F frequencies, N segments, K tapers.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from scipy.signal.windows import dpss, hann
from torch import Tensor, nn

Taper = Literal["hann", "multitaper"]


class Spectra(nn.Module):
    """`(B, C, T) -> (B, C, F, N)`, N = (T - length) // hop + 1.

    A taper has a sum of squares of one: white noise of variance 1 gives a power of 1 at each frequency. The power is
    the mean over tapers: one (Hann), or the discrete prolate spheroidal ones of a bandwidth (Thomson 1982).
    """

    weight: Tensor

    def __init__(
        self, frequencies: tuple[float, ...], *, sfreq: float, length: int, hop: int, taper: Taper, bandwidth_hz: float
    ) -> None:
        super().__init__()
        self.length, self.hop, self.n_freqs = length, hop, len(frequencies)
        tapers = tapers_of(taper, length, bandwidth_hz / sfreq)
        turns = 2 * np.pi * np.outer(frequencies, np.arange(length)) / sfreq
        waves = np.stack([np.cos(turns), np.sin(turns)])  # (2, F, length)
        weight = (tapers[:, None, None] * waves).reshape(-1, 1, length)
        self.register_buffer("weight", torch.from_numpy(weight.astype(np.float32)), persistent=False)

    def forward(self, signal: Tensor) -> Tensor:
        batch, chans = signal.shape[:2]
        with torch.autocast(signal.device.type, enabled=False):
            made = nn.functional.conv1d(signal.float().flatten(0, 1)[:, None], self.weight, stride=self.hop)
            power = torch.unflatten(made, 1, (-1, 2, self.n_freqs)).square().sum(2).mean(1)
            return torch.unflatten(power, 0, (batch, chans))


def tapers_of(taper: Taper, length: int, bandwidth: float) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """Return the tapers (K, length). bandwidth : full, in cycles a sample; of 'multitaper' only."""
    if taper == "hann":
        made = hann(length, sym=False)[None]
    else:
        half = max(1.0, length * bandwidth / 2)
        made = np.atleast_2d(dpss(length, half, max(1, int(2 * half) - 1)))
    return np.asarray(made / np.sqrt(np.square(made).sum(1, keepdims=True)))
