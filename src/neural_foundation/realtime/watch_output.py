"""Has what is decided changed? Sums over batches of decisions: shares of the classes, confidence, entropy.

Shapes: probability (K,); features (K + 2,). Decisions of neighbouring tokens are all but the same one, so they are
averaged over `BATCH_S` first; how far batches still depend on each other is estimated from the reference (see
`watch_cusum`). A task that changes (another block of trials) changes the decisions too, and is told as such.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.stream import State
from .watch_cusum import Cusum, Heard

Float = NDArray[np.float64]
BATCH_S, REFERENCE_S = 5.0, 180.0
FLOOR_SHARE, FLOOR_OTHER = 0.05, 0.02  # spreads below these are taken for chance
TRAINED = "decisions"  # where `Facts.trained` holds what `decision_facts` returned


class OutputWatch:
    """The watch of the decisions. State: the batch being filled, sums against the session and against the training."""

    def __init__(
        self, classes: Sequence[str], false_alarm_s: float, *, trained: Mapping[str, Any] | None = None
    ) -> None:
        n = len(classes)
        self.n_classes, self._scale = n, 1 / np.log(max(n, 2))
        self.names = (*(f"share of {c}" for c in classes), "confidence", "entropy")
        self._shared = 2 if trained else 1  # both sums together keep the promise
        floor = np.append(np.full(n, FLOOR_SHARE), (FLOOR_OTHER, FLOOR_OTHER))
        self.cusum = Cusum(
            n + 2,
            enough=round(REFERENCE_S / BATCH_S),
            run_length=self._shared * false_alarm_s / BATCH_S,
            floor=floor,
            robust=False,
            more_errors=0.0,  # simulated decisions leave room for it: docs/drift.md
        )
        self._trained = trained

    def fresh(self) -> State:
        """Return the state before the first decision."""
        state: State = {"total": np.zeros(self.n_classes + 2), "n": 0, "n_all": 0, "next_s": BATCH_S}
        state["session"] = self.cusum.fresh()
        if self._trained:
            known = (np.asarray(self._trained[k], np.float64) for k in ("centre", "spread"))
            state |= {"training": self.cusum.known(*known), "told": False}
        return state

    def decision(self, probability: NDArray[np.floating], valid: bool, state: State) -> None:
        """Add one token's decision."""
        state["n_all"] += 1
        if valid:
            total = state["total"]
            values = probability.tolist()
            top = max(values)
            total[values.index(top)] += 1
            total[-2] += top
            total[-1] -= self._scale * sum(p * np.log(p) for p in values if p > 0)
            state["n"] += 1

    def due(self, at_s: float, state: State) -> list[tuple[Heard, str]]:
        """Return what was heard where a batch has ended by `at_s`: each sum, and what it is about."""
        if at_s < state["next_s"]:
            return []
        state["next_s"] = (at_s // BATCH_S + 1) * BATCH_S
        n, n_all, features = state["n"], state["n_all"], state["total"] / max(1, state["n"])
        state["total"], state["n"], state["n_all"] = np.zeros_like(state["total"]), 0, 0
        if n == 0 or n < n_all / 2:
            return []
        return [(h, self._what(h, than)) for h, than in self._heard(features, state)]

    def _heard(self, features: Float, state: State) -> list[tuple[Heard, str]]:
        heard = [(self.cusum.take(features, state["session"]), "than at first")]
        if "training" in state:
            one = self.cusum.take(features, state["training"], relearn=False)
            state["training"]["sums"] = np.minimum(state["training"]["sums"], self.cusum.limit)
            told, state["told"] = state["told"], one.score >= 1 or (state["told"] and one.score >= 0.5)
            heard.append((Heard(min(one.score, 0.99), one.index, one.up) if told else one, "than in training"))
        return heard

    def _what(self, heard: Heard, than: str) -> str:
        return f"{self.names[heard.index]} {'higher' if heard.up else 'lower'} {than}"


def decision_facts(probabilities: Sequence[Float], token_s: float) -> dict[str, list[float]]:
    """Return what `Facts.trained["decisions"]` may hold: how batches of decisions are centred and spread.

    probabilities : (K, n_tokens) per recording, of people that were not trained on. The spread holds that between
    recordings, and the dependence of neighbouring batches.
    """
    from .watch_cusum import dependence

    m = max(1, round(BATCH_S / token_s))
    batches = [_batches(p, m) for p in probabilities if p.shape[1] >= 2 * m]
    every = np.concatenate(batches)
    wider = float(np.mean([dependence(b) for b in batches]))
    spread = np.sqrt(every.var(0) * wider**2)
    return {"centre": every.mean(0).tolist(), "spread": spread.tolist()}


def _batches(p: Float, m: int) -> Float:
    """Return the features (n_batches, K + 2) of decisions (K, n_tokens)."""
    k, whole = len(p), p.shape[1] // m
    share = (p.argmax(0) == np.arange(k)[:, None]).astype(np.float64)
    entropy = -(p * np.log(np.maximum(p, 1e-300))).sum(0) / np.log(max(k, 2))
    rows = np.vstack([share, p.max(0), entropy])[:, : whole * m]
    return np.asarray(rows.reshape(k + 2, whole, m).mean(-1).T)
