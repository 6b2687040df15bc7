"""The facts of every dataset in one list."""

from __future__ import annotations

from pathlib import Path

import miniatures
import pytest

from neural_foundation.datasets import DATASETS
from neural_foundation.datasets.base import DATA_FOLDER
from neural_foundation.datasets.catalogue import catalogue


def test_every_kind_is_listed_with_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(DATA_FOLDER, raising=False)
    assert {e.name for e in catalogue()} == set(DATASETS)
    assert all(e.here is None for e in catalogue())
    miniatures.tusz(tmp_path / "tusz")
    rows = {e.name: e for e in catalogue(tmp_path)}
    assert rows["tusz"].here == tmp_path / "tusz"
    assert rows["eegmat"].here is None
    monkeypatch.setenv(DATA_FOLDER, str(tmp_path))
    assert catalogue() == catalogue(tmp_path)


def test_what_needs_a_person_is_said() -> None:
    rows = {e.name: e for e in catalogue()}
    assert rows["tusz"].needs.startswith("an account")
    assert not rows["eegmat"].needs
    assert rows["eegmat"].fetchable
    assert not rows["recordings"].fetchable
    assert rows["eegmat"].info.n_subjects == 36
