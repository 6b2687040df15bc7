from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from neural_foundation.core.specs import SignalSpec
from neural_foundation.sampling.shards import Stretch, lanes, runs, stretches
from neural_foundation.sampling.windows import WindowSet

SIZES = st.lists(st.integers(1, 50), min_size=1, max_size=30)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(sizes=SIZES, n_lanes=st.integers(1, 9), seed=st.integers(0, 5), epoch=st.integers(0, 3), shuffle=st.booleans())
def test_each_stretch_once_and_lanes_nearly_of_one_length(
    sizes: list[int], n_lanes: int, seed: int, epoch: int, shuffle: bool
) -> None:
    dealt = lanes(sizes, n_lanes, seed, epoch, shuffle=shuffle)
    assert sorted(s for lane in dealt for s in lane.stretches) == list(range(len(sizes)))
    loads = [int(lane.ends[-1]) if len(lane.ends) else 0 for lane in dealt]
    best = max(max(sizes), -(-sum(sizes) // n_lanes))
    assert max(loads) <= (4 / 3) * best + 1e-9 or max(loads) - min(loads) <= max(sizes)
    assert max(loads) - min(loads) <= max(sizes)
    again = lanes(sizes, n_lanes, seed, epoch + 1, shuffle=shuffle)
    assert sorted(loads) == sorted(int(lane.ends[-1]) if len(lane.ends) else 0 for lane in again)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(sizes=SIZES, n_lanes=st.integers(1, 9))
def test_a_lane_walks_through_its_stretches(sizes: list[int], n_lanes: int) -> None:
    for lane in lanes(sizes, n_lanes, 0, 0):
        walked = [lane.at(step) for step in range(int(lane.ends[-1]) if len(lane.ends) else 0)]
        assert walked == [(s, w) for s in lane.stretches for w in range(sizes[s])]
        assert lane.at(len(walked)) is None


def test_epochs_differ_and_repeat() -> None:
    sizes = [5] * 12
    first = [lane.stretches for lane in lanes(sizes, 3, 1, 0)]
    assert first == [lane.stretches for lane in lanes(sizes, 3, 1, 0)]
    assert first != [lane.stretches for lane in lanes(sizes, 3, 1, 1)]
    assert first != [lane.stretches for lane in lanes(sizes, 3, 2, 0)]


def test_unshuffled_keeps_the_given_order() -> None:
    assert [lane.stretches for lane in lanes([3, 3, 3, 3], 2, 9, 4, shuffle=False)] == [(0, 2), (1, 3)]


def test_stretches_cover_all_whole_windows_once() -> None:
    cut = stretches([1000, 90, 255], 100, 4)
    covered = [(s.recording, s.first + 100 * w) for s in cut for w in range(s.n_windows)]
    assert covered == [(0, 100 * w) for w in range(10)] + [(2, 0), (2, 100)]
    assert [s.n_windows for s in cut] == [4, 4, 2, 2]
    assert [s.n_windows for s in stretches([1000, 90, 255], 100)] == [10, 2]
    assert np.unique([s.recording for s in cut]).tolist() == [0, 2]


def window_set(starts: dict[int, list[int]], n_times: int = 10) -> WindowSet:
    """Return windows at some samples of some files, in a mixed order."""
    rows = [(file, start) for file, at in starts.items() for start in at][::-1]
    file, start = (np.asarray(column, np.int64) for column in zip(*rows, strict=True))
    none, who = np.full(len(rows), -1), np.full(len(rows), "s")
    return WindowSet(SignalSpec(sfreq=10, ch_names=("a",)), n_times, (), file, start, none, none, who, who)


def test_windows_without_a_gap_between_them_are_a_stretch() -> None:
    windows = window_set({0: [0, 10, 20, 40, 50, 75], 2: [5, 15]})
    assert runs(windows) == (Stretch(0, 0, 3), Stretch(0, 40, 2), Stretch(0, 75, 1), Stretch(2, 5, 2))
    assert runs(windows, 2)[:2] == (Stretch(0, 0, 2), Stretch(0, 20, 1))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.sets(st.tuples(st.integers(0, 2), st.integers(0, 60)), min_size=1), st.one_of(st.none(), st.integers(1, 4)))
def test_each_window_is_in_one_stretch(at: set[tuple[int, int]], longest: int | None) -> None:
    windows = window_set({f: [s for g, s in at if g == f] for f in {f for f, _ in at}})
    found = runs(windows, longest)
    assert sorted((r.recording, r.first + 10 * k) for r in found for k in range(r.n_windows)) == sorted(at)
    assert all(1 <= r.n_windows <= (longest or 99) for r in found)
    if longest is None:  # as long as can be
        assert all((r.recording, r.first + 10 * r.n_windows) not in at for r in found)
