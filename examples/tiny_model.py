"""What the other examples need: a small decoder, and a recording of somebody it never saw."""

from __future__ import annotations

from pathlib import Path

from neural_foundation.pipeline.plan import make_plan
from neural_foundation.pipeline.recipe import load
from neural_foundation.pipeline.runner import run

STRANGER = "sim001"


def tiny_model(folder: Path) -> tuple[Path, Path]:
    """Return (package, recording), made by the tiny quickstart under `folder`; a second call makes nothing.

    One person is held out by name, so there is one fold, "named", and not one for each part of the people.
    """
    changes = [f"split.subjects=[{STRANGER}]", "export.fold=named", "prepare.dataset.channels=32"]
    recipe = load("quickstart", tiny=True, changes=changes)
    plan = make_plan(recipe, folder)
    run(plan, stage="export")
    prepared = next(task for task in plan.of_stage("prepare") if task.item["recording"] == STRANGER)
    return plan.of_stage("export")[0].folder, prepared.folder / f"{STRANGER}.edf"
