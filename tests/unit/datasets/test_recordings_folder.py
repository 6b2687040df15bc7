"""A user's own folder: subjects from paths, classes from labels, and messages that say what to do."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from neural_foundation.core.errors import DataError, RecordingError, SpecError
from neural_foundation.core.kinds import KindTable
from neural_foundation.core.schema import inline
from neural_foundation.core.specs import digest, identity
from neural_foundation.datasets import DATASETS
from neural_foundation.datasets.recordings_folder import Recordings, _id
from neural_foundation.recordings import read

Edf = Callable[..., Path]
EVENTS = {"T1": "left", "T2": "right"}
BOTH = [(1.0, 2.0, "T1"), (3.0, 4.0, "T2"), (5.0, 6.0, "T0")]


def make(path: Path | None, **fields: object) -> Recordings:
    value = {"kind": "recordings", "path": path, "events": EVENTS, **fields}
    spec = DATASETS.parse(value)
    assert isinstance(spec, Recordings)
    return spec


def test_labels_become_classes(tmp_path: Path, edf: Edf) -> None:
    edf(tmp_path / "anna_1.edf", BOTH)
    spec = make(tmp_path)
    assert spec.classes() == ("left", "right")
    (item,) = spec.items()
    assert (item.id, item.subject) == ("anna_1", "anna")
    assert spec.raw_files(item) == (tmp_path / "anna_1.edf",)
    with spec.open(item, tmp_path / "work") as session:
        assert (session.session_id, session.subject) == ("anna_1", "anna")
        assert session.signal.spec.subject == "anna"
        assert list(session.trials) == [(1.0, 2.0, "left"), (3.0, 4.0, "right")]
        assert session.signal.read(0, 5).shape == (2, 5)
    assert not (tmp_path / "work").exists()


def test_closing_the_session_closes_the_file(tmp_path: Path, edf: Edf) -> None:
    edf(tmp_path / "a.edf", BOTH)
    spec = make(tmp_path)
    session = spec.open(spec.items()[0], tmp_path)
    session.close()
    with pytest.raises(DataError, match="closed"):
        session.signal.read(0, 5)


@pytest.mark.parametrize(
    ("name", "subject"),
    [
        ("S01/run1.edf", "S01"),
        ("S01/day2/run1.edf", "S01"),
        ("S01_run1.edf", "S01"),
        ("S01-run1_x.edf", "S01"),
        ("S01.edf", "S01"),
    ],
)
def test_the_subject_is_the_top_folder_or_the_start_of_the_name(
    tmp_path: Path, edf: Edf, name: str, subject: str
) -> None:
    edf(tmp_path / name)
    (item,) = make(tmp_path).items()
    assert item.subject == subject
    assert "/" not in item.id


@pytest.mark.parametrize(
    ("expression", "subject"),
    [("sub-[0-9]+", "sub-07"), ("sub-([0-9]+)", "07"), ("(ses)-1_(?P<subject>sub-[0-9]+)", "sub-07")],
)
def test_the_subject_can_be_found_by_an_expression(tmp_path: Path, edf: Edf, expression: str, subject: str) -> None:
    edf(tmp_path / "data" / "ses-1_sub-07.edf")
    (item,) = make(tmp_path, subject=expression).items()
    assert item.subject == subject


def test_an_expression_that_finds_nothing_names_the_file(tmp_path: Path, edf: Edf) -> None:
    edf(tmp_path / "x" / "a.edf")
    with pytest.raises(DataError, match=r"finds nothing in 'x/a.edf'. Change the expression"):
        make(tmp_path, subject="sub-[0-9]+").items()
    with pytest.raises(DataError, match=r"finds no name in 'x/a.edf'"):
        make(tmp_path, subject="sub-|a*").items()


def test_only_recordings_are_found_and_a_pattern_narrows_them(tmp_path: Path, edf: Edf) -> None:
    for name in ("b/1.edf", "b/2.edf", "a/1.EDF", ".hidden/1.edf", "a/._1.edf"):
        edf(tmp_path / name)
    for name in ("a/notes.txt", "a/1-eve.fif"):
        (tmp_path / name).write_bytes(b"x")
    assert [i.id for i in make(tmp_path).items()] == ["a-1", "b-1", "b-2"]
    assert [i.id for i in make(tmp_path, pattern="b/*.edf").items()] == ["b-1", "b-2"]
    assert [i.id for i in make(tmp_path / "b" / "2.edf").items()] == ["2"]


def test_two_files_of_one_name_are_refused(tmp_path: Path, edf: Edf) -> None:
    edf(tmp_path / "a" / "b.edf")
    edf(tmp_path / "a-b.edf")
    with pytest.raises(RecordingError, match="would both be named 'a-b'. Choose by `pattern`"):
        make(tmp_path).items()


def test_no_path_and_no_recordings(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="Dataset 'recordings' has no `path`. Give the folder"):
        make(None).items()
    with pytest.raises(DataError, match="gone does not exist"):
        make(tmp_path / "gone").items()
    with pytest.raises(DataError, match=r"No recordings under .*'\.edf'.*Check `path` and `pattern`"):
        make(tmp_path).items()
    with pytest.raises(DataError, match=r"match 'x/\*.bdf'"):
        make(tmp_path, pattern="x/*.bdf").items()
    with pytest.raises(DataError, match=r"'/etc/\*'\) is not a glob under `path`"):
        make(tmp_path, pattern="/etc/*").items()


def opened(tmp_path: Path, **fields: object) -> list[tuple[float, float, str]]:
    spec = make(tmp_path, **fields)
    with spec.open(spec.items()[0], tmp_path) as session:
        return list(session.trials)


def test_a_recording_without_labels(tmp_path: Path, edf: Edf) -> None:
    edf(tmp_path / "a.edf")
    with pytest.raises(DataError, match=r"a\.edf has no labels"):
        opened(tmp_path)


def test_labels_that_are_not_there_are_named_beside_those_found(tmp_path: Path, edf: Edf) -> None:
    edf(tmp_path / "a.edf", [(1.0, 2.0, "left"), (3.0, 4.0, "right")])
    with pytest.raises(DataError, match=r"no label 'T1' or 'T2'\. Found labels: 'left' or 'right'"):
        opened(tmp_path)
    with pytest.raises(DataError, match=r"no label 'rihgt'. Did you mean 'right'\? Found labels"):
        opened(tmp_path, events={"left": "l", "rihgt": "r"})


def test_a_missing_class_is_an_error_unless_allowed(tmp_path: Path, edf: Edf) -> None:
    edf(tmp_path / "a.edf", [(1.0, 2.0, "T1")])
    with pytest.raises(DataError, match=r"no label 'T2'"):
        opened(tmp_path)
    assert opened(tmp_path, on_missing="allow") == [(1.0, 2.0, "left")]
    with pytest.raises(DataError, match=r"no label 'X' or 'Y'"):
        opened(tmp_path, on_missing="allow", events={"X": "x", "Y": "y"})


def test_two_labels_of_one_class(tmp_path: Path, edf: Edf) -> None:
    edf(tmp_path / "a.edf", [(1.0, 2.0, "T1"), (3.0, 4.0, "T2"), (5.0, 6.0, "769")])
    assert [r[2] for r in opened(tmp_path, events={"T2": "right", "T1": "left", 769: "left"})] == [
        "left",
        "right",
        "left",
    ]
    assert [r[2] for r in opened(tmp_path, events={"T2": "right", "T1": "left", "770": "left"})] == ["left", "right"]


def test_a_label_without_duration_needs_one(tmp_path: Path, edf: Edf) -> None:
    edf(tmp_path / "a.edf", [(1.0, 1.0, "T1"), (3.0, 4.0, "T2")])
    with pytest.raises(DataError, match="label 'T1' at 1 s has no duration. Give `trial_s`"):
        opened(tmp_path)
    assert opened(tmp_path, trial_s=2.5) == [(1.0, 3.5, "left"), (3.0, 4.0, "right")]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"events": {"T1": "left"}}, "two classes or more"),
        ({"events": {"T1": "left", "T2": "left"}}, "two classes or more"),
        ({"events": [["T1", "left"], ["T1", "right"]]}, "'T1' is named twice"),
        ({"subject": "("}, "not a regular expression"),
        ({"trial_s": 0}, "trial_s"),
        ({"event": {}}, "Did you mean 'events'"),
    ],
)
def test_a_wrong_setting_is_named(fields: dict[str, object], message: str, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=message):
        make(tmp_path, **fields)


def test_without_events_the_trials_stay_as_the_file_has_them(edf: Edf, tmp_path: Path) -> None:
    edf(tmp_path / "a.edf", [(1.0, 2.0, "T1"), (3.0, 3.0, "note")])
    spec = Recordings(path=tmp_path)
    assert spec.classes() == ()
    with spec.open(spec.items()[0], tmp_path) as session, read(tmp_path / "a.edf") as whole:
        assert session.trials == whole.trials


def test_the_order_of_the_classes_is_part_of_the_key(tmp_path: Path) -> None:
    first, second = make(tmp_path), make(tmp_path, events={"T2": "right", "T1": "left"})
    assert second.classes() == ("right", "left")
    assert digest(identity(first)) != digest(identity(second))
    assert Recordings.model_validate(first.model_dump()) == first


def test_an_editor_is_told_of_a_mapping() -> None:
    assert isinstance(DATASETS, KindTable)
    assert inline(Recordings)["properties"]["events"]["type"] == "object"


def test_ids_can_name_folders_whatever_the_file_is_named() -> None:
    long = [_id(Path("a" * 240 + end + ".edf")) for end in ("b", "c")]
    assert long[0] != long[1]
    assert all(len(name.encode()) <= 180 and name.startswith("a" * 100) for name in long)
    assert _id(Path(os.fsdecode(b"x/a\xff.edf"))) == r"x-a\udcff"
    assert _id(Path("x/ü.fif.gz")) == "x-ü"


def test_a_folder_whose_name_is_no_utf8_names_a_subject(tmp_path: Path) -> None:
    file = tmp_path / os.fsdecode(b"p\xff") / "a.edf"
    file.parent.mkdir()
    file.write_bytes(b"0")
    (item,) = make(tmp_path).items()
    assert (item.subject, item.id) == (r"p\udcff", r"p\udcff-a")
