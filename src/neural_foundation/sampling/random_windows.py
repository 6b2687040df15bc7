"""Windows in random order, read as they are asked for: `Batch`es that networks and objectives take.

The order is that of `order.training_order`: without balance each window comes once an epoch; with it, each subject (or
each class of each subject) comes equally often, and none of its windows twice before all came once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from ..core.errors import DataError
from ..core.seeds import derive
from ..core.specs import SignalSpec, digest
from .batches import Batch
from .montages import Turns
from .order import Balance, training_order
from .slots import empty
from .steps import Stepped
from .store import WindowStore
from .windows import WindowSet

Indices = NDArray[np.int64]


class RandomWindows(Stepped[Batch]):
    """Batches of windows drawn at random, read from their files by the workers that make them.

    Parameters
    ----------
    windows : the windows (`labelled`, `continuous`), or several sets of them, one for each montage: every batch is of
        one, `Batch.montage` says of which, and `montages` has their channels.
    batch_size : windows a step and rank. balance : what weighs the same (see the module).
    subjects : in the order of the network's subject index, from 1; those of the data by name where it is not given.
    seed, rank, world : see `Stepped`; the batch of `batch_size * world` windows is dealt to the ranks.

    What is promised: the batches are a function of (seed, epoch, step), the same with any number of workers; with any
    number of ranks of the same `batch_size * world`, those of a step, put together by rank, are the same too.

    Raises
    ------
    DataError : no windows.
    """

    def __init__(
        self,
        windows: WindowSet | Sequence[WindowSet],
        *,
        batch_size: int,
        balance: Balance = "none",
        subjects: Sequence[str] | None = None,
        seed: int = 0,
        rank: int | None = None,
        world: int | None = None,
    ) -> None:
        super().__init__(seed=seed, rank=rank, world=world)
        self.sets = (windows,) if isinstance(windows, WindowSet) else tuple(windows)
        if not self.sets:
            raise DataError("There are no windows to learn from", remedy="Check the paths")
        names = sorted({name for part in self.sets for name in part.subject.tolist()})
        self.subjects = tuple(names if subjects is None else map(str, subjects))
        at = {name: i for i, name in enumerate(self.subjects, start=1)}
        self._identity = [np.asarray([at.get(str(name), 0) for name in part.subject], np.int64) for part in self.sets]
        self._stores = [WindowStore(part.paths) for part in self.sets]
        self._orders = [
            training_order(
                part.subject,
                part.target,
                batch_size=batch_size * self.world,
                seed=seed if len(self.sets) == 1 else derive(seed, "montage", i),
                balance=balance,
            )
            for i, part in enumerate(self.sets)
        ]
        if balance == "none":
            self._turns = Turns.by_size([order.steps_per_epoch for order in self._orders], seed)
        else:
            self._turns = Turns.by_subjects([len(set(part.subject.tolist())) for part in self.sets], seed)
        self._offsets = np.cumsum([0, *map(len, self.sets)])
        self._largest = batch_size
        self._order = self._digest(batch_size * self.world, balance)

    @property
    def montages(self) -> tuple[SignalSpec, ...]:
        """The channels of each set of windows."""
        return tuple(part.spec for part in self.sets)

    @property
    def steps_per_epoch(self) -> int:
        """Steps in which as many windows are drawn as there are."""
        return sum(order.steps_per_epoch for order in self._orders)

    @property
    def batch_bytes(self) -> int:
        """Bytes of the signals of the largest batch."""
        return max(4 * self._largest * part.spec.n_chans * part.n_times for part in self.sets)

    def indices(self, epoch: int, step: int) -> tuple[int, Indices]:
        """Return the set that a step takes, and which of its windows this rank reads."""
        which, before = self._turns.at(epoch * self.steps_per_epoch + step)
        every = self._orders[which].indices(before)
        return which, np.asarray(np.array_split(every, self.world)[self.rank], np.int64)

    def at(self, epoch: int, step: int) -> Batch:
        """Return the batch of a step of an epoch; its items count through all sets, its step from the first epoch."""
        which, items = self.indices(epoch, step)
        part, identity = self.sets[which], torch.from_numpy(self._identity[which][items])
        signal = empty((len(items), part.spec.n_chans, part.n_times), torch.float32)
        self._stores[which].load(part.file[items], part.start[items], part.n_times, signal.numpy())
        batch = Batch(
            signal=signal,
            target=torch.from_numpy(np.asarray(part.target)[items]),
            subject=identity,
            identity=identity.clone(),
            items=items + int(self._offsets[which]),
            seed=derive(self.seed, "batch"),
            epoch=epoch,
            step=epoch * self.steps_per_epoch + step,
        )
        return replace(batch, montage=which)

    def fingerprint(self) -> str:
        """Return a digest of all that decides the batches of all ranks beside epoch and step."""
        return self._order

    def _digest(self, total: int, balance: str) -> str:
        sets = []
        for part in self.sets:
            known = ("file", "start", "target", "subject", "session")
            cut = [hashlib.sha256(np.ascontiguousarray(getattr(part, name)).tobytes()).hexdigest() for name in known]
            sets.append([part.n_times, list(part.spec.ch_names), *cut])
        return digest([self.seed, total, balance, list(self.subjects), sets])
