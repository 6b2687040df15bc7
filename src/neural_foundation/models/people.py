"""What a network knows of a person before each trial: the running mean that alignment takes out.

A recording is one stream. Before a trial, the network knows the trials that ended before it began; that is what a
live decoder knows too, whose state a trial's onset carries on. So windows are decided as a stream would decide them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..sampling.windows import apart
from .network import State

BATCH = 64
Indices = NDArray[np.int64]


def people(
    network: nn.Module,
    load: Callable[[Indices], Tensor],
    recording: NDArray[Any],
    start: Indices,
    n_times: int,
) -> State:
    """Return what of the start state is otherwise for each of n windows; nothing for a network without alignment.

    load : returns the signals (m, n_chans, n_times) of some windows, on the network's device.
    recording : (n,) which one each is from, as its number among the files.
    start : (n,) first sample there. Overlapping windows are no trials one after another: each that begins before the
    last one has ended is left out of the mean.
    """
    if not getattr(network, "aligned", False) or not len(start):
        return {}
    able: Any = network
    parts = [np.arange(a, min(a + BATCH, len(start))) for a in range(0, len(start), BATCH)]
    heard = torch.cat([able.heard(load(part)).cpu() for part in parts]).numpy()
    person = np.zeros_like(heard)
    for name in np.unique(recording):
        mine = np.flatnonzero(recording == name)
        person[mine] = _before(heard[mine], start[mine], n_times)
    return {"person": torch.from_numpy(person)}


def _before(heard: NDArray[np.float64], start: Indices, n_times: int) -> NDArray[np.float64]:
    """Return the sum of what was heard in whole trials that had ended before each began."""
    trials = apart(start, n_times)
    sums = np.concatenate([np.zeros_like(heard[:1]), np.cumsum(heard[trials], 0)])
    return np.asarray(sums[np.searchsorted(start[trials] + n_times, start, side="right")])


def rows(begin: State, items: Indices) -> State:
    """Return the start state of some windows of those `people` gave."""
    return {name: value[torch.from_numpy(np.asarray(items))] for name, value in begin.items()}
