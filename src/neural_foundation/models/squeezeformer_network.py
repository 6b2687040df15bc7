"""The network of `squeezeformer`. Shapes: B batch, C channels, T samples, N tokens, D width of a token."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from .layers.gem import GeM
from .layers.rope import angles, rotate
from .squeezeformer import Squeezeformer
from .window_network import WindowNetwork


class Attention(nn.Module):
    """Softmax attention among all tokens, their distance in it by rotation."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        turn = angles(torch.arange(x.shape[1], device=x.device), x.shape[2] // self.heads)
        q, k, v = self.qkv(x).unflatten(2, (3, self.heads, -1)).unbind(2)
        q, k, v = (t.transpose(1, 2) for t in (rotate(q, turn), rotate(k, turn), v))
        p = self.dropout if self.training else 0.0
        made: Tensor = self.out(
            functional.scaled_dot_product_attention(q, k, v, dropout_p=p).transpose(1, 2).flatten(2)
        )
        return made


class Convolution(nn.Module):
    """Pointwise, depthwise over neighbouring tokens, pointwise."""

    def __init__(self, width: int, kernel: int) -> None:
        super().__init__()
        self.up = nn.Linear(width, 2 * width)
        self.near = nn.Conv1d(2 * width, 2 * width, kernel, padding=kernel // 2, groups=2 * width, bias=False)
        self.norm = nn.BatchNorm1d(2 * width)
        self.down = nn.Linear(2 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        inner = functional.silu(self.up(x)).transpose(1, 2)
        inner = functional.silu(self.norm(self.near(inner))).transpose(1, 2).contiguous()
        made: Tensor = self.down(inner)
        return made


class Scaled(nn.Module):
    """One part of a block: norm(x + part(gain x + shift))."""

    def __init__(self, part: nn.Module, width: int, dropout: float) -> None:
        super().__init__()
        self.gain, self.shift = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width))
        self.part, self.dropout, self.norm = part, nn.Dropout(dropout), nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        made: Tensor = self.norm(x + self.dropout(self.part(self.gain * x + self.shift)))
        return made


def dense(width: int, expand: int, dropout: float) -> nn.Sequential:
    """Return two dense layers with a swish between."""
    return nn.Sequential(
        nn.Linear(width, expand * width), nn.SiLU(), nn.Dropout(dropout), nn.Linear(expand * width, width)
    )


def block_of(spec: Squeezeformer) -> nn.Sequential:
    """Return a block (B, N, D) -> (B, N, D)."""
    parts = (
        Attention(spec.width, spec.heads, spec.dropout),
        dense(spec.width, spec.expand, spec.dropout),
        Convolution(spec.width, spec.kernel),
        dense(spec.width, spec.expand, spec.dropout),
    )
    return nn.Sequential(*(Scaled(part, spec.width, spec.dropout) for part in parts))


class AttentionPool(nn.Module):
    """The mean of tokens (B, N, D), weighed by a softmax of what each says for itself."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.score = nn.Linear(width, 1)

    def forward(self, x: Tensor) -> Tensor:
        return (torch.softmax(self.score(x).float(), 1) * x).sum(1)


class SqueezeformerNetwork(WindowNetwork):
    """The network of a `Squeezeformer` spec; features are the pooled tokens.

    stride : samples a token.
    """

    spec: Squeezeformer

    def make(self) -> int:
        spec = self.spec
        steps = max(1, round(math.log2(max(2.0, spec.token_s * self.signal.sfreq))))
        self.stride, self.least_times = 2**steps, 4 * 2**steps
        self.stem = nn.Sequential(*self._stem(steps))
        self.blocks = nn.ModuleList(block_of(spec) for _ in range(spec.blocks))
        self.middle = range(spec.blocks // 4, spec.blocks - spec.blocks // 4) if spec.unet else range(0)
        if self.middle:
            self.halve = nn.Conv1d(spec.width, spec.width, 3, 2, 1, groups=spec.width)
            self.back = nn.Linear(spec.width, spec.width)
        self.pool = GeM((1,)) if spec.pooling == "gem" else AttentionPool(spec.width)
        return spec.width

    def _stem(self, steps: int) -> list[nn.Module]:
        """Return convolutions that halve the rate each; the last one has the full width, the others half of it."""
        spec, made = self.spec, list[nn.Module]()
        given = self.n_chans
        for step in range(steps):
            width = spec.width if step == steps - 1 else spec.width // 2
            made += [
                nn.Conv1d(given, width, spec.stem_kernel, 2, spec.stem_kernel // 2, bias=False),
                nn.BatchNorm1d(width),
                nn.SiLU(),
            ]
            given = width
        return made

    def embed(self, signal: Tensor) -> Tensor:
        """Return features (B, D) of scaled signals (B, C, T)."""
        x: Tensor = self.stem(signal).transpose(1, 2).contiguous()
        whole = x
        for i, block in enumerate(self.blocks):
            if self.middle and i == self.middle.start:
                whole, x = x, self.halve(x.transpose(1, 2)).transpose(1, 2).contiguous()
            x = self.again(block, x)
            if self.middle and i == self.middle.stop - 1:
                twice = torch.arange(whole.shape[1], device=x.device) // 2
                x = whole + self.back(x)[:, twice]
        pooled: Tensor = self.pool(torch.relu(x) if self.spec.pooling == "gem" else x)
        return pooled
