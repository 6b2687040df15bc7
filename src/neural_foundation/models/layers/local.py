"""What is seen in the bins about a token, told to it by one filter in time and one linear map.

Shapes: b rows, T bins, D width, k taps. With the maps of the modalities before and after, this is a Wiener filter from
every modality to every other, of the rank of the width; attention adds to it.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional


class Local(nn.Module):
    """A filter of `bins` taps for each of D numbers: past ones and its own where causal, else about its own.

    It starts as a smooth bump, so that a token is told of its own bin most.
    """

    def __init__(self, width: int, bins: int, *, causal: bool) -> None:
        super().__init__()
        self.past = bins - 1 if causal else bins // 2
        away = (torch.arange(bins) - self.past).abs() / (max(self.past, bins - 1 - self.past) + 1)
        bump = 0.5 + 0.5 * torch.cos(math.pi * away)
        self.taps = nn.Parameter((bump / bump.sum())[:, None].repeat(1, width))
        self.weight = nn.Parameter(torch.randn(width, width) / math.sqrt(width))

    def forward(self, seen: Tensor, before: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Return what each bin is told (b, T, D).

        before : (b, k - 1, D), of a causal stream what was seen in the bins before; returned as it is after these.
        """
        k, bins = len(self.taps), seen.shape[1]
        if before is None:
            padded = functional.pad(seen, (0, 0, self.past, k - 1 - self.past))
        else:
            padded = torch.cat([before, seen], 1)
        made = padded[:, :bins] * self.taps[0]
        for i in range(1, k):
            made = made + padded[:, i : i + bins] * self.taps[i]
        return functional.linear(made, self.weight), None if before is None else padded[:, bins:]
