"""Generalised mean pooling: between the mean and the maximum, where to is learned.

Source: Radenovic et al. 2018 (IEEE TPAMI 41(7)), "Fine-tuning CNN image retrieval with no human annotation".
Deliberate difference: values are divided by their maximum first and p is kept at 1 or more, so that neither silence
nor large values give a number that is not finite, forwards or backwards.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

EPS = 1e-6
START = 3.0


class GeM(nn.Module):
    """(mean of x^p)^(1/p) over the axes `dims`; negative values count as zero. `p` is one learned number."""

    def __init__(self, dims: tuple[int, ...]) -> None:
        super().__init__()
        self.dims = dims
        self.log_power = nn.Parameter(torch.tensor(math.log(math.expm1(START - 1))))

    def forward(self, x: Tensor) -> Tensor:
        """Return x pooled, float32."""
        with torch.autocast(x.device.type, enabled=False):
            p = 1 + nn.functional.softplus(self.log_power)
            x = x.float().clamp(min=EPS)
            top = x.detach().amax(self.dims, keepdim=True)
            pooled = (x / top).pow(p).mean(self.dims, keepdim=True).pow(1 / p) * top
            for dim in sorted((d % x.ndim for d in self.dims), reverse=True):
                pooled = pooled.squeeze(dim)
            return pooled
