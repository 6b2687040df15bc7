"""The stage `prepare` lists its dataset once a plan, however many recordings it has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from test_stages import planned, recording

from neural_foundation.datasets.base import Item
from neural_foundation.datasets.recordings_folder import Recordings
from neural_foundation.pipeline.runner import run


@pytest.fixture
def listings(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Return a list that grows with each listing of a folder."""
    asked: list[Path] = []
    listed = Recordings.found

    def found(self: Any, root: Path) -> list[Item]:
        asked.append(root)
        return listed(self, root)

    monkeypatch.setattr(Recordings, "found", found)
    return asked


def test_a_plan_and_its_run_list_the_dataset_once(tmp_path: Path, listings: list[Path]) -> None:
    for seed, name in enumerate("abcde"):
        recording(tmp_path / "data" / f"{name}.edf", seed)
    plan = planned(tmp_path)
    assert len(listings) == 1
    run(plan, stage="prepare")
    assert len(plan.of_stage("prepare")) == 5
    assert len(listings) == 1


def test_another_plan_sees_what_changed(tmp_path: Path, listings: list[Path]) -> None:
    recording(tmp_path / "data" / "a.edf", 0)
    assert len(planned(tmp_path).of_stage("prepare")) == 1
    recording(tmp_path / "data" / "b.edf", 1)
    plan = planned(tmp_path)
    run(plan, stage="prepare")
    assert [task.item["recording"] for task in plan.of_stage("prepare")] == ["a", "b"]
    (tmp_path / "data" / "a.edf").unlink()
    assert [task.item["recording"] for task in planned(tmp_path).of_stage("prepare")] == ["b"]
    assert len(listings) == 3
