"""The graph of a network that decides on whole windows: ONNX, torch.export, and int8 behind a gate.

Shapes: B batch, C channels, T samples, K outputs.

The graph takes `signal` (B, C, T), any B, and gives `probability` and `logits` (B, K). T is free from the shortest
signal that the network takes on, where it takes any length; else it is that of its window. All that depends on
weights alone is computed here, once. The bytes depend on the network alone.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..core.errors import SpecError
from ..core.store import atomic, write_bytes
from ..metrics.votes import kl_divergence, vote_shares
from .parity import opened, within
from .step_graph import _quiet, exported

if TYPE_CHECKING:
    import onnx

    from ..models.window_network import WindowNetwork

SIGNAL, PROBABILITY, LOGITS = "signal", "probability", "logits"
LONGEST = 1 << 24  # samples
MOST = 1 << 16  # windows in one call
ALLOWED_RISE = 0.01  # nats
Array = NDArray[np.float32]
Probability = NDArray[np.float64]
Gate = Callable[[Probability, Probability, NDArray[Any]], dict[str, Any]]


@dataclass(frozen=True)
class WindowGraph:
    """What was exported. n_times : samples of the network's window; least_times : fewest that the graph takes."""

    path: Path
    program: Path | None
    n_chans: int
    n_times: int
    least_times: int
    n_nodes: int
    n_bytes: int


class Deciding(nn.Module):
    """Signals (B, C, T) to probability and logits (B, K)."""

    def __init__(self, network: WindowNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, signal: Tensor) -> tuple[Tensor, Tensor]:
        logits = self.network.decide(signal)[0]
        assert logits is not None
        return torch.softmax(logits, -1), logits


def export_window(network: WindowNetwork, path: Path | str, *, program: Path | str | None = None) -> WindowGraph:
    """Write the graph of a network on the CPU; return what was written.

    program : where torch.export's program is written beside it, for torch alone; None: nowhere.

    Raises
    ------
    SpecError : a network without classes to decide on. StoreError : a file cannot be written.
    """
    if network.readout is None:
        raise SpecError("The network decides nothing: it was only pre-trained", remedy="Export an adapted model")
    path, program = Path(path), None if program is None else Path(program)
    least = least_times(network)
    was_training = network.training
    network.eval()
    try:
        # an example so long that no side of what it becomes is as small as a batch: that would be taken for a constant
        given = torch.zeros(2, network.n_chans, network.hop * (4 if _any_length(network) else 1))
        times = torch.export.Dim("times", min=least, max=LONGEST) if _any_length(network) else None
        dynamic = ({0: torch.export.Dim("windows", min=1, max=MOST), 2: times},)
        graph = exported(Deciding(network), (given,), [SIGNAL], [PROBABILITY, LOGITS], dynamic=dynamic)
        if program is not None:
            any_length = network.program_any_length
            given = given if any_length else given[:, :, : network.hop]
            _write_program(network, given, dynamic if any_length else ({0: dynamic[0][0]},), program)
    finally:
        network.train(was_training)
    write_bytes(path, graph.SerializeToString(deterministic=True))
    size = path.stat().st_size
    return WindowGraph(path, program, network.n_chans, network.hop, least, len(graph.graph.node), size)


def least_times(network: WindowNetwork) -> int:
    """Return the fewest samples that the graph takes: those of the window where the network takes no other."""
    return min(network.hop, network.least_exported) if network.any_length else network.hop


def _any_length(network: WindowNetwork) -> bool:
    return network.any_length and network.least_exported <= network.hop


def _write_program(network: WindowNetwork, given: Tensor, dynamic: Any, path: Path) -> None:
    with _quiet(), torch.no_grad():
        made = torch.export.export(
            Deciding(network), (given,), dynamic_shapes=dynamic, prefer_deferred_runtime_asserts_over_guards=True
        )
        with atomic(path) as temporary, temporary.open("wb") as file:
            torch.export.save(made, file)


def probability_of(graph: Path | Any, signal: Array, *, batch: int = 16) -> Probability:
    """Return what a graph (a path or an opened session) gives for signals (n, C, T), (n, K)."""
    graph = opened(graph) if isinstance(graph, Path) else graph
    parts = [graph.run([PROBABILITY], {SIGNAL: signal[at : at + batch]})[0] for at in range(0, len(signal), batch)]
    return np.asarray(np.concatenate(parts), np.float64)


def parity(network: WindowNetwork, path: Path, *, factors: Sequence[float] = (0.5, 1.0, 2.0)) -> dict[str, float]:
    """Return the largest difference of a probability between graph and torch, by the length of the signals in samples.

    The signals are noise of the spread that the network was calibrated to. Lengths that the graph does not take are
    left out.

    Raises
    ------
    PackageError : a difference above `parity.TOLERANCE`.
    """
    least, found = least_times(network), {}
    rng = np.random.default_rng(0)
    scale = network.input_scale.cpu().numpy()[:, None]
    for n_times in sorted({round(f * network.hop) for f in factors}):
        if n_times < least or (n_times != network.hop and not _any_length(network)):
            continue
        signal = (scale * rng.standard_normal((2, network.n_chans, n_times))).astype(np.float32)
        with torch.inference_mode():
            logits = network.decide(torch.from_numpy(signal))[0]
            assert logits is not None
            wanted = torch.softmax(logits, -1).numpy()
        found[str(n_times)] = within(float(np.abs(probability_of(path, signal) - wanted).max()), f"{n_times} samples")
    return found


# ---- int8 ------------------------------------------------------------------------------------------------------


def kl_gate(
    original: Probability, quantised: Probability, votes: NDArray[Any], *, allowed: float = ALLOWED_RISE
) -> dict[str, Any]:
    """Return whether a quantised model is nearly as good as the one it comes from, and why.

    original, quantised : (n, K) what each says. votes : (n, K) what experts said, or ones and zeros of a class.
    Passes where the KL divergence from the votes rises by at most `allowed` nats.
    """
    solution = vote_shares(votes)
    before, after = (kl_divergence(solution, p / p.sum(1, keepdims=True)) for p in (original, quantised))
    rise = after - before
    passes = bool(math.isfinite(rise) and rise <= allowed)
    return {
        "passes": passes,
        "kl": before,
        "kl_int8": after,
        "rise": rise,
        "allowed": allowed,
        "same_class": float(np.mean(original.argmax(1) == quantised.argmax(1))),
        "windows": len(original),
        "why": f"KL rises by {rise:.4f}, {'at most' if passes else 'more than'} the {allowed:g} allowed",
    }


def export_int8(
    graph: Path,
    path: Path,
    *,
    calibration: Array,
    signal: Array,
    votes: NDArray[Any],
    mode: Literal["static", "dynamic"] = "static",
    gate: Gate = kl_gate,
) -> dict[str, Any]:
    """Write an int8 graph beside a graph where it passes the gate; return the gate's facts, and `graph` and `n_bytes`.

    calibration : (m, C, T) signals that the ranges of activations are taken from (static). signal, votes : (n, C, T)
    and (n, K), what the gate judges by. mode : dynamic quantises dense layers alone, static convolutions too. What
    comes before a logarithm stays as it is: a small power would be rounded to nothing.

    No file is written where the gate does not pass, or where the operations cannot be quantised; `graph` is then None.
    """
    with tempfile.TemporaryDirectory(prefix="neural-foundation-") as folder:
        made = Path(folder) / "int8.onnx"
        try:
            _quantise(graph, made, calibration, mode)
            facts = gate(probability_of(graph, signal), probability_of(made, signal), votes)
        except Exception as error:  # noqa: BLE001 - onnxruntime raises its own types, made at run time
            why = f"cannot be quantised ({type(error).__name__}: {' '.join(str(error).split())[:200]})"
            return {"passes": False, "why": why, "mode": mode, "graph": None}
        facts = {**facts, "mode": mode, "graph": None}
        if facts["passes"]:
            write_bytes(path, made.read_bytes())
            facts |= {"graph": path.name, "n_bytes": path.stat().st_size}
        return facts


class _Signals:
    """What onnxruntime's calibration reads: one window at a time."""

    def __init__(self, signal: Array) -> None:
        self._each: Iterator[Array] = iter(signal[i : i + 1] for i in range(len(signal)))

    def get_next(self) -> dict[str, Array] | None:
        found = next(self._each, None)
        return None if found is None else {SIGNAL: found}


def _quantise(graph: Path, made: Path, calibration: Array, mode: Literal["static", "dynamic"]) -> None:
    import onnx
    from onnxruntime import quantization as q
    from onnxruntime.quantization.shape_inference import quant_pre_process

    ready = made.with_name("ready.onnx")
    with _quiet():
        quant_pre_process(graph, ready, skip_symbolic_shape=True)
        exact = _before_logarithms(onnx.load(ready))
        if mode == "dynamic":
            q.quantize_dynamic(ready, made, op_types_to_quantize=["MatMul", "Gemm"], nodes_to_exclude=exact)
            return
        q.quantize_static(
            ready,
            made,
            _Signals(calibration),
            quant_format=q.QuantFormat.QDQ,
            op_types_to_quantize=["Conv", "MatMul", "Gemm"],
            per_channel=True,
            activation_type=q.QuantType.QUInt8,
            weight_type=q.QuantType.QInt8,
            nodes_to_exclude=exact,
        )


def _before_logarithms(model: onnx.ModelProto) -> list[str]:
    """Return the names of the nodes that a logarithm's value depends on."""
    makers = {value: node for node in model.graph.node for value in node.output}
    waiting = [node for node in model.graph.node if node.op_type == "Log"]
    found: dict[str, None] = {}
    while waiting:
        node = waiting.pop()
        if node.name not in found:
            found[node.name] = None
            waiting += [makers[v] for v in node.input if v in makers]
    return list(found)
