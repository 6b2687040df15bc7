"""What several experts said of a window, as shares of their votes: the network learns all of it, not the winner alone.

Mixup is that of Zhang et al., "mixup: Beyond empirical risk minimization", ICLR 2018. Deliberate differences: each
window draws a partner and a part of its own, and keeps the larger part, so that it stays a window of its own subject.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from ..base import Bound, Objective

if TYPE_CHECKING:
    from torch import nn


class Votes(Objective):
    """KL divergence of the probabilities from the shares of the experts' votes, windows of many votes counting more.

    Averaged over tokens from `from_s` on with weights growing as k^rise. `flips` is for classes that mean the same on
    either side of the head.
    """

    kind: Literal["votes"] = "votes"
    supervised: ClassVar[bool] = True
    tasks: ClassVar[tuple[str, ...]] = ("classification",)
    not_ordered: ClassVar[str] = "learns from trials, which do not follow on each other"

    from_s: float = Field(0.5, ge=0, description="tokens that end earlier in the window do not count")
    rise: float = Field(1.0, ge=0, description="0: all tokens alike; large: only the last")
    weigh: Literal["votes", "sqrt", "none"] = Field(
        "votes", description="a window counts by its number of votes, by the root of it, or all count alike"
    )
    label_smoothing: float = Field(0.0, ge=0, lt=1, description="part of the shares that goes to all classes alike")
    mixup: float = Field(0.0, ge=0, description="alpha of Beta(alpha, alpha), by which two windows are mixed; 0: never")
    flips: float = Field(0.0, ge=0, le=1, description="chance that left and right are exchanged in a training window")

    @property
    def couples_samples(self) -> bool:  # type: ignore[override]
        """Whether a window is mixed with another of its batch."""
        return self.mixup > 0

    def bind(self, bound: Bound) -> nn.Module:
        """Return the loss module.

        Raises SpecError where windows have no votes, or a channel has no partner on the other side to flip with;
        DataError for votes of other classes, or a window that nobody voted on.
        """
        from .votes_loss import VotesLoss

        return VotesLoss(self, bound)
