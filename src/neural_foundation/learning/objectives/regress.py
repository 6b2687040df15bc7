"""Continuous outputs of a window, predicted at every token, the last one counting most."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from ..base import Bound, Objective

if TYPE_CHECKING:
    from torch import nn


class Regress(Objective):
    """Squared or Huber error, averaged over outputs and over tokens from `from_s` on with weights k^rise."""

    kind: Literal["regress"] = "regress"
    supervised: ClassVar[bool] = True
    tasks: ClassVar[tuple[str, ...]] = ("regression",)
    not_ordered: ClassVar[str] = "learns from trials, which do not follow on each other"

    from_s: float = Field(0.5, ge=0, description="tokens that end earlier in the window do not count")
    rise: float = Field(1.0, ge=0, description="0: all tokens alike; large: only the last")
    huber: float | None = Field(None, gt=0, description="errors beyond this count linearly; absent: squared error")

    def bind(self, bound: Bound) -> nn.Module:
        """Return the loss module."""
        from .regress_loss import RegressLoss

        return RegressLoss(self, bound)
