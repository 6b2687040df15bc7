"""Does the device deliver the samples a second that it declares?

A block is never early, but may be late. So the most that the samples are ahead of the wall clock within each window of
2 s is what the clocks say; jitter of the way only makes it less. How far it moves from window to window is summed up
on both sides, beyond an allowance of 2 parts in 1,000. The limit is that of `signals.drift` in units of what moves by
itself in the first minute; neighbouring moves undo each other, so their sum errs on the quiet side. What one window may
add is bounded, so a source that stalls for a moment and then catches up is let be.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..core.stream import State
from ..signals.drift import limit

WINDOW_S, REFERENCE_S, ALLOWANCE, LEAST_S = 2.0, 60.0, 0.002, 0.02
ENOUGH = round(REFERENCE_S / WINDOW_S)
BOUND = 0.6  # of the limit: one window alone is no alarm


class RateWatch:
    """The watch of the rate. State: the window being filled, moves of the reference, sums, the measured rate."""

    def __init__(self, sfreq: float, false_alarm_s: float) -> None:
        self._sfreq, self._allow = sfreq, ALLOWANCE * WINDOW_S
        self._run_length = 2 * false_alarm_s / WINDOW_S

    def fresh(self) -> State:
        """Return the state before the first block."""
        return {"begun": False, "origin": 0.0, "until": 0.0, "n": 0, "ahead": -np.inf} | {
            "before": np.nan,
            "moves": np.zeros(0),
            "limit": 0.0,
            "sums": np.zeros(2),
            "told": False,
            "rate": np.nan,
        }

    def moved(self, state: State) -> State:
        """Return a state for another clock: what was learned stays, the window being filled is left."""
        return {**state, "begun": False, "before": np.nan, "ahead": -np.inf}

    def learning(self, state: State) -> bool:
        """Return whether it is not known yet what moves by itself."""
        return len(state["moves"]) < ENOUGH

    def block(self, n_times: int, now_s: float, state: State) -> float | None:
        """Add a block that came at `now_s` (a clock that never jumps); return the score where it ended a window."""
        if not state["begun"]:
            state.update(begun=True, origin=now_s, until=now_s + WINDOW_S, n=0)
            return None
        state["n"] += n_times
        ahead = state["n"] / self._sfreq - (now_s - state["origin"])
        if now_s < state["until"]:
            state["ahead"] = max(state["ahead"], ahead)
            return None
        score = self._window(state)
        state["ahead"], state["until"] = ahead, now_s + WINDOW_S
        return score

    def news(self, score: float, state: State) -> bool:
        """Return whether a score is an alarm that was not told yet; one is told again once it has fallen to a half."""
        told, state["told"] = state["told"], score >= 1 or (state["told"] and score > 0.5)
        return score >= 1 and not told

    def score(self, state: State) -> float:
        """Return the larger sum over its limit."""
        return float(state["sums"].max() / state["limit"]) if state["limit"] else 0.0

    def _window(self, state: State) -> float | None:
        before, now = state["before"], state["ahead"]
        if np.isfinite(now):
            state["before"] = now
        if not np.isfinite(before) or not np.isfinite(now):
            return None
        move = now - before
        rate = self._sfreq * (1 + move / WINDOW_S)
        state["rate"] = rate if np.isnan(state["rate"]) else state["rate"] + 0.1 * (rate - state["rate"])
        if not self.learning(state):
            return self._add(move, state)
        state["moves"] = np.append(state["moves"], move)
        if self.learning(state):
            return None
        state["limit"] = self._limit(state["moves"])
        return max(self._add(float(m), state) for m in state["moves"])  # the declared rate needs no reference

    def _limit(self, moves: NDArray[np.float64]) -> float:
        """Return the limit in seconds, of moves in seconds."""
        spread = 1.4826 * float(np.median(np.abs(moves - np.median(moves)))) * (1 + 1.17 * 2.2 / np.sqrt(len(moves)))
        spread = max(spread, self._allow / 2)
        allowance = self._allow / spread
        return float(max(LEAST_S, spread * limit(allowance, self._run_length)))

    def _add(self, move: float, state: State) -> float:
        bound = BOUND * state["limit"]
        step = np.clip([move - self._allow, -move - self._allow], -bound, bound)
        state["sums"] = np.clip(state["sums"] + step, 0.0, state["limit"])
        return self.score(state)
