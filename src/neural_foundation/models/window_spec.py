"""What the networks that decide on a whole window share in their descriptions; the network's base is `window_network`.

Such a network has one token a window: one window in, one decision out, from the start each time.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, model_validator

from ..core.specs import SignalSpec, TargetSpec, off_key
from .base import ModelSpec

if TYPE_CHECKING:
    from .window_network import WindowNetwork


class WindowSpec(ModelSpec):
    """Base of the descriptions of networks of whole windows."""

    family: ClassVar[Literal["network", "estimator"]] = "network"
    context: Literal["trial"] = Field("trial", description="each window is decided on its own")
    window_s: float = Field(10.0, gt=0, description="seconds of a window; as long as the recipe's windows")
    crop_s: float | None = Field(None, gt=0, description="seconds in its middle that are looked at; None: all of it")
    scaling: Literal["type", "all"] = Field(
        "type", description="the input's median and spread: of each channel type, or of all channels together"
    )
    checkpointing: bool = off_key(False, description="compute activations twice, to save memory")

    @model_validator(mode="after")
    def _crop_in_window(self) -> WindowSpec:
        if self.crop_s is not None and self.crop_s > self.window_s:
            raise ValueError(f"crop_s {self.crop_s:g} is longer than window_s {self.window_s:g}")
        return self

    def build(
        self, signal: SignalSpec, target: TargetSpec | None, *, subjects: int = 0, seed: int = 0
    ) -> WindowNetwork:
        """Return the untrained network for a signal and target; without a target, one for pre-training.

        subjects : taken and not used: such a network knows nobody. seed : of the weights; no global state is touched.
        """
        from .window_network import seeded

        with seeded(seed, self._name):
            return self.network_class()(self, signal, target)

    @abstractmethod
    def network_class(self) -> type[WindowNetwork]:
        """Return the class of the network, imported now."""
