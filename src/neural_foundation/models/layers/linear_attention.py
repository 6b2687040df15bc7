"""Linear attention with a fixed decay a head: parallel inside a chunk, recurrent between chunks.

Shapes: B batch, M tokens, D width, H heads, V head width.

S_m = gamma S_{m-1} + k_m^T v_m, o_m = q_m S_m, one decay gamma a head (Sun et al., "Retentive network", 2023).
Deliberate differences: queries and keys are normalised to unit length in place of the xPos rotation, the memory
lengths of the heads are spread evenly in the logarithm from 2 tokens to `longest`, and S is carried in float64.
The output projections start at zero: at first every block is the identity.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from .decay import decay_matrix, decay_powers


class RMSNorm(nn.Module):
    """x / rms(x) with a learned gain (Zhang & Sennrich 2019); plain operations, so that it exports to few nodes."""

    def __init__(self, width: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.gain, self.eps = nn.Parameter(torch.ones(width)), eps

    def forward(self, x: Tensor) -> Tensor:
        return x / torch.sqrt(x.pow(2).mean(-1, keepdim=True) + self.eps) * self.gain


class LinearAttention(nn.Module):
    """One attention layer: `forward(x (B, M, D), S (B, H, V, V) float64) -> (B, M, D), S`."""

    log_gamma: Tensor

    def __init__(self, width: int, n_heads: int, longest: float) -> None:
        super().__init__()
        self.n_heads, self.head_width = n_heads, width // n_heads
        self.project = nn.Linear(width, 4 * width, bias=False)
        self.norm = RMSNorm(self.head_width)
        self.out = nn.Linear(width, width, bias=False)
        nn.init.zeros_(self.out.weight)
        lengths = [2.0 * (longest / 2.0) ** (h / max(n_heads - 1, 1)) for h in range(n_heads)]
        self.register_buffer(
            "log_gamma", torch.tensor([-1.0 / n for n in lengths], dtype=torch.float64), persistent=False
        )

    def forward(self, x: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        tokens = x.shape[1]
        parts = self.project(x).unflatten(2, (4, self.n_heads, self.head_width)).permute(2, 0, 3, 1, 4)
        queries, keys = functional.normalize(parts[0], dim=-1), functional.normalize(parts[1], dim=-1)
        mixed, memory = self._attend(queries, keys, parts[2], memory, tokens)
        gated = self.norm(mixed) * functional.silu(parts[3])
        return self.out(gated.transpose(1, 2).flatten(2)), memory

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, memory: Tensor, tokens: int) -> tuple[Tensor, Tensor]:
        """Return o (B, H, M, V) and the memory after the chunk; q, k, v (B, H, M, V)."""
        if tokens == 1:
            gamma = torch.exp(self.log_gamma)[:, None, None]
            memory = gamma * memory + (k.transpose(-1, -2) * v).double()
            return q @ memory.to(q.dtype), memory
        lower = decay_matrix(self.log_gamma, tokens).to(q.dtype)
        since = decay_powers(self.log_gamma, tokens, 1).to(q.dtype)[..., None]
        left = decay_powers(self.log_gamma, tokens).flip(-1).to(q.dtype)[..., None]
        mixed = ((q @ k.transpose(-1, -2)) * lower) @ v + (q * since) @ memory.to(q.dtype)
        faded = torch.exp(self.log_gamma * tokens)[:, None, None] * memory
        return mixed, faded + ((k * left).transpose(-1, -2) @ v).double()


class GatedMLP(nn.Module):
    """SwiGLU (Shazeer 2020): (silu(x W1) * x W2) W3, with W3 zero at the start."""

    def __init__(self, width: int) -> None:
        super().__init__()
        hidden = 8 * math.ceil(width * 8 / 3 / 8)
        self.up = nn.Linear(width, 2 * hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)
        nn.init.zeros_(self.down.weight)

    def forward(self, x: Tensor) -> Tensor:
        gate, value = self.up(x).chunk(2, -1)
        down: Tensor = self.down(functional.silu(gate) * value)
        return down


class Block(nn.Module):
    """x + attention(norm x), then x + mlp(norm x)."""

    def __init__(self, width: int, n_heads: int, *, longest: float, dropout: float) -> None:
        super().__init__()
        self.attention_norm, self.mlp_norm = RMSNorm(width), RMSNorm(width)
        self.attention = LinearAttention(width, n_heads, longest)
        self.mlp = GatedMLP(width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        mixed, memory = self.attention(self.attention_norm(x), memory)
        x = x + self.dropout(mixed)
        return x + self.dropout(self.mlp(self.mlp_norm(x))), memory


class Backbone(nn.Module):
    """A stack of blocks: `forward(x (B, M, D), [S] one a layer) -> (B, M, D), [S]`.

    With `checkpointing`, the inside of each block is computed again on the way back instead of being kept.
    """

    def __init__(
        self, width: int, n_layers: int, n_heads: int, *, longest: float, dropout: float, checkpointing: bool = False
    ) -> None:
        super().__init__()
        self.checkpointing = checkpointing
        self.blocks = nn.ModuleList(Block(width, n_heads, longest=longest, dropout=dropout) for _ in range(n_layers))

    def forward(self, x: Tensor, memories: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        after = []
        for block, memory in zip(self.blocks, memories, strict=True):
            if self.checkpointing and self.training and torch.is_grad_enabled():
                x, memory = checkpoint(block, x, memory, use_reentrant=False)
            else:
                x, memory = block(x, memory)
            after.append(memory)
        return x, after
