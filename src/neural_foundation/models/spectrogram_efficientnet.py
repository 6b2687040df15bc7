"""`spectrogram_efficientnet`: spectrograms of regions of the head as one image, an EfficientNet over it.

This module is the description alone and imports no torch; the network is in `spectrogram_efficientnet_network`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

from pydantic import Field, model_validator

from .window_spec import WindowSpec

if TYPE_CHECKING:
    from .window_network import WindowNetwork

Variant = Literal["b0", "b1", "b2", "b3"]
# factors on width and depth, as published
VARIANTS: dict[str, tuple[float, float]] = {"b0": (1.0, 1.0), "b1": (1.0, 1.1), "b2": (1.1, 1.2), "b3": (1.2, 1.4)}


class SpectrogramEfficientNet(WindowSpec):
    """EfficientNet b0-b3 (Tan & Le 2019, ICML) on spectrograms that it computes from the window itself.

    Where channels are named as those of the double banana, the image has one spectrogram for each chain: left and
    right temporal, left and right parasagittal, and the midline where it is there. A chain's power is the mean of its
    channels. Otherwise each channel has its own. Below each other they are one image: frequencies up, time across.

    Needs the extra 'hms'. `pretrained` weights are read, as safetensors alone, before training and are then part
    of the package. Where the hub cannot be reached that is an error, unless `pretrained_or_scratch` says to begin from
    scratch then: the package's facts and card say which it was.
    """

    kind: Literal["spectrogram_efficientnet"] = "spectrogram_efficientnet"
    variant: Variant = Field("b0", description="sizes as published")
    width: float | None = Field(None, gt=0, le=4, description="factor on the width instead of the variant's")
    depth: float | None = Field(None, gt=0, le=4, description="factor on the depth instead of the variant's")
    pretrained: str | None = Field(None, description="folder or hub name of weights to begin with; None: from scratch")
    pretrained_or_scratch: bool = Field(
        False, description="begin from scratch, with a warning, where the hub of the weights cannot be reached"
    )
    revision: str | None = Field(None, description="which state of the hub's weights: a commit, for the same bytes")
    regions: Literal["auto", "channels"] = Field("auto", description="chains where channels are named so, or each one")
    low_hz: float = Field(0.5, ge=0, description="lowest frequency of the image")
    high_hz: float = Field(20.0, gt=0, description="highest frequency of the image")
    n_freqs: int = Field(40, ge=4, le=256, description="rows of a region")
    segment_s: float = Field(2.0, gt=0, description="seconds a spectrum is of")
    hop_s: float = Field(0.2, gt=0, description="seconds a column")
    taper: Literal["hann", "multitaper"] = Field("hann", description="one window, or several whose power is averaged")
    bandwidth_hz: float = Field(2.0, gt=0, description="full bandwidth of the tapers of 'multitaper'")
    dropout: float = Field(0.2, ge=0, lt=1, description="before the readout")

    @model_validator(mode="after")
    def _parts_fit(self) -> SpectrogramEfficientNet:
        if self.pretrained_or_scratch and self.pretrained is None:
            raise ValueError("pretrained_or_scratch needs 'pretrained', the weights to try first")
        if self.low_hz >= self.high_hz:
            raise ValueError(f"low_hz {self.low_hz:g} is not below high_hz {self.high_hz:g}")
        if self.segment_s > (self.crop_s or self.window_s):
            raise ValueError(f"segment_s {self.segment_s:g} is longer than what is looked at")
        return self

    @property
    def factors(self) -> tuple[float, float]:
        """Factors on width and depth."""
        width, depth = VARIANTS[self.variant]
        return self.width or width, self.depth or depth

    @property
    def frequencies(self) -> tuple[float, ...]:
        """Frequencies of a region's rows, evenly spaced."""
        step = (self.high_hz - self.low_hz) / (self.n_freqs - 1)
        return tuple(self.low_hz + i * step for i in range(self.n_freqs))

    def rounded(self, filters: int) -> int:
        """Return a number of filters under the width factor: a multiple of 8, never under nine tenths of it."""
        wide = filters * self.factors[0]
        near = max(8, int(wide + 4) // 8 * 8)
        return near + 8 if near < 0.9 * wide else near

    def repeated(self, blocks: int) -> int:
        """Return a number of blocks under the depth factor."""
        return math.ceil(self.factors[1] * blocks)

    def network_class(self) -> type[WindowNetwork]:
        from .spectrogram_efficientnet_network import SpectrogramEfficientNetNetwork

        return SpectrogramEfficientNetNetwork
