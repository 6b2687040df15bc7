"""The loss of `masked`. Shapes: B batch, C channels, T samples, M tokens, F front-end features, K bands."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ...core.errors import SpecError
from ...sampling.augment import Augment
from ...sampling.batches import Batch
from ..base import Bound
from .future_power import FuturePower
from .tokens import feature_width, outputs

if TYPE_CHECKING:
    from .masked import Masked


class MaskedLoss(nn.Module):
    """`forward(network, batch) -> (B,)`."""

    def __init__(self, spec: Masked, bound: Bound) -> None:
        super().__init__()
        self.spec, self.sfreq = spec, bound.signal.sfreq
        self.hop = int(bound.network.hop)  # type: ignore[arg-type]
        self.span = max(1, round(spec.span_s * self.sfreq / self.hop))
        self.dropout = Augment(channel_dropout=spec.channel_dropout)
        # in a list, so that it is no submodule: it is neither trained nor part of a checkpoint
        self._frozen = [copy.deepcopy(bound.network).eval().requires_grad_(False)] if spec.features else []
        self.future = FuturePower(spec.bands_hz, spec.horizon_s, self.hop, bound) if spec.power else None
        self.head = nn.Linear(feature_width(bound), self.future.size) if self.future else None

    def forward(self, network: nn.Module, batch: Batch) -> Tensor:
        mask = self.mask(batch)
        given = replace(batch, signal=self.dropout.apply(batch.signal, batch.draws("channels"), self.sfreq))
        out = outputs(network, given, mask if self.spec.features else None)
        losses = torch.zeros(len(batch), device=batch.signal.device)
        if self.spec.features:
            losses = losses + self.spec.features * self._hidden(out, batch, mask)
        if self.future is not None and self.head is not None:
            losses = losses + self.spec.power * self.future.error(self.head(out.features), batch)
        return losses

    def listeners(self, device: torch.device) -> dict[str, nn.Module]:
        """Return the frozen copy: where states are carried, its own is too."""
        self._frozen = [copied.to(device) for copied in self._frozen]
        return dict(zip(["frozen"], self._frozen, strict=False))

    def mask(self, batch: Batch) -> Tensor:
        """Return (B, M), True where a token is hidden: `fraction` of all, in spans at random, never the first."""
        tokens = batch.signal.shape[2] // self.hop
        if tokens < 2:
            raise SpecError(
                f"Windows have {tokens} token(s); one must be seen and one hidden", remedy="Give longer windows"
            )
        wanted = min(max(1, round(self.spec.fraction * tokens)), tokens - 1)
        rows = [_spans(draw, tokens, wanted, self.span) for draw in batch.draws("mask")]
        return torch.from_numpy(np.stack(rows)).to(batch.signal.device)

    def _hidden(self, out: Any, batch: Batch, mask: Tensor) -> Tensor:
        """Return the mean squared error (B,) of the hidden tokens' features."""
        if out.reconstruction is None:
            raise SpecError(
                "This network reconstructs no features", remedy="Build it without a target, or set features to 0"
            )
        target = self._tokens(batch).float()
        errors = (out.reconstruction.float() - target).square().mean(2)
        share: Tensor = (errors * mask).sum(1) / mask.sum(1)
        return share

    @torch.no_grad()
    def _tokens(self, batch: Batch) -> Tensor:
        """Return the frozen copy's tokens (B, M, F): as told with the batch, or of the window alone."""
        told = getattr(batch, "told", {}).get("frozen")
        frozen = self.listeners(batch.signal.device)["frozen"]
        tokens: Tensor = (told or frozen(batch.signal)).tokens
        return tokens


def _spans(draw: np.random.Generator, tokens: int, wanted: int, span: int) -> NDArray[np.bool_]:
    hidden = np.zeros(tokens, bool)
    for first in draw.permutation(np.arange(1 - span + 1, tokens)):
        left = wanted - int(hidden.sum())
        if left <= 0:
            break
        covered = np.arange(max(first, 1), min(first + span, tokens))
        hidden[covered[~hidden[covered]][:left]] = True
    return hidden
