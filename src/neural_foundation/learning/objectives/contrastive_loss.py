"""The loss of `contrastive`. Shapes: B batch, M tokens, D width of the features, P of the projection."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from ...sampling.batches import Batch
from ..base import Bound
from .tokens import feature_width, outputs

if TYPE_CHECKING:
    from .contrastive import Contrastive


class ContrastiveLoss(nn.Module):
    """`forward(network, batch) -> (B,)`: the mean of both directions, from view to view."""

    def __init__(self, spec: Contrastive, bound: Bound) -> None:
        super().__init__()
        self.spec, self.sfreq = spec, bound.signal.sfreq
        layers = nn.Linear(feature_width(bound), 2 * spec.width), nn.GELU(), nn.Linear(2 * spec.width, spec.width)
        self.project = nn.Sequential(*layers)

    def forward(self, network: nn.Module, batch: Batch) -> Tensor:
        a, b = (self._embedded(network, batch, view) for view in (0, 1))
        with torch.autocast(a.device.type, enabled=False):
            similar = a @ b.T / self.spec.temperature
        if self.spec.within_subject:
            same = batch.identity[:, None] == batch.identity[None, :]
            similar = similar.masked_fill(~same, float("-inf"))
        own = torch.arange(len(batch), device=similar.device)
        there = functional.cross_entropy(similar, own, reduction="none")
        return (there + functional.cross_entropy(similar.T, own, reduction="none")) / 2

    def _embedded(self, network: nn.Module, batch: Batch, view: int) -> Tensor:
        """Return unit vectors (B, P) of one view."""
        signal = batch.signal
        if self.spec.positives == "neighbour":
            signal = signal.tensor_split(2, dim=2)[view]
        signal = self.spec.views.apply(signal, batch.draws(f"view {view}"), self.sfreq)
        return functional.normalize(self.project(_pooled(network, replace(batch, signal=signal))).float(), dim=-1)


def _pooled(network: nn.Module, batch: Batch) -> Tensor:
    """Return the mean feature (B, D) of the later half of the tokens, which have seen more."""
    features: Tensor = outputs(network, batch).features
    return features[:, features.shape[1] // 2 :].mean(1)
