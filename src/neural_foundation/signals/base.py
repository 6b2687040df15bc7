"""What every signal operation is: a spec that binds to a signal, and the bound operation that steps.

Shapes: values (n_chans, n_times) float32; valid (n_times,) bool; held (n_chans,) float32.

Samples that are not finite (NaN, infinity) never reach a filter: they are replaced by the channel's last finite
value (0 before the first one) and their time is marked invalid. A chain does this once, at its entrance; an operation
that is stepped by itself does it too.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

import numpy as np

from ..core.errors import SignalMismatchError, StreamError
from ..core.specs import SignalSpec, Spec
from ..core.stream import Array, Chunk, State, Transducer


class SignalOp(Spec):
    """Base of the specs of this room; a subclass names its `kind` and says what it binds to.

    `causal_alternative` : what to use instead where a setting needs the whole recording.
    """

    causal_alternative: ClassVar[str] = "a causal operation"

    @property
    def keeps_topography(self) -> bool:
        """Whether the potential's map over the scalp is the same after it, up to one factor (and a reference)."""
        return True

    def bind(self, signal: SignalSpec) -> Transducer:
        """Return the operation on this signal; SignalMismatchError where the signal cannot carry it."""
        raise NotImplementedError(f"{type(self).__name__} does not bind")


class Guard:
    """Takes chunks in: checks their shape, copies them, replaces what is not finite."""

    def __init__(self, n_chans: int) -> None:
        from . import kernels

        self.n_chans = n_chans
        self._hold = kernels.hold_finite

    def start(self) -> Array:
        """Return the last finite values before the first sample."""
        return np.zeros(self.n_chans, np.float32)

    def take(self, chunk: Chunk, held: Array) -> Chunk:
        """Return a chunk of our own, contiguous float32 and finite; `held` is updated in place."""
        values = readable(chunk, self.n_chans)
        out, valid = np.empty(values.shape, np.float32), np.empty(values.shape[1], np.bool_)
        self._hold(values, plain(chunk.valid, np.bool_), held, out, valid)
        return Chunk(out, valid, chunk.start)


def readable(chunk: Chunk, n_chans: int) -> Array:
    """Return the chunk's values as contiguous float32; an error where they are not (n_chans, n_times)."""
    shape = chunk.values.shape
    if len(shape) != 2 or shape[0] != n_chans:
        raise SignalMismatchError(
            f"A chunk of shape {shape} came to {n_chans} channels", allowed=f"({n_chans}, n_times)"
        )
    if chunk.valid.shape != shape[1:]:
        raise StreamError(f"A chunk of {shape[1]} samples has {chunk.valid.shape} validity", allowed=f"({shape[1]},)")
    return plain(chunk.values, np.float32)


def plain(array: Array, dtype: type[np.generic]) -> Array:
    """Return the array contiguous and writable: one array type only, so that each kernel compiles once."""
    if array.dtype == dtype and array.flags.carray:
        return array
    return np.array(array, dtype, order="C")


class Operation(Transducer):
    """A bound operation. `process` OWNS the chunk it is given and may overwrite it; `step` copies first.

    `settle_s` : seconds after a restart until the output can be trusted; `selects` : only picks channels, so what is
    not finite in a channel that is dropped is nobody's business.
    """

    settle_s: float = 0.0
    selects: bool = False

    def __init__(self, signal: SignalSpec, output: SignalSpec | None = None) -> None:
        self.input, self.output = signal, output or signal
        self._guard = Guard(signal.n_chans)

    def fresh(self) -> State:
        """Return the state before the first sample, without what `step` itself holds."""
        return {}

    @abstractmethod
    def process(self, chunk: Chunk, state: State) -> tuple[Chunk, State]:
        """Return what comes out for a finite, contiguous float32 chunk that may be overwritten."""

    def start(self) -> State:
        return {**self.fresh(), "held": self._guard.start()}

    def step(self, chunk: Chunk, state: State) -> tuple[Chunk, State]:
        return self.process(self._guard.take(chunk, state["held"]), state)


def plain_numbers(signal: SignalSpec) -> SignalSpec:
    """Return the signal without units of measure, as what divides it by its own size leaves it."""
    return signal.replace(units=("",) * signal.n_chans)


def whole_samples(kind: str, field: str, seconds: float, signal: SignalSpec) -> int:
    """Return the seconds in samples; SignalMismatchError where they are no whole number of them, at least one."""
    samples = seconds * signal.sfreq
    n = round(samples)
    if n < 1 or abs(n - samples) > 1e-6 * n:
        raise SignalMismatchError(
            f"{kind}: {field}={seconds:g} is {samples:g} samples at {signal.sfreq:g} Hz",
            allowed="a whole number of samples",
            remedy=f"Give a multiple of {1 / signal.sfreq:g} s, or resample first",
        )
    return n


def below_nyquist(kind: str, field: str, hz: float | None, signal: SignalSpec) -> None:
    """Raise SignalMismatchError unless `hz` lies below half the sampling rate."""
    nyquist = signal.sfreq / 2
    if hz is not None and hz >= nyquist:
        raise SignalMismatchError(
            f"{kind}: {field}={hz:g} is not below half of the sampling rate (sfreq={signal.sfreq:g} Hz)",
            allowed=f"{field} < {nyquist:g}",
            remedy=f"Lower {field}, or record at a higher rate",
        )


def forgetting(time_constant_s: float, sfreq: float, samples: int = 1) -> float:
    """Return the weight of the newest of exponentially forgotten averages, `samples` apart."""
    return float(-np.expm1(-samples / (time_constant_s * sfreq)))
