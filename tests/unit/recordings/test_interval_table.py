"""Intervals with facts: what they refuse, when they are equal, and cutting them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from neural_foundation.core.errors import DataError
from neural_foundation.recordings import Intervals
from neural_foundation.recordings.interval_table import IntervalTable, facts_of, same_facts


def table(**changes: Any) -> IntervalTable:
    given: dict[str, Any] = {
        "start_s": [3.0, 1.0, 2.0],
        "end_s": [3.5, 2.5, 2.0],
        "label": ("c", "a", "b"),
        "facts": {"n": np.array([3, 1, 2]), "go_s": (3.1, 1.1, float("nan")), "box": np.arange(6.0).reshape(3, 2)},
        "times": ("go_s",),
    }
    return IntervalTable(**(given | changes))


def test_facts_are_plain_values() -> None:
    assert table().facts["n"] == (3, 1, 2)
    assert type(table().facts["n"][0]) is int
    assert table().facts["box"] == ([0.0, 1.0], [2.0, 3.0], [4.0, 5.0])


def test_a_slice_is_that_of_the_intervals_with_their_facts() -> None:
    plain = Intervals(table().start_s, table().end_s, table().label)
    for cut in ((0.0, 9.0), (2.0, 3.0), (2.5, 3.0), (2.4, 3.1), (9.0, 9.5)):
        made, expected = table().slice(*cut), plain.slice(*cut)
        assert list(made) == list(expected)
        assert made.facts["n"] == tuple({"a": 1, "b": 2, "c": 3}[label] for label in expected.label)
        assert made.times == ("go_s",)


def test_only_keeps_facts() -> None:
    assert table().only("a", "c").facts["n"] == (1, 3)
    assert len(table().only("d")) == 0


def test_equality_is_of_all_of_it() -> None:
    assert table() == table()
    assert table(times=()) != table()
    assert table(facts={"n": (3, 1, 2.0)}, times=()) != table(facts={"n": (3, 1, 2)}, times=())
    plain = Intervals(table().start_s, table().end_s, table().label)
    assert plain != table()
    assert table() != plain
    assert table(facts={}, times=()) == plain
    assert facts_of(plain) == ({}, ())
    assert table() != "table"


def test_same_facts() -> None:
    assert same_facts({"a": (1.0, float("nan"))}, {"a": (1.0, float("nan"))})
    assert not same_facts({"a": (1.0,)}, {"b": (1.0,)})
    assert not same_facts({"a": (1,)}, {"a": (True,)})
    assert same_facts({"a": ((1, 2),)}, {"a": ([1, 2],)})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"facts": {"n": (1, 2)}, "times": ()}, "'n' has 2 entries. Allowed: one for each of 3 intervals"),
        ({"times": ("stop_s",)}, "no column 'stop_s' of times. Allowed: 'n', 'go_s' or 'box'"),
        ({"end_s": [0.0, 9.0, 9.0]}, "before its start"),
    ],
)
def test_what_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        table(**changes)
