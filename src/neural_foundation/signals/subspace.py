"""Artefact subspace reconstruction: large components are rebuilt from the rest; causal."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from ..core.errors import SignalMismatchError
from ..core.specs import SignalSpec
from ..core.stream import Array, Chunk, State, Transducer
from .base import Operation, SignalOp
from .blocks import block_of, eeg_of


class Subspace(SignalOp):
    """x -> R x, with R = M (keep * V' M)^+ V' (Mullen et al. 2015, doi:10.1109/TBME.2015.2481482), renewed each step.

    V: principal components of the EEG channels over the last two steps. A component is kept if its power is below that
    which usual signals reach along it: sum over i of (T_i u_i' v)^2, with u_i the principal components of usual
    signals, and T_i = median + `cutoff` times the robust standard deviation of their rms. M M is the covariance of
    usual signals. At most `most` of the components go. From one step to the next R moves linearly.

    Differences from the paper: usual is what the last `memory_s` were, not a calibration recording (element-wise
    medians of covariances over two steps, which artefacts in less than half of the time do not move); T comes from
    median and median absolute deviation instead of a fitted distribution; no spectral weighting; linear, not cosine,
    blending. Until `calibrate_s` of valid signal have passed, it passes unchanged.

    Expects signals around zero (after a high-pass) without bad channels. With `wait`, a step waits for the R of its own
    samples, so an artefact's onset is caught; without, R is that of the step before and nothing waits.
    """

    kind: Literal["subspace"] = "subspace"
    cutoff: float = Field(20.0, gt=0, description="robust standard deviations that are still usual; 10 is harsh")
    most: float = Field(0.66, gt=0, lt=1, description="largest share of components that may go")
    step_s: float = Field(0.25, gt=0, description="a new matrix this often; the look-ahead of `wait`")
    wait: bool = Field(True, description="hold a step back for its own matrix; False: causal without delay")
    calibrate_s: float = Field(5.0, ge=2, description="valid signal before anything is changed")
    memory_s: float = Field(60.0, gt=0, description="memory of what is usual")

    @property
    def keeps_topography(self) -> bool:
        return False

    def bind(self, signal: SignalSpec) -> Transducer:
        """Return the operation; SignalMismatchError with fewer than 4 EEG channels."""
        if len(eeg_of(signal)) < 4:
            raise SignalMismatchError(
                f"subspace: {len(eeg_of(signal))} EEG channels span too few components",
                allowed="4 or more",
                remedy="Leave subspace out, or mark artefacts with the kind 'artefacts'",
            )
        return RunningSubspace(signal, self)


class RunningSubspace(Operation):
    """The bound `subspace`. State: the step being filled, the last steps' covariances, R now and before."""

    def __init__(self, signal: SignalSpec, spec: Subspace) -> None:
        super().__init__(signal)
        self._spec, self._rows = spec, np.array(eeg_of(signal))
        self._step = block_of(spec.step_s, signal)
        pair_s = 2 * self._step / signal.sfreq
        self._enough = int(np.ceil(spec.calibrate_s / pair_s))
        self._memory = max(self._enough, int(np.ceil(spec.memory_s / pair_s)))
        self._every = max(1, round(1 / pair_s))
        self.lookahead_s = (self._step - 1) / signal.sfreq if spec.wait else 0.0
        self.settle_s = spec.calibrate_s

    def fresh(self) -> State:
        c = len(self._rows)
        return {
            "block": np.zeros((self.input.n_chans, self._step), np.float32),
            "ok": np.zeros(self._step, np.bool_),
            "half": np.zeros((c, c)),
            "halves": 0,
            "ring": np.zeros((self._memory, c, c)),
            "n_ring": 0,
            "root": np.eye(c),
            "limits": np.zeros((c, c)),
            "before": np.eye(c),
            "now": np.eye(c),
            "n": 0,
            "n_out": 0,
        }

    def process(self, chunk: Chunk, state: State) -> tuple[Chunk, State]:
        values, valid, at = [], [], 0
        while at < chunk.n_times:
            place = state["n"] % self._step
            m = min(self._step - place, chunk.n_times - at)
            piece, ok = chunk.values[:, at : at + m], chunk.valid[at : at + m]
            state["block"][:, place : place + m], state["ok"][place : place + m] = piece, ok
            if not self._spec.wait:
                values.append(self._rebuilt(piece, place, state))
                valid.append(ok)
            state["n"] += m
            at += m
            if place + m == self._step:
                self._renew(state)
                if self._spec.wait:
                    values.append(self._rebuilt(state["block"], 0, state))
                    valid.append(state["ok"].copy())
        return self._out(values, valid, state), state

    def flush(self, state: State) -> Chunk:
        """Return the step that was not filled, with the last R."""
        rest = state["n"] % self._step if self._spec.wait else 0
        return self._out([self._rebuilt(state["block"][:, :rest], -self._step, state)], [state["ok"][:rest]], state)

    def _out(self, values: list[Array], valid: list[Array], state: State) -> Chunk:
        nothing = np.zeros((self.input.n_chans, 0), np.float32)
        out = np.concatenate([nothing, *values], 1, dtype=np.float32)
        start, state["n_out"] = state["n_out"], state["n_out"] + out.shape[1]
        return Chunk(out, np.concatenate([np.zeros(0, np.bool_), *valid]), start)

    def _rebuilt(self, piece: Array, place: int, state: State) -> Array:
        """Return a piece that begins `place` samples into a step; R moves from `before` to `now` over the step.

        A negative place is beyond the step: R is `now`.
        """
        out = piece.copy()
        x = piece[self._rows].astype(np.float64)
        share = (np.arange(place, place + x.shape[1]) + 1) / self._step if place >= 0 else np.ones(x.shape[1])
        changed = state["before"] @ x * (1 - share) + state["now"] @ x * share
        out[self._rows] = changed
        return out

    def _renew(self, state: State) -> None:
        """Take the full step in: its covariance, what is usual, and R."""
        state["before"] = state["now"]
        if not state["ok"].all():
            state["halves"] = 0
            return
        x = state["block"][self._rows].astype(np.float64)
        cov = x @ x.T / self._step
        both, state["half"] = (state["half"] + cov) / 2, cov
        state["halves"] += 1
        if state["halves"] < 2:
            return
        if state["halves"] % 2 == 0:
            self._learn(both, state)
        if state["n_ring"] >= self._enough:
            state["now"] = reconstruction(both, state["root"], state["limits"], self._spec.most)

    def _learn(self, cov: Array, state: State) -> None:
        """Remember a covariance over two steps, and now and then renew what is usual."""
        state["ring"][state["n_ring"] % self._memory] = cov
        state["n_ring"] += 1
        n = state["n_ring"]
        if n >= self._enough and (n == self._enough or n % (5 * self._every) == 0):
            state["root"], state["limits"] = usual(state["ring"][:n], self._spec.cutoff)


def usual(covs: Array, cutoff: float) -> tuple[Array, Array]:
    """Return the root M (c, c) of the usual covariance of `covs` (n, c, c) and the limits T U' (c, c)."""
    centre = np.median(covs, 0)
    values, vectors = np.linalg.eigh(centre)
    values = np.maximum(values, 1e-9 * max(values.max(), 1e-60))
    root = (vectors * np.sqrt(values)) @ vectors.T
    rms = np.sqrt(np.maximum(np.einsum("ji,njk,ki->ni", vectors, covs, vectors, optimize=True), 0))
    middle = np.median(rms, 0)
    spread = 1.4826 * np.median(np.abs(rms - middle), 0)
    return root, (middle + cutoff * spread)[:, None] * vectors.T


def reconstruction(cov: Array, root: Array, limits: Array, most: float) -> Array:
    """Return R for the covariance of now; exactly the identity where every component is usual."""
    values, vectors = np.linalg.eigh(cov)
    keep = values < np.square(limits @ vectors).sum(0)
    keep[: len(values) - int(most * len(values))] = True  # eigh sorts: the largest may go
    if keep.all():
        return np.eye(len(values))
    mixing = vectors.T @ root
    matrix: Array = root @ np.linalg.pinv(keep[:, None] * mixing) @ vectors.T
    return matrix
