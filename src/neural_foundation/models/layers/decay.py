"""Sums over past tokens with a fixed decay, as one triangular product per chunk and a carried float64 sum.

Shapes: B batch, M tokens, D width, H heads.

`y_m = gamma y_{m-1} + u_m` is, over a chunk that starts from the sum `s`, `y = L u + gamma^(m+1) s` with
`L[m, n] = gamma^(m-n)` for n <= m. The coefficients are computed in float64 and used in float32; the carried sum is
float64, so that a long stream does not drift.
"""

from __future__ import annotations

import torch
from torch import Tensor


def decay_matrix(log_gamma: Tensor, tokens: int) -> Tensor:
    """Return L (H, M, M) float64 for the decays exp(log_gamma) (H,): zero above the diagonal."""
    m = torch.arange(tokens, device=log_gamma.device, dtype=torch.float64)
    lag = m[:, None] - m[None, :]
    powers = torch.exp(log_gamma[:, None, None] * lag.clamp(min=0))
    return torch.where(lag >= 0, powers, torch.zeros_like(powers))


def decay_powers(log_gamma: Tensor, tokens: int, first: int = 0) -> Tensor:
    """Return exp(log_gamma) to the powers first .. first + M - 1, (H, M) float64."""
    m = torch.arange(first, first + tokens, device=log_gamma.device, dtype=torch.float64)
    return torch.exp(log_gamma[:, None] * m)


def running_sum(values: Tensor, carried: Tensor, log_gamma: Tensor) -> tuple[Tensor, Tensor]:
    """Return the decayed running sum of `values` and the sum to carry on.

    values : (B, M, D) float32. carried : (B, D) float64. log_gamma : () float64, 0 for a plain sum.
    Returns the sums (B, M, D) float32 and the last of them (B, D) float64.
    """
    tokens = values.shape[1]
    if tokens == 1:
        total = values[:, 0].double() + torch.exp(log_gamma) * carried
        return total[:, None].to(values.dtype), total
    lower = decay_matrix(log_gamma[None], tokens)[0].to(values.dtype)
    since = decay_powers(log_gamma[None], tokens, 1)[0].to(values.dtype)[:, None]
    inside = lower @ values
    last = inside[:, -1].double() + torch.exp(log_gamma * tokens) * carried
    return inside + since * carried[:, None].to(values.dtype), last
