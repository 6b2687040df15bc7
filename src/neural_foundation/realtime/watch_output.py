"""Has what is decided changed? Sums over batches of decisions: shares of the classes, confidence, entropy.

Shapes: probability (K,); features (K + 2,). Decisions of neighbouring tokens are all but the same one, so they are
averaged over `BATCH_S` first; how far batches still depend on each other is estimated from the reference (see
`watch_cusum`). A task that changes (another block of trials) changes the decisions too, and is told as such.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..core.stream import State
from .watch_cusum import Cusum, Heard

Float = NDArray[np.float64]
BATCH_S, REFERENCE_S = 5.0, 180.0
FLOOR_SHARE, FLOOR_OTHER = 0.05, 0.02  # spreads below these are taken for chance


class OutputWatch:
    """The watch of the decisions. State: the batch being filled, and sums against the session's beginning."""

    def __init__(self, classes: Sequence[str], false_alarm_s: float) -> None:
        n = len(classes)
        self.n_classes, self._scale = n, 1 / np.log(max(n, 2))
        self.names = (*(f"share of {c}" for c in classes), "confidence", "entropy")
        floor = np.append(np.full(n, FLOOR_SHARE), (FLOOR_OTHER, FLOOR_OTHER))
        self.cusum = Cusum(
            n + 2,
            enough=round(REFERENCE_S / BATCH_S),
            run_length=false_alarm_s / BATCH_S,
            floor=floor,
            robust=False,
            more_errors=0.0,  # simulated decisions leave room for it: docs/drift.md
        )

    def fresh(self) -> State:
        """Return the state before the first decision."""
        state: State = {"total": np.zeros(self.n_classes + 2), "n": 0, "n_all": 0, "next_s": BATCH_S}
        state["session"] = self.cusum.fresh()
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
        """Return what was heard where a batch has ended by `at_s`, and what it is about; else nothing."""
        if at_s < state["next_s"]:
            return []
        state["next_s"] = (at_s // BATCH_S + 1) * BATCH_S
        n, n_all, features = state["n"], state["n_all"], state["total"] / max(1, state["n"])
        state["total"], state["n"], state["n_all"] = np.zeros_like(state["total"]), 0, 0
        if n == 0 or n < n_all / 2:
            return []
        heard = self.cusum.take(features, state["session"])
        return [(heard, f"{self.names[heard.index]} {'higher' if heard.up else 'lower'} than at first")]
