"""A pre-norm transformer with rotary positions, for whole windows and for streams.

Shapes: B batch, N tokens, D width, H heads. A stream has K tokens a bin; W bins, its own included, are seen by a
token; m new bins come in one step. Scores, softmax and weighted sum are torch's fused `scaled_dot_product_attention`.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from .rope import angles, rotate

NEAR = (
    1.8  # b of the head that starts nearest: with a head of 32, its own bin has 30 times the weight of one 10 bins away
)


class Block(nn.Module):
    """Attention, then two dense layers; each adds to its input."""

    def __init__(self, width: int, heads: int, inner: int, dropout: float, attention_dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout, self.attention_dropout = heads, dropout, attention_dropout
        self.norm_attention = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.norm_dense = nn.LayerNorm(width)
        self.up = nn.Linear(width, inner)
        self.down = nn.Linear(inner, width)

    def forward(self, x: Tensor, turn: Tensor, mask: Tensor | None) -> Tensor:
        """Return tokens (B, N, D). turn : `rope.angles` of N positions. mask : (N, N) bool, True where seen."""
        q, k, v = self._split(x)
        return self._rest(x, self._attend(rotate(q, turn), rotate(k, turn), v, mask))

    def step(self, x: Tensor, cache: Tensor, turn: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Return tokens (B, K m, D) of m new bins and the cache after them.

        cache : (B, 2, K, W - 1, D), keys before their turn and values of the bins before. turn : of W - 1 + m
        positions. mask : (B, 1, K m, K (W - 1 + m)).
        """
        batch, kinds, kept = x.shape[0], cache.shape[2], cache.shape[3]
        q, k, v = self._split(x)
        m = x.shape[1] // kinds
        new = torch.stack([k.flatten(2), v.flatten(2)], 1).view(batch, 2, kinds, m, -1)
        held = torch.cat([cache, new], 3)
        shape = (batch, kinds, kept + m, self.heads, -1)
        q = rotate(q.reshape(batch, kinds, m, self.heads, -1), turn[:, kept:]).flatten(1, 2)
        k = rotate(held[:, 0].reshape(shape), turn).flatten(1, 2)
        v = held[:, 1].reshape(shape).flatten(1, 2)
        return self._rest(x, self._attend(q, k, v, mask)), held[:, :, :, m:]

    def _split(self, x: Tensor) -> tuple[Tensor, ...]:
        made: Tensor = self.qkv(self.norm_attention(x))
        return made.view(*x.shape[:2], 3, self.heads, -1).unbind(2)

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        p = self.attention_dropout if self.training else 0.0
        q, k, v = (t.transpose(1, 2) for t in (q, k, v))
        return functional.scaled_dot_product_attention(q, k, v, mask, p).transpose(1, 2).flatten(2)

    def _rest(self, x: Tensor, attended: Tensor) -> Tensor:
        x = x + functional.dropout(self.out(attended), self.dropout, self.training)
        dense = self.down(functional.gelu(self.up(self.norm_dense(x)), approximate="tanh"))
        return x + functional.dropout(dense, self.dropout, self.training)


class Transformer(nn.Module):
    """Blocks and a last norm. checkpointing : compute activations twice in training, to save memory."""

    def __init__(
        self, width: int, layers: int, heads: int, *, dropout: float, attention_dropout: float, expand: int = 2
    ) -> None:
        super().__init__()
        self.head_width, self.checkpointing = width // heads, False
        parts = [Block(width, heads, expand * width, dropout, attention_dropout) for _ in range(layers)]
        self.blocks = nn.ModuleList(parts)
        self.norm = nn.LayerNorm(width)
        for name, parameter in self.named_parameters():
            if name.endswith(("out.weight", "down.weight")):
                nn.init.normal_(parameter, std=0.02 / math.sqrt(2 * layers) * math.sqrt(256 / width))
            elif parameter.ndim > 1:
                nn.init.normal_(parameter, std=0.02 * math.sqrt(256 / width))
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)
        for block in self.blocks:
            _start_near(block.qkv.bias, heads)  # type: ignore[union-attr, arg-type]

    def forward(self, x: Tensor, position: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return tokens (B, N, D), normalised. position : (N,) in bins. mask : (N, N) bool, True where seen."""
        turn = angles(position, self.head_width)
        for block in self.blocks:
            if self.checkpointing and self.training and torch.is_grad_enabled():
                x = checkpoint(block, x, turn, mask, use_reentrant=False)
            else:
                x = block(x, turn, mask)
        normed: Tensor = self.norm(x)
        return normed

    def step(self, x: Tensor, caches: list[Tensor], seen: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return tokens (B, K m, D) of m new bins, normalised, and each block's cache after them.

        caches : a block, see `Block.step`. seen : (B,) int64, how many of the W - 1 bins before there have been.
        """
        kinds, kept = caches[0].shape[2:4]
        m = x.shape[1] // kinds
        turn = angles(torch.arange(kept + m, device=x.device), self.head_width)
        mask = _window(kept, m, seen)[:, :, None, :].expand(-1, -1, kinds, -1).flatten(2)
        mask = mask[:, None].expand(-1, kinds, -1, -1).flatten(1, 2)[:, None]
        after = []
        for block, cache in zip(self.blocks, caches, strict=True):
            x, moved = block.step(x, cache, turn, mask)  # type: ignore[operator]
            after.append(moved)
        return self.norm(x), after


def _start_near(bias: Tensor, heads: int) -> None:
    """Set the biases (3 D,) of queries and keys so that heads start, from all of the window to near bins alone.

    A vector that queries and keys share adds b^2 sum_i cos(angle_i distance) to a score, through the rotation: most
    at distance 0. Without it, a token finds those of its own time among hundreds only after many steps.
    """
    with torch.no_grad():
        parts = bias.view(3, heads, 2, -1)
        parts[:2, :, 0] = NEAR * torch.arange(heads)[:, None] / max(heads - 1, 1)


def _window(kept: int, m: int, seen: Tensor) -> Tensor:
    """Return (B, m, kept + m) True where a new bin sees a bin: not later, at most `kept` before, and there at all."""
    key = torch.arange(kept + m, device=seen.device)
    back = torch.arange(kept, kept + m, device=seen.device)[:, None] - key
    near = (back >= 0) & (back <= kept)
    return near & (key >= kept - seen[:, None])[:, None, :]
