"""What behaviours become in bins, and classes a trial."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from neural_foundation.core.errors import DataError
from neural_foundation.core.specs import SignalSpec
from neural_foundation.recordings import ArraySignal, Intervals, Series
from neural_foundation.recordings.interval_table import IntervalTable
from neural_foundation.sampling.behaviours import Dynamic, Static
from neural_foundation.sampling.binning import Grid

TIMES = np.arange(0, 10.0, 0.01)
HAND = Series(TIMES, np.stack([3 * TIMES, 4 * TIMES, TIMES * 0], 1), ("x", "y", "z"), ("cm", "cm", "cm"))
GRID = Grid(np.array([1.0, 4.0]), 10, 0.1)


def table(**facts: tuple[Any, ...]) -> IntervalTable:
    n = len(next(iter(facts.values())))
    return IntervalTable(np.arange(n), np.arange(n) + 1, tuple("go" if i % 2 else "stop" for i in range(n)), facts)


class TestDynamic:
    def test_speed_is_the_length_of_the_change(self) -> None:
        spec = Dynamic(measure="speed")
        np.testing.assert_allclose(spec.values("hand", HAND, GRID), np.full((20, 1), 5.0))
        assert (spec.channels("hand", HAND), spec.unit("hand", HAND)) == (("hand",), "cm/s")

    def test_change_keeps_the_columns_that_are_named(self) -> None:
        spec = Dynamic(columns=("y", "x"), measure="change")
        np.testing.assert_allclose(spec.values("hand", HAND, GRID), np.tile([4.0, 3.0], (20, 1)))
        assert (spec.channels("hand", HAND), spec.unit("hand", HAND)) == (("y", "x"), "cm/s")

    def test_a_single_column_is_named_as_the_behaviour(self) -> None:
        wheel = Series(TIMES, TIMES, ("position",), ("rad",))
        assert Dynamic(source="wheel").channels("place", wheel) == ("place",)
        assert Dynamic().unit("place", wheel) == "rad"
        assert Dynamic(measure="speed").values("s", wheel, GRID) == pytest.approx(1.0)

    def test_units_that_differ_are_none(self) -> None:
        mixed = Series(TIMES, np.zeros((len(TIMES), 2)), ("a", "b"), ("m", "s"))
        assert Dynamic().unit("mixed", mixed) == ""
        assert Dynamic(columns=("a",)).unit("mixed", mixed) == "m"

    @pytest.mark.parametrize("sfreq", [5.0, 10.0, 40.0], ids=["less than one", "one", "several"])
    def test_a_signal_at_any_rate(self, sfreq: float) -> None:
        n = int(10 * sfreq)
        spec = SignalSpec(sfreq=sfreq, ch_names=("p",), units=("m",))
        ramp = ArraySignal((np.arange(n) / sfreq)[None], spec)
        made = Dynamic().values("p", ramp, GRID)[:, 0]
        middle = ((GRID.edges_s[:, 1:] + GRID.edges_s[:, :-1]) / 2).reshape(-1)
        # samples of a bin lie from its begin on, so their mean is half a sample early
        early = {5.0: 0.0, 10.0: 0.05, 40.0: 0.0125}[sfreq]
        np.testing.assert_allclose(made, middle - early, atol=1e-5)
        low, high = Dynamic().span_s(ramp, 0.1)
        within = Grid(np.array([low]), int((high - low) / 0.1 + 1e-6), 0.1)
        assert not np.isnan(Dynamic().values("p", ramp, within)).any()

    def test_a_column_that_is_not_there(self) -> None:
        with pytest.raises(DataError, match="asks for column 'w', which it does not have.* Allowed: 'x', 'y' or"):
            Dynamic(columns=("w",)).values("hand", HAND, GRID)

    def test_a_column_twice(self) -> None:
        with pytest.raises(ValidationError, match="a column is named twice"):
            Dynamic(columns=("x", "x"))


class TestStatic:
    def test_numbers_are_matched_by_value(self) -> None:
        spec = Static(source="prior", classes={"low": 0.2, "high": 0.8})  # type: ignore[arg-type]
        words, codes = spec.codes("block", table(prior=(0.8, 0.2000000001, 0.5, None, float("nan"))))
        assert words == ("low", "high")
        assert codes.tolist() == [1, 0, -1, -1, -1]

    def test_the_label_is_a_column(self) -> None:
        words, codes = Static(source="label", classes=["stop", "go"]).codes("cue", table(x=(1, 2, 3)))  # type: ignore[arg-type]
        assert (words, codes.tolist()) == (("stop", "go"), [0, 1, 0])
        plain = Intervals.of([(0, 1, "b"), (1, 2, "a")])
        assert Static(source="label").codes("cue", plain)[0] == ("a", "b")

    def test_classes_are_found_where_they_are_not_given(self) -> None:
        assert Static().codes("prior", table(prior=(0.8, 0.2, None, float("nan"), 0.5)))[0] == ("0.2", "0.5", "0.8")

    def test_a_list_names_values_by_themselves(self) -> None:
        spec = Static.model_validate({"classes": [0.2, 0.8]})
        assert spec.classes == (("0.2", 0.2), ("0.8", 0.8))
        assert Static.model_validate(spec.model_dump(mode="json")) == spec

    def test_a_column_that_is_not_there(self) -> None:
        with pytest.raises(DataError, match="no column 'choise' for 'choice'.*mean 'choice'.*'choice' or 'label'"):
            Static(source="choise").codes("choice", table(choice=(1, 2)))

    @pytest.mark.parametrize("classes", [{"a": 1, "b": 1}, ["a", "a"]])
    def test_a_value_twice(self, classes: Any) -> None:
        with pytest.raises(ValidationError, match="is named twice"):
            Static(classes=classes)
