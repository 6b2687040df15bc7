"""bonn and delhi: segments in a zip, read as it lies there, whatever somebody made of it."""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from segment_archives import FOLDERS, Members, bonn_members, delhi_members, matlab, pack, samples, text

from neural_foundation.core.errors import DataError, RecordingError, SpecError
from neural_foundation.datasets import DATASETS, zipped
from neural_foundation.datasets.base import DATA_FOLDER
from neural_foundation.datasets.bonn_delhi import NO_SUBJECTS, Bonn, Delhi, Segments


def opened(spec: Segments, number: int = 0) -> np.ndarray:
    with spec.open(spec.items()[number], Path("unused")) as session:
        return session.signal.read()


def test_five_sets_in_the_order_of_the_literature(tmp_path: Path) -> None:
    pack(tmp_path / "bonn.zip", bonn_members())
    spec = Bonn(path=tmp_path, parts=2)
    assert spec.classes() == ("eyes_open", "eyes_closed", "opposite", "focus", "seizure")
    items = spec.items()
    assert [i.id for i in items[:5]] == ["Z001", "Z002", "Z003", "Z004", "O001"]
    for item, label in zip(items[::4], spec.classes(), strict=True):
        with spec.open(item, tmp_path) as session:
            assert list(session.trials) == [(0.0, pytest.approx(4097 / 173.61), label)]
            assert (session.session_id, session.subject) == (item.id, item.subject)
    assert spec.raw_files(items[0]) == (tmp_path / "bonn.zip",)
    assert list(tmp_path.iterdir()) == [tmp_path / "bonn.zip"]  # nothing is unpacked


def test_samples_are_microvolts(tmp_path: Path) -> None:
    pack(tmp_path / "bonn.zip", bonn_members())
    spec = Bonn(path=tmp_path, parts=2)
    with spec.open(spec.items()[0], tmp_path) as session:
        assert session.signal.spec.sfreq == 173.61
        assert (session.signal.spec.ch_names, session.signal.spec.ch_types) == (("EEG",), ("eeg",))
        np.testing.assert_allclose(session.signal.read()[0], samples(1, 4097) * 1e-6, rtol=1e-6)
    pack(tmp_path / "delhi.zip", delhi_members())
    delhi = Delhi(path=tmp_path, parts=3)
    with delhi.open(delhi.items()[0], tmp_path) as session:
        assert session.session_id == "interictal001"
        assert session.signal.spec.sfreq == 200.0
        np.testing.assert_allclose(session.signal.read()[0], samples(11, 1024) * 1e-6, rtol=1e-6)


def test_seizure_against_all_others(tmp_path: Path) -> None:
    pack(tmp_path / "bonn.zip", bonn_members())
    pack(tmp_path / "delhi.zip", delhi_members())
    for spec in (
        Bonn(path=tmp_path, parts=2, task="seizure_vs_rest"),
        Delhi(path=tmp_path, parts=2, task="seizure_vs_rest"),
    ):
        assert spec.classes() == ("rest", "seizure")
        labels = {}
        for item in spec.items():
            with spec.open(item, tmp_path) as session:
                labels[item.id] = session.trials.label
        assert {name for name, label in labels.items() if label == ("seizure",)} == {
            name for name in labels if name.startswith(("S0", "ictal"))
        }


def test_delhi_has_three_classes(tmp_path: Path) -> None:
    spec = Delhi(path=pack(tmp_path / "any name.zip", delhi_members()), parts=3)  # the archive itself will do as a path
    assert spec.classes() == ("interictal", "preictal", "seizure")
    found = []
    for item in spec.items()[::3]:
        with spec.open(item, tmp_path) as session:
            found += session.trials.label
    assert found == list(spec.classes())


def test_parts_are_runs_of_numbers_with_equally_many_of_each_set(tmp_path: Path) -> None:
    pack(tmp_path / "Bonn EEG dataset.zip", bonn_members(5))
    items = Bonn(path=tmp_path, parts=2).items()
    parts = {part: [i.id for i in items if i.subject == part] for part in {i.subject for i in items}}
    assert set(parts) == {"segments-001-003", "segments-004-005"}
    assert parts["segments-004-005"] == [f"{name}{n:03d}" for name in FOLDERS for n in (4, 5)]
    with pytest.raises(DataError, match=r"5 segments of a set cannot make parts: 6. Allowed: 2 to 5. Set `parts`"):
        Bonn(path=tmp_path, parts=6).items()
    assert {i.subject for i in Bonn(path=tmp_path, parts=2, exclude=("segments-001-003",)).items()} == {
        "segments-004-005"
    }


@pytest.mark.parametrize("kind", [Bonn, Delhi])
def test_nobody_may_claim_that_it_holds_across_people(kind: type[Segments]) -> None:
    assert NO_SUBJECTS in kind.info.note  # the note is a caveat of every report
    assert "No cross-subject claim is possible" in NO_SUBJECTS


def test_the_recipe_says_so_in_both_reports() -> None:
    from neural_foundation.pipeline.recipe import load

    stages = load("hms/bonn").stages
    for name in ("report", "report_seizure"):
        assert "No cross-subject claim is possible" in stages[name].caveats[0]
        assert stages[name].held_out == "segments it never saw"


def test_a_missing_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match="No recordings of Bonn EEG segments under"):
        Bonn(path=tmp_path).items()
    monkeypatch.setenv(DATA_FOLDER, str(tmp_path))
    with pytest.raises(DataError, match="holds no folder 'bonn-delhi'.* Download the data from https://github"):
        DATASETS.parse("delhi").items()  # type: ignore[attr-defined]
    pack(tmp_path / "bonn.zip", bonn_members())
    spec = Bonn(path=tmp_path, parts=2)
    item = spec.items()[0]
    (tmp_path / "bonn.zip").unlink()
    with pytest.raises(RecordingError, match="bonn.zip: there is no such file"):
        spec.open(item, tmp_path)


def test_the_task_is_of_the_set() -> None:
    with pytest.raises(SpecError, match="task"):
        DATASETS.parse({"kind": "delhi", "task": "five_class"})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m.pop("E_S/S002.txt"), "it lacks segment 'S002'. Allowed: the same numbers in every set"),
        (lambda m: [m.pop(f"C_N/N{n:03d}.TXT") for n in range(1, 5)], "it lacks segment 'N001', 'N002', 'N003'"),
        (lambda m: m.clear() or m.update({"a.txt": b"1"}), "it holds no segments. Allowed: the sets 'Z', 'O'"),
        (lambda m: m.update({"x/A_Z/Z001.txt": b"1"}), "it has two members for segment Z001"),
    ],
)
def test_an_archive_of_other_members(tmp_path: Path, change: Callable[[Members], object], message: str) -> None:
    found = bonn_members()
    change(found)
    pack(tmp_path / "bonn.zip", found)
    with pytest.raises(RecordingError, match=message):
        Bonn(path=tmp_path, parts=2).items()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "it has 0 samples. Allowed: 4097"),
        (text(np.zeros(4096, int)), "it has 4096 samples"),
        (text(np.zeros(4096, int)) + b"0.5\r\n", "it is no list of whole numbers"),
        (text(np.zeros(4096, int)) + b"nan", "it is no list of whole numbers"),
        (text(np.zeros(4096, int)) + b"1-1", "it is no list of whole numbers"),
        (text(np.zeros(4096, int)) + b"9" * 400, "it is no list of whole numbers"),  # no float
        (text(np.zeros(4096, int)) + b"9" * 9000, "it is no list of whole numbers"),
        (text(np.zeros(4096, int)) + b"40000", "it holds values that are no EEG"),
        (b"\x00\xff" * 3000, "it is no list of whole numbers"),
    ],
)
def test_a_member_that_is_no_segment(tmp_path: Path, content: bytes, message: str) -> None:
    pack(tmp_path / "bonn.zip", bonn_members() | {"A_Z/Z001.txt": content})
    with pytest.raises(RecordingError, match=f"Z001.txt: {message}"):
        opened(Bonn(path=tmp_path, parts=2))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "it has 0 bytes, less than"),
        (b"no MAT-file " * 40, "its header says neither"),
        (matlab(a=np.zeros(1024), b=np.zeros(1024)), "it does not hold one variable"),
        (matlab(a=np.zeros((32, 32))), "it does not hold one variable, a column"),
        (matlab(a=np.array(["words"])), "it does not hold one variable"),
        (matlab(a=np.zeros(1000)), "it has 1000 samples. Allowed: 1024"),
        (matlab(a=np.full(1024, np.nan)), "no EEG|not finite"),
        (matlab(interictal=samples(1, 1024))[:-40], ""),
    ],
)
def test_a_matlab_member_that_is_no_segment(tmp_path: Path, content: bytes, message: str) -> None:
    name = "EEG Epilepsy Datasets/interictal/interictal1.mat"
    pack(tmp_path / "delhi.zip", delhi_members() | {name: content})
    with pytest.raises(RecordingError, match=f"interictal1.mat: .*{message}"):
        opened(Delhi(path=tmp_path, parts=3))


def test_names_that_lead_out_of_the_archive_are_none_of_ours(tmp_path: Path) -> None:
    evil = dict.fromkeys(("../A_Z/Z001.txt", "../../Z001.txt", "/etc/A_Z/Z001.txt", "./A_Z/Z001.txt"), b"1")
    pack(tmp_path / "bonn.zip", bonn_members() | evil)
    spec = Bonn(path=tmp_path, parts=2)
    assert len(spec.items()) == 20
    assert opened(spec).shape == (1, 4097)


def test_a_huge_member_is_not_unpacked(tmp_path: Path) -> None:
    pack(tmp_path / "bonn.zip", bonn_members() | {"A_Z/Z001.txt": b"0 " * (1 << 20)})
    with pytest.raises(RecordingError, match="Z001.txt: it claims 2097152 bytes. Allowed: 1048576 at most"):
        opened(Bonn(path=tmp_path, parts=2))


def test_a_member_that_hides_its_size(tmp_path: Path) -> None:
    huge = b"0 " * (1 << 20)
    path = pack(tmp_path / "bonn.zip", bonn_members() | {"A_Z/Z001.txt": huge})
    said = struct.pack("<I", len(huge))
    whole = path.read_bytes()
    assert whole.count(said) >= 2  # of the member and of the directory
    path.write_bytes(whole.replace(said, struct.pack("<I", 8194)))
    with pytest.raises(RecordingError, match="the zip is damaged"):
        opened(Bonn(path=tmp_path, parts=2))


def test_an_archive_with_too_many_members_or_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pack(tmp_path / "bonn.zip", bonn_members())
    monkeypatch.setattr(zipped, "MAX_MEMBERS", 19)
    with pytest.raises(RecordingError, match="it has 20 members. Allowed: 19 at most"):
        Bonn(path=tmp_path, parts=2).items()
    monkeypatch.setattr(zipped, "MAX_ARCHIVE", 1000)
    with pytest.raises(RecordingError, match=r"it has \d+ bytes. Allowed: 1000 at most"):
        Bonn(path=tmp_path, parts=2).items()


def test_other_ways_of_packing_are_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "bonn.zip", "w", zipfile.ZIP_LZMA) as packed:
        for name, content in bonn_members(2).items():
            packed.writestr(name, content)
    with pytest.raises(RecordingError, match="packed in a way other than deflate"):
        opened(Bonn(path=tmp_path, parts=2))


def test_an_encrypted_member_is_refused(tmp_path: Path) -> None:
    path = pack(tmp_path / "bonn.zip", bonn_members())
    whole = bytearray(path.read_bytes())
    at = whole.index(b"PK\x01\x02")  # Z001 is the first of the directory; its flags lie 8 bytes on
    whole[at + 8] |= 1
    path.write_bytes(whole)
    with pytest.raises(RecordingError, match="Z001.txt: it is encrypted"):
        opened(Bonn(path=tmp_path, parts=2))


def test_damage_anywhere_is_one_error_or_none(tmp_path: Path) -> None:
    """Bytes are changed and cut off: what comes is the samples as they were, or an error of ours."""
    path = pack(tmp_path / "bonn.zip", bonn_members(2))
    spec = Bonn(path=tmp_path, parts=2)
    right, whole, rng = opened(spec), path.read_bytes(), np.random.default_rng(0)
    refused = 0
    for turn in range(120):
        broken = bytearray(whole)
        if turn % 3 == 0:
            del broken[rng.integers(len(broken)) :]
        else:
            tail = len(whole) - 1200 if turn % 3 == 1 else 0  # the directory, or anywhere
            for at in rng.integers(tail, len(whole), 4):
                broken[at] = rng.integers(256)
        path.write_bytes(broken)
        try:
            np.testing.assert_array_equal(opened(spec), right)
        except (RecordingError, DataError):
            refused += 1
    assert refused > 60
