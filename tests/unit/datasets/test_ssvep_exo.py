"""ssvep_exo: recordings and their event files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from neural_foundation.core.errors import DataError, RecordingError
from neural_foundation.datasets.ssvep_exo import SSVEPExo
from neural_foundation.recordings.montage import standard_1005

ROWS = [(256, 1), (2048, 4), (3840, 2), (5632, 3)]


def write(folder: Path, stamp: str, rows: list[tuple[int, int]] = ROWS, *, suffix: str = "fif") -> None:
    import mne

    folder.mkdir(parents=True, exist_ok=True)
    values = np.random.default_rng(0).normal(size=(2, 8000)) * 0.007
    info = mne.create_info(["Oz", "POz"], 256.0, "eeg", verbose="ERROR")
    raw = mne.io.RawArray(values, info, verbose="ERROR")
    raw.save(folder / f"record-[{stamp}]_raw.{suffix}", verbose="ERROR")
    if rows:
        events = np.array([(sample, 0, code) for sample, code in rows])
        mne.write_events(folder / f"record-[{stamp}]-eve.fif", events, verbose="ERROR")


def test_codes_become_classes_and_trials_last_five_seconds(tmp_path: Path) -> None:
    write(tmp_path / "subject01", "1")
    spec = SSVEPExo(path=tmp_path)
    (item,) = spec.items()
    assert (item.id, item.subject) == ("subject01-1", "subject01")
    with spec.open(item, tmp_path) as session:
        assert list(session.trials) == [(8.0, 13.0, "17"), (15.0, 20.0, "13"), (22.0, 27.0, "21")]
        assert session.signal.spec.positions == tuple(standard_1005()[n] for n in ("Oz", "POz"))
    assert spec.classes() == ("13", "17", "21")
    assert [f.name for f in spec.raw_files(item)] == ["record-[1]_raw.fif", "record-[1]-eve.fif"]


def test_rest_is_a_class_where_asked(tmp_path: Path) -> None:
    write(tmp_path / "subject01", "1")
    spec = SSVEPExo(path=tmp_path, rest=True)
    assert spec.classes() == ("rest", "13", "17", "21")
    with spec.open(spec.items()[0], tmp_path) as session:
        assert list(session.trials)[0] == (1.0, 6.0, "rest")


def test_sessions_of_a_subject_stay_apart_and_gzip_is_read(tmp_path: Path) -> None:
    write(tmp_path / "subject02", "b", suffix="fif.gz")
    write(tmp_path / "subject02", "a")
    write(tmp_path / "subject01", "c")
    spec = SSVEPExo(path=tmp_path)
    assert [(i.id, i.subject) for i in spec.items()] == [
        ("subject01-c", "subject01"),
        ("subject02-a", "subject02"),
        ("subject02-b", "subject02"),
    ]
    with spec.open(spec.items()[2], tmp_path) as session:
        assert (session.session_id, session.subject) == ("subject02-b", "subject02")
        assert len(session.trials) == 3


def test_the_duplicate_and_the_excluded_are_left_out(tmp_path: Path) -> None:
    stamps = [
        ("subject07", "2012.07.11-15.33.08"),
        ("subject08", "2013.04.06-16.22.32"),
        ("subject03", "2012.07.11-15.33.08"),
    ]
    for subject, stamp in stamps:
        (tmp_path / subject).mkdir()
        (tmp_path / subject / f"record-[{stamp}]_raw.fif").touch()
    assert [i.subject for i in SSVEPExo(path=tmp_path).items()] == ["subject03"]


def test_missing_or_damaged_or_unknown_events(tmp_path: Path) -> None:
    write(tmp_path / "subject01", "1", [])
    spec = SSVEPExo(path=tmp_path)
    item = spec.items()[0]
    with pytest.raises(RecordingError, match=r"\[1\]-eve.fif"):
        spec.open(item, tmp_path)
    item.files[1].write_bytes(b"no events")
    with pytest.raises(RecordingError, match=r"\[1\]-eve.fif"):
        spec.open(item, tmp_path)
    item.files[1].unlink()
    item.files[0].unlink()
    write(tmp_path / "subject01", "1", [(256, 9)])
    with pytest.raises(RecordingError, match="event code '9' is unknown. Allowed: 1, 2, 3 or 4"):
        spec.open(item, tmp_path)


def test_a_class_without_trials_is_an_error(tmp_path: Path) -> None:
    write(tmp_path / "subject01", "1", ROWS[:3])
    spec = SSVEPExo(path=tmp_path)
    with pytest.raises(DataError, match="has no label '21'"):
        spec.open(spec.items()[0], tmp_path)
