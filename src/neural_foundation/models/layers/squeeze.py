"""Squeeze-and-excitation: each channel weighed by what all channels are on average (Hu et al. 2018, CVPR)."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class SqueezeExcite(nn.Module):
    """Weights in (0, 1) for the channels of (B, D, T), from their means over time."""

    def __init__(self, width: int, reduction: int = 8) -> None:
        super().__init__()
        inner = max(4, width // reduction)
        self.down, self.up = nn.Linear(width, inner), nn.Linear(inner, width)

    def forward(self, x: Tensor) -> Tensor:
        weight = torch.sigmoid(self.up(torch.relu(self.down(x.mean(2)))))
        return x * weight[:, :, None]
