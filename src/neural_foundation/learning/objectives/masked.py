"""Masked pre-training: what is hidden, or lies ahead, is predicted from what came before.

Two parts, each with a weight:

features : spans of tokens are hidden and the front end's features there are reconstructed from the tokens before
    (the model is causal). Targets come from a frozen copy of the front end as it was before training. Were they its
    own, it would learn to be easy to predict: silent.
power : at every token, the features that the decision is read from predict the log band power of each CHANNEL over
    the next `horizon_s`. The target is fixed in sensor space, so it cannot collapse, and it reaches the pooled
    features, which the masked tokens do not. It is standardised within each subject, so that nothing is gained by
    knowing who it is: what is left to predict is the subject's state.

Deliberate difference from masked autoencoders of EEG (BENDR, Kostas et al. 2021; LaBraM, Jiang et al. 2024): no raw
samples and no codes are reconstructed. The phase of ongoing EEG cannot be predicted, its power can.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, model_validator

from ..base import Bound, Objective

if TYPE_CHECKING:
    from torch import nn


class Masked(Objective):
    """Squared error of hidden features and of future band power."""

    kind: Literal["masked"] = "masked"
    couples_samples: ClassVar[bool] = False
    not_ordered: ClassVar[str] = ""

    fraction: float = Field(0.5, gt=0, lt=1, description="share of a window's tokens that is hidden")
    span_s: float = Field(0.5, gt=0, description="length of one hidden span")
    channel_dropout: float = Field(0.1, ge=0, lt=1, description="chance that a channel is silent in the input")
    features: float = Field(1.0, ge=0, description="weight of the hidden tokens' features")
    power: float = Field(1.0, ge=0, description="weight of the future band power of the channels")
    horizon_s: float = Field(1.0, gt=0, description="how far the power is predicted")
    bands_hz: tuple[float, ...] = Field(
        (1.0, 4.0, 8.0, 10.0, 13.0, 20.0, 30.0, 45.0), min_length=2, description="edges"
    )

    @model_validator(mode="after")
    def _sensible(self) -> Masked:
        if any(a >= b for a, b in zip(self.bands_hz, self.bands_hz[1:], strict=False)):
            raise ValueError(f"bands_hz {self.bands_hz} must rise")
        if self.features == self.power == 0:
            raise ValueError("features and power are both 0: nothing is predicted")
        return self

    def bind(self, bound: Bound) -> nn.Module:
        """Return the loss module, with the power's linear head as its parameters."""
        from .masked_loss import MaskedLoss

        return MaskedLoss(self, bound)
