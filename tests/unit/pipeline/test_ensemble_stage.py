"""ensemble: packages of one split, each spoken of by its own fold, become one; votes where there are any."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neural_foundation.core.errors import DataError, NeuralFoundationError, SpecError
from neural_foundation.core.lineage import Output
from neural_foundation.core.specs import SignalSpec
from neural_foundation.core.store import load_arrays, read_json, save_arrays
from neural_foundation.evaluation.ensembling import Blend, nested
from neural_foundation.evaluation.scores import Predictions
from neural_foundation.metrics.votes import kl_divergence, vote_shares
from neural_foundation.pipeline.plan import Plan, make_plan
from neural_foundation.pipeline.recipe import apply, check
from neural_foundation.pipeline.runner import run
from neural_foundation.pipeline.stages import ensemble, report_votes
from neural_foundation.pipeline.stages.prepare import Prepared
from neural_foundation.recordings import Intervals, write_edf
from neural_foundation.sampling.windows import WindowSet

SPEC = SignalSpec(sfreq=100, ch_names=("Fp1-F7", "F7-T7"), ch_types=("eeg", "eeg"))
PEOPLE = ("ann", "bob", "cyd", "dan", "eve", "fay")
LABELS = ("slow", "fast", "none") * 4
FIT = {"kind": "fit", "for_each": "split", "inputs": {"data": "prepare"}, "learner": "estimator"}
RECIPE: dict[str, Any] = {
    "name": "joined",
    "stages": {
        "prepare": {
            "kind": "prepare",
            "dataset": {"kind": "recordings", "events": {k: k for k in ("slow", "fast", "none")}},
            "windows": {"length_s": 1.0},
        },
        "split": {"kind": "split", "inputs": {"data": "prepare"}, "folds": 3, "validation": 0.0},
        "bands": {
            **FIT,
            "for_each": ["split", {"seed": [0, 1]}],
            "model": {"kind": "band_power", "bands": [[5, 15], [15, 30]], "segment_s": 0.5, "c": 1.0},
        },
        "low": {**FIT, "model": {"kind": "band_power", "bands": [[5, 9]], "segment_s": 0.5, "c": 0.1}},
        "floor": {**FIT, "model": "majority"},
        "ensemble": {
            "kind": "ensemble",
            "inputs": {"data": "prepare", "models": ["bands", "low"], "baselines": "floor"},
            "strengths": [0.1],
        },
        "report": {
            "kind": "report_votes",
            "inputs": {"data": "prepare", "ensemble": "ensemble", "explained": "bands", "learned": "bands"},
        },
    },
}


def recording(path: Path, seed: int) -> None:
    """Write 12 trials of noise with a rhythm of their class's frequency."""
    rng, onset = np.random.default_rng(seed), 1.0 + 2.0 * np.arange(len(LABELS))
    values, t = rng.normal(0, 1e-5, (2, 2700)), np.arange(100) / 100
    for start, label in zip(onset, LABELS, strict=True):
        hz = {"slow": 8, "fast": 20, "none": 0}[label]
        values[:, int(start * 100) : int(start * 100) + 100] += 1.2e-5 * np.sin(2 * np.pi * hz * t + rng.uniform(0, 6))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_edf(path, values=values, spec=SPEC, annotations=Intervals(onset, onset + 1.0, LABELS), subject="x")


def planned(root: Path, **changes: Any) -> Plan:
    settings = {"prepare.dataset.path": str(root / "data"), **{k.replace("__", "."): v for k, v in changes.items()}}
    return make_plan(check(apply(RECIPE, settings)), root / "out")


def only(plan: Plan, stage: str) -> Output:
    (task,) = plan.of_stage(stage)
    output = task.output()
    assert output is not None
    return output


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Plan]:
    root = tmp_path_factory.mktemp("joined")
    for k, name in enumerate(PEOPLE):
        recording(root / "data" / name / f"{name}.edf", k)
    plan = planned(root)
    run(plan, stage="ensemble")
    return root, plan


def test_out_of_fold_probabilities_are_the_packages_own(made: tuple[Path, Plan]) -> None:
    _, plan = made
    oof = load_arrays(only(plan, "ensemble").path("oof.npz"))
    assert oof["members"].tolist() == ["bands", "low"]
    assert oof["baselines"].tolist() == ["floor"]
    windows = Prepared.of([t.output() for t in plan.of_stage("prepare")]).labelled()  # type: ignore[misc]
    assert oof["start"].tolist() == windows.start.tolist()
    outputs = [t.output() for t in plan.of_stage("bands")]
    for person in np.unique(oof["patient"]):
        mine = windows.of_subjects([str(person)])
        said = [
            ensemble.predict(o, windows).pick(ensemble.predict(o, windows).subject == person)
            for o in outputs
            if o is not None and person in read_json(o.path("fold.json"))["test"]
        ]
        assert len(said) == 2  # two seeds of the fold that held this person out
        mean = (said[0].probability + said[1].probability) / 2
        assert oof["probability"][oof["patient"] == person, 0] == pytest.approx(mean)
        assert set(oof["fold"][oof["patient"] == person]) == {said[0].fold[0]}
        assert len(mine) == 12


def test_scores_are_those_of_its_own_arrays(made: tuple[Path, Plan]) -> None:
    _, plan = made
    output = only(plan, "ensemble")
    oof, value = load_arrays(output.path("oof.npz")), read_json(output.path("ensemble.json"))
    assert value["votes"] is False
    assert oof["votes"].tolist() == np.eye(3)[oof["target"]].tolist()
    scores = value["scores"]
    for name in ("mean", "weighted", "geometric", "stacked"):
        kl = kl_divergence(vote_shares(oof["votes"]), oof[f"ensemble_{name}"])
        assert scores["ensembles"][name]["kl"]["mean"] == pytest.approx(kl)
    frequency = scores["references"]["class frequency"]["kl"]["mean"]
    assert scores["members"]["bands"]["kl"]["mean"] < 0.8 * frequency
    assert set(scores["baselines"]) == {"floor"}
    again = nested(
        oof["probability"], oof["votes"], oof["patient"], oof["fold"], names=["bands", "low"], strengths=[0.1]
    )
    assert again.blends[0].weights.tolist() == value["by_fold"]["0"]["weights"]


def test_what_is_deployed_learned_on_all_folds(made: tuple[Path, Plan]) -> None:
    _, plan = made
    output = only(plan, "ensemble")
    oof, final = load_arrays(output.path("oof.npz")), read_json(output.path("ensemble.json"))["final"]
    assert final["members"] == ["bands", "low"]
    assert sum(final["weights"]) == pytest.approx(1)
    said = Blend.of(final).apply(oof["probability"])["weighted"]
    assert kl_divergence(oof["votes"], said) <= kl_divergence(oof["votes"], oof["ensemble_weighted"])


def test_it_is_made_again_with_the_same_bytes(made: tuple[Path, Plan], tmp_path: Path) -> None:
    rerun(made, tmp_path)
    for name in ("ensemble.json", "oof.npz"):
        assert (tmp_path / name).read_bytes() == only(made[1], "ensemble").path(name).read_bytes()


def rerun(made: tuple[Path, Plan], tmp_path: Path, **changes: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Run the stage again on the finished inputs, by itself, and return its value and arrays."""
    root, _ = made
    plan = planned(root, **changes)
    (task,) = plan.of_stage("ensemble")
    inputs = {port: [t.output() for t in tasks] for port, tasks in task.inputs.items()}
    job = ensemble.Job("ensemble", {}, task.seed, tmp_path, inputs)  # type: ignore[arg-type]
    task.spec.run(job)
    return read_json(tmp_path / "ensemble.json"), load_arrays(tmp_path / "oof.npz")


def failing(stage: str, fold: str, rows: int | None = None, seed: str | None = None) -> Any:
    """Return `predict` with numbers missing from what some packages say."""
    right = ensemble.predict

    def predict(output: Output, windows: WindowSet) -> Predictions:
        said, item = right(output, windows), output.manifest["facts"]["item"]
        if output.stage != stage or item["fold"] != fold or (seed is not None and item["seed"] != seed):
            return said
        p = said.probability.copy()
        p[:rows] = np.nan
        return replace(said, probability=p)

    return predict


def test_a_model_that_failed_in_a_fold_is_left_out_of_it(
    made: tuple[Path, Plan], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ensemble, "predict", failing("low", "1", rows=2))
    value, oof = rerun(made, tmp_path)
    assert [(f["model"], f["windows"]) for f in value["failed"]] == [("low", 2)]
    assert value["left_out"] == [{"fold": 1, "member": "low", "why": "it says nothing of this fold"}]
    assert value["by_fold"]["1"]["members"] == ["bands"]
    assert value["final"]["members"] == ["bands"]
    assert np.isnan(oof["probability"][oof["fold"] == 1, 1]).all()
    assert np.isfinite(oof["ensemble_weighted"]).all()


def test_a_seed_that_failed_leaves_the_word_to_the_others(
    made: tuple[Path, Plan], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ensemble, "predict", failing("bands", "1", seed="0"))
    value, oof = rerun(made, tmp_path)
    assert len(value["failed"]) == 1
    assert value["left_out"] == []
    assert np.isfinite(oof["probability"]).all()


def test_votes_and_windows_without_any(
    made: tuple[Path, Plan], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = Prepared.labelled

    def labelled(self: Prepared) -> WindowSet:
        windows = right(self)
        votes = 1.0 + 4.0 * np.eye(3, dtype=np.float32)[windows.target]
        votes[::7] = 0
        return replace(windows, votes=votes.astype(np.float32))

    monkeypatch.setattr(Prepared, "labelled", labelled)
    value, oof = rerun(made, tmp_path)
    unvoted = int((oof["votes"].sum(1) == 0).sum())
    assert (value["votes"], value["n_unvoted"]) == (True, unvoted)
    assert unvoted == 11
    assert value["scores"]["n_windows"] == 72 - unvoted
    assert np.isfinite(oof["ensemble_weighted"]).all()


def test_windows_may_count_alike_as_in_the_score(
    made: tuple[Path, Plan], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right, many = Prepared.labelled, np.array([1.0, 30.0])

    def labelled(self: Prepared) -> WindowSet:
        windows = right(self)
        votes = np.eye(3)[windows.target] * many[np.arange(len(windows)) % 2][:, None]
        return replace(windows, votes=votes.astype(np.float32))

    plain, _ = rerun(made, tmp_path)
    monkeypatch.setattr(Prepared, "labelled", labelled)
    alike, _ = rerun(made, tmp_path, ensemble__alike="windows")
    by_vote, _ = rerun(made, tmp_path)
    assert alike["final"]["weights"] == pytest.approx(plain["final"]["weights"])
    assert by_vote["final"]["weights"] != pytest.approx(plain["final"]["weights"])


def test_evidence_is_of_the_fold_that_held_the_person_out(made: tuple[Path, Plan]) -> None:
    outputs = [o for t in made[1].of_stage("bands") if (o := t.output()) is not None]
    data = Prepared.of([o for t in made[1].of_stage("prepare") if (o := t.output()) is not None])
    windows = data.labelled()
    window = windows.select([int(np.flatnonzero(windows.subject == "bob")[0])])
    oof, value = load_arrays(only(made[1], "ensemble").path("oof.npz")), {"classes": data.classes, "method": "weighted"}
    example = report_votes._example(window, oof, 0, value, "")
    found = report_votes.evidence(outputs, window, example, data.classes)
    assert found["evidence"].shape == (1, 1)  # one chain of two channels, one second
    assert found["evidence"].any()
    others = [o for o in outputs if "bob" not in read_json(o.path("fold.json"))["test"]]
    assert len(others) == 4
    assert report_votes.evidence(others, window, example, data.classes) == {}


def test_the_truth_of_simulated_votes_is_the_floor(made: tuple[Path, Plan], tmp_path: Path) -> None:
    outputs = [t.output() for t in made[1].of_stage("prepare")]
    data = Prepared.of([o for o in outputs if o is not None])
    windows = data.labelled()
    assert ensemble.true_probabilities(data, windows) is None
    truth = np.random.default_rng(0).dirichlet(np.ones(3), 12)
    paths = [o.path(f"{f['recording']}-truth.npz") for o, f in zip(data.outputs, data.facts, strict=True)]
    try:
        for path in paths:
            save_arrays(path, {"probabilities": truth})
        assert ensemble.true_probabilities(data, windows) == pytest.approx(truth[windows.trial])
        value, _ = rerun(made, tmp_path)
        assert "truth" in value["scores"]["references"]
    finally:
        for path in paths:
            path.unlink(missing_ok=True)


def test_one_name_is_member_or_baseline(made: tuple[Path, Plan], tmp_path: Path) -> None:
    inputs = {"data": "prepare", "models": ["bands", "low"], "baselines": "low"}
    with pytest.raises(SpecError, match="'low' is both a member of the ensemble and a baseline"):
        rerun(made, tmp_path, ensemble__inputs=inputs)


def test_folds_of_one_split_and_whole_people_only(made: tuple[Path, Plan]) -> None:
    changes = {"split__hold_out": "block", "ensemble__inputs": {"data": "prepare", "models": ["low"]}}
    with pytest.raises(DataError, match="lie in several folds.*Hold out whole patients"):
        run(planned(made[0], **changes), stage="ensemble")
    other = {"kind": "split", "inputs": {"data": "prepare"}, "folds": 2, "validation": 0.0}
    changes = {
        "stages.other": other,
        "low__for_each": "other",
        "ensemble__inputs": {"data": "prepare", "models": ["bands", "low"]},
    }
    with pytest.raises(DataError, match="held out by two folds.*on the folds of one split"):
        run(planned(made[0], **changes), stage="ensemble")


def test_nothing_held_out_is_an_error(made: tuple[Path, Plan]) -> None:
    with pytest.raises(NeuralFoundationError, match="holds nobody out"):
        run(
            planned(made[0], low__for_each=None, ensemble__inputs={"data": "prepare", "models": "low"}),
            stage="ensemble",
        )


def test_the_report_holds_scores_and_examples(made: tuple[Path, Plan]) -> None:
    _, plan = made
    run(plan, stage="report")
    text = only(plan, "report").path("report.html").read_text()
    assert "Every model and the ensemble" in text
    assert text.count("<h3>") >= 5  # three typical windows, two of the largest divergence
    assert "Fp1-F7" in text
    assert "scale" in text
    assert len(re.findall("bands says (slow|fast|none): ", text)) == 5
    (table,) = report_votes.terminal_tables(plan)
    assert table.row_count == 4 + 2 + 1 + 2


def test_examples_are_the_middle_of_each_class_and_the_worst() -> None:
    kl = np.array([0.1, 0.5, 0.9, np.nan, 2.0, 0.3])
    target, n_votes = np.array([0, 0, 0, 0, 1, 1]), np.array([5, 5, 5, 0, 1, 5])
    found = report_votes.choose(kl, target, n_votes, 1, 1, ("a", "b", "c"))
    assert [row for row, _ in found] == [1, 5, 4]  # of b, one with three votes or more
    assert "middle of its class" in found[0][1]
    assert "largest" in found[2][1]
    assert report_votes.choose(kl, target, n_votes, 0, 0, ("a", "b", "c")) == []


def test_spectrograms_show_the_rhythm_and_leave_out_what_is_not_valid() -> None:
    t = np.arange(1000) / 100
    values = np.stack([np.sin(2 * np.pi * 8 * t), np.sin(2 * np.pi * 8 * t)])
    valid = np.arange(1000) < 700
    made = report_votes.spectrograms(values, valid, ("Fp1-F7", "F7-T7"), 100.0)
    power = made["Fp1 F7 T7"]
    known = np.isfinite(power).all(0)
    assert known[:10].all()
    assert not known[-10:].any()
    hz = 0.5 + 0.5 * np.arange(len(power))
    assert hz[power[:, 0].argmax()] == 8.0
    assert hz[-1] == 20.0
    assert report_votes.spectrograms(values[:, :300], valid[:300], ("Fp1-F7", "F7-T7"), 100.0) == {}
