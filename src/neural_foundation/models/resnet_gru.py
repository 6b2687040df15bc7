"""`resnet_gru`: residual convolutions over time, a recurrent layer over what they give, one decision a window.

This module is the description alone and imports no torch; the network is in `resnet_gru_network`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field, model_validator

from .window_spec import WindowSpec

if TYPE_CHECKING:
    from .window_network import WindowNetwork


class ResNetGRU(WindowSpec):
    """ResNet1D-GRU: residual blocks with squeeze-and-excitation, a bidirectional GRU, GeM pooling.

    The first convolution and the pooling after it take every fourth sample, each stage but the first every second of
    what it is given: with four stages the GRU sees a token for 32 samples. The blocks are those of He et al. 2016.
    """

    kind: Literal["resnet_gru"] = "resnet_gru"
    width: int = Field(64, ge=4, description="filters of the first stage")
    growth: float = Field(2.0, ge=1, le=4, description="factor on the filters from one stage to the next")
    blocks: tuple[int, ...] = Field((2, 2, 2, 2), min_length=1, max_length=6, description="blocks of each stage")
    kernel: int = Field(7, ge=3, le=63, description="samples a convolution spans; odd")
    hidden: int = Field(128, ge=4, description="units of the GRU, of each direction")
    dropout: float = Field(0.3, ge=0, lt=1, description="before the GRU and before the readout")

    @model_validator(mode="after")
    def _parts_fit(self) -> ResNetGRU:
        if self.kernel % 2 == 0:
            raise ValueError(f"kernel {self.kernel} is even; give an odd one, which has a middle")
        if min(self.blocks) < 1:
            raise ValueError("blocks must be 1 or more in each stage; leave a stage out instead")
        return self

    @property
    def widths(self) -> tuple[int, ...]:
        """Filters of each stage."""
        return tuple(round(self.width * self.growth**i) for i in range(len(self.blocks)))

    def network_class(self) -> type[WindowNetwork]:
        from .resnet_gru_network import ResNetGRUNetwork

        return ResNetGRUNetwork
