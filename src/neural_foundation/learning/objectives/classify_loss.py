"""The loss of `classify`. Shapes: B batch, M tokens, K classes, S training subjects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from ...core.errors import SpecError
from ...sampling.batches import Batch
from ..base import Bound
from .tokens import outputs, token_weights, tokens_before

if TYPE_CHECKING:
    from .classify import Classify


class ClassifyLoss(nn.Module):
    """`forward(network, batch) -> (B,)`; `decisions` judges the last token alone, as an evaluation would."""

    class_weights: Tensor

    def __init__(self, spec: Classify, bound: Bound) -> None:
        super().__init__()
        assert bound.target is not None
        self.spec = spec
        self.first = tokens_before(spec.from_s, int(bound.network.hop), bound.signal.sfreq)  # type: ignore[arg-type]
        weights = _class_weights(np.asarray(bound.source.windows.target), bound.target.n_outputs, spec.class_balance)
        self.register_buffer("class_weights", weights, persistent=False)
        if spec.subject_adversary and len(bound.subjects) < 2:
            given = f"subject_adversary needs two or more training subjects, there are {len(bound.subjects)}"
            raise SpecError(given, remedy="Set it to 0")

    def forward(self, network: nn.Module, batch: Batch) -> Tensor:
        out = outputs(network, batch)
        weights = token_weights(out.logits.shape[1], self.first, self.spec.rise).to(out.logits.device)
        logits: Tensor = out.logits[:, weights > 0].float()
        losses = (self._cross_entropy(logits, batch.target) * weights[weights > 0]).sum(1)
        if self.spec.subject_adversary and self.training:
            losses = losses + self.spec.subject_adversary * _adversary(out, batch.identity)
        return losses

    def decisions(self, network: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the plain cross-entropy (B,) and the class (B,) at the last token."""
        logits = outputs(network, batch).logits[:, -1].float()
        return functional.cross_entropy(logits, batch.target, reduction="none"), logits.argmax(-1)

    def _cross_entropy(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return (B, m) for logits (B, m, K)."""
        expanded = target[:, None].expand(logits.shape[:2])
        losses = functional.cross_entropy(
            logits.flatten(0, 1),
            expanded.reshape(-1),
            reduction="none",
            label_smoothing=self.spec.label_smoothing,
        )
        return losses.view(logits.shape[:2]) * self.class_weights[target][:, None]


def _adversary(out: Any, identity: Tensor) -> Tensor:
    """Return the subject classifier's cross-entropy (B,); its gradient is turned round inside the network.

    A window of nobody in the training subjects counts 0.
    """
    if out.subject_logits is None:
        raise SpecError("The network has no subject classifier", remedy="Set subject_adversary to 0")
    logits = out.subject_logits.float()
    logits = logits.mean(1) if logits.ndim == 3 else logits
    return functional.cross_entropy(logits, identity - 1, reduction="none", ignore_index=-1)


def _class_weights(target: Any, n_classes: int, balanced: bool) -> Tensor:
    counts = np.bincount(target[target >= 0], minlength=n_classes)
    weights = counts.sum() / (n_classes * np.maximum(counts, 1)) if balanced else np.ones(n_classes)
    return torch.as_tensor(weights, dtype=torch.float32)
