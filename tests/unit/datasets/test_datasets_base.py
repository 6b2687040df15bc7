"""Where the files of a dataset are looked for, and which subjects are kept."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from neural_foundation.core.errors import DataError, SpecError
from neural_foundation.core.specs import digest, identity
from neural_foundation.datasets import DATASETS, Dataset, Files
from neural_foundation.datasets.base import DATA_FOLDER

FILES = ["eegmat", "eegmmidb", "ssvep_exo"]


def parse(value: object) -> Dataset:
    spec = DATASETS.parse(value)
    assert isinstance(spec, Dataset)
    return spec


@pytest.fixture
def root(tmp_path: Path, edf: Callable[..., Path]) -> Path:
    for subject in (0, 1, 2):
        for run in (1, 2):
            edf(tmp_path / "eegmat" / f"Subject{subject:02d}_{run}.edf")
    return tmp_path


def test_a_path_is_used_before_the_environment(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(DATA_FOLDER, "/nowhere")
    assert len(parse({"kind": "eegmat", "path": str(root / "eegmat")}).items()) == 6


def test_the_environment_is_the_default(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(DATA_FOLDER, str(root))
    assert [i.id for i in parse("eegmat").items()][:2] == ["Subject00_1", "Subject00_2"]


def test_without_both_the_message_says_where_to_get_the_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(DATA_FOLDER, raising=False)
    with pytest.raises(DataError, match=rf"{DATA_FOLDER} is not set.* Download the data from https://physionet\.org"):
        parse("eegmat").items()


def test_a_folder_that_lacks_the_set_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(DATA_FOLDER, str(tmp_path))
    with pytest.raises(DataError, match=rf"{tmp_path} holds no folder 'eegmmidb' or 'eegmmidb-s001'"):
        parse("eegmmidb").items()


@pytest.mark.parametrize("kind", FILES)
def test_a_missing_path_is_named(kind: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="missing does not exist. Check `path`"):
        parse({"kind": kind, "path": str(tmp_path / "missing")}).items()


@pytest.mark.parametrize("kind", FILES)
def test_an_empty_folder_is_named(kind: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"No recordings of .* under {tmp_path}"):
        parse({"kind": kind, "path": str(tmp_path)}).items()


def test_subjects_can_be_chosen_and_left_out(root: Path) -> None:
    def subjects(**fields: object) -> list[str]:
        return sorted({i.subject for i in parse({"kind": "eegmat", "path": str(root / "eegmat"), **fields}).items()})

    assert subjects(subjects=["Subject02", "Subject00"]) == ["Subject00", "Subject02"]
    assert subjects(exclude=["Subject01"]) == ["Subject00", "Subject02"]
    assert subjects(subjects=["Subject00", "Subject01"], exclude=["Subject01"]) == ["Subject00"]
    with pytest.raises(DataError, match=r"No subject 'Subject03'. Did you mean 'Subject0\d'\? Allowed: 'Subject00', "):
        subjects(subjects=["Subject03"])
    with pytest.raises(DataError, match="No subject 'Subject03'"):
        subjects(exclude=["Subject03"])
    with pytest.raises(DataError, match="leave no recording"):
        subjects(subjects=["Subject00"], exclude=["Subject00"])


def test_neither_the_path_nor_who_is_there_is_part_of_the_key_of_a_recording() -> None:
    same = [{"path": "/a"}, {"path": "/b"}, {"subjects": ["Subject00"]}, {"exclude": ["Subject00"]}]
    assert len({digest(identity(parse({"kind": "eegmat", **f}))) for f in same}) == 1


@pytest.mark.parametrize("kind", list(DATASETS))
def test_every_kind_states_its_facts(kind: str) -> None:
    cls = DATASETS.row(kind).load()
    assert issubclass(cls, Dataset)
    assert cls.model_fields["kind"].default == kind
    for fact in ("title", "licence", "citation", "note"):
        assert getattr(cls.info, fact), fact
    if issubclass(cls, Files) and cls.folders:
        assert cls.info.url.startswith("https://")
        assert cls.info.files
        for fact in ("n_subjects", "sfreq", "n_chans"):
            assert getattr(cls.info, fact) or "differ between" in cls.info.note, fact


def test_an_unknown_dataset_is_named() -> None:
    with pytest.raises(SpecError, match="Unknown kind 'eegmatt' for datasets. Did you mean 'eegmat'"):
        parse("eegmatt")
