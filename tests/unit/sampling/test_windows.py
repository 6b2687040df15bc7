from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from neural_foundation.core.errors import DataError, SignalMismatchError, SpecError
from neural_foundation.core.specs import SignalSpec
from neural_foundation.core.store import save_arrays
from neural_foundation.core.stream import Chunk
from neural_foundation.recordings import Intervals, read, write_session
from neural_foundation.sampling.windows import Windows, continuous, labelled, served

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


def test_a_part_of_each_window(tmp_path: Path) -> None:
    cut = Windows(start_s=-0.5, length_s=3.0, hop_s=1.0)
    ws = labelled([recording(tmp_path / "r.h5")], cut, ["x", "y"])
    part = ws.within(cut.spanning(0.5, 1.5))
    assert (part.n_times, part.cut, len(part)) == (10, Windows(start_s=0.5, length_s=1.0, hop_s=1.0), len(ws))
    np.testing.assert_array_equal(part.load(), ws.load()[..., 10:20])
    assert ws.within(cut).start.tolist() == ws.start.tolist()
    for start, end in ((-0.6, 1.0), (0.0, 2.6), (1.0, 1.0), (2.0, 1.0)):
        with pytest.raises(SpecError, match=rf"^Windows from -0.5 to 2.5 s do not hold {start:g} to {end:g} s"):
            cut.spanning(start, end)
    with pytest.raises(SpecError, match="do not hold"):
        part.within(cut)
    everywhere = continuous([tmp_path / "r.h5"], 2.0, 1.0)
    assert everywhere.within(cut).n_times == 20  # these lie in no trial


def test_a_part_knows_how_far_it_goes_past_its_trial() -> None:
    cut = Windows(start_s=-20, length_s=50, past_s=20)
    assert (cut.in_trial(10), cut.spanning(0, 10).in_trial(10)) == (slice(200, 300), slice(0, 100))
    assert [cut.spanning(-5, end).past_s for end in (5, 10, 15, 30)] == [0, 0, 5, 20]


@given(
    st.sampled_from([100.0, 200.0, 250.0, 512.0]),
    st.floats(-20, 5),
    st.floats(0.5, 50),
    st.floats(0, 1),
    st.floats(0, 1),
)
def test_a_part_lies_in_its_window_to_the_sample(sfreq: float, start: float, length: float, a: float, b: float) -> None:
    cut = Windows(start_s=start, length_s=length, past_s=1.0)
    first, last = sorted((a, b))
    assume((last - first) * length > 0.02)
    part = cut.spanning(start + first * length, start + last * length)
    at = cut.samples(part, sfreq)
    assert at.stop - at.start == round(part.length_s * sfreq)
    assert 0 <= at.start < at.stop <= round(length * sfreq)
    assert cut.has_part(part)
    assert cut.has_part(cut)


def test_of_its_trial_more_may_have_to_be_valid(tmp_path: Path) -> None:
    path = recording(tmp_path / "r.h5", invalid=slice(40, 45))  # trials from 0, 3 and 6 s
    cut = Windows(start_s=-2, length_s=6, past_s=1, least_valid=0.9)
    for trial_valid, trials in ((None, [1, 2]), (0.8, [1, 2]), (0.9, [2])):
        windows = cut.model_copy(update={"trial_valid": trial_valid})
        with read(path) as session:
            assert served(session, windows, ["x", "y"]) == (3, len(trials))
        assert labelled([path], windows, ["x", "y"], one_class="allow").trial.tolist() == trials


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


def test_a_window_may_reach_beyond_its_trial(tmp_path: Path) -> None:
    path = recording(tmp_path / "r.h5")  # 10 s; trials of 3 s at 0, 3 and 6 s
    around = Windows(start_s=-1.0, length_s=5.0, past_s=1.0)
    ws = labelled([path], around, ["x", "y"])
    assert ws.trial.tolist() == [1, 2]  # before the first there is no second more
    assert ws.start.tolist() == [20, 50]
    assert around.starts(3.0, 6.0) == [2.0]
    assert Windows(start_s=-1.0, length_s=5.0, past_s=0.9).starts(3.0, 6.0) == []


def test_windows_with_few_invalid_samples_are_kept_and_show_zeros(tmp_path: Path) -> None:
    path = recording(tmp_path / "r.h5", invalid=slice(62, 66))
    for least, trials in ((1.0, [0, 1]), (0.85, [0, 1]), (0.8, [0, 1, 2]), (0.5, [0, 1, 2])):
        assert labelled([path], Windows(length_s=2.0, least_valid=least), ["x", "y"]).trial.tolist() == trials
    ws = labelled([path], Windows(length_s=2.0, least_valid=0.8), ["x", "y"])
    plain = np.stack([np.arange(60, 80), np.arange(160, 180)]).astype(np.float32)
    zeros = np.where((np.arange(60, 80) >= 62) & (np.arange(60, 80) < 66), 0, plain)
    np.testing.assert_array_equal(ws.select([2]).load()[0], zeros)
    np.testing.assert_array_equal(ws.load([1])[0], labelled([path], Windows(length_s=2.0), ["x", "y"]).load([1])[0])


def test_unlabelled_windows_with_few_invalid_samples(tmp_path: Path) -> None:
    path = recording(tmp_path / "r.h5", invalid=slice(62, 66))
    assert continuous([path], 2.0, 2.0).start.tolist() == [0, 20, 40, 80]
    ws = continuous([path], 2.0, 2.0, least_valid=0.8)
    assert ws.start.tolist() == [0, 20, 40, 60, 80]
    assert (ws.load([3])[0, 0] == 0).sum() == 4
    path = recording(tmp_path / "bad.h5", invalid=slice(0, 100))
    with pytest.raises(DataError, match="Less than 50% of each of the 5 windows of 2.0 s is valid"):
        continuous([path], 2.0, 2.0, least_valid=0.5)


def test_what_is_at_its_default_is_written_as_before() -> None:
    assert Windows().model_dump(mode="json") == {"start_s": 0.0, "length_s": 4.0, "hop_s": None}
    other = Windows(past_s=1.0, least_valid=0.9)
    assert Windows.model_validate(other.model_dump(mode="json")) == other


def votes_file(path: Path, votes: object) -> Path:
    save_arrays(path, {"votes": np.asarray(votes, np.float32)})
    return path


def test_each_window_has_the_votes_of_its_trial(tmp_path: Path) -> None:
    paths = [recording(tmp_path / f"{n}.h5", labels=("x", "no", "y")) for n in "ab"]
    files = [votes_file(tmp_path / f"{n}.npz", [[3, k], [0, 0], [1, 4]]) for k, n in enumerate("ab")]
    ws = labelled(paths, Windows(length_s=1.0, hop_s=1.0), ["x", "y"], votes=files)
    assert ws.votes is not None
    assert ws.votes.dtype == np.float32
    assert ws.votes.tolist() == [[3, 0]] * 3 + [[1, 4]] * 3 + [[3, 1]] * 3 + [[1, 4]] * 3
    assert ws.select(ws.session == "b").votes.tolist() == [[3, 1]] * 3 + [[1, 4]] * 3  # type: ignore[union-attr]
    assert ws.select([3]).source(["S1"], 10**6).batch(np.array([0]), seed=0).votes.tolist() == [[1, 4]]  # type: ignore[union-attr]
    assert labelled(paths, Windows(length_s=1.0), ["x", "y"]).select([0]).votes is None


@pytest.mark.parametrize("votes", [[[3, 1, 0]] * 3, [[3, 1]] * 2, [3, 1, 2]])
def test_votes_of_other_trials_or_classes(tmp_path: Path, votes: object) -> None:
    path, file = recording(tmp_path / "r.h5"), votes_file(tmp_path / "v.npz", votes)
    with pytest.raises(DataError, match=r"v.npz holds votes of shape .*\(n_trials, 2\)"):
        labelled([path], Windows(length_s=2.0), ["x", "y"], votes=[file])
    with pytest.raises(DataError, match="There are 2 files of votes.*one for each of 1"):
        labelled([path], Windows(length_s=2.0), ["x", "y"], votes=[file, file])
