"""Is the adapted worse than the frozen? A test that may be looked at after each outcome.

Each outcome gives d in [-1, 1]: the loss of the adapted minus that of the frozen, both said before the truth was known.
Under "the adapted is not worse" the mean of d, given the past, is at most 0. Whoever bets a share of his wealth on
d > 0 then gains nothing on average, so that the chance that his wealth ever grows to 1 / alpha is at most alpha
(Ville's inequality; Waudby-Smith and Ramdas 2024, doi:10.1093/jrsssb/qkad009, section 4; Shafer 2021).

The wealth is spread over several stakes, and over when the adapted began to be worse: outcome t receives a share of
1 / (t (t + 1)) to bet from there on. So long good times do not make the test blind to a later harm. A loss of 0 or 1
(was the decision wrong?) gives d = 0 where both are right or both are wrong.

The promise is no better than "given the past". One outcome told ten times is one outcome: whoever calls counts it once.
Outcomes within a trial resemble one another, and so do seconds of signal: given the first the others are foreseen, and
alpha is then only a nominal level. For one outcome a trial it holds. Of d from `misfit`, the test says whether a
covariance fits the reference, nothing of decisions. After a rollback a test begins anew, with alpha anew.

State (all float64): `wealth` (n_stakes,), `n` outcomes, `span_n` and `span_sum` since the adapted was last confirmed.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..core.stream import State

STAKES = np.array([0.1, 0.25, 0.5, 0.8])


def fresh() -> State:
    """Return the state before the first outcome."""
    return {"wealth": np.zeros(len(STAKES)), "n": 0, "span_n": 0, "span_sum": 0.0}


def evidence(state: State) -> float:
    """Return the whole wealth, 1 at first: at 1 / alpha, the adapted is worse at level alpha."""
    return float(state["wealth"].sum() + 1 / (state["n"] + 1))


def judge(state: State, difference: float, *, alpha: float, confirm: int) -> str:
    """Take one outcome into the state; return "worse", "good" or "" (not known yet).

    difference : loss of the adapted minus loss of the frozen, in [-1, 1]. "good" after each `confirm` outcomes in which
    the adapted lost no more than the frozen. After "worse" the state begins anew.
    """
    n = state["n"] + 1
    share = 1 / (n * (n + 1)) / len(STAKES)
    state["wealth"] = (state["wealth"] + share) * (1 + STAKES * min(max(difference, -1.0), 1.0))
    state["n"], state["span_n"], state["span_sum"] = n, state["span_n"] + 1, state["span_sum"] + difference
    if evidence(state) >= 1 / alpha:
        state.update(fresh())
        return "worse"
    if state["span_n"] < confirm:
        return ""
    good = state["span_sum"] <= 0
    state["span_n"], state["span_sum"] = 0, 0.0
    return "good" if good else ""


def misfit(covariance: NDArray[np.float64], reference: NDArray[np.float64]) -> float:
    """Return how far a covariance is from a reference in shape: Frobenius, both at trace 1; 2 without power."""
    a, b = float(np.trace(covariance)), float(np.trace(reference))
    return float(np.linalg.norm(covariance / a - reference / b)) if a > 0 and b > 0 else 2.0


def closer(before: float, after: float) -> float:
    """Return (after - before) / (after + before), in [-1, 1]: below 0 where `after` fits better."""
    return (after - before) / (after + before) if after + before > 0 else 0.0
