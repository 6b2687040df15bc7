"""What learning is made of: a task to learn, a learner that does it, an objective it lowers.

Shapes: n windows; a loss is (batch,), one value a sample.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from ..core.progress import Progress, silent
from ..core.specs import SignalSpec, Spec, TargetSpec
from ..models.base import ModelSpec

if TYPE_CHECKING:
    from torch import Tensor, nn

    from ..sampling.batches import Source
    from ..sampling.windows import WindowSet


@dataclass(frozen=True)
class Task:
    """All that a learner needs to know; see `fit` for the meaning of each."""

    model: ModelSpec
    train: WindowSet
    validation: WindowSet | None
    signal: SignalSpec
    target: TargetSpec | None
    subjects: tuple[str, ...]
    folder: Path
    seed: int
    start: Mapping[str, Tensor] | None = None
    device: str = "cpu"
    progress: Progress = silent


@dataclass(frozen=True)
class Fitted:
    """What was learned: the network (in eval mode, on the CPU) or the estimator, and one row an epoch."""

    model: Any
    history: list[dict[str, Any]] = field(default_factory=list)


class Learner(Spec):
    """Base of every learner's description. `family` : the models it fits."""

    family: ClassVar[Literal["network", "estimator"]]

    @abstractmethod
    def fit(self, task: Task) -> Fitted:
        """Return the fitted model."""


@dataclass(frozen=True)
class Bound:
    """What an objective may look at when it is bound: the network, the data's facts, the training windows."""

    network: nn.Module
    signal: SignalSpec
    target: TargetSpec | None
    subjects: Sequence[str]
    source: Source
    seed: int


class Objective(Spec):
    """Base of every objective's description.

    couples_samples : a sample's loss depends on the others in its batch; such an objective cannot be private.
    supervised : it needs windows with targets. tasks : the targets it understands. tokens : it needs the network's
    outputs at every token.
    """

    couples_samples: ClassVar[bool] = False
    supervised: ClassVar[bool] = False
    tasks: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def bind(self, bound: Bound) -> nn.Module:
        """Return a module `loss(network, batch) -> (batch,)`.

        Parameters of its own are trained with the network and thrown away after. It may have a method
        `decisions(network, batch) -> (loss (batch,), class (batch,))` for the balanced accuracy of validation.
        """
