"""eegmat: rest and task files of a subject."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from neural_foundation.datasets.eegmat import EEGMAT


def test_one_trial_over_the_whole_of_each_recording(tmp_path: Path, edf: Callable[..., Path]) -> None:
    for name in ("Subject01_2", "Subject01_1", "Subject00_1", "Subject02_3", "Other_1"):
        edf(tmp_path / f"{name}.edf", seconds=7)
    spec = EEGMAT(path=tmp_path)
    assert [(i.id, i.subject) for i in spec.items()] == [
        ("Subject00_1", "Subject00"),
        ("Subject01_1", "Subject01"),
        ("Subject01_2", "Subject01"),
    ]
    assert spec.classes() == ("rest", "task")
    for item, label in zip(spec.items(), ("rest", "rest", "task"), strict=True):
        with spec.open(item, tmp_path) as session:
            assert list(session.trials) == [(0.0, 7.0, label)]
            assert (session.session_id, session.subject) == (item.id, item.subject)
        assert spec.raw_files(item) == (tmp_path / f"{item.id}.edf",)


def test_the_confound_is_stated() -> None:
    assert "Rest always precedes task" in EEGMAT.info.note
