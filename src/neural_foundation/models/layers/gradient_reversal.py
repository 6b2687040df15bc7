"""Gradient reversal: the identity on the way forward, minus the gradient on the way back.

After Ganin & Lempitsky, "Unsupervised domain adaptation by backpropagation", ICML 2015. The strength is a plain
number given at the call, so that a schedule needs no buffer.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor


class _Reverse(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, strength: float) -> Tensor:
        ctx.strength = strength
        return values.view_as(values)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return -ctx.strength * gradients[0], None


def reverse_gradient(values: Tensor, strength: float = 1.0) -> Tensor:
    """Return `values` unchanged; their gradient will be multiplied by `-strength`."""
    return cast(Tensor, _Reverse.apply(values, strength))  # type: ignore[no-untyped-call]
