"""The live step of a network in torch, on a GPU: captured once in a CUDA graph, started by one call a token.

Shapes: C channels, P samples a token, K outputs. The interface is that of `engine.StepEngine`, and a state goes from
one to the other.

What bounds a step at a batch of one is the time to read the weights, and the number of kernels one after another. So
the weights may be bfloat16, all that depends on them alone is computed when the step is recorded (`folded`),
`multiscale` gives its step in few large operations (`models.multiscale_token`), and the whole step is one CUDA graph:
a copy of the token in, a graph, a copy of the logits out, one wait. All state lies in one buffer, so a reset, a
snapshot or a restore is one copy. The steady path allocates nothing on the device. On the CPU the same operations run
one by one, without a graph, which is for tests.
"""

from __future__ import annotations

import contextlib
import copy
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..core.device import resolve
from ..core.errors import SpecError, StreamError
from ..models.multiscale_token import MEMORY, TokenStep, supports
from ..models.package import Package
from .folded import constants, kernels, name_of, record

if TYPE_CHECKING:
    from ..models.network import Network, State

WeightType = Literal["float32", "bfloat16"]
ALIGNED = 8  # bytes; tensors of float64 lie side by side without a gap
WARM = 3  # steps before the capture: libraries choose kernels and take their workspaces then


@dataclass(frozen=True)
class Layout:
    """Where each tensor of a state lies in one buffer of bytes."""

    shapes: dict[str, tuple[int, ...]]
    dtypes: dict[str, torch.dtype]
    offsets: dict[str, int]
    n_bytes: int

    @classmethod
    def of(cls, state: State) -> Layout:
        offsets, at = {}, 0
        for name, value in state.items():
            offsets[name] = at
            at += -(-value.nbytes // ALIGNED) * ALIGNED
        return cls({n: tuple(v.shape) for n, v in state.items()}, {n: v.dtype for n, v in state.items()}, offsets, at)

    def views(self, flat: Tensor) -> State:
        """Return the tensors that lie in a buffer (n_bytes,) uint8, by name."""
        return {n: self._view(flat, n, shape) for n, shape in self.shapes.items()}

    def inputs(self, flat: Tensor, joined: tuple[str, ...]) -> State:
        """Return them as the operations take them: the `joined` of one shape (1, ...) as one, (len(joined), ...)."""
        taken = {n: v for n, v in self.views(flat).items() if n not in joined}
        if joined:
            taken[MEMORY] = self._view(flat, joined[0], (len(joined), *self.shapes[joined[0]][1:]))
        return taken

    def _view(self, flat: Tensor, name: str, shape: tuple[int, ...]) -> Tensor:
        first, dtype = self.offsets[name], self.dtypes[name]
        return flat[first : first + math.prod(shape) * dtype.itemsize].view(dtype).view(shape)


@dataclass(frozen=True)
class GraphStep:
    """The recorded step of a network on a device: what many engines share, the weights above all.

    run : operations `(signal (C, P), logits (K,), *state)`; logits and state are written in place.
    """

    run: Any
    layout: Layout
    joined: tuple[str, ...]
    device: torch.device
    n_chans: int
    hop: int
    n_outputs: int
    n_kernels: int
    captures: bool
    weights: list[Tensor] = field(repr=False)

    @property
    def weight_bytes(self) -> int:
        """Bytes that a step must read beside its state."""
        return sum({w.data_ptr(): w.untyped_storage().nbytes() for w in self.weights}.values())

    def engine(self) -> GraphEngine:
        """Return an engine of this step, with a state and buffers of its own."""
        return GraphEngine(self)


def record_step(
    model: Network | Package, device: str = "cuda", dtype: WeightType = "bfloat16", *, compiled: bool = False
) -> GraphStep:
    """Record one token of a network's `stream`.

    Parameters
    ----------
    model : a network with a target, or the package of one; a network that lies elsewhere is copied, never moved. Its
        weights are taken as they are now, and must not change after.
    device : 'cpu', 'cuda' or 'cuda:n', or 'auto'. dtype : of the weights of the backbone and the embedding.
    compiled : let torch.compile fuse the operations; needs a compiler and minutes, once.

    Raises
    ------
    SpecError : a device that is not there. StreamError : a network that decodes nothing, or has no recordable step.
    """
    place = torch.device(resolve(device))
    network = _placed(model, place)
    if getattr(network, "target", None) is None:
        raise StreamError("The network decodes nothing: it was only pre-trained", remedy="Give an adapted model")
    token = _token(network, dtype)
    layout = Layout.of(network.start(1))
    joined: tuple[str, ...] = getattr(token, "joined", ())
    outputs = int(network.target.n_outputs)  # type: ignore[arg-type, union-attr]
    state = layout.inputs(torch.zeros(layout.n_bytes, dtype=torch.uint8, device=place), joined)
    buffers = [torch.zeros(network.n_chans, network.hop, device=place), torch.zeros(outputs, device=place)]
    run = record(_in_place(token, list(state)), [*buffers, *state.values()])
    # matrix inverses look at their result on the host, which a graph cannot
    captures = place.type == "cuda" and not any("linalg" in name_of(n) for n in run.graph.nodes)
    return GraphStep(
        torch.compile(run, fullgraph=True) if compiled else run,
        layout,
        joined,
        device=place,
        n_chans=network.n_chans,
        hop=network.hop,
        n_outputs=outputs,
        n_kernels=kernels(run),
        captures=captures,
        weights=constants(run),
    )


def _placed(model: Network | Package, device: torch.device) -> Network:
    if isinstance(model, Package):
        return model.network().to(device)
    if next(model.parameters()).device != device or model.training:
        model = copy.deepcopy(model).to(device).eval()
    return model


def _token(network: Network, dtype: WeightType) -> Any:
    """Return `token(signal (C, P), state) -> (logits (K,), state after)`."""
    if supports(network):
        return TokenStep(network, getattr(torch, dtype))  # type: ignore[arg-type]
    if dtype != "float32":
        raise SpecError(f"This network has no step in {dtype}", allowed="'float32'")

    def token(signal: Tensor, state: State) -> tuple[Tensor, State]:
        out, after = network.stream(signal[None], state)
        assert out.logits is not None
        return out.logits[0, 0], after

    return token


def _in_place(token: Any, names: list[str]) -> Any:
    """Return a token's step that writes its logits and what it changes of the state where they are kept."""

    def step(signal: Tensor, logits: Tensor, *state: Tensor) -> None:
        now = dict(zip(names, state, strict=True))
        made, after = token(signal, now)
        changed = [n for n in names if n in after and after[n] is not now[n]]
        logits.copy_(made)
        torch._foreach_copy_([now[n] for n in changed], [after[n] for n in changed])

    return step


class _Live(dict[str, Any]):
    """The state of an engine as a dict whose arrays are fetched from the device when they are asked for."""

    def __init__(self, engine: GraphEngine) -> None:
        super().__init__(dict.fromkeys(engine.names))
        self._engine = engine

    def __getitem__(self, name: str) -> Any:
        return self._engine.state()[name]

    def items(self) -> Any:
        return self._engine.state().items()

    def values(self) -> Any:
        return self._engine.state().values()

    def __iter__(self) -> Iterator[str]:  # or dict(live) would not ask for the items
        return iter(self._engine.names)


class GraphEngine:
    """Runs a recorded step one token at a time on a device; the interface of `StepEngine`.

    `signal` is the input buffer (C, P) on the host: fill it, call `step()`, read the returned logits (K,) before the
    next call. An engine is used from one thread at a time.

    model : a recorded step to share, so that many streams hold the weights once; or what `record_step` takes.
    """

    def __init__(
        self, model: GraphStep | Network | Package, device: str = "cuda", dtype: WeightType = "bfloat16"
    ) -> None:
        self.session = model if isinstance(model, GraphStep) else record_step(model, device, dtype)
        step = self.session
        self.n_chans, self.hop, self.device = step.n_chans, step.hop, step.device
        self.names = list(step.layout.shapes)
        self._pinned = self.device.type == "cuda"
        host_signal, host_logits = self._host((step.n_chans, step.hop)), self._host((step.n_outputs,))
        self._host_signal, self._host_logits = host_signal, host_logits
        self.signal: NDArray[np.float32] = host_signal.numpy()
        self.logits: NDArray[np.float32] = host_logits.numpy()
        self._stream = torch.cuda.Stream(self.device) if self._pinned else None  # type: ignore[no-untyped-call]
        self._on_stream: Any = contextlib.nullcontext()  # the device's work goes to a stream of the engine's own
        if self._stream is not None:
            self._stream.wait_stream(torch.cuda.current_stream(self.device))
            self._on_stream = torch.cuda.stream(self._stream)
        with self._on_stream:
            self._signal = torch.zeros(host_signal.shape, device=self.device)
            self._logits = torch.zeros(host_logits.shape, device=self.device)
            self._flat = torch.zeros(step.layout.n_bytes, dtype=torch.uint8, device=self.device)
            self._views, self._inputs = (
                step.layout.views(self._flat),
                list(step.layout.inputs(self._flat, step.joined).values()),
            )
        self._host_flat = torch.zeros(step.layout.n_bytes, dtype=torch.uint8, pin_memory=self._pinned)
        self._host_views = {n: v.numpy() for n, v in step.layout.views(self._host_flat).items()}
        self.live: dict[str, Any] = _Live(self)
        self._graph = self._captured() if step.captures else None
        self.reset()

    def _host(self, shape: tuple[int, ...]) -> Tensor:
        return torch.zeros(shape, pin_memory=self._pinned)

    def _captured(self) -> Any:
        """Return the step as a CUDA graph, after steps that let the libraries settle; the state is of no use then."""
        assert self._stream is not None
        with torch.no_grad(), self._on_stream:
            for _ in range(WARM):
                self.session.run(self._signal, self._logits, *self._inputs)
        self._stream.synchronize()
        graph = torch.cuda.CUDAGraph()
        with (
            torch.no_grad(),
            torch.cuda.device(self.device),
            torch.cuda.graph(graph, stream=self._stream, capture_error_mode="thread_local"),
        ):
            self.session.run(self._signal, self._logits, *self._inputs)
        return graph

    def step(self) -> NDArray[np.float32]:
        """Take the token in `signal`; return the logits (K,), a buffer that the next step overwrites."""
        with self._on_stream:
            self._signal.copy_(self._host_signal, non_blocking=True)
            self._run()
            self._host_logits.copy_(self._logits, non_blocking=True)
        self._wait()
        return self.logits

    def _run(self) -> None:
        if self._graph is not None:
            self._graph.replay()
        else:
            with torch.no_grad():
                self.session.run(self._signal, self._logits, *self._inputs)

    def _wait(self) -> None:
        if self._stream is not None:
            self._stream.synchronize()

    def reset(self) -> None:
        """Go back to the state before the first token of a stream."""
        with self._on_stream:
            self._flat.zero_()
        self._wait()

    def next_trial(self, *, keep: bool = True) -> None:
        """Go to the state before the first token of a trial; what was heard of the person so far is known from now on.

        keep : whether the last trial counts; False where some of its samples were not valid.
        """
        now = self._views
        if "person" not in now:
            return self.reset()
        with self._on_stream:
            person = now["person"] + now["heard"] if keep else now["person"].clone()
            self._flat.zero_()
            now["person"].copy_(person)
            now["trial"].fill_(1)
        self._wait()
        return None

    def state(self) -> dict[str, NDArray[Any]]:
        """Return a copy of the state, on the host."""
        with self._on_stream:
            self._host_flat.copy_(self._flat, non_blocking=True)
        self._wait()
        return {n: a.copy() for n, a in self._host_views.items()}

    def restore(self, state: dict[str, NDArray[Any]]) -> None:
        """Go on from a state that `state()` gave, here, in a `StepEngine` or in another process."""
        given = dict(state.items())  # of a live engine: fetched before its buffer is written
        for name, array in self._host_views.items():
            np.copyto(array, given[name])
        with self._on_stream:
            self._flat.copy_(self._host_flat, non_blocking=True)
        self._wait()
