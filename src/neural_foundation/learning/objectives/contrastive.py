"""InfoNCE between two changed views of the same window (Oord et al. 2018; Chen et al., SimCLR, 2020).

Deliberate difference: by default a window is told apart only from windows of the same subject. Otherwise who it is
would be the easiest answer, and the features would learn anatomy instead of states.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from ...sampling.augment import Augment
from ..base import Bound, Objective

if TYPE_CHECKING:
    from torch import nn


class Contrastive(Objective):
    """Cross-entropy of finding a window's other view among the batch; couples the samples of a batch."""

    kind: Literal["contrastive"] = "contrastive"
    couples_samples: ClassVar[bool] = True
    not_ordered: ClassVar[str] = "tells windows apart, and both views of one would be told by the past they share"

    views: Augment = Augment(channel_dropout=0.15, gain=0.1, channel_gain=0.1, noise=0.1, shift_s=0.2)
    positives: Literal["same", "neighbour"] = Field("same", description="neighbour: a window's two halves in time")
    temperature: float = Field(0.1, gt=0)
    width: int = Field(64, ge=2, description="of the projection that is thrown away after training")
    within_subject: bool = Field(True, description="tell windows apart only from those of the same subject")

    def bind(self, bound: Bound) -> nn.Module:
        """Return the loss module, with the projection as its parameters."""
        from .contrastive_loss import ContrastiveLoss

        return ContrastiveLoss(self, bound)
