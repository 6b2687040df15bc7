"""The average reference over the channels that are not bad, found as the stream runs."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from ..core.errors import SignalMismatchError
from ..core.specs import SignalSpec
from ..core.stream import Chunk, State, Transducer
from .base import Operation, SignalOp, forgetting
from .blocks import eeg_of

SMALLEST_SPREAD = 0.1  # of the median: channels that are all alike must not make each other outliers


class RobustReference(SignalOp):
    """Subtracts from the EEG channels the average over those that are good; bad ones are referenced too. Causal.

    Every `every_s` a channel is bad where its running mean deviation from the reference lies more than `limit` robust
    standard deviations (1.4826 MAD, at least a tenth of the median) above the median over channels, or where its
    running mean size is below `floor_v`: a flat channel. Until `warmup_s` the median over channels is subtracted.

    The idea is that of PREP (Bigdely-Shamlo et al. 2015, doi:10.3389/fninf.2015.00016): find bad channels against the
    reference, leave them out, and again. Here the rounds follow each other in time, so nothing of the future is needed.
    What PREP also tests, the correlation between channels and line noise, is not looked at; bad channels are not
    repaired. Expects signals around zero (after a high-pass). Invalid samples are referenced but teach nothing.
    """

    kind: Literal["robust_reference"] = "robust_reference"
    limit: float = Field(5.0, gt=0, description="robust standard deviations above the median that make a channel bad")
    time_constant_s: float = Field(10.0, gt=0, description="memory of what a channel does")
    every_s: float = Field(0.5, gt=0, description="judge the channels this often")
    warmup_s: float = Field(1.0, ge=0, description="subtract the median until then (at least until first judged)")
    floor_v: float = Field(1e-7, ge=0, description="a channel whose mean size is smaller is flat; unit of the signal")

    def bind(self, signal: SignalSpec) -> Transducer:
        """Return the operation; SignalMismatchError with fewer than three EEG channels."""
        eeg = eeg_of(signal)
        if len(eeg) < 3:
            raise SignalMismatchError(
                f"robust_reference: {len(eeg)} channels are EEG, too few to tell which is bad",
                allowed="3 or more",
                remedy="Use reference, or correct the channel types",
            )
        return RunningReference(signal, self, eeg)


class RunningReference(Operation):
    """The bound operation. State: deviations, sizes, which are good, sum of weights; and the samples seen."""

    def __init__(self, signal: SignalSpec, spec: RobustReference, eeg: list[int]) -> None:
        from .robust_kernels import robust_rows

        super().__init__(signal)
        self._kernel, self._eeg = robust_rows, np.array(eeg, np.int64)
        every = max(1, round(spec.every_s * signal.sfreq))
        warm = max(every, round(spec.warmup_s * signal.sfreq))
        alpha = forgetting(spec.time_constant_s, signal.sfreq)
        self._params = np.array([alpha, warm, every, spec.limit, SMALLEST_SPREAD, spec.floor_v])
        self.settle_s = warm / signal.sfreq

    def fresh(self) -> State:
        n = len(self._eeg)
        return {"memory": np.concatenate([np.zeros(2 * n), np.ones(n), np.zeros(1)]), "n": 0}

    def process(self, chunk: Chunk, state: State) -> tuple[Chunk, State]:
        self._kernel(chunk.values, chunk.valid, self._eeg, self._params, state["memory"], state["n"])
        state["n"] += chunk.n_times
        return chunk, state

    def bad_channels(self, state: State) -> tuple[str, ...]:
        """Return the channels that are left out of the reference at this point of the stream."""
        n = len(self._eeg)
        good = state["memory"][2 * n : 3 * n]
        return tuple(self.input.ch_names[i] for i, ok in zip(self._eeg, good, strict=True) if not ok)
