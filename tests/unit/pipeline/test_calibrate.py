"""calibrate: only people who neither trained nor test are read; the package stays the same but for its confidence."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neural_foundation.core.errors import DataError, SpecError
from neural_foundation.core.lineage import Output, pseudonyms
from neural_foundation.core.specs import SignalSpec, TargetSpec
from neural_foundation.core.store import read_json
from neural_foundation.evaluation.scores import Predictions
from neural_foundation.models.band_power import BandPower
from neural_foundation.models.package import Facts, Package
from neural_foundation.models.reference import REFERENCE, write_reference
from neural_foundation.pipeline.plan import Plan, make_plan
from neural_foundation.pipeline.recipe import apply, check
from neural_foundation.pipeline.runner import run
from neural_foundation.pipeline.stage import Job
from neural_foundation.pipeline.stages.calibrate import _check
from neural_foundation.pipeline.stages.export import Export
from neural_foundation.pipeline.stages.prepare import Prepared
from neural_foundation.pipeline.stages.split import Fold, read_fold
from neural_foundation.realtime.live_model import digest
from neural_foundation.recordings import Intervals, write_edf
from neural_foundation.sampling.windows import Windows

SPEC = SignalSpec(sfreq=100, ch_names=("Cz", "Pz"), ch_types=("eeg", "eeg"))
PEOPLE = ("ann", "bob", "cyd", "dan", "eve", "fay")
FIT = {"kind": "fit", "inputs": {"data": "prepare"}, "learner": "estimator"}
RECIPE: dict[str, Any] = {
    "name": "sure",
    "stages": {
        "prepare": {
            "kind": "prepare",
            "dataset": {"kind": "recordings", "events": {"left": "left", "right": "right"}},
            "windows": {"length_s": 1.0},
        },
        "split": {"kind": "split", "inputs": {"data": "prepare"}, "folds": 2, "validation": 0.5},
        "bands": {
            **FIT,
            "for_each": ["split", {"seed": [0, 1]}],
            "model": {"kind": "band_power", "bands": [[5, 15]], "segment_s": 0.5, "c": 1.0},
        },
        "floor": {**FIT, "for_each": "split", "model": "majority"},
        "sure": {
            "kind": "calibrate",
            "for_each": ["split", {"seed": [0, 1]}],
            "inputs": {"data": "prepare", "model": "bands"},
            "alpha": 0.2,
        },
        "evaluate": {
            "kind": "evaluate",
            "inputs": {"data": "prepare", "models": "sure", "baselines": ["bands", "floor"]},
            "permutations": 20,
        },
        "report": {"kind": "report", "inputs": {"data": "prepare", "scores": "evaluate", "learned": "sure"}},
    },
}


def recording(path: Path, seed: int) -> None:
    """Write 20 trials of noise, in those on the right a rhythm that is sometimes missed."""
    rng, onset, labels = np.random.default_rng(seed), 1.0 + 2.0 * np.arange(20), ("left", "right") * 10
    values = rng.normal(0, 1e-5, (2, 4300))
    for start, label in zip(onset, labels, strict=True):
        at = slice(int(start * 100), int(start * 100) + 100)
        values[0, at] += (label == "right") * rng.uniform(0, 1.6e-5) * np.sin(2 * np.pi * 10 * np.arange(100) / 100)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_edf(path, values=values, spec=SPEC, annotations=Intervals(onset, onset + 1.0, labels), subject="x")


def planned(root: Path, out: str = "out", **changes: Any) -> Plan:
    settings = {"prepare.dataset.path": str(root / "data"), **{k.replace("__", "."): v for k, v in changes.items()}}
    return make_plan(check(apply(RECIPE, settings)), root / out)


def outputs(plan: Plan, stage: str) -> list[Output]:
    found = [t.output() for t in plan.of_stage(stage)]
    return [o for o in found if o is not None]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("sure")
    for seed, name in enumerate(PEOPLE):
        recording(made / "data" / name / "run1.edf", seed)
    return made


@pytest.fixture(scope="module")
def done(root: Path) -> Plan:
    plan = planned(root)
    run(plan)
    return plan


class TestPackage:
    def test_only_the_confidence_is_new(self, done: Plan) -> None:
        pairs = list(zip(outputs(done, "bands"), outputs(done, "sure"), strict=True))
        assert len(pairs) == 4
        for before, after in pairs:
            assert before.item == after.item
            facts = Package.open(after.folder).facts
            assert facts.confidence is not None
            same = facts.model_copy(update={"confidence": None, "name": "bands"})
            assert same == Package.open(before.folder).facts
            for name in ("model.safetensors", REFERENCE, "fold.json", "history.json"):
                assert after.path(name).read_bytes() == before.path(name).read_bytes()

    def test_the_reference_is_of_the_training_people(self, done: Plan, tmp_path: Path) -> None:
        data = Prepared.of(outputs(done, "prepare"))
        for output in outputs(done, "bands"):
            write_reference(tmp_path, data.paths_of(read_json(output.path("fold.json"))["train"]))
            assert output.path(REFERENCE).read_bytes() == (tmp_path / REFERENCE).read_bytes()

    def test_an_export_keeps_it_where_there_is_one(self, done: Plan, tmp_path: Path) -> None:
        sure = outputs(done, "sure")[0]
        job = Job("export", {}, 0, tmp_path / "with", {"model": [sure]})
        Export(inputs={"model": "sure"}).run(job)
        assert (job.folder / REFERENCE).read_bytes() == sure.path(REFERENCE).read_bytes()
        shutil.copytree(sure.folder, tmp_path / "none")
        (tmp_path / "none" / REFERENCE).unlink()
        job = Job("export", {}, 0, tmp_path / "without", {"model": [Output("sure", "", "", tmp_path / "none")]})
        Export(inputs={"model": "sure"}).run(job)
        assert not (job.folder / REFERENCE).exists()
        assert digest(tmp_path / "with") != digest(tmp_path / "without")

    def test_it_was_fitted_on_the_validation_people(self, done: Plan) -> None:
        (split,) = outputs(done, "split")
        for output in outputs(done, "sure"):
            fold = read_fold(split, output.manifest["facts"]["item"]["fold"])
            made = read_json(output.path("calibration.json"))
            assert made["people"] == list(fold.validation)
            assert made["confidence"]["people"] == len(fold.validation) == 2
            assert made["confidence"]["windows"] == 40
            assert made["confidence"] == read_json(output.path("package.json"))["confidence"]
            assert output.manifest["subjects"] == pseudonyms(fold.validation, done.root)
            shown = made["on_its_own_windows"]
            assert shown["coverage"]["mean"] >= 0.8
            assert set(shown["coverage"]["subjects"]) == set(fold.validation)

    def test_nobody_else_is_read(self, root: Path, done: Plan, tmp_path: Path) -> None:
        """With the recordings of all others made unreadable, the same bytes come out."""
        plan = planned(root, out="apart", split__subjects=["ann", "bob"])
        run(plan, stage="sure")
        (fold,) = [read_fold(o, "named") for o in outputs(plan, "split")]
        for output in outputs(plan, "prepare"):
            if read_json(output.path("prepared.json"))["subject"] not in fold.validation:
                path = output.path("session.h5")
                path.write_bytes(b"\0" * path.stat().st_size)
        task, made = plan.of_stage("sure")[0], outputs(plan, "sure")[0]
        inputs = {port: [o for t in tasks if (o := t.output()) is not None] for port, tasks in task.inputs.items()}
        assert len(inputs["data"]) == len(PEOPLE)
        task.spec.run(Job(task.stage, task.item, task.seed, tmp_path, inputs))
        for name in ("package.json", "calibration.json"):
            assert (tmp_path / name).read_bytes() == made.path(name).read_bytes()


class TestScores:
    def test_only_what_has_a_confidence_is_scored_by_it(self, done: Plan) -> None:
        (output,) = outputs(done, "evaluate")
        models = read_json(output.path("scores.json"))["models"]
        assert [name for name, m in models.items() if "confidence" in m] == ["sure"]
        found = models["sure"]["confidence"]
        assert found["coverage"]["wished"] == 0.8
        assert set(found["coverage"]["subjects"]) == set(PEOPLE)
        assert found["answered"]["accuracy_of_all"]["mean"] == pytest.approx(models["sure"]["accuracy"])
        assert found["before"]["log_loss"]["mean"] == pytest.approx(models["bands"]["log_loss"])

    def test_the_decisions_are_those_of_the_model(self, done: Plan) -> None:
        (output,) = outputs(done, "evaluate")
        made = [Predictions.load(output.path(f"predictions-{m}.npz")) for m in ("bands", "sure")]
        np.testing.assert_array_equal(made[0].probability, made[1].probability)

    def test_the_report_shows_it(self, done: Plan) -> None:
        (output,) = outputs(done, "report")
        page = output.path("report.html").read_text(encoding="utf-8")
        for words in ("What it leaves open", "before calibration (hollow)", "Sets meant to hold the true class in 80"):
            assert words in page


class TestRefusals:
    def test_nobody_was_kept(self, root: Path, done: Plan) -> None:
        plan = planned(root, split__validation=0.0)
        with pytest.raises(DataError, match="Fold '0' of 'bands' keeps nobody for validation.*Set the split's 'val"):
            run(plan, stage="sure")

    def test_too_few_people_for_what_is_wished(self, root: Path, done: Plan) -> None:
        plan = planned(root, sure__unit="person")
        with pytest.raises(DataError, match="2 calibration people cannot promise sets that miss 0.2 at most"):
            run(plan, stage="sure")

    def test_no_threshold_keeps_the_risk(self, root: Path, done: Plan) -> None:
        plan = planned(root, sure__abstain="risk", sure__risk=0.01)
        with pytest.raises(DataError, match="No confidence keeps the risk at 0.01 on 40 calibration windows"):
            run(plan, stage="sure")

    def package(self, **changes: Any) -> Package:
        facts = {"model": BandPower(), "raw": SPEC, "signal": SPEC, "target": TargetSpec(classes=("a", "b"))}
        return Package(Path("nowhere"), Facts(**{**facts, "windows": Windows(), **changes}))

    def test_people_who_trained_it_cannot_calibrate_it(self) -> None:
        source, fold = Output("bands", "", "key", Path("nowhere")), Fold(name="0", train=("a",), validation=("b", "c"))
        _check("sure", source, self.package(subjects=("a",)), fold)
        for package, wrong in (
            (self.package(subjects=("a", "b")), fold),
            (self.package(), fold.model_copy(update={"test": ("b",)})),
        ):
            with pytest.raises(DataError, match="calibrates on 'b', who also trained or tests the model"):
                _check("sure", source, package, wrong)

    def test_what_has_no_classes(self) -> None:
        fold = Fold(name="0", train=("a",), validation=("b",))
        with pytest.raises(SpecError, match="cannot calibrate 'pretrain': it has no classes"):
            _check("sure", Output("pretrain", "", "key", Path("nowhere")), self.package(target=None), fold)


def test_blocks_of_time_calibrate_within_people(root: Path, done: Plan) -> None:
    plan = planned(root, split__hold_out="block", split__folds=3)
    run(plan, stage="sure")
    for output in outputs(plan, "sure"):
        made = read_json(output.path("calibration.json"))
        assert made["within_people"] is True
        assert made["people"] == list(PEOPLE)
        assert 0 < made["confidence"]["windows"] < 60
        assert not output.path(REFERENCE).exists()  # the recordings hold the test, too
