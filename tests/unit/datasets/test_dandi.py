"""dandi: the NWB files of a dandiset, as the reader gives them."""

from __future__ import annotations

from pathlib import Path

import miniatures
import pytest

from neural_foundation.core.errors import DataError, SpecError
from neural_foundation.datasets import DATASETS
from neural_foundation.datasets.dandi import DandiSet

pytestmark = pytest.mark.usefixtures("nwb_reader")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return miniatures.dandi(tmp_path)


def test_a_file_is_a_recording_and_its_folder_the_subject(root: Path) -> None:
    spec = DandiSet(path=root, dandiset="000128")
    assert [(i.id, i.subject) for i in spec.items()] == [
        ("sub-Jenkins_ses-full_desc-test_ecephys", "Jenkins"),
        ("sub-Jenkins_ses-full_desc-train_behavior+ecephys", "Jenkins"),
    ]
    assert [i.id for i in DandiSet(path=root, dandiset="000128", pattern="*desc-train*.nwb").items()] == [
        "sub-Jenkins_ses-full_desc-train_behavior+ecephys"
    ]


def test_spikes_behaviour_and_trials_stay_as_they_are(root: Path) -> None:
    spec = DandiSet(path=root, dandiset="000128")
    with spec.open(spec.items()[1], root) as session:
        (spikes,) = session.spikes.values()
        assert spikes.n_units == 2
        assert spikes.times_s.tolist() == [0.5, 1.0, 1.25, 1.5, 2.5]
        assert session.signal.spec.sfreq == 1000.0
        assert session.trials.start_s.tolist() == [0.0, 1.0, 2.0]
    assert spec.classes() == ()


def test_labels_become_classes_where_events_name_them(root: Path) -> None:
    events = {"val": "held_out", "train": "used"}  # the words of the column `split`
    spec = DATASETS.parse({"kind": "dandi", "path": root, "dandiset": "000128", "events": events})
    assert isinstance(spec, DandiSet)
    assert spec.classes() == ("held_out", "used")
    with spec.open(spec.items()[1], root) as session:
        assert session.trials.label == ("used", "used", "held_out")
    other = spec.model_copy(update={"events": (("x", "X"), ("train", "used"))})
    with pytest.raises(DataError, match="has no label 'x'"):
        other.open(spec.items()[1], root)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "field 'dandiset' is missing"),
        ({"dandiset": "128"}, "dandiset"),
        ({"dandiset": "../128"}, "dandiset"),
        ({"dandiset": "000128", "version": "../x"}, "version"),
        ({"dandiset": "000128", "events": {"a": "A"}}, "two classes or more"),
    ],
)
def test_a_wrong_setting_is_named(fields: dict[str, object], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        DATASETS.parse({"kind": "dandi", **fields})


def test_it_is_looked_for_by_its_number(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEURAL_FOUNDATION_DATA", str(root))
    with pytest.raises(DataError, match="holds no folder 'dandi/000129' or '000129'"):
        DandiSet(dandiset="000129").items()
