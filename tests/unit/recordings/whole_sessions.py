"""A session of every modality, with the awkward cases of each."""

from __future__ import annotations

from typing import Any

import numpy as np

from neural_foundation.core.specs import SignalSpec
from neural_foundation.recordings import ArraySignal, Intervals, Series, Session, Spikes
from neural_foundation.recordings.interval_table import IntervalTable

RATES = {"lfp": 100.0, "wheel": 30.0}


def signals() -> dict[str, ArraySignal]:
    """Return two signals at their own rates and clocks, one with gaps, one with channels in other units."""
    rng = np.random.default_rng(0)
    lfp = rng.normal(size=(3, 1000)).astype(np.float32)
    valid = np.ones(1000, bool)
    valid[[0, 1, 300, 301, 302, 999]] = False
    lfp[1, 300] = np.nan
    probe = SignalSpec(
        sfreq=RATES["lfp"],
        ch_names=("a", "b", "größer"),
        ch_types=("seeg", "seeg", "misc"),
        positions=((0.01, 0.02, 0.03), None, None),
        subject="p",
    )
    wheel = SignalSpec(sfreq=RATES["wheel"], ch_names=("speed", "lick"), units=("m/s", ""), subject="p")
    moved = rng.normal(size=(2, 400)).astype(np.float32)
    return {
        "wheel": ArraySignal(moved, wheel, start_s=7.003),
        "lfp": ArraySignal(lfp, probe, valid=valid, start_s=10.0),
    }


def spikes() -> Spikes:
    rng = np.random.default_rng(1)
    trains = {f"unit {i}": np.sort(rng.uniform(9.5, 20.5, 40 * i)) for i in range(3)}
    facts = {
        "region": ("CA1", "CA1", "V1"),
        "depth_m": (0.001, float("nan"), 0.003),
        "good": (True, False, True),
        "waveform": ([1.0, 2.0], [3.0, 4.0], [5.0, 6.0]),
        "note": (None, "ü", "b\n"),
        "peaks": ([1], [], [2, 3]),
        "slice": (1, 2, 3),
    }
    return Spikes.of(trains, facts)


def series() -> dict[str, Series]:
    times = np.array([8.0, 8.5, 8.5, 12.25, 13.0])
    pos = Series(times, np.arange(15.0).reshape(5, 3) / 3, ("pos[0]", "pos[1]", "pupil size"), ("m", "m", "mm"))
    return {
        "gaze": pos,
        "licks": Series([9.0, 10.0], np.zeros((2, 0)), ()),
        "none": Series([], np.zeros((0, 1)), ("x",)),
    }


def trials() -> IntervalTable:
    facts = {"go s": (10.2, 12.5, 13.5), "contrast": (0.25, float("nan"), 1.0), "label": (3, 2, 1)}
    return IntervalTable([10.0, 12.0, 13.0], [11.0, 13.0, 14.0], ("left", "right", ""), facts, ("go s",))


def intervals() -> dict[str, Intervals]:
    return {
        "blocks": Intervals.of([(8.0, 15.0, "outer"), (9.0, 10.0, "inner"), (16.0, 16.0, "event")]),
        "unsorted": IntervalTable([3.0, 1.0, 2.0], [3.5, 1.5, 2.5], ("c", "a", "b"), {"n": (3, 1, 2)}),
        "trials": Intervals.of([(1.0, 2.0, "other trials")]),
        "no rows": Intervals(),
    }


def session(**changes: Any) -> Session:
    given: dict[str, Any] = {
        "spikes": {"probe 0": spikes, "session": Spikes.of({"u": [1.0, 2.0]}), "silent": Spikes()},
        "series": series(),
        "intervals": intervals(),
    }
    return Session("day 1", "p", signals(), trials, **(given | changes))
