"""A session of every modality with a primary EEG, as a recording of a behaving animal has them."""

from __future__ import annotations

import numpy as np

from neural_foundation.core.specs import SignalSpec
from neural_foundation.recordings import ArraySignal, Intervals, Series, Session, Spikes
from neural_foundation.recordings.interval_table import IntervalTable


def everything() -> Session:
    """Return EEG, an LFP at another rate with gaps and a later start, spikes, a wheel, pupils, epochs and trials."""
    rng = np.random.default_rng(0)
    eeg = SignalSpec(sfreq=100, ch_names=("C3", "Cz"), ch_types=("eeg", "eeg"), positions=(None, (0.0, 0.0, 0.1)))
    lfp = SignalSpec(sfreq=250, ch_names=("a", "b", "c"), ch_types=("seeg",) * 3)
    wheel = SignalSpec(sfreq=30, ch_names=("speed",), ch_types=("misc",), units=("m/s",))
    valid = np.ones(2000, bool)
    valid[[0, 700, 701]] = False
    signals = {
        "eeg": ArraySignal(rng.normal(0, 1e-5, (2, 1000)), eeg, start_s=1.0),
        "lfp": ArraySignal(rng.normal(0, 1e-4, (3, 2000)), lfp, valid=valid, start_s=2.003),
        "wheel": ArraySignal(rng.normal(size=(1, 330)), wheel),
    }
    facts = {"region": ("CA1", "V1"), "depth_m": (0.001, float("nan"))}
    times = np.cumsum(rng.uniform(0.01, 0.3, 60))
    trials = IntervalTable(
        [2.0, 6.0], [4.0, 8.5], ("left", "right"), {"contrast": (0.5, 1.0), "go": (2.5, 6.5)}, ("go",)
    )
    return Session(
        "day1", "rat", signals, trials,
        spikes={"probe": Spikes.of({"u1": np.arange(0, 11, 0.11), "u2": np.arange(0.5, 11, 0.37)}, facts)},
        series={"pupil": Series(times, rng.normal(size=(60, 2)), ("x", "y"), ("m", ""))},
        intervals={"epochs": Intervals.of([(0, 9, "run"), (1, 2, "grooming"), (9, 11, "rest")])},
    )  # fmt: skip
