"""Multi-unit activity from a broadband recording: threshold crossings, counted in bins."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field, field_validator

from ..core.specs import SignalSpec
from ..core.stream import Array, Chunk, State, Transducer
from .base import Operation, SignalOp, forgetting, whole_samples


class Crossings(SignalOp):
    """How often each channel crosses its threshold, a bin of bin_s; a signal of counts, as from bin_spikes. Causal.

    The threshold is a multiple of the channel's running noise: the exponentially weighted mean of |x| times
    sqrt(pi / 2), the standard deviation of a normal distribution. Magnitudes beyond the threshold count as the
    threshold there, so that spikes hardly raise it. A crossing counts where the sample before was not beyond it, and
    refractory_s have passed since the last one. Expects the band of spikes (after a high-pass of about 300 Hz). Sorted
    units need a sorter; this is what many brain-computer interfaces decode from instead.
    """

    kind: Literal["crossings"] = "crossings"
    threshold: float = Field(-4.5, description="in standard deviations of the noise; its sign is the side crossed to")
    bin_s: float = Field(0.01, gt=0, description="length of a bin")
    refractory_s: float = Field(0.001, ge=0, description="after a crossing none is counted for so long")
    time_constant_s: float = Field(10.0, gt=0, description="memory of the noise")
    warmup_s: float = Field(1.0, ge=0, description="the first seconds only teach the noise; their bins are not valid")

    @field_validator("threshold")
    @classmethod
    def _beyond(cls, value: float) -> float:
        if abs(value) < 1:
            raise ValueError("must be at least 1 away from 0")
        return value

    @property
    def keeps_topography(self) -> bool:
        return False

    def bind(self, signal: SignalSpec) -> Transducer:
        """Return the operation; SignalMismatchError where a bin is no whole number of samples."""
        return RunningCrossings(signal, self, whole_samples("crossings", "bin_s", self.bin_s, signal))


class RunningCrossings(Operation):
    """The bound 'crossings'. State: memory (see the kernel), validity of the open bin, samples seen."""

    def __init__(self, signal: SignalSpec, spec: Crossings, hop: int) -> None:
        from .crossings_kernels import count_crossings

        n = signal.n_chans
        counts = {"ch_types": ("misc",) * n, "units": ("",) * n, "positions": ()}
        super().__init__(signal, signal.replace(sfreq=signal.sfreq / hop, **counts))
        self._kernel, self._hop = count_crossings, hop
        self._warm = round(spec.warmup_s * signal.sfreq)
        self.settle_s = self._warm / signal.sfreq
        alpha = forgetting(spec.time_constant_s, signal.sfreq)
        refractory = round(spec.refractory_s * signal.sfreq)
        self._params = np.array([alpha, spec.threshold, refractory, self._warm, hop], np.float64)

    def fresh(self) -> State:
        memory = np.zeros((self.input.n_chans, 5))
        memory[:, 2] = np.inf
        return {"memory": memory, "ok": True, "n": 0, "n_out": 0}

    def process(self, chunk: Chunk, state: State) -> tuple[Chunk, State]:
        n, start = state["n"], state["n_out"]
        after = n + chunk.n_times
        last = after // self._hop
        out = np.zeros((self.output.n_chans, last - start))
        self._kernel(chunk.values, chunk.valid, self._params, state["memory"], n, out)
        valid = self._bins(chunk.valid & (np.arange(n, after) >= self._warm), state, last)
        state["n"], state["n_out"] = after, last
        return Chunk(out.astype(np.float32), valid, start), state

    def _bins(self, valid: Array, state: State, last: int) -> Array:
        """Return the validity of the bins that end, all of whose samples must be valid; keep that of the open one."""
        inside = state["n"] - state["n_out"] * self._hop
        samples = np.concatenate([np.full(inside, state["ok"]), valid])
        whole = (last - state["n_out"]) * self._hop
        state["ok"] = bool(samples[whole:].all())
        return np.asarray(samples[:whole].reshape(-1, self._hop).all(1))
