"""The step graph: a streaming network as ONNX, its state as explicit inputs and outputs.

Shapes: C channels, P samples a hop, m tokens.

Inputs are `signal` (1, C, m P) and every tensor of the state under its own name; outputs are `logits` (or `features`
for a network without a target) and what a step changes of the state, named `next_<name>`. There are two graphs of the
same weights: `step.onnx` for m = 1, the live step, and `step.chunk.onnx` beside it for any m of 2 or more (catching
up, replay).
All that depends on weights alone (kernels, powers of the decays, folded spatial filters) is computed here, once, so
that the live step holds only what touches the signal or the state. The bytes depend on the network alone.
"""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from ..core.errors import SpecError
from ..core.store import write_bytes

if TYPE_CHECKING:
    import onnx

    from ..models.network import Network

OPSET = 18
NEXT = "next_"


@dataclass(frozen=True)
class StepGraph:
    """What was exported: files, hop in samples, channels, names and shapes (without batch) of the state."""

    path: Path
    chunk_path: Path | None
    hop: int
    n_chans: int
    output: str
    state: dict[str, tuple[int, ...]]
    n_nodes: int


def chunk_path(path: Path) -> Path:
    """Return where the graph for many tokens lies: beside the live one."""
    return path.with_name(f"{path.stem}.chunk{path.suffix}")


def export_step(
    network: Network, path: Path | str, *, tokens: Literal["one", "dynamic"] = "dynamic", subject: int = 0
) -> StepGraph:
    """Write the step graph of a network; return what was written.

    Parameters
    ----------
    path : of the live graph (m = 1). tokens : "dynamic" also writes the graph for any m >= 2.
    subject : index of the subject whose adapter is folded in; 0 is the population, right for any new subject.

    Raises
    ------
    SpecError : a subject the network has no adapter for. StoreError : the files cannot be written.
    """
    path = Path(path)
    known = getattr(network, "subjects", 0)
    if not 0 <= subject <= known:
        raise SpecError(f"Subject {subject} has no adapter", allowed=f"0 (population) to {known}")
    live = _graph(network, 1, subject)
    write_bytes(path, live.SerializeToString(deterministic=True))
    many = None
    if tokens == "dynamic":
        many = chunk_path(path)
        write_bytes(many, _graph(network, None, subject).SerializeToString(deterministic=True))
    state = {n: tuple(t.shape[1:]) for n, t in network.start(1).items()}
    return StepGraph(path, many, network.hop, network.n_chans, _output_name(network), state, len(live.graph.node))


def _output_name(network: Network) -> str:
    return "logits" if getattr(network, "target", None) is not None else "features"


class _Step(nn.Module):
    """`stream` with the state as a list, for the exporter."""

    def __init__(self, network: Network, subject: int) -> None:
        super().__init__()
        self.network, self.names = network, list(network.start(1))
        self.output, self.subject = _output_name(network), subject
        self.changing = self._changing()

    def forward(self, signal: Tensor, state: list[Tensor]) -> tuple[Tensor, ...]:
        subject = None if self.subject == 0 else torch.full((1,), self.subject)
        out, after = self.network.stream(signal, dict(zip(self.names, state, strict=True)), subject)
        return getattr(out, self.output), *(after[n] for n in self.changing)

    @torch.no_grad()
    def _changing(self) -> list[str]:
        """Return the names of the state that a step changes; what is known of a person changes between trials only."""
        state = self.network.start(1)
        signal = torch.zeros(1, self.network.n_chans, self.network.hop, device=next(iter(state.values())).device)
        after = self.network.stream(signal, state)[1]
        return [n for n in self.names if after[n] is not state[n]]


def _graph(network: Network, tokens: int | None, subject: int) -> onnx.ModelProto:
    """Return the graph for a fixed number of tokens, or for any (None)."""
    signal = torch.zeros(1, network.n_chans, network.hop * (tokens or 3), device=next(network.parameters()).device)
    state = list(network.start(1).values())
    many = torch.export.Dim("m", min=2, max=1 << 20) * network.hop if tokens is None else None
    was_training = network.training
    network.eval()
    step = _Step(network, subject)
    try:
        with network.fixed():
            return exported(
                step,
                (signal, state),
                ["signal", *step.names],
                [step.output, *(NEXT + n for n in step.changing)],
                dynamic=({2: many}, [None] * len(state)) if many is not None else None,
            )
    finally:
        network.train(was_training)


def exported(
    module: nn.Module, given: tuple[Any, ...], inputs: list[str], outputs: list[str], *, dynamic: Any = None
) -> onnx.ModelProto:
    """Return a module as an ONNX graph, all that depends on weights alone computed, its bytes those of the weights.

    given : example inputs, tensors and lists of them. dynamic : their free lengths, as torch.export takes them.
    """
    with _quiet(), torch.no_grad():
        program = torch.onnx.export(
            module,
            given,
            dynamo=True,
            opset_version=OPSET,
            input_names=inputs,
            output_names=outputs,
            dynamic_shapes=dynamic,
            optimize=False,
            verbose=False,
        )
        if program is not None:
            _simplify(program.model)
    return _clean(program.model_proto if program is not None else None)


def _simplify(model: Any) -> None:
    """Inline, fold and drop what changes no result.

    The exporter's own optimizer also rewrites "no-ops", and for it a number within 1e-8 of 0 is 0: it would take the
    floor out of log(power + 1e-10), and a silent channel would become NaN.
    """
    from onnx_ir.passes import Sequential, common
    from onnxscript import optimizer

    common.InlinePass()(model)
    for _ in range(2):
        optimizer.fold_constants(model)
        common.RemoveUnusedNodesPass()(model)
    Sequential(
        common.RemoveUnusedFunctionsPass(),
        common.RemoveUnusedOpsetsPass(),
        common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0),
        common.DeduplicateInitializersPass(),
        common.CommonSubexpressionEliminationPass(),
        common.IdentityEliminationPass(),
        common.OutputFixPass(),
        common.NameFixPass(),
    )(model)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence what torch's and onnx's exporters say of their own insides."""
    loggers = [logging.getLogger(n) for n in ("torch.onnx", "onnxscript", "onnx_ir", "torch.export", "torch.fx")]
    levels = [log.level for log in loggers]
    with warnings.catch_warnings():
        for category in (DeprecationWarning, FutureWarning, UserWarning):
            warnings.simplefilter("ignore", category)
        for log in loggers:
            log.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for log, level in zip(loggers, levels, strict=True):
                log.setLevel(level)


def _clean(model: Any) -> onnx.ModelProto:
    """Fold constants, drop the exporter's notes (source paths, traces) and name values in order."""
    model = _fold(model)
    del model.metadata_props[:]
    model.doc_string, model.producer_name, model.producer_version = "", "neural-foundation", ""
    graph = model.graph
    graph.name, graph.doc_string = "step", ""
    del graph.value_info[:], graph.metadata_props[:]
    fixed = {v.name for v in [*graph.input, *graph.output]}
    names: dict[str, str] = {"": ""}
    for tensor in graph.initializer:
        names.setdefault(tensor.name, f"w{len(names)}")
        tensor.name, tensor.doc_string = names[tensor.name], ""
        del tensor.metadata_props[:]
    for i, node in enumerate(graph.node):
        node.name, node.doc_string = f"n{i}", ""
        del node.metadata_props[:]
        for value in node.output:
            names.setdefault(value, value if value in fixed else f"v{len(names)}")
    for node in graph.node:
        node.input[:] = [names.get(v, v) for v in node.input]
        node.output[:] = [names[v] for v in node.output]
    for value in [*graph.input, *graph.output]:
        value.doc_string = ""
        del value.metadata_props[:]
    return model


def _fold(model: Any) -> Any:
    """Compute every node that depends on weights alone, whatever its size, and drop what is then unused."""
    import onnx
    from onnx import numpy_helper
    from onnx.reference import ReferenceEvaluator

    graph = model.graph
    known = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    outputs = {v.name for v in graph.output}
    kept = []
    for node in graph.node:
        if all(not v or v in known for v in node.input) and not outputs & set(node.output):
            piece = onnx.helper.make_model(
                onnx.helper.make_graph(
                    [node], "piece", [_named(v) for v in set(node.input) if v], [_named(v) for v in node.output]
                ),
                opset_imports=model.opset_import,
                ir_version=model.ir_version,
            )
            values = ReferenceEvaluator(piece).run(None, {v: known[v] for v in node.input if v})
            if all(isinstance(v, np.ndarray) for v in values):  # a sequence cannot be an initializer
                known |= dict(zip(node.output, values, strict=True))
                continue
        kept.append(node)
    del graph.node[:]
    graph.node.extend(kept)
    used = [v for node in kept for v in node.input if v in known]
    del graph.initializer[:]
    graph.initializer.extend(numpy_helper.from_array(known[v], v) for v in dict.fromkeys(used))
    return model


def _named(value: str) -> Any:
    import onnx

    return onnx.ValueInfoProto(name=value)
