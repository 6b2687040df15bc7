"""`neds`: one masked transformer over all modalities of a session, that predicts spikes from behaviour and back.

Source: Zhang et al. 2025, Neural Encoding and Decoding at Scale, arXiv 2504.08201. Widths, heads and layers of small,
medium and large are those of the published configurations (mm_single_session, mm_medium_size, mm_large_size of
github.com/yzhang511/NEDS: 5, 16 and 22 layers, all 256 wide, 8 heads, an inner layer of 512).

What differs on purpose:
- a session's units go through one linear map, not through an inner layer twice as wide as there are units;
- a trial's choice is one token, not one a bin (`static_tokens: per_bin` gives these);
- no dropout within attention: on a CPU it blocks the fused kernel, and a step takes 2.7 times as long;
- a hidden token is a learned vector, which still knows modality, bin and session; the published one is zero;
- beside attention, every token is told by a learned filter what is seen in the bins about it (`local_bins`): a linear
  decoder that need not be found by attention first, which takes many more steps;
- behaviours of the same name share their maps over sessions, in units of each session's own standard deviation.

This module is the description alone and imports no torch; the network is in `neds_network`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, model_validator

from ..core.errors import SpecError
from ..core.modalities import BinnedSpec
from .base import ModelSpec

if TYPE_CHECKING:
    from .neds_network import NedsNetwork

Size = Literal["tiny", "small", "medium", "large"]
SIZED = ("width", "layers", "heads")
SIZES: dict[str, tuple[int, int, int]] = {
    "tiny": (64, 2, 4),
    "small": (256, 5, 8),
    "medium": (256, 16, 8),
    "large": (256, 22, 8),
}


class Neds(ModelSpec):
    """Masked multimodal transformer over binned sessions. A field left at None takes its value from `size`."""

    kind: Literal["neds"] = "neds"
    family: ClassVar[Literal["network", "estimator"]] = "network"
    data: ClassVar[Literal["signal", "binned"]] = "binned"

    size: Size = Field("small", description="layers x width: tiny 2 x 64; as published: 5, 16 and 22 x 256")
    width: int | None = Field(None, ge=8, description="numbers a token")
    layers: int | None = Field(None, ge=1, description="transformer layers")
    heads: int | None = Field(None, ge=1, description="attention heads; width must be an even multiple of it")
    dropout: float = Field(0.2, ge=0, lt=1, description="of tokens, and of what each layer adds (published: 0.2, 0.4)")
    attention_dropout: float = Field(
        0.0, ge=0, lt=1, description="of attention weights (published: 0.4); a CPU step takes 2.7 times as long with it"
    )
    inputs: Literal["stitch", "units"] = Field(
        "stitch", description="of counts: a linear map a session, or an embedding a unit in a basis all sessions share"
    )
    unit_width: int = Field(24, ge=1, description="numbers a unit's embedding has, where inputs is 'units'")
    transform: Literal["sqrt", "log1p", "none"] = Field("sqrt", description="of counts before they make a token")
    unit_dropout: float = Field(0.0, ge=0, lt=1, description="share of units that a training window does not show")
    local_bins: int = Field(
        15, ge=0, description="bins whose seen tokens every token about them is told of by a learned filter; 0: none"
    )
    static_tokens: Literal["one", "per_bin"] = Field(
        "one", description="tokens of a trial's class: one holds all there is to know; per_bin as published"
    )
    bin_embedding: bool | None = Field(
        None, description="a learned vector a bin of the window: for windows aligned to trials; None: unless causal"
    )
    causal: bool = Field(False, description="a token sees no later bin, so that the network streams bin by bin")
    context_bins: int = Field(100, ge=2, description="where causal: how many bins, its own included, a token sees")

    @model_validator(mode="after")
    def _parts_fit(self) -> Neds:
        if self.sized("width") % (2 * self.sized("heads")):
            raise ValueError(f"width {self.sized('width')} is not an even multiple of heads {self.sized('heads')}")
        if self.causal and self.bin_embedding:
            raise ValueError("bin_embedding numbers the bins of a window, which a causal stream does not have")
        if self.context == "stream" and not self.causal:
            raise ValueError("context 'stream' is carried from bin to bin: set causal: true")
        return self

    def sized(self, field: str) -> int:
        """Return a field of the architecture: its own value, or that of the size."""
        own = getattr(self, field)
        return int(SIZES[self.size][SIZED.index(field)] if own is None else own)

    @property
    def numbered(self) -> bool:
        """Whether a token knows which bin of the window it is."""
        return not self.causal if self.bin_embedding is None else self.bin_embedding

    def build(self, signal: BinnedSpec, target: Any = None, *, subjects: int = 0, seed: int = 0) -> NedsNetwork:
        """Return the untrained network for sessions; no global random state is touched.

        target, subjects : what other networks need, not used. A session's own part is a function of seed and its name.
        SpecError where `signal` is not of binned sessions.
        """
        if not isinstance(signal, BinnedSpec):
            raise SpecError(
                f"Model 'neds' was given {type(signal).__name__}",
                allowed="binned sessions",
                remedy="Fit it with the stage 'fit_trials', after 'bin'",
            )
        from .neds_network import NedsNetwork

        return NedsNetwork(self, signal, seed=seed)
