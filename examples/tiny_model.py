"""What the other examples need: a small decoder, and a recording of somebody it never saw."""

from __future__ import annotations

from pathlib import Path

from neural_foundation.core.store import read_json
from neural_foundation.pipeline.plan import make_plan
from neural_foundation.pipeline.recipe import load
from neural_foundation.pipeline.runner import run


def tiny_model(folder: Path) -> tuple[Path, Path]:
    """Return (package, recording), made by the tiny quickstart under `folder`; a second call makes nothing."""
    plan = make_plan(load("quickstart", tiny=True), folder)
    run(plan, stage="export")
    package = plan.of_stage("export")[0].folder
    stranger = read_json(package / "fold.json")["test"][0]
    prepared = next(task for task in plan.of_stage("prepare") if task.item["recording"] == stranger)
    return package, prepared.folder / f"{stranger}.edf"
