"""Memory that batches are written to again and again, shared with the workers that make them.

A batch in fresh memory costs a page fault for each 4 KiB, in the worker and again in this process; that is more than
reading it. A slot is given out anew only when nothing refers to the batch that was in it: torch keeps the array that a
tensor was made from as long as any view of it lives, and the array tells when it goes.
"""

from __future__ import annotations

import math
import threading
import weakref
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import get_worker_info

PAGE = 4096
SMALL = 1 << 20  # bytes that travel in the message itself where there is no slot; a shared file costs more
_HERE: list[Tensor] = []  # the slot that the batch under way is to be written to


class Slots:
    """`n` pieces of memory of `n_bytes` or a little more."""

    def __init__(self, n: int, n_bytes: int, *, shared: bool) -> None:
        stride = -(-n_bytes // PAGE) * PAGE
        block = torch.empty(n * stride, dtype=torch.uint8)
        self._block = (_shared(block) if shared else block).reshape(n, stride)
        self._given: set[int] = set()
        self._free = deque(range(n))
        self._lock = threading.RLock()  # a batch may be dropped in any thread, and while this one holds the lock

    def memory(self, slot: int) -> Tensor:
        """Return the bytes of a slot."""
        return self._block[slot]

    def take(self) -> int | None:
        """Return a free slot, None where there is none."""
        with self._lock:
            return self._free.popleft() if self._free else None

    def reclaim(self) -> None:
        """Free all slots whose batch was never given out; only where no worker writes to one any more."""
        with self._lock:
            self._free = deque(slot for slot in range(len(self._block)) if slot not in self._given)

    def give(self, slot: int, shape: tuple[int, ...], dtype: str) -> Tensor:
        """Return what a slot holds as a tensor; the slot is free again when nothing refers to its memory."""
        n_bytes = math.prod(shape) * np.dtype(dtype).itemsize
        array = self._block.numpy()[slot, :n_bytes].view(dtype).reshape(shape)
        self._given.add(slot)
        weakref.finalize(array, self._back, slot).atexit = False
        return torch.from_numpy(array)

    def _back(self, slot: int) -> None:
        with self._lock:
            self._given.discard(slot)
            self._free.append(slot)

    def __getstate__(self) -> dict[str, Any]:
        return {"_block": self._block}  # a worker gives nothing out


@dataclass(frozen=True)
class Packed:
    """A batch as it travels: `values` by field, where a tensor is an array, or None where it lies in `slot`."""

    kind: type[Any]
    values: Mapping[str, Any]
    slot: int | None = None
    field: str = ""
    shape: tuple[int, ...] = ()
    dtype: str = ""

    def pin_memory(self) -> Packed:
        """Return the message with its large tensors in page-locked memory; DataLoader asks for it."""
        pinned = {n: v.pin_memory() if isinstance(v, Tensor) else v for n, v in self.values.items()}
        return replace(self, values=pinned)


def pack(batch: Any, slot: int | None, memory: Tensor | None) -> Packed:
    """Return a batch (a dataclass) as a message; its tensor that was written to `memory` stays there."""
    values = {f.name: getattr(batch, f.name) for f in fields(batch)}
    inside, dtype = "", ""
    shape: tuple[int, ...] = ()
    for name, value in values.items():
        if not isinstance(value, Tensor):
            continue
        if memory is not None and value.data_ptr() == memory.data_ptr() and value.numel():
            inside, shape, dtype = name, tuple(value.shape), str(value.numpy().dtype)
            values[name] = None
        elif value.numel() * value.element_size() <= SMALL:
            values[name] = value.numpy()
    return Packed(type(batch), values, slot if inside else None, inside, shape, dtype)


def unpack(packed: Packed, slot: int | None, slots: Slots | None) -> Any:
    """Return the batch of a message; a slot that it was offered and did not use is free again."""
    kept: tuple[str, ...] = getattr(packed.kind, "arrays", ())
    values = {
        name: torch.from_numpy(value) if isinstance(value, np.ndarray) and name not in kept else value
        for name, value in packed.values.items()
    }
    if slots is not None and slot is not None:
        if packed.slot is None:
            slots._back(slot)
        else:
            values[packed.field] = slots.give(packed.slot, packed.shape, packed.dtype)
    return packed.kind(**values)


class writing_to:  # noqa: N801 - used as a function
    """While the context lasts, `empty` gives memory of a slot, once."""

    def __init__(self, memory: Tensor | None) -> None:
        self._memory = memory

    def __enter__(self) -> None:
        _HERE[:] = [] if self._memory is None else [self._memory]

    def __exit__(self, *error: object) -> None:
        _HERE.clear()


def empty(shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """Return a tensor to write a batch to: in a slot where one is offered, and where the parent sees it in a worker."""
    n_bytes = math.prod(shape) * dtype.itemsize
    if _HERE and n_bytes <= _HERE[0].numel():
        return piece(_HERE.pop(), shape, dtype)
    made = torch.empty(shape, dtype=dtype)
    return _shared(made) if get_worker_info() is not None and n_bytes > SMALL else made


def piece(memory: Tensor, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """Return the beginning of some bytes as a tensor."""
    return memory[: math.prod(shape) * dtype.itemsize].view(dtype).reshape(shape)


def _shared(tensor: Tensor) -> Tensor:
    share: Any = tensor.share_memory_  # torch does not say its type
    made: Tensor = share()
    return made
