"""Sets of windows: choosing and loading them, whatever the order, and what there is to say when there are none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from neural_foundation.core.errors import DataError
from neural_foundation.core.specs import SignalSpec
from neural_foundation.core.stream import Chunk
from neural_foundation.recordings import Intervals, write_session
from neural_foundation.sampling.windows import Windows, WindowSet, continuous, labelled

SPEC = SignalSpec(sfreq=10.0, ch_names=("a", "b"))


def recording(path: Path, subject: str, first: float) -> Path:
    """10 s whose samples count up from `first`, with a trial each 2 s, their classes in turn."""
    values = np.stack([first + np.arange(100), -first - np.arange(100)]).astype(np.float32)
    onset = np.arange(5) * 2.0
    trials = Intervals(onset, onset + 2.0, ("x", "y", "x", "y", "x"))
    chunks = [Chunk.of(values)]
    write_session(path, session_id=path.stem, subject=subject, spec=SPEC, chunks=chunks, trials=trials)
    return path


@pytest.fixture
def windows(tmp_path: Path) -> WindowSet:
    paths = [recording(tmp_path / "one.h5", "S1", 0), recording(tmp_path / "two.h5", "S2", 1000)]
    return labelled(paths, Windows(length_s=1.0), ["x", "y"])


def firsts(windows: WindowSet) -> list[float]:
    return windows.load()[:, 0, 0].tolist()


def test_a_mask_and_indices_choose_alike(windows: WindowSet) -> None:
    mask = windows.target == 1
    assert firsts(windows.select(mask)) == firsts(windows.select(np.flatnonzero(mask))) == [20, 60, 1020, 1060]


def test_order_and_repetition_are_kept(windows: WindowSet) -> None:
    chosen = windows.select([9, 0, 9])
    assert firsts(chosen) == [1080, 0, 1080]
    assert chosen.subject.tolist() == ["S2", "S1", "S2"]
    np.testing.assert_array_equal(windows.load([9, 0, 9]), chosen.load())


def test_subjects_are_chosen_by_name(windows: WindowSet) -> None:
    assert set(windows.of_subjects(["S2"]).session) == {"two"}
    assert len(windows.of_subjects([])) == len(windows.of_subjects(["S3"])) == 0
    assert windows.of_subjects(["S3"]).load().shape == (0, 2, 10)


def test_a_selection_of_a_selection(windows: WindowSet) -> None:
    assert firsts(windows.of_subjects(["S2"]).select([1, 3]).select([1])) == [1060]


@pytest.mark.parametrize(
    ("windows", "starts"),
    [
        (Windows(length_s=2.0), [5.0]),
        (Windows(start_s=0.5, length_s=1.5), [5.5]),
        (Windows(start_s=-0.5, length_s=1.0, hop_s=0.5), [4.5, 5.0, 5.5, 6.0]),
        (Windows(length_s=2.1), []),
        (Windows(length_s=0.1, hop_s=1.9), [5.0, 6.9]),
    ],
)
def test_where_windows_lie_in_a_trial(windows: Windows, starts: list[float]) -> None:
    assert windows.starts(5.0, 7.0) == pytest.approx(starts)


def test_continuous_windows_overlap_and_leave_the_rest(tmp_path: Path) -> None:
    made = continuous([recording(tmp_path / "one.h5", "S1", 0)], length_s=4.0, hop_s=3.0)
    assert made.start.tolist() == [0, 30, 60]
    assert made.target.tolist() == [-1, -1, -1]
    assert made.n_times == 40


@pytest.mark.parametrize("paths", [[], ["one.h5"]])
def test_no_recording_is_long_enough(tmp_path: Path, paths: list[str]) -> None:
    made = [recording(tmp_path / name, "S1", 0) for name in paths]
    with pytest.raises(DataError, match="No recording is as long as a window of 11 s. Give shorter windows"):
        continuous(made, length_s=11, hop_s=1)
    with pytest.raises(DataError, match="No window fits any trial.*labelled 'x' or 'y', at least 3.0 s long"):
        labelled(made, Windows(length_s=3.0), ["x", "y"])
