from pathlib import Path

import numpy as np
import pytest

from neural_foundation.core.errors import DataError, SignalMismatchError
from neural_foundation.core.specs import SignalSpec
from neural_foundation.core.stream import Chunk
from neural_foundation.recordings import Intervals, write_session
from neural_foundation.sampling.windows import Windows, continuous, labelled

SPEC = SignalSpec(sfreq=10, ch_names=("a", "b"), ch_types=("eeg", "eeg"))


def recording(
    path: Path,
    *,
    subject: str = "S1",
    spec: SignalSpec = SPEC,
    labels: tuple[str, ...] = ("x", "y", "x"),
    invalid: slice | None = None,
) -> Path:
    n = 100
    values = np.arange(spec.n_chans * n, dtype=np.float32).reshape(spec.n_chans, n)
    valid = np.ones(n, bool)
    if invalid is not None:
        valid[invalid] = False
    onsets = np.arange(len(labels)) * 3.0
    write_session(
        path,
        session_id=path.stem,
        subject=subject,
        spec=spec,
        chunks=[Chunk(values, valid, 0)],
        trials=Intervals(onsets, onsets + 3.0, labels),
    )
    return path


def test_one_window_a_trial(tmp_path: Path) -> None:
    ws = labelled([recording(tmp_path / "r.h5")], Windows(start_s=0.5, length_s=2.0), ["x", "y"])
    assert (len(ws), ws.n_times) == (3, 20)
    assert ws.start.tolist() == [5, 35, 65]
    assert ws.target.tolist() == [0, 1, 0]
    assert ws.trial.tolist() == [0, 1, 2]
    np.testing.assert_array_equal(
        ws.load([1])[0], np.stack([np.arange(35, 55), np.arange(135, 155)]).astype(np.float32)
    )


def test_hop_cuts_as_many_as_fit(tmp_path: Path) -> None:
    ws = labelled([recording(tmp_path / "r.h5")], Windows(length_s=1.0, hop_s=0.5), ["x", "y"])
    assert ws.start[:5].tolist() == [0, 5, 10, 15, 20]
    assert len(ws) == 15


def test_windows_with_invalid_samples_are_left_out(tmp_path: Path) -> None:
    ws = labelled([recording(tmp_path / "r.h5", invalid=slice(70, 71))], Windows(length_s=2.0), ["x", "y"])
    assert ws.trial.tolist() == [0, 1]


def test_labels_outside_the_classes_are_left_out(tmp_path: Path) -> None:
    ws = labelled([recording(tmp_path / "r.h5", labels=("x", "other", "y"))], Windows(length_s=2.0), ["x", "y"])
    assert ws.target.tolist() == [0, 1]


def test_several_files_load_in_the_order_asked(tmp_path: Path) -> None:
    paths = [recording(tmp_path / f"{s}.h5", subject=s) for s in ("S1", "S2")]
    ws = labelled(paths, Windows(length_s=2.0), ["x", "y"])
    assert ws.subject.tolist() == ["S1"] * 3 + ["S2"] * 3
    assert ws.of_subjects(["S2"]).file.tolist() == [1, 1, 1]
    np.testing.assert_array_equal(ws.load([4, 0, 3]), np.stack([ws.load([i])[0] for i in (4, 0, 3)]))
    assert ws.select(ws.target == 1).load().shape == (2, 2, 20)


def test_one_class_only_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="All windows are of one class, 'x'. Allowed: at least two of 'x' or 'y'"):
        labelled([recording(tmp_path / "r.h5", labels=("x", "x"))], Windows(length_s=2.0), ["x", "y"])


def test_windows_longer_than_trials_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"No window fits any trial. .*at least 3.5 s long"):
        labelled([recording(tmp_path / "r.h5")], Windows(start_s=0.5, length_s=3.0), ["x", "y"])


@pytest.mark.parametrize("other", [SPEC.replace(sfreq=20), SPEC.replace(ch_names=("a", "c"))])
def test_recordings_that_differ_are_an_error(tmp_path: Path, other: SignalSpec) -> None:
    paths = [recording(tmp_path / "1.h5"), recording(tmp_path / "2.h5", spec=other)]
    with pytest.raises(SignalMismatchError, match="the recordings before it 2 at 10 Hz"):
        labelled(paths, Windows(length_s=2.0), ["x", "y"])


def test_continuous_windows_cover_the_recording_without_labels(tmp_path: Path) -> None:
    ws = continuous([recording(tmp_path / "r.h5")], 3.0, 2.0)
    assert ws.start.tolist() == [0, 20, 40, 60]
    assert set(ws.target.tolist()) == {-1}
    with pytest.raises(DataError, match="No recording is as long as a window of 20.0 s"):
        continuous([recording(tmp_path / "q.h5")], 20.0, 1.0)


@pytest.mark.parametrize("block", [1 << 20, 30, 1])
def test_continuous_windows_hold_only_valid_samples(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    monkeypatch.setattr("neural_foundation.sampling.windows.BLOCK", block)
    path = recording(tmp_path / "r.h5", invalid=slice(35, 41))
    assert continuous([path], 1.0, 0.5).start.tolist() == [0, 5, 10, 15, 20, 25, *range(45, 91, 5)]
    assert continuous([path], 1.0, 2.0).start.tolist() == [0, 20, 60, 80]
    with pytest.raises(DataError, match=r"Each of the 2 windows of 7.0 s holds a sample that is not valid"):
        continuous([path], 7.0, 2.0)


def test_one_class_is_enough_to_replay(tmp_path: Path) -> None:
    path = recording(tmp_path / "r.h5", labels=("x", "x"))
    assert len(labelled([path], Windows(length_s=2.0), ["x", "y"], one_class="allow")) == 2
