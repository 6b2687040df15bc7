"""The decoder of binned sessions as ONNX, for one session: counts (and LFP) in, behaviour and probabilities out.

Shapes: B windows, T bins of a window, m bins of a step, C channels in (units, then those of LFP), K outputs; see
`binned_facts.input_spec` and `output_spec`.

A causal network gives `step.onnx`: `counts` (1, 1, C) and every tensor of its state in, `predictions` (1, 1, K) in the
channels' units and `next_<name>` out. Any other gives `window.onnx`: `counts` (B, T, C) in, `predictions` (B, T, K)
out, classes the same in every bin. All behaviour is hidden. What is not known is NaN, and is taken for what leaves the
token at its mean: nothing is said for or against.

What is a function of weights alone is computed here. The bytes depend on the network and the session alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from ..core.errors import SpecError
from ..core.store import write_bytes
from ..models.neds_network import NedsNetwork
from ..sampling.binned import BinnedBatch, Group
from .binned_facts import COUNTS, PREDICTIONS, decoded, heard
from .step_graph import NEXT, exported

if TYPE_CHECKING:
    import onnx


@dataclass(frozen=True)
class BinnedGraph:
    """What was exported: the file, and how many operations it has."""

    path: Path
    n_nodes: int


class Decoding(nn.Module):
    """What is heard of one session to what is decoded from it, in units. Base of the two forms."""

    usual: Tensor

    def __init__(self, network: NedsNetwork, session: int) -> None:
        super().__init__()
        self.names: list[str] = []
        self.network, self.session = network, session
        self.heard, self.decoded = heard(network.signal, session), decoded(network.signal, session)
        self.sizes = [len(network.signal.channels(session, n)) for n in self.heard]
        self.register_buffer("usual", torch.cat([_usual(network, session, n) for n in self.heard]))
        self.n_outputs = sum(
            len(m.classes) or len(network.signal.channels(session, m.name))
            for m in map(network.signal.modality, self.decoded)
        )

    def start(self) -> list[Tensor]:
        """Return the state before the first bin, in the order of `names`; nothing where windows are seen whole."""
        return []

    def known(self, counts: Tensor) -> dict[str, Tensor]:
        """Return counts (and LFP) (B, T, C) by modality, those that are not known at their usual value."""
        whole = torch.where(counts.isnan(), self.usual, counts)
        return dict(zip(self.heard, torch.split(whole, self.sizes, -1), strict=True))

    def in_units(self, made: Mapping[str, Tensor], bins: int) -> Tensor:
        """Return the outputs (B, T, K)."""
        parts = []
        for name in self.decoded:
            value = made[name]
            if self.network.signal.modality(name).kind == "classes":
                value = torch.softmax(value, -1)
                value = value if value.ndim == 3 else value[:, None].expand(-1, bins, -1)
            else:
                value = self.network.restore(self.session, name, value)
            parts.append(value)
        return torch.cat(parts, -1)


class StepDecoding(Decoding):
    """Of a causal network: m bins and the state, in and out, as a list in the order of `names`."""

    def __init__(self, network: NedsNetwork, session: int) -> None:
        super().__init__(network, session)
        start = network.start(1, session)
        self.names = [n for n, t in start.items() if t.numel()]  # ONNX Runtime binds no buffer without numbers
        self.empty = {n: t for n, t in start.items() if not t.numel()}

    def start(self) -> list[Tensor]:
        start = self.network.start(1, self.session)
        return [start[n] for n in self.names]

    def forward(self, counts: Tensor, state: list[Tensor]) -> tuple[Tensor, ...]:
        """Return predictions (1, m, K) and the state after the bins."""
        given = {**dict(zip(self.names, state, strict=True)), **self.empty}
        made, after = self.network.step_bins(self.known(counts), given, self.session)
        return self.in_units(made, counts.shape[1]), *(after[n] for n in self.names)


class WindowDecoding(Decoding):
    """Of a network that sees a window whole."""

    def forward(self, counts: Tensor) -> Tensor:
        """Return predictions (B, T, K) of windows (B, T, C)."""
        signal, (batch, bins) = self.network.signal, counts.shape[:2]
        values = self.known(counts)
        for name in self.decoded:
            if signal.modality(name).kind == "classes":
                values[name] = torch.full((batch,), -1, dtype=torch.int64, device=counts.device)
            else:
                values[name] = counts.new_full((batch, bins, len(signal.channels(self.session, name))), float("nan"))
        none = np.zeros(0, np.int64)
        rows = BinnedBatch((Group(self.session, 0, values, none),), none, seed=0)
        return self.in_units(self.network(rows)[0], bins)


def export_decoding(network: NedsNetwork, path: Path | str, session: int = 0) -> BinnedGraph:
    """Write the graph that decodes one session; return what was written.

    session : its number in `network.signal`. The network lies on the CPU.

    Raises
    ------
    SpecError : a session without counts, or with nothing else. StoreError : the file cannot be written.
    """
    path, was_training = Path(path), network.training
    network.eval()
    try:
        graph = _step_graph(network, session) if network.spec.causal else _window_graph(network, session)
    finally:
        network.train(was_training)
    write_bytes(path, graph.SerializeToString(deterministic=True))
    return BinnedGraph(path, len(graph.graph.node))


def _step_graph(network: NedsNetwork, session: int) -> onnx.ModelProto:
    step = StepDecoding(network, session)
    outputs = [PREDICTIONS, *(NEXT + n for n in step.names)]
    return exported(step, (torch.zeros(1, 1, sum(step.sizes)), step.start()), [COUNTS, *step.names], outputs)


def _window_graph(network: NedsNetwork, session: int) -> onnx.ModelProto:
    window = WindowDecoding(network, session)
    counts = torch.zeros(2, network.signal.n_bins, sum(window.sizes))
    dynamic = ({0: torch.export.Dim("windows", min=1, max=4096)},)
    return exported(window, (counts,), [COUNTS], [PREDICTIONS], dynamic=dynamic)


def _usual(network: NedsNetwork, session: int, name: str) -> Tensor:
    """Return the counts (C,) whose transformed values are their mean in training; of LFP its mean."""
    if network.signal.modality(name).kind == "continuous":
        return network.part(session).of_continuous(name).mean.clone()
    mean = network.part(session).of_counts(name).mean
    transform = network.spec.transform
    if transform == "none":
        return mean.clone()
    if transform == "sqrt":
        return mean.square()
    if transform == "log1p":
        return mean.expm1()
    raise SpecError(f"Counts transformed by '{transform}' cannot be decoded live")
