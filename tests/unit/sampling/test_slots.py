from __future__ import annotations

import gc
import pickle
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch

from neural_foundation.sampling.slots import SMALL, Slots, empty, pack, piece, unpack, writing_to


@dataclass(frozen=True)
class Small:
    signal: torch.Tensor
    who: torch.Tensor
    items: np.ndarray
    step: int
    arrays: ClassVar[tuple[str, ...]] = ("items",)


def written(slots: Slots, slot: int | None, shape: tuple[int, ...], value: float) -> Small:
    memory = None if slot is None else slots.memory(slot)
    with writing_to(memory):
        signal = empty(shape, torch.float32).fill_(value)
        batch = Small(signal, torch.tensor([1, 2]), np.array([3]), 4)
        return unpack(pickle.loads(pickle.dumps(pack(batch, slot, memory))), slot, slots)  # noqa: S301 - our own bytes


def test_a_slot_is_free_again_when_nothing_refers_to_its_batch() -> None:
    slots = Slots(1, 4 * 12, shared=False)
    slot = slots.take()
    assert slot == 0
    assert slots.take() is None
    batch = written(slots, slot, (3, 4), 5.0)
    assert batch.signal.data_ptr() == slots.memory(0).data_ptr()
    assert (batch.signal == 5).all()
    row = batch.signal[1:, 2]
    del batch
    gc.collect()
    assert slots.take() is None, "a view of the batch is still in use"
    del row
    gc.collect()
    assert slots.take() == 0


def test_what_else_a_batch_has_comes_back_as_it_was() -> None:
    slots = Slots(1, 4 * 12, shared=False)
    batch = written(slots, slots.take(), (3, 4), 1.0)
    assert batch.who.tolist() == [1, 2]
    assert isinstance(batch.items, np.ndarray)
    assert (batch.items.tolist(), batch.step) == ([3], 4)


def test_a_batch_that_does_not_fit_leaves_its_slot_free() -> None:
    slots = Slots(1, 4 * 12, shared=False)
    batch = written(slots, slots.take(), (5, 400), 2.0)
    assert (batch.signal == 2).all()
    assert batch.signal.shape == (5, 400)
    assert slots.take() == 0
    assert written(slots, None, (5, 4), 2.0).signal.shape == (5, 4)


def test_what_was_never_given_out_can_be_reclaimed() -> None:
    slots = Slots(3, 64, shared=False)
    kept = written(slots, slots.take(), (2, 2), 1.0)
    slots.take()
    slots.reclaim()
    assert sorted([slots.take(), slots.take()]) == [1, 2]
    assert slots.take() is None
    assert (kept.signal == 1).all()


def test_only_one_tensor_of_a_batch_is_written_to_a_slot() -> None:
    memory = torch.zeros(64, dtype=torch.uint8)
    with writing_to(memory):
        first, second = empty((2,), torch.float32), empty((2,), torch.float32)
    assert first.data_ptr() == memory.data_ptr() != second.data_ptr()
    assert empty((2,), torch.float32).data_ptr() != memory.data_ptr()
    assert piece(memory, (2, 3), torch.float32).shape == (2, 3)


def test_large_tensors_outside_of_slots_stay_tensors() -> None:
    large = Small(torch.zeros(SMALL), torch.zeros(1), np.zeros(1), 0)
    packed = pack(large, None, None)
    assert packed.values["signal"] is large.signal
    assert isinstance(packed.values["who"], np.ndarray)
