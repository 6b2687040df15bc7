"""The network of `resnet_gru`. Shapes: B batch, C channels, T samples, N tokens, D filters, H units of the GRU."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from .layers.gem import GeM
from .layers.recurrent import BothWays
from .layers.squeeze import SqueezeExcite
from .resnet_gru import ResNetGRU
from .window_network import WindowNetwork


class Residual(nn.Module):
    """Two convolutions with batch norm, squeeze-and-excitation, the input added: (B, D, N) -> (B, D', N / step)."""

    def __init__(self, given: int, width: int, kernel: int, step: int) -> None:
        super().__init__()
        self.first = nn.Conv1d(given, width, kernel, step, kernel // 2, bias=False)
        self.first_norm = nn.BatchNorm1d(width)
        self.second = nn.Conv1d(width, width, kernel, 1, kernel // 2, bias=False)
        self.second_norm = nn.BatchNorm1d(width)
        self.excite = SqueezeExcite(width)
        self.skip: nn.Module = nn.Identity()
        if step > 1 or given != width:
            self.skip = nn.Sequential(nn.Conv1d(given, width, 1, step, bias=False), nn.BatchNorm1d(width))

    def forward(self, x: Tensor) -> Tensor:
        inner = torch.relu(self.first_norm(self.first(x)))
        inner = self.excite(self.second_norm(self.second(inner)))
        return torch.relu(inner + self.skip(x))


class Pool(nn.Module):
    """The maximum of each three samples, every second one: as an image of one row, whose length an export frees."""

    def forward(self, x: Tensor) -> Tensor:
        return functional.max_pool2d(x[:, :, None], (1, 3), (1, 2), (0, 1))[:, :, 0]


class ResNetGRUNetwork(WindowNetwork):
    """The network of a `ResNetGRU` spec; features are those of the pooled GRU, 2 H."""

    spec: ResNetGRU
    program_any_length = False  # torch.export fixes the number of steps of a recurrent layer

    def make(self) -> int:
        spec, wide = self.spec, 2 * self.spec.kernel + 1
        self.stem = nn.Sequential(
            nn.Conv1d(self.n_chans, spec.width, wide, 2, wide // 2, bias=False),
            nn.BatchNorm1d(spec.width),
            nn.ReLU(),
            Pool(),
        )
        stages, given = [], spec.width
        for stage, (width, count) in enumerate(zip(spec.widths, spec.blocks, strict=True)):
            for block in range(count):
                step = 2 if stage and not block else 1
                stages.append(Residual(given, width, spec.kernel, step))
                given = width
        self.blocks = nn.ModuleList(stages)
        self.token_dropout = nn.Dropout(spec.dropout)
        self.gru = BothWays(given, spec.hidden)
        self.project = nn.Linear(2 * spec.hidden, 2 * spec.hidden)
        self.pool = GeM((1,))
        self.least_times = 2 * 2 ** (len(spec.blocks) + 1)  # two tokens
        return 2 * spec.hidden

    def embed(self, signal: Tensor) -> Tensor:
        """Return features (B, 2 H) of scaled signals (B, C, T)."""
        x: Tensor = self.stem(signal)
        for block in self.blocks:
            x = self.again(block, x)
        tokens = self.gru(self.token_dropout(x.transpose(1, 2)))
        # only what is positive is pooled
        pooled: Tensor = self.pool(torch.relu(self.project(tokens)))
        return pooled
