"""`squeezeformer`: strided convolutions, then blocks of attention and convolution over the window's tokens.

This module is the description alone and imports no torch; the network is in `squeezeformer_network`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field, model_validator

from .window_spec import WindowSpec

if TYPE_CHECKING:
    from .window_network import WindowNetwork


class Squeezeformer(WindowSpec):
    """1D convolutions and Squeezeformer blocks (Kim et al. 2022, NeurIPS, arXiv 2206.00888).

    A block is attention, dense layers, convolution, dense layers, each added to its input and normalised after, its
    own input scaled by a learned gain. Deliberate differences: positions are rotary (Su et al. 2021), not learned
    relative ones, so that a window may have any length; there is one normalised stem for signals, not for spectra.
    """

    kind: Literal["squeezeformer"] = "squeezeformer"
    width: int = Field(128, ge=8, description="of a token; a multiple of twice the heads")
    blocks: int = Field(4, ge=1, le=32)
    heads: int = Field(4, ge=1)
    expand: int = Field(4, ge=1, le=8, description="width of the dense layers, in widths")
    kernel: int = Field(15, ge=3, le=63, description="tokens a block's convolution spans; odd")
    stem_kernel: int = Field(7, ge=3, le=63, description="samples each convolution of the stem spans; odd")
    token_s: float = Field(0.08, gt=0, description="seconds a token, to the nearest power of two in samples")
    unet: bool = Field(True, description="the middle half of the blocks sees every second token")
    pooling: Literal["gem", "attention"] = Field("attention", description="how tokens become one")
    dropout: float = Field(0.1, ge=0, lt=1, description="of each part of a block, and before the readout")

    @model_validator(mode="after")
    def _parts_fit(self) -> Squeezeformer:
        if self.width % (2 * self.heads):
            raise ValueError(f"width {self.width} is not a multiple of twice the {self.heads} heads")
        for name in ("kernel", "stem_kernel"):
            if getattr(self, name) % 2 == 0:
                raise ValueError(f"{name} {getattr(self, name)} is even; give an odd one, which has a middle")
        return self

    def network_class(self) -> type[WindowNetwork]:
        from .squeezeformer_network import SqueezeformerNetwork

        return SqueezeformerNetwork
