"""Hidden modalities of a window are predicted from what is seen of it: spikes from behaviour, behaviour from spikes.

Masks are drawn for each window (see `learning.masks`). Losses of what is hidden: for counts the Poisson deviance (twice
the Poisson negative log-likelihood less that of the counts themselves, which has the same gradient), for continuous
values the squared error of standardised values, for classes the cross-entropy. Each is the mean over a window's own
scored values, divided by what it is for the best constant prediction on the session's training windows (each unit's
mean rate, each channel's mean, the shares of the classes). So each begins near 1 and is 0 when all is told, as 1 - R2
is, and none drowns: not that of the classes, one value a window, nor that of a quiet session's units.

Modalities of one kind that are scored in a window count alike, and the kinds by their weights.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, model_validator

from ...models.predicted import DECODING, DIRECTIONS, ENCODING
from ..base import Bound, Objective
from ..masks import Scheme
from ..resampling import Resample

if TYPE_CHECKING:
    from torch import nn

MODES: dict[str, dict[Scheme, float]] = {
    "mm": {"encoding": 1.0, "decoding": 1.0, "within_modality": 1.0, "random_token": 1.0},
    "encoding": {"encoding": 1.0},
    "decoding": {"decoding": 1.0},
}
TELLS: dict[Scheme, tuple[str, ...]] = {  # which direction a scheme teaches; within_modality tells each from itself
    "encoding": (ENCODING,),
    "neural": (ENCODING,),
    "decoding": (DECODING,),
    "behavioural": (DECODING,),
    "random_token": DIRECTIONS,
    "causal": DIRECTIONS,
}
BY_RATIO: tuple[Scheme, ...] = ("neural", "behavioural", "within_modality", "random_token")  # schemes that hide a share


class Multimodal(Objective):
    """Poisson, squared and cross-entropy losses of what is hidden of binned windows, weighed alike."""

    kind: Literal["multimodal"] = "multimodal"
    data: ClassVar[Literal["signal", "binned"]] = "binned"
    not_ordered: ClassVar[str] = "learns from windows of their own"

    mode: Literal["mm", "encoding", "decoding"] = Field(
        "mm", description="mm: all directions in one model; encoding: neural activity only; decoding: behaviour only"
    )
    schemes: dict[Scheme, float] = Field(
        {}, description="how often each way of hiding is drawn, instead of those of the mode"
    )
    ratio: float = Field(0.3, gt=0, lt=1, description="share of tokens hidden, where a scheme does not hide all")
    counts: float = Field(1.0, ge=0, description="weight of the counts' loss")
    continuous: float = Field(1.0, ge=0, description="weight of the continuous modalities' loss")
    classes: float = Field(1.0, ge=0, description="weight of the classes' loss")
    label_smoothing: float = Field(0.0, ge=0, lt=1, description="of the classes in training, against overconfidence")

    distance: bool = Field(
        False, description="continuous: the length of the error vector over a modality's channels, not its square"
    )
    resample: Resample | None = Field(None, description="take counts from training bins of like behaviour, too")

    @model_validator(mode="after")
    def _something_to_tell(self) -> Multimodal:
        if self.schemes and self.mode != "mm":
            raise ValueError(f"'schemes' are given beside mode '{self.mode}': leave one of the two out")
        if any(weight < 0 for weight in self.schemes.values()) or (self.schemes and not sum(self.schemes.values())):
            raise ValueError(f"schemes {self.schemes}: weights must be 0 or more, and one more than 0")
        if self.ratio != type(self).model_fields["ratio"].default and not any(self.mix.get(s) for s in BY_RATIO):
            raise ValueError(f"'ratio' is used by no scheme of {list(self.mix)}: add one of {list(BY_RATIO)}")
        if not self.counts + self.continuous + self.classes:
            raise ValueError("counts, continuous and classes are all 0: nothing is predicted")
        return self

    @property
    def mix(self) -> dict[Scheme, float]:
        """The weight of each scheme: those given, or those of the mode."""
        return dict(self.schemes or MODES[self.mode])

    @property
    def directions(self) -> tuple[str, ...]:
        """The directions that the schemes drawn teach; () where each modality is told from itself alone."""
        taught = {d for scheme, weight in self.mix.items() if weight > 0 for d in TELLS.get(scheme, ())}
        return tuple(d for d in DIRECTIONS if d in taught)

    def bind(self, bound: Bound) -> nn.Module:
        """Return the loss module; DataError where a session gives none of the schemes anything to tell."""
        from .multimodal_loss import MultimodalLoss

        return MultimodalLoss(self, bound)
