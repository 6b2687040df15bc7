"""Log band power of every channel over the time after each token: a fixed target in sensor space.

Shapes: B batch, C channels, T samples, M tokens, N frames, K bands, S training subjects.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn

from ...core.errors import SpecError
from ...sampling.batches import Batch
from ...sampling.order import fixed_batches
from ..base import Bound

FRAME_S = 0.5
LIMIT = 4.0  # standard deviations at which a target is cut: an artefact is not worth predicting


class FuturePower(nn.Module):
    """Targets (B, M, C K) and the error of guesses at them.

    A frame of 0.5 s starts at every token's end; a token's target is the log of the mean power of the frames that
    lie within `horizon_s` after it, standardised by mean and deviation over the subject's training windows (over all
    of them for a subject not among these).
    """

    filters: Tensor
    window: Tensor
    mean: Tensor
    std: Tensor

    def __init__(self, bands_hz: Sequence[float], horizon_s: float, hop: int, bound: Bound) -> None:
        super().__init__()
        sfreq = bound.signal.sfreq
        self.hop, self.frame = hop, max(4, round(FRAME_S * sfreq))
        self.reach = max(1, 1 + (round(horizon_s * sfreq) - self.frame) // hop)
        self.register_buffer("filters", _filters(bands_hz, self.frame, sfreq), persistent=False)
        self.register_buffer("window", torch.hann_window(self.frame), persistent=False)
        mean, std = self._statistics(bound)
        self.register_buffer("mean", mean, persistent=False)
        self.register_buffer("std", std, persistent=False)

    @property
    def size(self) -> int:
        """C K, the values a token predicts."""
        return int(self.mean.shape[1] * self.mean.shape[2])

    def error(self, guess: Tensor, batch: Batch) -> Tensor:
        """Return the mean squared error (B,) of guesses (B, M, C K), over the tokens with a frame after them."""
        power = self.power(batch.signal)
        target = (power - self.mean[batch.identity][:, None]) / self.std[batch.identity][:, None]
        target = target.clamp(-LIMIT, LIMIT).flatten(2)
        return (guess[:, : target.shape[1]].float() - target).square().mean((1, 2))

    def power(self, signal: Tensor) -> Tensor:
        """Return log power (B, M', C, K) after each of the M' tokens that have a frame after them.

        Raises
        ------
        SpecError : the window ends before the first token's frame does.
        """
        after = signal[:, :, self.hop :].float()
        if after.shape[2] < self.frame:
            given = f"masked.power needs windows of {(self.hop + self.frame)} samples, they have {signal.shape[2]}"
            raise SpecError(given, remedy="Give longer windows, or set power to 0")
        spectrum = torch.fft.rfft(after.unfold(2, self.frame, self.hop) * self.window)
        with torch.autocast(signal.device.type, enabled=False):  # targets stay exact where the network is in bf16
            bands = (spectrum.abs().square() @ self.filters).transpose(1, 2)
        sums = torch.cat([torch.zeros_like(bands[:, :1]), bands.double().cumsum(1).to(bands.dtype)], 1)
        n = bands.shape[1]
        first = torch.arange(n, device=signal.device)
        last = (first + self.reach).clamp(max=n)
        mean = (sums[:, last] - sums[:, first]) / (last - first)[:, None, None]
        return torch.log(mean.clamp(min=torch.finfo(torch.float32).tiny))

    @torch.no_grad()
    def _statistics(self, bound: Bound) -> tuple[Tensor, Tensor]:
        """Return mean and deviation (S + 1, C, K) by subject; row 0 is over all."""
        who = bound.source.identity
        rows = [self._moments(bound, np.flatnonzero(who == index)) for index in range(len(bound.subjects) + 1)]
        first, second, n = (torch.stack(column) for column in zip(*rows, strict=True))
        absent = n == 0  # a listed subject without windows, or nobody outside the list
        absent[0] = True
        first[absent], second[absent], n[absent] = first.sum(0), second.sum(0), n.sum(0)
        mean = first / n[:, None, None]
        std = (second / n[:, None, None] - mean.square()).clamp(min=1e-8).sqrt()
        return mean.float(), std.float()

    def _moments(
        self, bound: Bound, items: np.ndarray[tuple[int], np.dtype[np.int64]]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return sum, sum of squares (C, K) and number () of the targets in some windows."""
        shape = bound.signal.n_chans, self.filters.shape[1]
        first, second, n = torch.zeros(shape, dtype=torch.float64), torch.zeros(shape, dtype=torch.float64), 0
        for part in fixed_batches(len(items), 64):
            power = self.power(bound.source.batch(items[part], seed=bound.seed).signal).double()
            first, second = first + power.sum((0, 1)), second + power.square().sum((0, 1))
            n += power.shape[0] * power.shape[1]
        return first, second, torch.tensor(n)


def _filters(bands_hz: Sequence[float], frame: int, sfreq: float) -> Tensor:
    """Return (frame // 2 + 1, K), one column a band that the rate can carry, its bins averaged."""
    hz = np.fft.rfftfreq(frame, 1 / sfreq)
    columns = []
    for low, high in pairwise(bands_hz):
        inside = (hz >= low) & (hz < high)
        if inside.any() and high <= sfreq / 2:
            columns.append(inside / inside.sum())
    if not columns:
        raise SpecError(f"masked.bands_hz {tuple(bands_hz)}: none holds at {sfreq:g} Hz", remedy="Give wider bands")
    return torch.from_numpy(np.stack(columns, 1)).float()
