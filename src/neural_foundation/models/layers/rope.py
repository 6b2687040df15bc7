"""Rotary position embedding: an attention score depends on how far apart two tokens are in time, not on where.

Source: Su et al. 2021, RoFormer, arXiv 2104.09864; pairs are (i, i + width / 2), as in GPT-NeoX.
"""

from __future__ import annotations

import torch
from torch import Tensor

BASE = 10_000.0


def angles(position: Tensor, width: int) -> Tensor:
    """Return cosine and sine (2, N, 1, width / 2) for positions (N,), in bins; fractions are allowed."""
    steps = torch.arange(0, width, 2, device=position.device, dtype=torch.float32) / width
    angle = position.to(torch.float32)[:, None, None] * BASE**-steps
    return torch.stack([angle.cos(), angle.sin()])


def rotate(x: Tensor, turn: Tensor) -> Tensor:
    """Return x (..., N, H, width) turned by `angles`, the same for each of H heads."""
    cos, sin = turn.to(x.dtype).unbind(0)
    a, b = x.chunk(2, -1)
    return torch.cat([a * cos - b * sin, b * cos + a * sin], -1)
