"""Alarms about events: when one is raised, and how many events alarms by chance would have foreseen.

Shapes: time_s, level (n,) of one recording, in order of time; alarms (m,) indices; hours (n_events,).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from neural_foundation.core.errors import DataError

Array = NDArray[Any]


def recent_mean(time_s: Array, level: Array, width_s: float) -> NDArray[np.float64]:
    """Return the mean of the levels in (t - width_s, t] for each t: nothing later is looked at."""
    time_s, level = _ordered(time_s, level)
    first = np.searchsorted(time_s, time_s - width_s + 1e-9, side="left")
    total = np.concatenate([[0.0], np.cumsum(level, dtype=np.float64)])
    last = np.arange(1, len(time_s) + 1)
    first = np.minimum(first, last - 1)
    return np.asarray((total[last] - total[first]) / (last - first))


def raised(time_s: Array, level: Array, threshold: float, refractory_s: float) -> NDArray[np.int64]:
    """Return where alarms are raised: the level reaches the threshold, and no alarm was in the last `refractory_s`."""
    time_s, level = _ordered(time_s, level)
    found: list[int] = []
    for i in np.flatnonzero(level >= threshold).tolist():
        if not found or time_s[i] - time_s[found[-1]] >= refractory_s:
            found.append(i)
    return np.array(found, np.int64)


def poisson_foreseen(per_hour: float, hours: Array) -> NDArray[np.float64]:
    """Return the chance of each event that alarms without knowledge, so many an hour, fall before it.

    hours : (n_events,) the time before each event in which an alarm counts. 1 - exp(-rate T): Winterhalder et al.
    2003 (Epilepsy Behav 4:318), Snyder et al. 2008 (J Neurosci Methods 172:277).
    """
    hours = np.asarray(hours, np.float64)
    if per_hour < 0 or (hours < 0).any():
        raise DataError(f"{per_hour:g} alarms an hour over {hours.min():g} hours", allowed="0 or more")
    return np.asarray(-np.expm1(-per_hour * hours))


def at_least(k: int, probability: Array) -> float:
    """Return the chance that `k` or more of independent events happen, each with its own probability (n,)."""
    return float(_counts(probability)[k:].sum()) if k > 0 else 1.0


def chance_level(probability: Array, share: float = 0.95) -> int:
    """Return the smallest number of events that chance does not exceed in `share` of cases."""
    return int(np.searchsorted(np.cumsum(_counts(probability)), share - 1e-12))


def _counts(probability: Array) -> NDArray[np.float64]:
    """Return the distribution (n + 1,) of the number of events that happen (Poisson binomial)."""
    made = np.ones(1)
    for p in np.asarray(probability, np.float64):
        made = np.convolve(made, (1 - p, p))
    return made


def _ordered(time_s: Array, level: Array) -> tuple[Array, Array]:
    time_s, level = np.asarray(time_s, np.float64), np.asarray(level, np.float64)
    if time_s.shape != level.shape or time_s.ndim != 1 or (np.diff(time_s) < 0).any():
        raise DataError(f"Times {time_s.shape} and levels {level.shape}", allowed="(n,) and (n,), in order of time")
    return time_s, level
