"""Sums that say when features have left what they were: with a reference of their own, or against a known share.

Shapes: features (n,); sums (2, n), upwards and downwards.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from ..core.stream import State
from ..signals.drift import limit

Float = NDArray[np.float64]
LARGEST = 6.0  # what one hop may add, in standard deviations beyond the allowance: an artefact alone is no change
ONE_HOP = 0.9  # of the limit: the most that one hop may add where the limit is low


@dataclass(frozen=True)
class Heard:
    """What a hop said: the largest sum over its limit, whose it is, and whether it points up."""

    score: float
    index: int = 0
    up: bool = True


class Cusum:
    """Two-sided sums of standardised features (Page 1954), as `signals.drift`, with four differences.

    - Features differ in what is let be: `allowance` in standard deviations, and `least` in the features' own units,
      for slow changes that brains make by themselves. The larger of both counts.
    - Not the deviation is clipped, but what a hop adds: at `LARGEST` beyond the allowance, and at `ONE_HOP` of the
      limit, so that one hop from rest is no alarm, whatever the run length; but for one that falls by `alone`, in the
      feature's own unit, below the reference.
    - The correlation of a hop with the next is taken `more_errors` standard errors larger than estimated.
    - `robust: False` takes means and standard deviations, for features that are seldom artefacts.

    run_length : mean hops between false alarms of all features together; the limit is Siegmund's for the smallest
    allowance, so any other errs on the quiet side. After an alarm a new reference is learned.
    """

    def __init__(
        self,
        n: int,
        *,
        enough: int,
        run_length: float,
        allowance: float | Float = 0.5,
        least: float | Float = 0.0,
        floor: float | Float = 1e-3,
        robust: bool = True,
        more_errors: float = 1.0,
        alone: float = np.inf,
    ) -> None:
        self.n, self.enough, self._robust, self._more, self._alone = n, enough, robust, more_errors, alone
        self._allowance, self._least, self._floor = (np.broadcast_to(x, (n,)) for x in (allowance, least, floor))
        self._error = NormalDist().inv_cdf(1 - 1 / (4 * n)) / np.sqrt(enough)
        self.limit = limit(float(self._allowance.min()), run_length * 2 * n)
        self._most = min(LARGEST, ONE_HOP * self.limit)

    def fresh(self) -> State:
        """Return the state before the first hop."""
        return {
            "ring": np.zeros((self.enough, self.n)),
            "n_ring": 0,
            "centre": np.zeros(self.n),
            "spread": np.ones(self.n),
            "sums": np.zeros((2, self.n)),
        }

    def learning(self, state: State) -> bool:
        """Return whether the reference is not there yet."""
        return bool(state["n_ring"] < self.enough)

    def take(self, features: Float, state: State) -> Heard:
        """Add one hop; an alarm is a score of 1 or more, after which a new reference begins."""
        if self.learning(state):
            self._learn(features, state)
            return Heard(0.0)
        z = (features - state["centre"]) / state["spread"]
        allow = np.maximum(
            self._allowance + (1.25 if self._robust else 1.0) * self._error, self._least / state["spread"]
        )
        sums = np.maximum(0.0, state["sums"] + np.minimum(np.stack([z, -z]) - allow, self._most))
        sums[1, state["centre"] - features >= self._alone] = 2 * self.limit
        state["sums"] = sums
        side, index = divmod(int(sums.argmax()), self.n)
        heard = Heard(float(sums[side, index]) / self.limit, index, side == 0)
        if heard.score >= 1:
            state["sums"], state["n_ring"] = np.zeros_like(sums), 0
        return heard

    def _learn(self, features: Float, state: State) -> None:
        state["ring"][state["n_ring"]] = features
        state["n_ring"] += 1
        if state["n_ring"] < self.enough:
            return
        ring = state["ring"]
        if self._robust:
            centre = np.median(ring, 0)
            spread, wider = 1.4826 * np.median(np.abs(ring - centre), 0), 1 + 1.17 * self._error
        else:
            centre, spread, wider = ring.mean(0), ring.std(0, ddof=1), 1 + 0.75 * self._error
        state["centre"] = centre
        state["spread"] = np.maximum(spread, self._floor) * wider * dependence(ring, self._more)


def dependence(ring: Float, more_errors: float = 1.0) -> float:
    """Return by how much sums of such hops (n, features) spread more than those of independent ones.

    sqrt((1 + r) / (1 - r)); r : the mean correlation of a hop with the next and some standard errors of it, 0 to 0.8.
    """
    z = ring - ring.mean(0)
    power = np.square(z).sum(0)
    lagged = ((z[1:] * z[:-1]).sum(0) / np.maximum(power, 1e-60))[power > 1e-60]
    r = float(lagged.mean()) + more_errors / np.sqrt(len(ring)) if len(lagged) else 0.0
    r = min(max(r, 0.0), 0.8)
    return float(np.sqrt((1 + r) / (1 - r)))


class Shares:
    """One-sided sums that say which of n yes-or-no verdicts are yes more often than they should be.

    The log likelihood ratio of yes in `often` of the hops against `seldom`. For verdicts of independent hops with a
    share of at most `seldom`, the mean time to a false alarm is at least exp(limit) hops (Lorden 1971,
    doi:10.1214/aoms/1177693055), so the limit is log(n * run_length), or more, where one yes would otherwise reach it.
    """

    def __init__(self, n: int, *, run_length: float, seldom: float = 0.02, often: float = 0.5) -> None:
        self._yes, self._no = log(often / seldom), log((1 - often) / (1 - seldom))
        self.n, self.limit = n, max(log(max(n * run_length, 2.0)), self._yes / ONE_HOP)

    def fresh(self) -> State:
        """Return the state before the first hop."""
        return {"sums": np.zeros(self.n), "on": np.zeros(self.n, np.bool_)}

    def take(self, verdicts: NDArray[np.bool_], state: State) -> NDArray[np.int64]:
        """Add one hop; return which went on. One that is on stays so until its sum is back at 0."""
        raised = state["sums"] + np.where(verdicts, self._yes, self._no)
        state["sums"] = np.clip(raised, 0.0, self.limit)
        begun = (state["sums"] >= self.limit) & ~state["on"]
        state["on"] = (state["on"] | begun) & (state["sums"] > 0)
        return np.flatnonzero(begun)
