"""The live step of a network: an ONNX step graph with its state carried in bound buffers.

Shapes: C channels, P samples a token (the network's hop), K classes. One token a call: signal (1, C, P) in, logits
(1, 1, K) out; the state goes from one set of buffers to the other and back, so the steady path allocates nothing.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..core.errors import PackageError, SpecError

if TYPE_CHECKING:
    from ..models.package import Package
    from .graph_engine import GraphEngine

_TYPES = {"tensor(float)": np.float32, "tensor(double)": np.float64, "tensor(int64)": np.int64}
NEXT = "next_"
CPU, GPU = "CPUExecutionProvider", ("TensorrtExecutionProvider", "CUDAExecutionProvider")


class StepEngine:
    """Runs a step graph one token at a time on one thread.

    `signal` is the input buffer (C, P): fill it, call `step()`, read the returned logits (K,) before the next call.
    `session` : an opened graph to share, so that many streams hold the weights once; state and buffers are its own.
    A subclass may name another input and output; the input's last two axes are then those of `signal`.
    """

    given: ClassVar[str] = "signal"
    made: ClassVar[str] = "logits"

    def __init__(self, graph: Path, *, session: Any = None, threads: int = 1) -> None:
        self.session = session or open_graph(graph, threads)
        inputs = {i.name: i for i in self.session.get_inputs()}
        if self.given not in inputs:
            given = f"{graph} is no step graph: it has no input '{self.given}'"
            raise PackageError(given, remedy="Run the recipe's export stage again")
        self.n_chans, self.hop = (int(d) for d in inputs[self.given].shape[1:])
        self._signal = np.zeros((1, self.n_chans, self.hop), np.float32)
        self.signal: NDArray[np.float32] = self._signal[0]
        self.names = [n for n in inputs if n != self.given]
        changing = {o.name.removeprefix(NEXT) for o in self.session.get_outputs()}
        first = {n: _buffer(inputs[n]) for n in self.names}
        self._buffers = [first, {n: _buffer(inputs[n]) if n in changing else first[n] for n in self.names}]
        self._changing = [n for n in self.names if n in changing]
        self._logits = _buffer(next(o for o in self.session.get_outputs() if o.name == self.made))
        self.rows: NDArray[np.float32] = self._logits[0]
        self.logits: NDArray[np.float32] = self.rows[0]
        self._bindings = [self._bind(0, 1), self._bind(1, 0)]
        self._now = 0
        self.reset()

    def step(self) -> NDArray[np.float32]:
        """Take the token in `signal`; return the logits (K,), a buffer that the next step overwrites."""
        self.session._sess.run_with_iobinding(self._bindings[self._now]._iobinding, None)
        self._now = 1 - self._now
        return self.logits

    def reset(self) -> None:
        """Go back to the state before the first token of a stream."""
        for array in self._buffers[self._now].values():
            array.fill(0)

    def next_trial(self, *, keep: bool = True) -> None:
        """Go to the state before the first token of a trial; what was heard of the person so far is known from now on.

        keep : whether the last trial counts; False where some of its samples were not valid.
        """
        now = self._buffers[self._now]
        person = now["person"] + (now["heard"] if keep else 0.0) if "person" in now else None
        self.reset()
        if person is not None:
            now["person"][:], now["trial"][:] = person, 1

    @property
    def live(self) -> dict[str, NDArray[Any]]:
        """The buffers that hold the state now; the next step writes elsewhere, the one after it here."""
        return self._buffers[self._now]

    def state(self) -> dict[str, NDArray[Any]]:
        """Return a copy of the state."""
        return {n: a.copy() for n, a in self._buffers[self._now].items()}

    def restore(self, state: dict[str, NDArray[Any]]) -> None:
        """Go on from a state that `state()` gave, here or in another process."""
        for name, array in self._buffers[self._now].items():
            np.copyto(array, state[name])

    def _bind(self, source: int, target: int) -> Any:
        binding = self.session.io_binding()
        _bind(binding.bind_input, self.given, self._signal)
        _bind(binding.bind_output, self.made, self._logits)
        for name in self.names:
            _bind(binding.bind_input, name, self._buffers[source][name])
        for name in self._changing:
            _bind(binding.bind_output, f"{NEXT}{name}", self._buffers[target][name])
        return binding


def engine_of(package: Package, session: Any = None) -> StepEngine | GraphEngine:
    """Return an engine of a package's step: the CPU's, or that of the recorded step which `session` is."""
    if hasattr(session, "engine"):
        engine: GraphEngine = session.engine()
        return engine
    return StepEngine(package.graph, session=session)


def providers(device: str) -> list[Any]:
    """Return what ONNX Runtime computes with, best first: on a GPU TensorRT where it is compiled in, then CUDA.

    SpecError for a GPU where the installed onnxruntime knows none.
    """
    import onnxruntime as ort

    if device == "cpu":
        return [CPU]
    found = [p for p in GPU if p in ort.get_available_providers()]
    if not found:
        raise _no_gpu(device, "the installed onnxruntime computes on the CPU alone")
    return [*((p, {"device_id": int(device.partition(":")[2] or 0)}) for p in found), CPU]


def _no_gpu(device: str, why: str) -> SpecError:
    remedy = "Install onnxruntime-gpu in onnxruntime's place, and its CUDA; TensorRT is used where it is installed, too"
    return SpecError(f"Device '{device}': {why}", allowed="'auto' or 'cpu'", remedy=remedy)


def open_graph(graph: Path, threads: int = 1, device: str = "cpu") -> Any:
    """Return the ONNX Runtime session of a graph; PackageError where it is none, SpecError as `providers`."""
    import onnxruntime as ort

    computed_by = providers(device)

    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = threads
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    try:
        session = ort.InferenceSession(graph, options, providers=computed_by)
    except Exception as error:  # noqa: BLE001 - onnxruntime raises its own types, made at run time
        raise PackageError(
            f"{graph} cannot be opened as an ONNX graph ({type(error).__name__})",
            remedy="Run the recipe's 'export' stage again",
        ) from error
    if device != "cpu" and not _uses(session, device):
        raise _no_gpu(device, "onnxruntime could not use it")
    return session


def _uses(session: Any, device: str) -> bool:
    """Return whether a session computes on this GPU: where onnxruntime cannot, it falls back and only prints so."""
    used = session.get_providers()[0]
    told = session.get_provider_options().get(used, {})
    return used in GPU and int(told.get("device_id", 0)) == int(device.partition(":")[2] or 0)


def _buffer(info: Any) -> NDArray[Any]:
    return np.zeros([d if isinstance(d, int) else 1 for d in info.shape], _TYPES[info.type])


def _bind(bind: Any, name: str, array: NDArray[Any]) -> None:
    bind(name, "cpu", 0, array.dtype, array.shape, array.ctypes.data)
