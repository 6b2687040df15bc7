"""How things are laid out in our files: names, columns, domains, and what happens on a full disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import temporaldata as td
import whole_sessions as made
from hypothesis import given, settings
from hypothesis import strategies as st

from neural_foundation.core.errors import StoreError
from neural_foundation.core.specs import SignalSpec
from neural_foundation.recordings import ArraySignal, Intervals, Series, Session, Spikes, read
from neural_foundation.recordings.convert import differences
from neural_foundation.recordings.hdf5_layout import RESERVED, Names
from neural_foundation.recordings.hdf5_tables import blocks
from neural_foundation.recordings.hdf5_whole import union, write_whole_session
from neural_foundation.recordings.interval_table import IntervalTable


@settings(deadline=None, max_examples=30)
@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 5)), max_size=8))
def test_union_covers_what_its_parts_cover(rows: list[tuple[int, int]]) -> None:
    spans = np.array([(a, a + n) for a, n in rows], float).reshape(-1, 2)
    joined = union(spans)
    assert (np.diff(joined.reshape(-1)) >= 0).all()
    assert (joined[1:, 0] > joined[:-1, 1]).all()
    for at in np.arange(0.5, 26):
        assert ((joined[:, 0] < at) & (at < joined[:, 1])).any() == ((spans[:, 0] < at) & (at < spans[:, 1])).any()


def test_names_that_python_cannot_say(tmp_path: Path) -> None:
    words = ("", "slice", "a b", "a-b", "2", "_x", "eeg", "eeg_channels", "channels", "ä/ö", "é", "trials", "a.b", "x")
    spec = SignalSpec(sfreq=10.0, ch_names=("c",), subject="p")
    given = Session(
        "s",
        "p",
        {word: ArraySignal(np.full((1, 10), i), spec) for i, word in enumerate(words)},
        spikes={word: Spikes.of({"u": [i]}, dict.fromkeys(words, (i,))) for i, word in enumerate(words)},
        series={word: Series([i], np.arange(len(words))[None], words) for i, word in enumerate(words)},
        intervals={word: Intervals.of([(i, i, word)]) for i, word in enumerate(words)},
    )
    write_whole_session(tmp_path / "a.h5", given)
    with read(tmp_path / "a.h5") as opened:
        assert list(differences(given, opened)) == []
    with td.Data.load(tmp_path / "a.h5", lazy=False) as data:
        assert all(name.isidentifier() for name in data.to_dict())
        data.slice(0.0, 1.0)


def test_reserved_names_are_all_that_temporaldata_uses() -> None:
    classes = (td.Data, td.ArrayDict, td.Interval, td.IrregularTimeSeries, td.RegularTimeSeries)
    used = {name for c in classes for name in dir(c) if not name.startswith("_")}
    assert used <= RESERVED
    assert Names().take("slice") == "x_slice"


@settings(deadline=None, max_examples=60)
@given(
    st.lists(
        st.sampled_from(["a[0]", "a[1]", "a[0,0]", "a[0,1]", "a", "b[0]", "b[1]", "b[2]", "c", "[0]"]), unique=True
    )
)
def test_blocks_hold_each_column_once(names: list[str]) -> None:
    held = blocks(names)
    assert [i for _, at, _ in held for i in at] == list(range(len(names)))
    assert len({base for base, _, _ in held}) == len(held)
    for base, at, shape in held:
        said = [base + (f"[{','.join(map(str, i))}]" if i else "") for i in np.ndindex(shape)]
        assert said == [names[i] for i in at]


def test_blocks() -> None:
    assert blocks(["p[0]", "p[1]", "q"]) == [("p", [0, 1], (2,)), ("q", [2], ())]
    assert blocks(["m[0,0]", "m[0,1]"]) == [("m", [0, 1], (1, 2))]
    assert blocks(["p[1]", "p[0]"]) == [("p[1]", [0], ()), ("p[0]", [1], ())]
    assert blocks(["p[999999999]"]) == [("p[999999999]", [0], ())]
    assert blocks(["p", "p[0]"]) == [("p", [0], ()), ("p[0]", [1], ())]


@settings(deadline=None, max_examples=25)
@given(
    st.lists(
        st.one_of(st.integers(-(2**70), 2**70), st.floats(), st.booleans(), st.text(max_size=3), st.none()), max_size=4
    )
)
def test_any_column_of_facts_comes_back(tmp_path_factory: pytest.TempPathFactory, column: list[Any]) -> None:
    path = tmp_path_factory.getbasetemp() / "facts.h5"
    n = len(column)
    table = IntervalTable(np.arange(n), np.arange(n), ("",) * n, {"f": tuple(column)})
    write_whole_session(path, Session("s", "p", {}, intervals={"i": table}))
    with read(path) as opened:
        assert opened.intervals["i"] == table


def test_a_full_disk_is_one_error_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        f_bavail, f_frsize = 700, 4096

    monkeypatch.setattr("os.statvfs", lambda _: Full)
    write_whole_session(tmp_path / "a.h5", made.session())
    Full.f_bavail = 500
    with pytest.raises(StoreError, match="disk is full. Free some space"):
        write_whole_session(tmp_path / "b.h5", made.session())
    assert [p.name for p in tmp_path.iterdir()] == ["a.h5"]
