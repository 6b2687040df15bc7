"""tusz: parts of the corpus, and labels beside the recordings."""

from __future__ import annotations

from pathlib import Path

import miniatures
import pytest

from neural_foundation.core.errors import RecordingError, SpecError
from neural_foundation.datasets import DATASETS
from neural_foundation.datasets.tusz import TUSZ


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return miniatures.tusz(tmp_path)


def trials(root: Path) -> list[tuple[float, float, str]]:
    spec = TUSZ(path=root, split="train")
    with spec.open(spec.items()[0], root) as session:
        return list(session.trials)


def labels(root: Path) -> Path:
    (path,) = root.glob("edf/train/*/*/*/*.csv_bi")
    return path


def test_the_labels_are_the_trials(root: Path) -> None:
    assert trials(root) == [(0.0, 8.25, "background"), (8.25, 20.0, "seizure")]
    spec = TUSZ(path=root)
    assert [(i.id, i.subject) for i in spec.items()] == [
        ("aaaaaaac_s001_t000", "aaaaaaac"),
        ("aaaaaaaj_s002_t001", "aaaaaaaj"),
        ("aaaaaaaq_s003_t000", "aaaaaaaq"),
    ]
    with spec.open(spec.items()[2], root) as session:
        assert session.signal.spec.ch_names == ("Fp1", "Fp2", "T3", "Cz")
        assert session.signal.spec.sfreq == 400.0


def test_a_part_is_kept_and_the_folder_above_or_of_the_parts_will_do(root: Path) -> None:
    assert [i.subject for i in TUSZ(path=root, split="eval").items()] == ["aaaaaaaq"]
    assert TUSZ(path=root / "edf").items() == TUSZ(path=root).items()
    with pytest.raises(SpecError, match="split"):
        DATASETS.parse({"kind": "tusz", "split": "test"})


def test_a_duration_that_was_rounded_up_ends_with_the_recording(root: Path) -> None:
    labels(root).write_text(labels(root).read_text().replace("20.0000,seiz", "20.0050,seiz"))
    assert trials(root)[-1] == (8.25, 20.0, "seizure")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("csv_v1.0.0", "tse_v1.0.0", "its first line names no known version. Allowed: '# version = csv_v1.0.0'"),
        ("stop_time", "end_time", "its columns are .*'end_time'"),
        ("seiz", "fnsz", "it has the label 'fnsz' of channel 'TERM'. Allowed: bckg or seiz of TERM. Use the .csv_bi"),
        ("TERM,8.25", "FP1-F7,8.25", "of channel 'FP1-F7'"),
        ("8.2500,20.0000", "8.2500,21.0000", r"from 8.25 to 21 s does not lie within the recording \(20 s\)"),
        ("8.2500,20.0000", "20.0000,8.2500", "from 20 to 8.25 s"),
        ("8.2500,20.0000", "x,20.0000", "the line 'TERM,x,20.0000,seiz,1.0000' is no label"),
        ("seiz,1.0000", "seiz", "the line 'TERM,8.2500,20.0000,seiz' is no label"),
    ],
)
def test_a_label_file_that_does_not_fit_is_an_error(root: Path, old: str, new: str, message: str) -> None:
    path = labels(root)
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(RecordingError, match=message):
        trials(root)


def test_no_or_no_whole_labels(root: Path) -> None:
    labels(root).write_text("# version = csv_v1.0.0\n# bname = x\n")
    with pytest.raises(RecordingError, match="its columns are missing"):
        trials(root)
    labels(root).unlink()
    with pytest.raises(RecordingError, match="csv_bi: it cannot be read .* Copy it beside its EDF"):
        trials(root)
