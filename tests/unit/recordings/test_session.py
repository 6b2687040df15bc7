"""Intervals, signals in memory, sessions."""

from __future__ import annotations

import numpy as np
import pytest

from neural_foundation.core.errors import DataError
from neural_foundation.core.specs import SignalSpec
from neural_foundation.recordings import ArraySignal, Intervals, Session

SPEC = SignalSpec(sfreq=10.0, ch_names=("a", "b"))


def test_intervals_are_ordered_and_stable() -> None:
    found = Intervals.of([(2, 3, "c"), (1, 1, "b"), (1, 2, "a")])
    assert list(found) == [(1.0, 1.0, "b"), (1.0, 2.0, "a"), (2.0, 3.0, "c")]
    assert len(found) == 3
    assert found.only("a", "c").label == ("a", "c")
    assert found == Intervals.of(found)
    assert found != Intervals()
    assert found.start_s.dtype == np.float64


@pytest.mark.parametrize(
    ("start", "end", "label", "message"),
    [
        ([0.0], [1.0, 2.0], ("a",), "1 starts, 2 ends and 1 labels"),
        ([0.0], [1.0], (), "1 starts, 1 ends and 0 labels"),
        ([0.0, np.nan], [1.0, 2.0], ("a", "b"), "not finite"),
        ([0.0, 3.0], [1.0, 2.0], ("a", "b"), "Interval 1 ends at 2.0 s, before its start 3.0 s"),
    ],
)
def test_impossible_intervals(start: list[float], end: list[float], label: tuple[str, ...], message: str) -> None:
    with pytest.raises(DataError, match=message):
        Intervals(np.array(start), np.array(end), label)


def test_array_signal() -> None:
    values, valid = np.arange(20.0).reshape(2, 10), np.arange(10) > 2
    signal = ArraySignal(values, SPEC, valid=valid, start_s=3.0)
    assert np.array_equal(signal.read(2, 5), values[:, 2:5])
    assert np.array_equal(signal.valid(), valid)
    assert [c.start for c in signal.chunks(4)] == [0, 4, 8]
    assert (signal.n_times, signal.duration_s, signal.start_s) == (10, 1.0, 3.0)


@pytest.mark.parametrize("values", [np.zeros(4), np.zeros((3, 4))])
def test_values_of_another_shape(values: np.ndarray) -> None:
    with pytest.raises(DataError, match=r"\(2, n_times\)"):
        ArraySignal(values, SPEC)


def test_mask_of_another_shape() -> None:
    with pytest.raises(DataError, match=r"validity mask has shape \(3,\)"):
        ArraySignal(np.zeros((2, 4)), SPEC, valid=[True] * 3)


def test_session_makes_its_trials_once_and_closes_once() -> None:
    calls: list[str] = []

    def trials() -> Intervals:
        calls.append("trials")
        return Intervals.of([(0, 1, "x")])

    with Session(
        "s", "p", {"eeg": ArraySignal(np.zeros((2, 4)), SPEC)}, trials, close=lambda: calls.append("close")
    ) as s:
        assert calls == []
        assert s.trials is s.trials
    s.close()
    assert calls == ["trials", "close"]
    with pytest.raises(DataError, match="closed"):
        s.signal.valid()
    assert "Session('s', subject='p'" in repr(s)
