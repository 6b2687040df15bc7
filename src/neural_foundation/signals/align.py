"""Running Euclidean alignment: brings every subject's and session's covariance to the identity."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from ..core.specs import SignalSpec
from ..core.stream import Array, Chunk, State, Transducer
from .base import Operation, SignalOp, forgetting, plain_numbers


class Align(SignalOp):
    """x -> C^(-1/2) x, C the running covariance of the channels; causal, without labels.

    He & Wu (2019, doi:10.1109/TBME.2019.2913914) align by the mean covariance of all trials. Differences here: C is
    an exponentially weighted mean over blocks of `every_s` whose weights sum to one, so it needs no future and
    follows slow drift; it is shrunk towards a multiple of the identity; and no direction is amplified more than
    `max_gain` times the average one (an average reference leaves a direction without any power). Until `warmup_s`
    (and a block with valid samples), all channels share one running scale, 1 / rms of what came so far.

    Expects signals around zero (after a high-pass). Updates fall on multiples of every_s, whatever the chunks. The
    output has no unit.
    """

    kind: Literal["align"] = "align"
    time_constant_s: float = Field(60.0, gt=0, description="memory of the covariance")
    every_s: float = Field(1.0, gt=0, description="a new whitening matrix this often")
    warmup_s: float = Field(5.0, ge=0, description="scaled, not whitened, until then (rounded up to whole every_s)")
    shrinkage: float = Field(
        0.05, ge=0, le=1, description="share of the identity, scaled to the mean power, in the covariance"
    )
    max_gain: float = Field(10.0, ge=1, description="largest gain of a direction over that of average power")

    @property
    def keeps_topography(self) -> bool:
        return False

    def bind(self, signal: SignalSpec) -> Transducer:
        """Return the operation; any signal will do."""
        return RunningAlign(signal, self)


class RunningAlign(Operation):
    """The bound `align`. State: the block being filled, covariance, whitening matrix, sums of the warm-up.

    A block's covariance is one product over the whole block, so the same bits result however it was filled.
    """

    def __init__(self, signal: SignalSpec, spec: Align) -> None:
        super().__init__(signal, plain_numbers(signal))
        self._spec = spec
        self._every = max(1, round(spec.every_s * signal.sfreq))
        self._warm = self._every * max(1, int(np.ceil(round(spec.warmup_s * signal.sfreq) / self._every)))
        self._alpha = forgetting(spec.time_constant_s, signal.sfreq, self._every)
        self.settle_s = self._warm / signal.sfreq

    def fresh(self) -> State:
        c = self.input.n_chans
        block = {"block": np.zeros((c, self._every), np.float32), "ok": np.zeros(self._every, np.bool_)}
        return {
            **block,
            "cov": np.zeros((c, c)),
            "white": np.eye(c),
            "weight": 0.0,
            "power": 0.0,
            "n_power": 0.0,
            "n": 0,
        }

    def process(self, chunk: Chunk, state: State) -> tuple[Chunk, State]:
        at = 0
        while at < chunk.n_times:
            place = state["n"] % self._every
            m = min(self._every - place, chunk.n_times - at)
            piece, valid = chunk.values[:, at : at + m], chunk.valid[at : at + m]
            state["block"][:, place : place + m], state["ok"][place : place + m] = piece, valid
            warm = state["n"] < self._warm or not state["weight"]
            piece[:] = self._scaled(piece, valid, state) if warm else state["white"] @ piece.astype(np.float64)
            state["n"] += m
            at += m
            if place + m == self._every:
                self._learn(state)
        return chunk, state

    def _scaled(self, piece: Array, valid: Array, state: State) -> Array:
        """Return the piece over the rms of all valid values so far, sample by sample."""
        powers = np.where(valid, np.mean(np.square(piece, dtype=np.float64), 0), 0.0)
        powers = np.cumsum(np.concatenate([[state["power"]], powers]))[1:]
        counts = state["n_power"] + np.cumsum(valid)
        state["power"], state["n_power"] = float(powers[-1]), float(counts[-1])
        rms = np.sqrt(powers / np.maximum(counts, 1))
        scaled: Array = piece / np.where(rms > 0, rms, np.inf)
        return scaled

    def _learn(self, state: State) -> None:
        """Take the full block into the covariance and renew the whitening matrix."""
        block = state["block"][:, state["ok"]].astype(np.float64)
        if not block.shape[1]:
            return
        state["weight"] += self._alpha * (1 - state["weight"])
        share = self._alpha / state["weight"]
        state["cov"] += share * (block @ block.T / block.shape[1] - state["cov"])
        state["white"] = whitening(state["cov"], self._spec.shrinkage, self._spec.max_gain)


def whitening(cov: Array, shrinkage: float, max_gain: float) -> Array:
    """Return the symmetric inverse root of a shrunk covariance (n_chans, n_chans), its gains capped; 0 for no power."""
    mean_power = float(np.trace(cov)) / len(cov)
    if mean_power <= 0:
        return np.zeros_like(cov)
    values, vectors = np.linalg.eigh((1 - shrinkage) * cov + shrinkage * mean_power * np.eye(len(cov)))
    gains = 1 / np.sqrt(np.maximum(values, mean_power / max_gain**2))
    white: Array = (vectors * gains) @ vectors.T
    return white
