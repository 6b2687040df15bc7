"""chb_mit: channels that were used, and seizures out of the summaries."""

from __future__ import annotations

from pathlib import Path

import miniatures
import numpy as np
import pytest

from neural_foundation.core.errors import RecordingError
from neural_foundation.datasets.chb_mit import CHBMIT


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return miniatures.chb_mit(tmp_path, ["chb02"])


def trials(root: Path, index: int = 1) -> list[tuple[float, float, str]]:
    spec = CHBMIT(path=root)
    with spec.open(spec.items()[index], root) as session:
        return list(session.trials)


def change(root: Path, old: str, new: str) -> None:
    summary = root / "chb02" / "chb02-summary.txt"
    assert old in summary.read_text()
    summary.write_text(summary.read_text().replace(old, new))


def test_the_girl_who_came_twice_is_one_subject(tmp_path: Path) -> None:
    spec = CHBMIT(path=miniatures.chb_mit(tmp_path))
    assert [(i.id, i.subject) for i in spec.items()] == [
        ("chb01_01", "chb01"),
        ("chb01_03", "chb01"),
        ("chb02_01", "chb02"),
        ("chb02_03", "chb02"),
        ("chb21_01", "chb01"),
        ("chb21_03", "chb01"),
    ]
    assert spec.subject_of("chb21/chb21-summary.txt") == "chb01"
    assert spec.subject_of("chb17/chb17b_57.edf") == "chb17"
    assert spec.subject_of("chb02/chb02_16+.edf") == "chb02"
    assert spec.subject_of("chb01/chb01_03.edf.seizures") is None


def test_seizures_and_the_background_between_them(tmp_path: Path) -> None:
    root = miniatures.chb_mit(tmp_path, ["chb01"])
    assert trials(root, 0) == [(0.0, 40.0, "background")]
    assert trials(root) == [
        (0.0, 10.0, "background"),
        (10.0, 14.0, "seizure"),
        (14.0, 30.0, "background"),
        (30.0, 33.0, "seizure"),
        (33.0, 40.0, "background"),
    ]


def test_a_single_seizure_has_no_number(root: Path) -> None:
    assert [t for t in trials(root) if t[2] == "seizure"] == [(20.0, 25.0, "seizure")]


def test_a_seizure_at_the_edge_leaves_no_empty_background(root: Path) -> None:
    change(root, "Start Time: 20 seconds", "Start Time:    0 seconds")
    change(root, "End Time: 25 seconds", "End Time: 40 seconds")
    assert trials(root) == [(0.0, 40.0, "seizure")]


def test_unused_inputs_go_and_the_first_of_two_channels_of_a_name_stays(tmp_path: Path) -> None:
    fields = [(label, "uV", 256) for label in miniatures.CHB]
    root = miniatures.chb_mit(tmp_path, ["chb02"])
    digital = miniatures.plain_edf(root / "chb02" / "chb02_01.edf", fields, 40)
    spec = CHBMIT(path=root)
    with spec.open(spec.items()[0], root) as session:
        assert session.signal.spec.ch_names == ("FP1-F7", "F7-T7", "T8-P8", "P8-O2", "FZ-CZ")
        used = digital[[0, 1, 2, 3, 5]] * (6553.5 / 65535) * 1e-6
        np.testing.assert_allclose(session.signal.read(), used, rtol=1e-5, atol=1e-12)
        np.testing.assert_array_equal(session.signal.read(300, 900), session.signal.read()[:, 300:900])


def test_unused_inputs_whose_range_is_empty(root: Path) -> None:
    fields = [(label, "uV", 256) for label in miniatures.CHB]
    miniatures.plain_edf(root / "chb02" / "chb02_03.edf", fields, 40, empty=[4, 6])
    assert [label for _, _, label in trials(root)] == ["background", "seizure", "background"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("File Name: chb02_03.edf", "File Name: chb02_04.edf", "it names chb02_03.edf 0 times. Allowed: once"),
        ("File Name: chb02_01.edf", "File Name: chb02_03.edf", "it names chb02_03.edf 2 times"),
        ("in File: 1", "in File: 2", "it says 2 seizures, and gives 2 times. Allowed: a start and an end"),
        ("Seizures in File: 1", "Seizures: 1", "it says no seizures"),
        ("Seizure End Time", "Seizure Start Time", "a start and an end for each seizure"),
        ("Start Time: 20", "Start Time: 26", "from 26 to 25 s does not lie within chb02_03.edf"),
        ("End Time: 25", "End Time: 41", r"from 20 to 41 s does not lie within chb02_03.edf \(40 s\)"),
    ],
)
def test_a_summary_that_does_not_fit_is_an_error(root: Path, old: str, new: str, message: str) -> None:
    change(root, old, new)
    with pytest.raises(RecordingError, match=message):
        trials(root)


def test_seizures_that_overlap_are_an_error(tmp_path: Path) -> None:
    root = miniatures.chb_mit(tmp_path, ["chb01"])
    summary = root / "chb01" / "chb01-summary.txt"
    summary.write_text(summary.read_text().replace("30 seconds", "12 seconds"))
    with pytest.raises(RecordingError, match="from 12 to 33 s does not lie within"):
        trials(root)


def test_a_recording_without_a_summary_is_an_error(root: Path) -> None:
    (root / "chb02" / "chb02-summary.txt").unlink()
    with pytest.raises(RecordingError, match="summary.txt: it cannot be read .* Fetch the case again"):
        trials(root)
    spec = CHBMIT(path=root)
    with pytest.raises(RecordingError, match="summary.txt: there is no such file. The recording 'chb02_01' needs it"):
        spec.raw_files(spec.items()[0])


def test_channels_of_two_rates_are_an_error(root: Path) -> None:
    fields = [("FP1-F7", "uV", 256), ("F7-T7", "uV", 128)]
    miniatures.plain_edf(root / "chb02" / "chb02_03.edf", fields, 40)
    with pytest.raises(RecordingError, match="differ in rate"):
        trials(root)
