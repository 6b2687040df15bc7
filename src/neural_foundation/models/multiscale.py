"""`multiscale`: a causal streaming network for brain recordings, one set of weights in two forms.

Channels -> virtual channels by electrode position -> damped resonators at time scales from 1 ms to 1 s -> one token a
hop of log power and slow waves -> subject adapter -> linear-attention backbone -> evidence pooled over time -> logits.
In training a chunk of tokens is computed in parallel; live, one token at a time from a carried state of fixed size.

This module is the description alone and imports no torch; the network is in `multiscale_network`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, model_validator

from ..core.specs import SignalSpec, TargetSpec
from .base import ModelSpec

if TYPE_CHECKING:
    from .multiscale_network import MultiscaleNetwork

Size = Literal["tiny", "small", "base", "125m", "1.3b", "13b"]
# d_model, n_layers, n_heads, virtual_channels, longest memory of a head in tokens
SIZES: dict[str, tuple[int, int, int, int, int]] = {
    "tiny": (96, 2, 4, 32, 1_000),
    "small": (268, 6, 4, 16, 1_000),
    "base": (512, 12, 8, 64, 10_000),
    "125m": (768, 16, 12, 64, 100_000),
    "1.3b": (2048, 24, 16, 64, 100_000),
    "13b": (5120, 38, 40, 64, 100_000),
}
SIZED = ("d_model", "n_layers", "n_heads", "virtual_channels", "longest_tokens")


class Multiscale(ModelSpec):
    """Causal multi-scale stream network. A field left at None takes its value from `size`."""

    kind: Literal["multiscale"] = "multiscale"
    family: ClassVar[Literal["network", "estimator"]] = "network"

    size: Size = Field(
        "tiny", description="tiny < 1M parameters, small 5.8M, base 64 channels x 512 x 12, then by name"
    )
    d_model: int | None = Field(None, ge=8, description="width of the backbone")
    n_layers: int | None = Field(None, ge=0, description="blocks of the backbone")
    n_heads: int | None = Field(None, ge=1, description="attention heads; d_model must be a multiple of it")
    virtual_channels: int | None = Field(None, ge=1, description="spatial filters")
    longest_tokens: int | None = Field(None, ge=2, description="memory of the slowest head, in tokens")
    hop_s: float = Field(0.1, gt=0, description="seconds a token")
    scales_s: tuple[float, ...] = Field(
        (0.001, 0.01, 0.1, 1.0), min_length=1, description="lengths of the temporal scales"
    )
    resonators: tuple[int, ...] = Field((4, 6, 16, 43), min_length=1, description="resonators at each scale")
    low_hz: float = Field(3.0, gt=0, description="lowest centre frequency of the 1 s scale")
    high_hz: float = Field(45.0, gt=0, description="highest centre frequency of the 0.1 s and 1 s scales")
    slow_hz: float = Field(12.0, ge=0, description="resonators of 0.1 s up to here also give their waveform")
    sites: int = Field(64, ge=4, description="canonical sites on the head that channels are interpolated to")
    relations: tuple[tuple[float, float], ...] = Field(
        (), description="(low, high) in Hz: bands whose covariance across the head the decision also reads"
    )
    tags_hz: tuple[float, ...] = Field(
        (), description="stimulation frequencies (SSVEP) whose power, harmonics included, the decision also reads"
    )
    tag_harmonics: int = Field(2, ge=1, le=5, description="multiples of each of `tags_hz`")
    relation_sites: int = Field(32, ge=2, description="canonical sites that relations and tags are read at")
    context: Literal["trial", "stream"] = Field("trial", description="evidence since the start, or fading with tau_s")
    tau_s: float = Field(2.0, gt=0, description="seconds over which evidence fades where context is 'stream'")
    dropout: float = Field(0.1, ge=0, lt=1)
    adapter_rank: int = Field(4, ge=1, description="rank of a subject's shift of the features")
    subject_dropout: float = Field(0.5, ge=0, le=1, description="share of training windows taken for the population")
    align_s: float | None = Field(
        None,
        gt=0,
        description="seconds from a trial's onset that make a person's running mean, which is taken out; training "
        "people's means are those before training, so let the front end learn slowly (front_end_lr)",
    )
    adversary: float = Field(1.0, ge=0, description="strength of the gradient reversal before the subject classifier")
    checkpointing: bool = Field(
        False, json_schema_extra={"in_key": False}, description="compute activations twice, to save memory"
    )

    @model_validator(mode="after")
    def _parts_fit(self) -> Multiscale:
        if len(self.resonators) != len(self.scales_s):
            raise ValueError(f"resonators has {len(self.resonators)} entries for {len(self.scales_s)} scales_s")
        if any(a >= b for a, b in zip(self.scales_s, self.scales_s[1:], strict=False)) or self.scales_s[0] <= 0:
            raise ValueError("scales_s must be positive and rise")
        if min(self.resonators) < 1:
            raise ValueError("resonators must be 1 or more at each scale; leave a scale out of scales_s instead")
        if self.low_hz >= self.high_hz:
            raise ValueError(f"low_hz {self.low_hz:g} is not below high_hz {self.high_hz:g}")
        if self.align_s is not None and self.context == "stream":
            raise ValueError("align_s counts trials, which a model with context 'stream' does not know")
        if any(not 0 < low < high for low, high in self.relations):
            raise ValueError(f"relations are bands 0 < low < high in Hz, got {self.relations}")
        if any(f <= 0 for f in self.tags_hz):
            raise ValueError(f"tags_hz are frequencies above 0, got {self.tags_hz}")
        if self.sized("d_model") % self.sized("n_heads"):
            raise ValueError(f"d_model {self.sized('d_model')} is not a multiple of n_heads {self.sized('n_heads')}")
        return self

    def sized(self, field: str) -> int:
        """Return a field of the architecture: its own value, or that of the size."""
        own = getattr(self, field)
        return int(SIZES[self.size][SIZED.index(field)] if own is None else own)

    def build(
        self, signal: SignalSpec, target: TargetSpec | None, *, subjects: int = 0, seed: int = 0, **options: Any
    ) -> MultiscaleNetwork:
        """Return the untrained network for a signal and target; without a target, one for pre-training.

        subjects : training subjects, for adapters and adversary. seed : of the weights; no global state is touched.
        Raises SpecError where no scale fits the signal, SignalMismatchError where no channel can be used.
        """
        from .multiscale_network import MultiscaleNetwork, seeded

        with seeded(seed):
            return MultiscaleNetwork(self, signal, target, subjects=subjects, seed=seed, **options)
