"""The batches of `ordered`, and the states that go on beside them.

Shapes: B active lanes (rows of the batch), L lanes in all, C channels, T samples a window.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ...core.errors import DataError
from ...models.network import NetworkOutput, State
from ...sampling.batches import Batch
from ...sampling.streaming import StreamBatch, StreamingNeuralDataset, carried
from ..base import Drawn

TRAINED = "network"


@dataclass(frozen=True)
class Walked(Batch):
    """A batch whose windows follow on those of the batch before it.

    lane : (B,) which row of the walk each is. fresh : (B,) True where the state begins anew. heard : (B, C, T), the
    signal before any augmentation, from which the state goes on. told : what each network that the loss listens to
    gave for `heard`. `begin` is the whole state that each window begins in.
    """

    lane: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.int64))
    fresh: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.bool))
    heard: Tensor = field(default_factory=lambda: torch.zeros(0))
    told: Mapping[str, NetworkOutput] = field(default_factory=dict)

    def to(self, device: torch.device | str) -> Walked:
        """Return the batch on a device."""
        moved = super().to(device)
        heard = moved.signal if self.heard is self.signal else self.heard.to(device)
        walked: Walked = replace(moved, lane=self.lane.to(device), fresh=self.fresh.to(device), heard=heard)  # type: ignore[call-arg,assignment]
        return walked


class Walk:
    """Steps through the stretches of a window set, read from disk as they come; a `Feed`.

    A batch has a row for each lane that has not ended. DataError where no window follows on another.
    """

    def __init__(self, drawn: Drawn, stretch_s: float | None = None) -> None:
        source: Any = drawn.source  # of a signal: binned sessions are refused before
        self.drawn, self.source, windows = drawn, source, source.windows
        self.data = StreamingNeuralDataset.of(
            windows,
            lanes=drawn.batch_size,
            stretch_s=stretch_s,
            shuffle=not drawn.held,
            seed=drawn.order_seed,
            rank=0,
            world=1,
        )
        if not drawn.held and all(stretch.n_windows == 1 for stretch in self.data.stretches):
            raise DataError(
                f"None of {len(windows)} windows of {windows.n_times / windows.spec.sfreq:g} s follows on another",
                remedy="Leave windows.hop_s out, or give a longer stretch_s, or set sampler: shuffled",
            )
        address = zip(windows.file.tolist(), windows.start.tolist(), strict=True)
        self._item = {key: i for i, key in enumerate(address)}

    @property
    def lanes(self) -> int:
        """L, the most windows that a step sees."""
        return self.data.lanes

    @property
    def steps_per_epoch(self) -> int:
        return self.data.steps_per_epoch

    def epoch(self, step: int) -> int:
        return step // self.steps_per_epoch

    def size(self, step: int) -> int:
        epoch, place = divmod(step, self.steps_per_epoch)
        return sum(lane.at(place) is not None for lane in self.data.order(epoch))

    def parts(self, step: int, n: int = 1, *, every: int = 1, first: int = 0) -> Iterator[Walked]:
        made = self.data.at(*divmod(step, self.steps_per_epoch))
        for rows in np.array_split(np.flatnonzero(made.active.numpy()), n)[first::every]:
            yield self._batch(made, torch.from_numpy(rows), step)

    def _batch(self, made: StreamBatch, rows: Tensor, step: int) -> Walked:
        held, source = self.drawn.held, self.source
        address = zip(made.recording[rows].tolist(), made.start[rows].tolist(), strict=True)
        items = np.asarray([self._item[key] for key in address], np.int64)
        signal = made.signal if len(rows) == len(made) else made.signal[rows]
        identity = torch.from_numpy(source.identity[items])
        return Walked(
            signal=signal,
            target=torch.from_numpy(np.asarray(source.windows.target)[items]),
            subject=torch.zeros_like(identity) if held else identity,
            identity=identity,
            items=items,
            seed=self.drawn.batch_seed,
            epoch=0 if held else made.epoch,
            step=-1 if held else step,
            lane=rows,
            fresh=made.begin[rows],
            heard=signal,
        )


class Carry:
    """The states at the end of each lane's last window: of the network, and of those that the loss listens to."""

    def __init__(self, lanes: int) -> None:
        self.lanes = lanes
        self.states: dict[str, State] = {}

    def begun(self, network: nn.Module, loss: nn.Module, batch: Walked) -> Walked:
        """Return the batch with the state it begins in, and with what the loss's listeners say of it."""
        listeners = getattr(loss, "listeners", None)
        others = listeners(batch.signal.device) if listeners else {}
        told = {who: self._hear(who, other, batch, self._rows(who, other, batch)) for who, other in others.items()}
        return replace(batch, begin=self._rows(TRAINED, network, batch), told=told)

    def go_on(self, network: nn.Module, batch: Walked) -> None:
        """Move the network's state from `batch.begin` to the windows' end, as the network would hear them live."""
        modes = [(m, m.training) for m in network.modules()]
        network.eval()
        self._hear(TRAINED, network, batch, dict(batch.begin or {}), batch.subject)
        for module, mode in modes:
            module.training = mode

    def tensors(self) -> dict[str, Tensor]:
        """Return all states by name, for a checkpoint."""
        return {f"{who}/{name}": value for who, state in self.states.items() for name, value in state.items()}

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Take the states of a checkpoint."""
        self.states = {}
        for key, value in tensors.items():
            who, _, name = key.partition("/")
            self.states.setdefault(who, {})[name] = value

    def _rows(self, who: str, network: Any, batch: Walked) -> State:
        """Return the state that each window begins in, cut off from its gradients."""
        device = batch.signal.device
        known = self.states.get(who) or network.start(self.lanes)
        self.states[who] = {n: v.to(device) for n, v in known.items()}
        mine = {n: v[batch.lane] for n, v in self.states[who].items()}
        return carried(mine, network.start(len(batch)), batch.fresh)

    @torch.no_grad()
    def _hear(
        self, who: str, network: Any, batch: Walked, state: State, subject: Tensor | None = None
    ) -> NetworkOutput:
        output: NetworkOutput
        output, after = network.onward(batch.heard, state, subject)
        self.states[who] = {n: v.index_copy(0, batch.lane, after[n]) for n, v in self.states[who].items()}
        return output
