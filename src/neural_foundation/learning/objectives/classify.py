"""Which class a window is of, decided again at every token, the last one counting most.

The subject adversary is that of Ganin & Lempitsky, "Unsupervised domain adaptation by backpropagation", ICML 2015: a
classifier of the training subject behind a gradient reversal, which the network holds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from ..base import Bound, Objective

if TYPE_CHECKING:
    from torch import nn


class Classify(Objective):
    """Cross-entropy of the classes, averaged over tokens from `from_s` on with weights growing as k^rise."""

    kind: Literal["classify"] = "classify"
    supervised: ClassVar[bool] = True
    tasks: ClassVar[tuple[str, ...]] = ("classification",)
    not_ordered: ClassVar[str] = "learns from trials, which do not follow on each other"

    from_s: float = Field(0.5, ge=0, description="tokens that end earlier in the window do not count")
    rise: float = Field(1.0, ge=0, description="0: all tokens alike; large: only the last")
    label_smoothing: float = Field(0.1, ge=0, lt=1)
    class_balance: bool = Field(False, description="weigh each class by the inverse of its share in training")
    subject_adversary: float = Field(0.0, ge=0, description="weight of the subject classifier behind the reversal")

    def bind(self, bound: Bound) -> nn.Module:
        """Return the loss module; SpecError where the adversary is asked for and the network has none."""
        from .classify_loss import ClassifyLoss

        return ClassifyLoss(self, bound)
