"""How steady a live decision is. A trace holds one decision a step, (n_steps,), in order."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from neural_foundation.core.errors import DataError

Array = NDArray[Any]


class Steadiness(NamedTuple):
    """coherence : 1 - switches / possible switches. dwell_s : mean seconds between switches. switches : their count."""

    coherence: float
    dwell_s: float
    switches: int


def steadiness(trace: Array, step_s: float) -> Steadiness:
    """Return how steady a decision trace (n_steps,) is, `step_s` seconds a step.

    Temporal coherence is defined plainly as 1 - s / (n_steps - 1), s the number of steps whose decision differs from
    the one before: 1 never changes, 0 changes at every step; fair guessing between k classes gives 1 / k. It says
    nothing of being right: a decoder that always says the same is fully coherent, so read it beside the accuracy.
    Dwell is the trace's length over its number of runs.
    """
    trace = np.asarray(trace)
    if trace.ndim != 1 or len(trace) < 2:
        raise DataError(f"A trace has shape {trace.shape}", allowed="(n_steps,), two steps or more")
    switches = int(np.sum(trace[1:] != trace[:-1]))
    return Steadiness(1 - switches / (len(trace) - 1), len(trace) * step_s / (switches + 1), switches)


def coherence(trace: Array) -> float:
    """Return the temporal coherence of a trace, as `steadiness` defines it."""
    return steadiness(trace, 1.0).coherence
