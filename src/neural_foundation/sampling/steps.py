"""Batches that are each a function of (seed, epoch, step): dealt to workers and ranks, and gone on with after a kill.

No batch depends on the one before it, so any process can make any of them: worker w of W makes steps w, w + W, ...,
and they arrive in order. So the batches are the same with any number of workers, and a run that begins at a step sees
what an undisturbed one would have seen from there.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Generic, TypeVar, cast

import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset, Sampler, get_worker_info

from ..core.errors import NeuralFoundationError, SpecError, StoreError
from .slots import Packed, Slots, pack, unpack, writing_to

T = TypeVar("T")
Place = tuple[int, int]
VERSION = 1
SPARE = 2  # slots for batches that are in use while others are made
LEAST = 1 << 14  # bytes of a batch that a slot is worth while for


class Stepped(IterableDataset[T], Generic[T]):
    """An iterable data set of whole batches; each pass goes from where it stands to the end of the epoch.

    seed : decides every order. rank, world : which part of each step is made here, of how many; those of
    torch.distributed where it has begun, else 0 of 1.

    Iterate over it, or over `loader(num_workers=...)`; both move where it stands, which `state_dict` gives. A plain
    `DataLoader(data, batch_size=None, num_workers=...)` gives the same batches, but moves copies in its workers: there,
    call `stand_after` with the place of the last batch yourself, and `set_epoch` before each pass.
    """

    bundle: ClassVar[int] = 1  # batches that a worker sends in one message

    def __init__(self, *, seed: int = 0, rank: int | None = None, world: int | None = None) -> None:
        super().__init__()
        self.seed = seed
        self.rank, self.world = _part(rank, world)
        self.epoch, self.step = 0, 0

    @property
    @abstractmethod
    def steps_per_epoch(self) -> int:
        """Batches in an epoch, the same on every rank."""

    @property
    def batch_bytes(self) -> int:
        """Bytes of the largest tensor of a batch, 0 where it is not worth to keep memory for it."""
        return 0

    @abstractmethod
    def at(self, epoch: int, step: int) -> T:
        """Return the batch of a step, wherever the data set stands."""

    @abstractmethod
    def fingerprint(self) -> str:
        """Return a digest of all that decides the batches beside epoch and step."""

    def __len__(self) -> int:
        return self.steps_per_epoch

    def __iter__(self) -> Iterator[T]:
        worker = get_worker_info()
        first, every = (0, 1) if worker is None else (worker.id, worker.num_workers)
        places = list(self.places())
        for epoch, step in places[first::every]:
            batch = self.at(epoch, step)
            self.stand_after(epoch, step)
            yield batch
        if places and worker is not None:
            self.stand_after(*places[-1])  # all workers go on with the same epoch

    def places(self) -> Iterator[Place]:
        """Yield (epoch, step) of the batches from here to the end of the epoch."""
        epoch = self.epoch
        yield from ((epoch, step) for step in range(self.step, self.steps_per_epoch))

    def stand_after(self, epoch: int, step: int) -> None:
        """Go on after a step; after the last of an epoch, with the first of the next."""
        self.epoch, self.step = (epoch, step + 1) if step + 1 < self.steps_per_epoch else (epoch + 1, 0)

    def set_epoch(self, epoch: int) -> None:
        """Go to the first step of an epoch."""
        self.epoch, self.step = epoch, 0

    def state_dict(self) -> dict[str, Any]:
        """Return where the data set stands: after the last batch that it, or its `loader`, gave."""
        return {"version": VERSION, "epoch": self.epoch, "step": self.step, "order": self.fingerprint()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where a state was taken; StoreError where it is of other data, another seed or another batch size."""
        if state.get("version") != VERSION or state.get("order") != self.fingerprint():
            remedy = "Make the data set with the arguments, recordings and seed that it had"
            raise StoreError("This state is of another order of batches", remedy=remedy)
        epoch, step = int(state["epoch"]), int(state["step"])
        if epoch < 0 or not 0 <= step < self.steps_per_epoch:
            raise StoreError(f"The state stands at step {step} of epoch {epoch}", allowed=f"0 to {len(self) - 1}")
        self.epoch, self.step = epoch, step

    def loader(self, *, num_workers: int = 0, prefetch_factor: int | None = None, **others: Any) -> StepLoader[T]:
        """Return a DataLoader of the batches.

        prefetch_factor : messages (of `bundle` batches) that each worker makes ahead, 2 where it is not given.
        others : as DataLoader has them: persistent_workers, pin_memory, multiprocessing_context, timeout ...
        """
        return StepLoader(self, num_workers=num_workers, prefetch_factor=prefetch_factor, **others)


class StepLoader(DataLoader[Any], Generic[T]):
    """Gives the batches of a `Stepped`, made by workers ahead of time, and moves where it stands with each.

    Large batches are written to memory that is used again once nothing refers to them any more (`slots.py`).
    """

    def __init__(self, source: Stepped[T], **others: Any) -> None:
        self.source = source
        made = _ByPlace(source)
        super().__init__(made, sampler=_Places(made), batch_size=None, collate_fn=_as_it_is, **others)
        self._made, self._slots = made, self._new_slots() if self.persistent_workers else None

    def __len__(self) -> int:
        return self.source.steps_per_epoch - self.source.step

    def __iter__(self) -> Iterator[T]:  # type: ignore[override]
        slots = self._made.slots = self._slots or self._new_slots()
        for places, taken, packed in super().__iter__():
            for (epoch, step), slot, part in zip(places, taken, packed, strict=True):
                if isinstance(part, NeuralFoundationError):
                    raise part  # as it is: DataLoader would make a RuntimeError of it
                self.source.stand_after(epoch, step)
                yield unpack(part, slot, slots)

    def state_dict(self) -> dict[str, Any]:
        """Return where the data set stands: after the last batch given here, however many are made ahead."""
        return self.source.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """See `Stepped.load_state_dict`; the next pass begins there."""
        self.source.load_state_dict(state)

    def _new_slots(self) -> Slots | None:
        if self.source.batch_bytes < LEAST or self.pin_memory:
            return None  # pinning copies each batch anyway
        ahead = self.num_workers * (self.prefetch_factor or 1) * self.source.bundle
        return Slots(ahead + self.source.bundle + SPARE, self.source.batch_bytes, shared=self.num_workers > 0)


Wanted = tuple[list[Place], list[int | None]]
Made = Packed | NeuralFoundationError


class _ByPlace(Dataset[tuple[list[Place], list[int | None], list[Made]]]):
    """Makes the batches of some places; runs in the workers."""

    def __init__(self, source: Stepped[Any]) -> None:
        self.source, self.slots = source, cast("Slots | None", None)

    def __getitem__(self, wanted: Wanted) -> tuple[list[Place], list[int | None], list[Made]]:
        return *wanted, [self._packed(place, slot) for place, slot in zip(*wanted, strict=True)]

    def _packed(self, place: Place, slot: int | None) -> Made:
        memory = None if slot is None or self.slots is None else self.slots.memory(slot)
        try:
            with writing_to(memory):
                return pack(self.source.at(*place), slot, memory)
        except NeuralFoundationError as error:
            return error


class _Places(Sampler[Wanted]):
    """Says which batches are to be made next, and where to; runs in the parent process."""

    def __init__(self, made: _ByPlace) -> None:
        self._made = made

    def __iter__(self) -> Iterator[Wanted]:
        slots, n = self._made.slots, self._made.source.bundle
        if slots is not None:
            slots.reclaim()  # of a pass that was left; its workers have ended, or have been emptied
        places = list(self._made.source.places())
        for i in range(0, len(places), n):
            part = places[i : i + n]
            yield part, [None if slots is None else slots.take() for _ in part]


def _as_it_is(batch: T) -> T:
    return batch


def _part(rank: int | None, world: int | None) -> tuple[int, int]:
    if (rank is None) != (world is None):
        raise SpecError(f"rank is {rank} and world is {world}", allowed="both, or neither")
    if rank is None or world is None:
        spread = torch.distributed.is_available() and torch.distributed.is_initialized()
        return (torch.distributed.get_rank(), torch.distributed.get_world_size()) if spread else (0, 1)
    if not 0 <= rank < world:
        raise SpecError(f"rank is {rank} of world {world}", allowed="0 <= rank < world")
    return rank, world
