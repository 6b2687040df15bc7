"""The learner of networks: gradient descent on an objective, by Lightning, resumed to the same bytes.

This module is only the description; what it does is in `training`, imported when a fit starts.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import BeforeValidator, Field, model_validator

from ..core.kinds import of
from ..core.specs import off_key
from ..sampling.augment import Augment
from ..sampling.order import Balance
from .base import Fitted, Learner, Objective, Sampler, Task
from .samplers.shuffled import Shuffled
from .table import OBJECTIVES, SAMPLERS, TRACKERS
from .trackers.base import Tracker

_NONE = BeforeValidator(lambda given: () if given is None else given)


class Gradient(Learner):
    """AdamW with linear warm-up and cosine decay; the best validation weights are kept."""

    kind: Literal["gradient"] = "gradient"
    family: ClassVar[Literal["network", "estimator"]] = "network"

    objective: of(OBJECTIVES, Objective)  # type: ignore[valid-type]
    sampler: of(SAMPLERS, Sampler) = Shuffled()  # type: ignore[valid-type]
    max_epochs: int = Field(50, ge=1)
    max_steps: int | None = Field(None, ge=1, description="ends earlier than max_epochs where it is less")
    batch_size: int = Field(64, ge=1, description="windows an optimiser step sees, accumulation included")
    accumulate: int = Field(1, ge=1, description="parts a batch is computed in, to save memory")
    processes: int = Field(1, ge=1, description="that share each batch, on one machine; on GPUs one each")

    lr: float = Field(1e-3, gt=0)
    front_end_lr: float = Field(1.0, ge=0, description="factor on lr for the front end")
    warmup: float = Field(0.05, ge=0, le=1, description="share of all steps in which lr rises from 0")
    final_lr: float = Field(0.01, ge=0, le=1, description="factor on lr that the cosine ends at")
    weight_decay: float = Field(0.05, ge=0, description="not on norms, biases and decay coefficients")
    betas: tuple[float, float] = (0.9, 0.99)
    clip_norm: float = Field(1.0, ge=0, description="largest norm of the gradient; 0: no limit")
    precision: Literal["fp32", "bf16"] = "fp32"
    freeze: tuple[str, ...] = Field((), description="name prefixes of parameters that stay as they are")
    probe: bool = Field(True, description="start from a linear probe in closed form, where the network can")
    keep_head: bool = Field(False, description="take the head of the pre-trained start too")
    gradient_checkpointing: bool = off_key(False, description="compute activations twice, to save memory")

    balance: Balance = Field("subject", description="what weighs the same in a batch")
    augment: Augment = Augment()

    monitor: Literal["loss", "balanced_accuracy"] = "loss"
    patience: int | None = Field(None, ge=1, description="epochs without a better validation before stopping")
    averaging: Literal["none", "ema", "swa"] = "none"
    ema_decay: float = Field(0.99, ge=0, lt=1)
    swa_from: float = Field(0.5, ge=0, lt=1, description="share of all steps after which swa averages")

    checkpoint_every_s: float = off_key(30.0, gt=0)
    checkpoint_every_steps: int | None = off_key(None, ge=1, description="beside the time, also every so many steps")
    memory_gb: float = off_key(2.0, ge=0, description="windows are kept in memory up to this size")
    tracking: Annotated[tuple[of(TRACKERS, Tracker), ...], _NONE] = off_key(  # type: ignore[valid-type]
        (), description="needs the extra 'tracking'; null: none"
    )

    @model_validator(mode="after")
    def _parts_fit(self) -> Gradient:
        if self.accumulate > self.batch_size:
            raise ValueError(f"accumulate is {self.accumulate}, more than batch_size {self.batch_size}")
        if self.accumulate * self.processes > self.batch_size:
            given = f"processes {self.processes} x accumulate {self.accumulate}"
            raise ValueError(f"{given} is more than batch_size {self.batch_size}")
        if self.processes > 1 and (self.objective.couples_samples or self.sampler.carries):
            what = self.objective.kind if self.objective.couples_samples else self.sampler.kind
            raise ValueError(f"'{what}' needs all of a batch in one place: processes must be 1")
        if self.objective.couples_samples and self.accumulate > 1:
            raise ValueError(f"objective '{self.objective.kind}' compares the samples of a batch: accumulate must be 1")
        if self.objective.couples_samples and self.batch_size < 2:
            raise ValueError(f"objective '{self.objective.kind}' compares samples: batch_size must be 2 or more")
        if self.sampler.carries:
            self._goes_in_order()
        if self.monitor == "balanced_accuracy" and "classification" not in self.objective.tasks:
            raise ValueError(f"objective '{self.objective.kind}' has no balanced accuracy: monitor must be 'loss'")
        return self

    def _goes_in_order(self) -> None:
        sampler, objective = self.sampler.kind, self.objective
        if objective.not_ordered:
            given = f"objective '{objective.kind}' {objective.not_ordered}: it cannot have sampler '{sampler}'"
            raise ValueError(f"{given}; 'masked' can")
        if self.accumulate > 1:
            raise ValueError(
                f"sampler '{sampler}' has as many windows a step as recordings go on: accumulate must be 1"
            )
        if self.augment.shift_s:
            raise ValueError(
                f"sampler '{sampler}' needs windows as they follow on each other: augment.shift_s must be 0"
            )

    def fit(self, task: Task) -> Fitted:
        """Return the trained network; goes on from `task.folder / "checkpoints"` where a run was cut off.

        Raises
        ------
        SpecError : objective, target and model do not go together. DataError : too little data, a loss that is not
        finite. PackageError : the start does not fit the network. StoreError : a damaged or foreign checkpoint.
        """
        from .training import train

        return train(self, task)
