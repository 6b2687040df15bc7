"""The chunk law: what streams is a transducer, and how a stream is cut never changes what comes out.

Shapes: values (n_chans, n_times); valid (n_times,) True where a sample can be trusted.

A transducer is bound to one signal and keeps no memory of its own: everything that changes is in the state that
`start()` makes and `step()` takes and gives back. A step CONSUMES its state (it may reuse the arrays); copy it with
`copy_state` to keep the old one. A state is a flat or nested dict of numpy arrays and numbers, so that it can be
written and read without pickle.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import StreamError
from .specs import SignalSpec

Array = NDArray[Any]
State = dict[str, Any]
INFINITE = float("inf")


@dataclass(slots=True)
class Chunk:
    """A piece of a stream: values (n_chans, n_times), validity (n_times,), index of its first sample."""

    values: Array
    valid: NDArray[np.bool_]
    start: int = 0

    @classmethod
    def of(cls, values: Array, start: int = 0) -> Chunk:
        """Return a chunk whose samples are all valid."""
        return cls(values, np.ones(values.shape[1], dtype=bool), start)

    @property
    def n_times(self) -> int:
        return int(self.values.shape[1])


class Transducer(ABC):
    """One bound streaming operation.

    `input`, `output` : SignalSpec before and after. `lookahead_s` : seconds of future it needs; 0 is causal,
    `INFINITE` cannot run live.
    """

    input: SignalSpec
    output: SignalSpec
    lookahead_s: float = 0.0

    @abstractmethod
    def start(self) -> State:
        """Return the state before the first sample."""

    @abstractmethod
    def step(self, chunk: Chunk, state: State) -> tuple[Chunk, State]:
        """Return what comes out for `chunk` (perhaps no samples yet) and the state after it."""

    def flush(self, state: State) -> Chunk:
        """Return what is still inside when the stream ends; nothing, unless a look-ahead is pending."""
        return empty(self.output.n_chans, int(state.get("n_out", 0)))


def empty(n_chans: int, start: int, dtype: Any = np.float32) -> Chunk:
    """Return a chunk without samples."""
    return Chunk(np.zeros((n_chans, 0), dtype), np.zeros(0, dtype=bool), start)


def join(chunks: Iterable[Chunk]) -> Chunk:
    """Return consecutive chunks as one; StreamError where they do not follow on each other."""
    chunks = list(chunks)
    parts = [c for c in chunks if c.n_times] or chunks[:1]
    if not parts:
        raise StreamError("No chunks to join")
    for a, b in zip(parts, parts[1:], strict=False):
        if b.start != a.start + a.n_times:
            raise StreamError(f"Chunk at sample {b.start} does not follow the one that ends at {a.start + a.n_times}")
    return Chunk(np.concatenate([c.values for c in parts], 1), np.concatenate([c.valid for c in parts]), parts[0].start)


def stream(transducer: Transducer, chunks: Iterable[Chunk]) -> Iterable[Chunk]:
    """Yield the outputs of a whole stream, the flush included."""
    state = transducer.start()
    for chunk in chunks:
        out, state = transducer.step(chunk, state)
        yield out
    yield transducer.flush(state)


def run(transducer: Transducer, values: Array, *, block: int = 4096) -> Chunk:
    """Return the whole output for a whole input (n_chans, n_times), stepped in blocks."""
    starts = range(0, max(values.shape[1], 1), block)
    chunks = (Chunk.of(values[:, s : s + block], s) for s in starts)
    return join(list(stream(transducer, chunks)))


def require_live(transducer: Transducer, name: str, alternative: str = "a causal operation") -> None:
    """Raise StreamError unless `transducer` can run live."""
    if transducer.lookahead_s == INFINITE:
        raise StreamError(f"'{name}' needs the whole recording and cannot run live", remedy=f"Use {alternative}")


def copy_state(state: State) -> State:
    """Return a deep copy of a state."""
    return {
        k: copy_state(v) if isinstance(v, dict) else v.copy() if isinstance(v, np.ndarray) else v
        for k, v in state.items()
    }


def save_state(state: State) -> bytes:
    """Return a state as bytes (safetensors: plain arrays); `load_state` gives it back, also in another process."""
    from safetensors.numpy import save

    flat = _flatten(state, "")  # numbered: a state's order is part of it, and safetensors keeps none
    data: bytes = save({f"{i:05d} {name}": array for i, (name, array) in enumerate(flat.items())})
    return data


def load_state(data: bytes) -> State:
    """Return the state that `save_state` wrote; StreamError where the bytes are not one."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        return _unflatten({name.partition(" ")[2]: array.copy() for name, array in sorted(load(data).items())})
    except (SafetensorError, ValueError, KeyError, IndexError, AttributeError) as error:
        raise StreamError(f"These bytes are not a saved state ({error})") from None


_SCALARS = {bool: "b", int: "i", float: "f"}


def _flatten(state: State, prefix: str) -> dict[str, Array]:
    flat: dict[str, Array] = {}
    for key, value in state.items():
        if isinstance(value, dict):
            flat |= _flatten(value, f"{prefix}{key}/") if value else {f"{prefix}{key}:d": np.zeros(0)}
        elif isinstance(value, np.ndarray) and np.iscomplexobj(value):
            flat[f"{prefix}{key}:c"] = np.stack([value.real, value.imag])
        elif isinstance(value, np.ndarray):
            flat[f"{prefix}{key}:a"] = np.asarray(value, order="C")
        else:
            flat[f"{prefix}{key}:{_SCALARS[type(value)]}"] = np.asarray(value)
    return flat


def _unflatten(flat: dict[str, Array]) -> State:
    state: State = {}
    for path, value in flat.items():
        path, _, tag = path.rpartition(":")
        *parents, key = path.split("/")
        at = state
        for parent in parents:
            at = at.setdefault(parent, {})
        at[key] = _value(tag, value)
    return state


def _value(tag: str, value: Array) -> Any:
    if tag == "a":
        return value
    if tag == "c":
        return (value[0] + 1j * value[1]).astype(np.result_type(value, np.complex64))
    return {} if tag == "d" else {"b": bool, "i": int, "f": float}[tag](value)
