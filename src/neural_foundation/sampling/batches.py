"""From addresses of windows to batches on a device.

Shapes: signal (batch, n_chans, n_times) float32 volts; target (batch,) class index, -1 unlabelled; subject (batch,)
0 for the population, 1.. for the training subjects in their order; votes (batch, K) float32.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..core.seeds import generator

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from .windows import WindowSet

Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Batch:
    """What one step sees.

    subject : the index given to the network. identity : who it truly is, which `subject` may hide (validation comes
    as from a new subject, 0). items : (batch,) which windows these are. begin : what of the network's start state is
    otherwise, B first. montage : which of several sets of channels the signal has. votes : how many experts chose each
    of the K classes, None where nobody was asked. (seed, epoch, step, item) decide every random choice; validation has
    step -1.
    """

    signal: Tensor
    target: Tensor
    subject: Tensor
    identity: Tensor
    items: Indices
    seed: int
    epoch: int = 0
    step: int = -1
    begin: Mapping[str, Tensor] | None = None
    montage: int = 0
    votes: Tensor | None = None
    arrays: ClassVar[tuple[str, ...]] = ("items",)  # what stays an array on the way from a worker

    def __len__(self) -> int:
        return len(self.items)

    def draws(self, purpose: str) -> list[np.random.Generator]:
        """Return one generator a window, a function of (seed, purpose, epoch, step, item)."""
        return [generator(self.seed, purpose, self.epoch, self.step, int(item)) for item in self.items]

    def to(self, device: torch.device | str) -> Batch:
        """Return the batch on a device."""
        names = ("signal", "target", "subject", "identity")
        begin = None if self.begin is None else {n: t.to(device) for n, t in self.begin.items()}
        votes = None if self.votes is None else self.votes.to(device)
        return replace(self, begin=begin, votes=votes, **{n: getattr(self, n).to(device) for n in names})


class Source:
    """Reads batches of a window set; keeps the signals in memory where they fit in `memory_bytes`."""

    def __init__(self, windows: WindowSet, subjects: Sequence[str], *, memory_bytes: int = 2**31) -> None:
        self.windows = windows
        known = {name: index for index, name in enumerate(subjects, start=1)}
        self.identity = np.asarray([known.get(str(name), 0) for name in windows.subject], np.int64)
        size = len(windows) * windows.spec.n_chans * windows.n_times * 4
        self._signal = windows.load(np.arange(len(windows))) if len(windows) and size <= memory_bytes else None

    def __len__(self) -> int:
        return len(self.windows)

    def first(self, n: int) -> Indices:
        """Return the first n windows' indices, fewer where there are fewer."""
        return np.arange(min(n, len(self)))

    def signal(self, items: Indices) -> NDArray[np.float32]:
        """Return the signals (n, n_chans, n_times) of some windows."""
        return self.windows.load(items) if self._signal is None else self._signal[items]

    def batch(self, items: Indices, *, seed: int, epoch: int = 0, step: int = -1, population: bool = False) -> Batch:
        """Return a batch on the CPU; as `population`, its windows come to the network as those of a new subject."""
        identity = self.identity[items]
        subject = np.zeros_like(identity) if population else identity
        target = np.asarray(self.windows.target)[items]
        tensors = [_tensor(v) for v in (self.signal(items), target, subject, identity)]
        known = getattr(self.windows, "votes", None)  # the duck type of a window set need not have any
        votes = None if known is None else _tensor(np.asarray(known, np.float32)[items])
        items = np.asarray(items, np.int64)
        return Batch(tensors[0], tensors[1], tensors[2], tensors[3], items, seed, epoch, step, votes=votes)


def _tensor(values: NDArray[np.generic]) -> Tensor:
    import torch

    # torch's own allocation, not a view of numpy's: its alignment is always the same, and matrix products in the
    # vendor libraries may round differently where it is not
    made = torch.empty(values.shape, dtype=torch.from_numpy(np.empty(0, values.dtype)).dtype)
    return made.copy_(torch.from_numpy(np.ascontiguousarray(values)))
