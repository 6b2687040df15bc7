"""A gated recurrent unit over both directions that also exports as one operation for signals of any length."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class BothWays(nn.Module):
    """One layer of GRU (Cho et al. 2014), forwards and backwards: (B, N, D) -> (B, N, 2 H), from a state of zeros."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.hidden = hidden
        self.gru = nn.GRU(width, hidden, batch_first=True, bidirectional=True)

    def forward(self, x: Tensor) -> Tensor:
        if torch.onnx.is_in_onnx_export():
            return self._as_one_operation(x)
        made: Tensor = self.gru(x)[0]
        return made

    def _as_one_operation(self, x: Tensor) -> Tensor:
        """Return the same by ONNX's own GRU: torch's exporter writes one step for each token of its example."""
        names = ("l0", "l0_reverse")
        w, r = (torch.stack([self._ordered(f"{part}_{n}") for n in names]) for part in ("weight_ih", "weight_hh"))
        b = torch.stack([torch.cat([self._ordered(f"bias_ih_{n}"), self._ordered(f"bias_hh_{n}")]) for n in names])
        steps = x.transpose(0, 1)
        made = torch.onnx.ops.symbolic(
            "GRU",
            (steps, w, r, b),
            {"direction": "bidirectional", "hidden_size": self.hidden, "linear_before_reset": 1},
            dtype=x.dtype,
            shape=(steps.shape[0], 2, steps.shape[1], self.hidden),
        )
        return made.permute(2, 0, 1, 3).flatten(2)

    def _ordered(self, name: str) -> Tensor:
        """Return a weight with its gates as ONNX has them: update, reset, new; torch begins with reset."""
        reset, update, new = getattr(self.gru, name).chunk(3)
        return torch.cat([update, reset, new])
