"""Windows in random order, each heard from the network's start state."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np

from ...sampling.order import Indices, Order, fixed_batches, training_order
from ..base import Drawn, Feed, Sampler

if TYPE_CHECKING:
    from ...sampling.batches import Batch
    from ...sampling.binned import BinnedBatch


class Shuffled(Sampler):
    """Windows at random, subjects balanced as the learner's `balance` says; each begins in the start state."""

    kind: Literal["shuffled"] = "shuffled"

    def bind(self, drawn: Drawn) -> Feed:
        """Return the batches; DataError where there are no windows."""
        if drawn.held:
            return InTurn(drawn, tuple(fixed_batches(len(drawn.source), drawn.batch_size)))
        windows = drawn.source.windows
        order = training_order(
            np.asarray(windows.subject),
            np.asarray(windows.target),
            batch_size=drawn.batch_size,
            seed=drawn.order_seed,
            balance=drawn.balance,
        )
        return AtRandom(drawn, order)


@dataclass(frozen=True)
class AtRandom:
    """The batches of an `Order`."""

    lanes: ClassVar[int] = 0
    drawn: Drawn
    order: Order

    @property
    def steps_per_epoch(self) -> int:
        return self.order.steps_per_epoch

    def epoch(self, step: int) -> int:
        return self.order.epoch(step)

    def size(self, step: int) -> int:
        return len(self.order.indices(step))

    def parts(self, step: int, n: int = 1, *, every: int = 1, first: int = 0) -> Iterator[Batch | BinnedBatch]:
        for items in np.array_split(self.order.indices(step), n)[first::every]:
            yield self.drawn.source.batch(items, seed=self.drawn.batch_seed, epoch=self.epoch(step), step=step)


@dataclass(frozen=True)
class InTurn:
    """All windows of a validation in their own order, as of nobody in the training subjects."""

    lanes: ClassVar[int] = 0
    drawn: Drawn
    batches: tuple[Indices, ...]

    @property
    def steps_per_epoch(self) -> int:
        return len(self.batches)

    def epoch(self, step: int) -> int:
        return step // len(self.batches)

    def size(self, step: int) -> int:
        return len(self.batches[step % len(self.batches)])

    def parts(self, step: int, n: int = 1, *, every: int = 1, first: int = 0) -> Iterator[Batch | BinnedBatch]:
        for items in np.array_split(self.batches[step % len(self.batches)], n)[first::every]:
            yield self.drawn.source.batch(items, seed=self.drawn.batch_seed, population=True)
