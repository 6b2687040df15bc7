"""Time axes that people can read: seconds, minutes or hours, as long as what they span."""

from __future__ import annotations

from typing import Any

UNITS = ((600.0, 1.0, "seconds"), (3 * 3600.0, 60.0, "minutes"), (float("inf"), 3600.0, "hours"))


def time_unit(length_s: float) -> tuple[float, str]:
    """Return (seconds of a unit, its name) for an axis of this length."""
    return next((seconds, name) for most, seconds, name in UNITS if length_s <= most)


def time_axis(axes: Any, start_s: float, stop_s: float, most: int = 9) -> None:
    """Let an axis whose data are in seconds span [start_s, stop_s], with up to `most` round ticks in a fitting unit."""
    from matplotlib.ticker import MaxNLocator

    seconds, name = time_unit(stop_s - start_s)
    low, high = start_s / seconds, stop_s / seconds
    slack = 1e-6 * (high - low)
    found = MaxNLocator(most, steps=[1, 2, 5, 10]).tick_values(low, high)
    ticks = [float(t) for t in found if low - slack <= t <= high + slack]
    axes.set_xticks([t * seconds for t in ticks], [f"{round(t, 9) + 0.0:.10g}" for t in ticks])
    axes.set_xlim(start_s, stop_s)
    axes.set_xlabel(name, loc="right", labelpad=1)
