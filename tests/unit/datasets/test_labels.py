"""Labels of a file under the names of classes, and sessions that keep their file."""

from __future__ import annotations

import numpy as np
import pytest

from neural_foundation.core.errors import DataError
from neural_foundation.core.specs import SignalSpec
from neural_foundation.datasets.labels import classified, with_trials
from neural_foundation.recordings import ArraySignal, Intervals, Session, Spikes

FOUND = Intervals.of([(0.0, 1.0, "a"), (1.0, 1.0, "b"), (2.0, 3.0, "c")])


def test_a_session_with_other_trials_closes_the_same_file() -> None:
    closed: list[bool] = []
    signal = ArraySignal(np.zeros((1, 5)), SignalSpec(sfreq=10, ch_names=("Cz",)))
    first = Session("file", "anna", {"eeg": signal}, FOUND, close=lambda: closed.append(True))
    second = with_trials(first, Intervals.of([(0.0, 0.5, "x")]), session_id="run-1")
    assert (second.session_id, second.subject, second.signal) == ("run-1", "anna", signal)
    assert second.trials.label == ("x",)
    assert not closed
    second.close()
    second.close()
    assert closed == [True]


def test_all_else_of_a_session_stays_and_stays_lazy() -> None:
    asked: list[str] = []

    def spikes() -> Spikes:
        asked.append("spikes")
        return Spikes.of({"a": [0.5]})

    first = Session("file", "anna", {}, FOUND, spikes={"units": spikes}, intervals={"epochs": FOUND})
    second = with_trials(first, Intervals(), session_id="run-1")
    assert list(second.spikes) == ["units"]
    assert asked == []
    assert second.spikes["units"].times_s.tolist() == [0.5]
    assert second.spikes["units"] is first.spikes["units"]
    assert asked == ["spikes"]
    assert second.intervals["epochs"] is FOUND


def test_durations_in_the_file_win_over_the_given_one() -> None:
    trials = classified(FOUND, {"b": "B", "a": "A"}, trial_s=4.0, where="x")
    assert list(trials) == [(0.0, 1.0, "A"), (1.0, 5.0, "B")]


def test_all_labels_absent_even_where_classes_may_be() -> None:
    with pytest.raises(DataError, match="x has no label 'd' or 'e'. Found labels: 'a', 'b' or 'c'"):
        classified(FOUND, {"d": "D", "e": "E"}, trial_s=1.0, where="x", partly=True)
