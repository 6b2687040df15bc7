"""eegmmidb: the imagery runs, and which fist."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from neural_foundation.core.errors import DataError
from neural_foundation.datasets.eegmmidb import EEGMMIDB


def test_only_imagined_fists_are_found_in_both_layouts(tmp_path: Path, edf: Callable[..., Path]) -> None:
    for run in (1, 3, 4, 6, 8, 12):
        edf(tmp_path / "S002" / f"S002R{run:02d}.edf")
    edf(tmp_path / "S001R04.edf")
    items = EEGMMIDB(path=tmp_path).items()
    assert [(i.id, i.subject) for i in items] == [
        ("S001R04", "S001"),
        ("S002R04", "S002"),
        ("S002R08", "S002"),
        ("S002R12", "S002"),
    ]


def test_t1_is_left_and_t2_is_right(tmp_path: Path, edf: Callable[..., Path]) -> None:
    edf(tmp_path / "S001R04.edf", [(0.0, 1.0, "T0"), (1.0, 2.0, "T2"), (3.0, 4.1, "T1")])
    spec = EEGMMIDB(path=tmp_path)
    with spec.open(spec.items()[0], tmp_path) as session:
        assert list(session.trials) == [(1.0, 2.0, "right_fist"), (3.0, pytest.approx(4.1), "left_fist")]
    assert spec.classes() == ("left_fist", "right_fist")


def test_a_run_without_a_class_is_an_error(tmp_path: Path, edf: Callable[..., Path]) -> None:
    edf(tmp_path / "S001R04.edf", [(0.0, 1.0, "T0"), (1.0, 2.0, "T2")])
    spec = EEGMMIDB(path=tmp_path)
    with pytest.raises(DataError, match=r"S001R04.edf has no label 'T1'"):
        spec.open(spec.items()[0], tmp_path)
