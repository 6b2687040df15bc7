"""A recipe that pre-trains on recordings in time order, from prepared data on disk to a package and on from there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from neural_foundation.core.errors import SpecError
from neural_foundation.core.store import read_json
from neural_foundation.models.package import Package
from neural_foundation.pipeline.plan import make_plan
from neural_foundation.pipeline.recipe import apply, check
from neural_foundation.pipeline.runner import run
from neural_foundation.pipeline.table import STAGES
from neural_foundation.recordings import read

MODEL = {
    "kind": "multiscale",
    "d_model": 16,
    "n_heads": 2,
    "n_layers": 1,
    "virtual_channels": 2,
    "resonators": [2, 2, 4, 4],
}
LEARNER = {"kind": "gradient", "objective": "masked", "sampler": "ordered", "max_epochs": 2, "batch_size": 3}
PRETRAIN: dict[str, Any] = {
    "kind": "fit",
    "for_each": "split",
    "inputs": {"data": "prepare"},
    "model": {**MODEL, "context": "stream", "tau_s": 5.0},
    "learner": LEARNER,
    "windows": {"length_s": 2.0},
}
RECIPE: dict[str, Any] = {
    "name": "in-order",
    "stages": {
        "prepare": {
            "kind": "prepare",
            "dataset": {"kind": "simulated_motor_imagery", "subjects": 4, "trials": 4, "channels": 8},
            "windows": {"start_s": 0.5, "length_s": 2.0},
        },
        "split": {"kind": "split", "inputs": {"data": "prepare"}, "folds": 2, "validation": 0.5},
        "pretrain": PRETRAIN,
        "adapt": {
            "kind": "fit",
            "for_each": "split",
            "inputs": {"data": "prepare", "start": "pretrain"},
            "model": MODEL,
            "learner": {"kind": "gradient", "objective": "classify", "max_epochs": 1},
        },
    },
}


def test_a_recipe_runs_from_end_to_end(tmp_path: Path) -> None:
    plan = make_plan(check(RECIPE), tmp_path)
    run(plan)
    output = plan.of_stage("pretrain")[0].output()
    assert output is not None
    package = Package.open(output.folder)
    assert package.facts.model.context == "stream"
    rows = read_json(output.folder / "history.json")
    assert [row["epoch"] for row in rows] == [0, 1]
    assert all(row["validation_loss"] > 0 for row in rows)
    prepared = plan.of_stage("prepare")[0].output()
    assert prepared is not None
    with read(prepared.path("session.h5")) as session:
        signal = torch.from_numpy(session.signal.read(0, 4 * package.network().hop)[None])
    assert package.network()(signal).features.shape == (1, 4, 16)
    assert make_plan(check(RECIPE), tmp_path).of_stage("pretrain")[0].key == plan.of_stage("pretrain")[0].key
    shuffled = apply(RECIPE, {"pretrain.learner.sampler": "shuffled"})
    plain = apply(RECIPE, {"pretrain.learner": {k: v for k, v in LEARNER.items() if k != "sampler"}})
    keys = [make_plan(check(r), tmp_path).of_stage("pretrain")[0].key for r in (RECIPE, shuffled, plain)]
    assert keys[0] != keys[1] == keys[2]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"windows": None}, r"'ordered' walks through whole recordings: give windows: \{length_s"),
        ({"windows": {"start_s": 0.5}}, "'ordered' walks through whole recordings: windows.start_s must be 0"),
        ({"model": MODEL}, "'ordered' carries the model's state: model.context must be 'stream'"),
        (
            {"learner": {**LEARNER, "objective": "contrastive"}},
            "objective 'contrastive' .*cannot have sampler 'ordered'",
        ),
    ],
    ids=["trials", "start", "context", "objective"],
)
def test_what_cannot_be_in_order_is_refused_before_anything_runs(changes: dict[str, Any], message: str) -> None:
    given = {k: v for k, v in {**PRETRAIN, **changes}.items() if k not in ("for_each", "inputs")}
    with pytest.raises(SpecError, match=message):
        STAGES.parse(given)
