"""What learning is made of: a task to learn, a learner that does it, an objective it lowers, a sampler that feeds it.

Shapes: n windows; a loss is (batch,), one value a sample.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

from ..core.modalities import BinnedSpec
from ..core.progress import Progress, silent
from ..core.specs import SignalSpec, Spec, TargetSpec
from ..models.base import ModelSpec

if TYPE_CHECKING:
    from torch import Tensor, nn

    from ..sampling.batches import Batch, Source
    from ..sampling.binned import BinnedBatch, BinnedSet, BinnedSource
    from ..sampling.order import Balance
    from ..sampling.windows import WindowSet


@dataclass(frozen=True)
class Task:
    """All that a learner needs to know; see `fit` for the meaning of each."""

    model: ModelSpec
    train: WindowSet | BinnedSet
    validation: WindowSet | BinnedSet | None
    signal: SignalSpec | BinnedSpec
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
    """What an objective may look at when it is bound: the network, the data's facts, the training windows.

    An objective of binned sessions finds the facts of its data in `source.windows.spec`; it has no `signal`.
    """

    network: nn.Module
    signal: SignalSpec
    target: TargetSpec | None
    subjects: Sequence[str]
    source: Source
    seed: int


class Objective(Spec):
    """Base of every objective's description.

    data : what it learns from, windows of a `signal` or of `binned` sessions; see `ModelSpec`.
    couples_samples : a sample's loss depends on the others in its batch; such an objective cannot be private.
    supervised : it needs windows with targets. tasks : the targets it understands. tokens : it needs the network's
    outputs at every token. not_ordered : why it cannot learn from windows in order, whose state is carried on; empty
    where it can.
    """

    data: ClassVar[Literal["signal", "binned"]] = "signal"
    couples_samples: ClassVar[bool] = False
    supervised: ClassVar[bool] = False
    tasks: ClassVar[tuple[str, ...]] = ()
    not_ordered: ClassVar[str] = "does not say that a window of it may begin in a state carried from the one before"

    @abstractmethod
    def bind(self, bound: Bound) -> nn.Module:
        """Return a module `loss(network, batch) -> (batch,)`.

        Parameters of its own are trained with the network and thrown away after. It may have a method
        `decisions(network, batch) -> (loss (batch,), class (batch,))` for the balanced accuracy of validation, or a
        method `figures(network, batch) -> (loss (batch,), {name: (batch,)})` for further named figures of validation
        (NaN: not of this window; their means are logged), and a method `listeners(device)` that names networks of its
        own whose state is carried on beside the trained one's; what each gave for the unchanged signal is then in
        `batch.told`.
        """


@dataclass(frozen=True)
class Drawn:
    """What a sampler draws batches from.

    source : the windows, of a signal or of binned sessions. order_seed, batch_seed : of which windows a step sees, and
    of what happens to them. held : they are those of validation: each once, always in the same order, as of nobody in
    the training subjects.
    """

    source: Source | BinnedSource
    batch_size: int
    balance: Balance
    order_seed: int
    batch_seed: int
    held: bool = False


class Feed(Protocol):
    """The batches of a run; each is a function of its step, which counts from 0 over all epochs."""

    @property
    def steps_per_epoch(self) -> int:
        """Steps in an epoch."""

    @property
    def lanes(self) -> int:
        """Rows whose state is carried on from step to step; 0 where each window begins anew."""

    def epoch(self, step: int) -> int:
        """Return the epoch that a step belongs to, from 0."""

    def size(self, step: int) -> int:
        """Return how many windows a step sees."""

    def parts(self, step: int, n: int = 1, *, every: int = 1, first: int = 0) -> Iterator[Batch | BinnedBatch]:
        """Yield the windows of a step, on the CPU, in n batches; of these each `every`-th from `first` on."""


class Sampler(Spec):
    """Base of every sampler's description: which windows each step sees.

    carries : the network's state goes on from each window to the next of the same recording; its batches are then
    `walk.Walked`.
    """

    carries: ClassVar[bool] = False

    @abstractmethod
    def bind(self, drawn: Drawn) -> Feed:
        """Return the batches; SpecError or DataError where these windows cannot be drawn so."""
