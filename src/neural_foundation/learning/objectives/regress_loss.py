"""The loss of `regress`. Shapes: B batch, M tokens, K outputs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn
from torch.nn import functional

from ...core.errors import DataError
from ...sampling.batches import Batch
from ..base import Bound
from .tokens import outputs, token_weights, tokens_before

if TYPE_CHECKING:
    from .regress import Regress


class RegressLoss(nn.Module):
    """`forward(network, batch) -> (B,)`; the target is (B, K), or (B,) where there is one output."""

    def __init__(self, spec: Regress, bound: Bound) -> None:
        super().__init__()
        self.spec = spec
        self.first = tokens_before(spec.from_s, int(bound.network.hop), bound.signal.sfreq)  # type: ignore[arg-type]

    def forward(self, network: nn.Module, batch: Batch) -> Tensor:
        predicted = outputs(network, batch).logits.float()
        weights = token_weights(predicted.shape[1], self.first, self.spec.rise).to(predicted.device)
        target = batch.target.to(predicted.dtype)
        target = target[:, None] if target.ndim == 1 else target
        if target.shape[1] != predicted.shape[2]:
            raise DataError(
                f"The target has {target.shape[1]} values a window, the network {predicted.shape[2]} outputs"
            )
        target = target[:, None].expand_as(predicted)
        return (self._error(predicted, target).mean(-1) * weights).sum(1)

    def _error(self, predicted: Tensor, target: Tensor) -> Tensor:
        if self.spec.huber is None:
            return (predicted - target).square()
        return functional.huber_loss(predicted, target, reduction="none", delta=self.spec.huber)
