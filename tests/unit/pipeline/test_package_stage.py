"""The stage that brings a package from elsewhere: what it copies, what its key is made of, and what it refuses."""

from __future__ import annotations

import shutil
from pathlib import Path

import live_binned
import pytest
from binned import made_session

from neural_foundation.core.errors import NeuralFoundationError, PackageError
from neural_foundation.core.lineage import Output
from neural_foundation.core.store import write_json
from neural_foundation.models.binned_package import BinnedPackage
from neural_foundation.pipeline.plan import make_plan
from neural_foundation.pipeline.recipe import check
from neural_foundation.pipeline.runner import run
from neural_foundation.pipeline.stage import Job
from neural_foundation.pipeline.table import STAGES
from neural_foundation.sampling.roles import TrialFold


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("packages") / "made"
    live_binned.package(folder, **live_binned.FORMS["whole"])
    write_json(folder / "history.json", [])  # what a fit writes beside it is no part of a package
    return folder


def recipe(path: Path) -> dict[str, object]:
    return {"name": "given", "stages": {"given": {"kind": "package", "path": str(path)}}}


def copied(path: Path, folder: Path) -> Job:
    folder.mkdir(parents=True)
    job = Job(stage="given", item={}, seed=0, folder=folder, inputs={})
    STAGES.parse({"kind": "package", "path": str(path)}).run(job)  # type: ignore[attr-defined]
    return job


def test_it_copies_the_package_and_nothing_else(made: Path, tmp_path: Path) -> None:
    job = copied(made, tmp_path / "out")
    assert sorted(p.name for p in job.folder.iterdir()) == ["card.md", "model.safetensors", "package.json"]
    for path in job.folder.iterdir():
        assert path.read_bytes() == (made / path.name).read_bytes()
    assert BinnedPackage.open(job.folder).facts == BinnedPackage.open(made).facts


def test_whom_it_learned_from_goes_on(made: Path, tmp_path: Path) -> None:
    assert copied(made, tmp_path / "out").subjects == {"animal-a", "animal-b"}
    plan = make_plan(check(recipe(made)), tmp_path / "store")
    run(plan)
    output = plan.tasks[0].output()
    assert output is not None
    assert len(output.manifest["subjects"]) == 2


def test_a_package_without_a_card_is_one(made: Path, tmp_path: Path) -> None:
    bare = shutil.copytree(made, tmp_path / "bare")
    (bare / "card.md").unlink()
    assert not (copied(bare, tmp_path / "out").folder / "card.md").exists()


def test_files_make_the_key_and_not_where_they_lie(made: Path, tmp_path: Path) -> None:
    moved, other = shutil.copytree(made, tmp_path / "moved"), shutil.copytree(made, tmp_path / "other")
    weights = bytearray((other / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (other / "model.safetensors").write_bytes(bytes(weights))
    keys = [make_plan(check(recipe(p)), tmp_path / "store").tasks[0].key for p in (made, moved, other)]
    assert keys[0] == keys[1] != keys[2]


def test_what_it_is_given_is_checked_before_anything_runs(made: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    signal, torn, newer = (shutil.copytree(made, tmp_path / n) for n in ("signal", "torn", "newer"))
    write_json(signal / "package.json", {"format_version": 1, "signal": {}})
    (torn / "model.safetensors").unlink()
    write_json(newer / "package.json", {"format_version": 99})
    for folder, message in (
        (tmp_path / "nowhere", "nowhere is no package: it has no package.json. Give the folder that a 'fit_trials'"),
        (tmp_path / "empty", "it has no package.json"),
        (signal, "a package of a signal, not of binned sessions"),
        (torn, "holds no model.safetensors. Take the package from its source again"),
        (newer, "format_version 99"),
    ):
        with pytest.raises(PackageError, match=message):
            make_plan(check(recipe(folder)), tmp_path / "store")


def test_a_path_is_needed() -> None:
    with pytest.raises(NeuralFoundationError, match="path"):
        STAGES.parse("package")


def test_a_fit_goes_on_from_it_on_a_session_it_never_saw(made: Path, tmp_path: Path) -> None:
    given = Output("given", "", "k", copied(made, tmp_path / "given").folder)
    made_session("new", 7).write(tmp_path / "bin", {"dataset": {"title": "Made", "licence": "none"}})
    folds = [TrialFold(name="0", hold_out="trial", seed=1).model_dump(mode="json")]
    write_json(tmp_path / "split" / "split.json", folds)
    (tmp_path / "fit").mkdir()
    learner = {"kind": "gradient", "objective": "multimodal", "max_epochs": 1, "batch_size": 8}
    job = Job(
        stage="finetune",
        item={"fold": "0"},
        seed=0,
        folder=tmp_path / "fit",
        inputs={
            "data": [Output("bin", "", "k", tmp_path / "bin")],
            "split": [Output("split", "", "k", tmp_path / "split")],
            "start": [given],
        },
        device="cpu",
    )
    STAGES.parse({"kind": "fit_trials", "learner": learner}).run(job)  # type: ignore[attr-defined]
    facts = BinnedPackage.open(tmp_path / "fit").facts
    assert facts.model == BinnedPackage.open(made).facts.model
    assert [s.name for s in facts.binned.sessions] == ["new"]
    assert facts.trained["started_from"] == "live, 2 sessions"
