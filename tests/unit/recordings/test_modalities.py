"""Spikes, uneven series and intervals beside signals: what they refuse, and cutting them together by time."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neural_foundation.core.errors import DataError
from neural_foundation.core.specs import SignalSpec
from neural_foundation.recordings import ArraySignal, Intervals, Series, Session, Spikes

TRAINS = {"a": [0.5, 1.0, 2.5], "b": [], "c": [1.0, 1.5]}


def spikes() -> Spikes:
    return Spikes.of(TRAINS, {"region": ("CA1", "CA1", "V1")})


def session() -> Session:
    lfp = ArraySignal(np.arange(3000.0).reshape(1, 3000), SignalSpec(sfreq=1000.0, ch_names=("lfp",)), start_s=10.0)
    wheel = ArraySignal(
        np.arange(300.0).reshape(1, 300), SignalSpec(sfreq=100.0, ch_names=("wheel",), units=("m/s",)), start_s=10.005
    )
    return Session(
        "s",
        "p",
        {"lfp": lfp, "wheel": wheel},
        Intervals.of([(10.2, 10.4, "go"), (10.9, 11.3, "go"), (12.0, 12.0, "cue")]),
        spikes={"units": lambda: Spikes.of({"u": [10.1, 10.95, 11.0, 12.9]})},
        series={"gaze": Series([10.0, 10.97, 11.4], [[0.0], [1.0], [2.0]], ("x",), ("deg",))},
        intervals={"blocks": Intervals.of([(10.0, 13.0, "left")])},
    )


def test_trains_become_one_stream_in_time_order_and_back() -> None:
    made = spikes()
    assert made.times_s.tolist() == [0.5, 1.0, 1.0, 1.5, 2.5]
    assert made.unit.tolist() == [0, 0, 2, 2, 0]
    assert {u: made.train(u).tolist() for u in made.unit_ids} == TRAINS


def test_a_slice_of_spikes_keeps_all_units_and_the_clock() -> None:
    cut = spikes().slice(1.0, 2.5)
    assert cut.times_s.tolist() == [1.0, 1.0, 1.5]
    assert cut.unit_ids == ("a", "b", "c")
    assert cut.facts["region"] == ("CA1", "CA1", "V1")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([0.0, 1.0], [0], ("a",)), "2 times and 1 units"),
        (([1.0, 0.5], [0, 0], ("a",)), "fall back after 1 s"),
        (([np.nan], [0], ("a",)), "not all finite"),
        (([0.0], [1], ("a",)), "name units 1 to 1.*0 to 0"),
        (([], [], ("a", "a")), "same id"),
        (([], [], ("a",), {"region": ()}), "'region' has 0 entries"),
    ],
)
def test_spikes_that_cannot_be_are_refused(arguments: tuple[object, ...], message: str) -> None:
    with pytest.raises(DataError, match=message):
        Spikes(*arguments)


def test_an_unknown_unit_is_answered_with_those_there_are() -> None:
    with pytest.raises(DataError, match="no unit 'z'.*'a', 'b' or 'c'"):
        spikes().train("z")


def test_a_series_must_have_a_row_a_time_and_a_name_a_column() -> None:
    assert Series([0.0, 1.0], [3.0, 4.0], ("x",)).values.shape == (2, 1)
    with pytest.raises(DataError, match=r"values \(1, 2\), 1 times, 1 names"):
        Series([0.0], [[1.0, 2.0]], ("x",))
    with pytest.raises(DataError, match="fall back"):
        Series([1.0, 0.0], [[1.0], [2.0]], ("x",))


def test_a_session_is_cut_together() -> None:
    cut = session().slice(10.95, 12.0)
    assert cut["lfp"].read()[0, [0, -1]].tolist() == [950, 1999]
    assert cut["lfp"].start_s == pytest.approx(10.95)
    assert cut["wheel"].read()[0, [0, -1]].tolist() == [95, 199]
    assert cut["wheel"].start_s == pytest.approx(10.955)
    assert cut.spikes["units"].times_s.tolist() == [10.95, 11.0]
    assert cut.series["gaze"].times_s.tolist() == [10.97, 11.4]
    assert list(cut.trials) == [(10.9, 11.3, "go")]
    assert list(cut.intervals["blocks"]) == [(10.0, 13.0, "left")]


def test_closing_a_slice_leaves_the_session_open() -> None:
    whole = session()
    with whole.slice(10.0, 11.0) as cut:
        assert cut["lfp"].n_times == 1000
    assert whole["lfp"].read(0, 1).shape == (1, 1)
    with pytest.raises(DataError, match="closed"):
        cut["lfp"].read()


def test_times_out_of_order_and_unknown_names_are_refused() -> None:
    with pytest.raises(DataError, match="start_s <= stop_s"):
        session().slice(2.0, 1.0)
    with pytest.raises(DataError, match="no spikes 'mua'.*'units'"):
        session().spikes["mua"]


@given(st.lists(st.floats(9.0, 14.0), min_size=1, max_size=4))
@settings(max_examples=30, deadline=None)
def test_neighbouring_slices_hold_everything_once(cuts: list[float]) -> None:
    whole, edges = session(), [0.0, *sorted(cuts), 100.0]
    parts = [whole.slice(a, b) for a, b in zip(edges, edges[1:], strict=False)]
    for name in whole.signals:
        np.testing.assert_array_equal(np.concatenate([p[name].read() for p in parts], 1), whole[name].read())
    times = np.concatenate([p.spikes["units"].times_s for p in parts])
    np.testing.assert_array_equal(times, whole.spikes["units"].times_s)


def test_spikes_are_made_once_and_only_when_asked_for() -> None:
    calls = []
    made = Session("s", "p", {}, spikes={"u": lambda: calls.append(1) or Spikes()})
    assert len(made.spikes) == 1
    assert calls == []
    assert "u" in made.spikes
    assert "v" not in made.spikes
    assert calls == []
    assert made.spikes["u"] is made.spikes["u"]
    assert calls == [1]
