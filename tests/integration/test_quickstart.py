"""The main job, end to end, on its tiny variant."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from quickstart_runs import Run, checksums, run

from neural_foundation import NeuralDataLoader, NeuralFoundationModel
from neural_foundation.core.store import load_arrays, read_json
from neural_foundation.evaluation.scores import Predictions

pytestmark = pytest.mark.slow


def test_every_stage_is_there_and_the_summary_says_so(quickstart: Run) -> None:
    stages = {p.name for p in quickstart.output.iterdir() if p.is_dir()}
    assert stages == {
        "prepare",
        "split",
        "pretrain",
        "adapt",
        "tangent",
        "bands",
        "evaluate",
        "export",
        "replay",
        "report",
    }
    assert "balanced accuracy, 4 held-out subjects" in quickstart.text
    assert "Report: " in quickstart.text


def test_second_run_is_a_no_op_that_says_so(quickstart: Run) -> None:
    before = checksums(quickstart.output)
    again = run(quickstart.output)
    assert "Nothing to do: all 17 outputs are fresh" in again.text
    assert checksums(quickstart.output) == before


def test_parallel_gives_the_same_bytes(quickstart: Run, tmp_path: Path) -> None:
    assert checksums(run(tmp_path, "--workers", "2").output) == checksums(quickstart.output)


def test_streamed_decisions_equal_the_evaluation(quickstart: Run) -> None:
    facts = read_json(quickstart.only("replay") / "replay.json")
    assert facts["largest_difference"] < 1e-5
    trace = load_arrays(quickstart.only("replay") / "trace.npz")
    evaluated = Predictions.load(quickstart.only("evaluate") / "predictions-adapt.npz")
    mine = evaluated.pick(evaluated.subject == facts["subject"])
    np.testing.assert_array_equal(trace["final"].argmax(1), mine.probability.argmax(1))


def test_nobody_is_tested_who_was_learned_from(quickstart: Run) -> None:
    for stage in ("pretrain", "adapt", "tangent", "bands"):
        for path in quickstart.output.glob(f"{stage}/*/fold.json"):
            fold, facts = read_json(path), read_json(path.with_name("package.json"))
            assert not set(fold["test"]) & {*fold["train"], *fold["validation"], *facts["subjects"]}
    scores = read_json(quickstart.only("evaluate") / "scores.json")
    assert set(scores["models"]["adapt"]["subjects"]) == {f"sim00{k}" for k in range(1, 5)}


def test_manifests_lead_back_to_the_recordings(quickstart: Run) -> None:
    def ancestors(manifest: dict) -> set[str]:
        found = {manifest["stage"]}
        for inputs in manifest["inputs"].values():
            for i in inputs:
                (path,) = quickstart.output.glob(f"{i['stage']}/*{i['key']}/manifest.json")
                found |= ancestors(read_json(path))
        return found

    report = read_json(quickstart.only("report") / "manifest.json")
    assert ancestors(report) >= {"prepare", "split", "pretrain", "adapt", "evaluate", "export", "replay"}
    assert len(report["subjects"]) == 4
    assert not any(s.startswith("sim") for s in report["subjects"]), "subjects are pseudonyms in manifests"


def test_report_stands_alone(quickstart: Run) -> None:
    page = (quickstart.only("report") / "report.html").read_text()
    assert "<script" not in page
    assert 'src="http' not in page
    text = re.sub(r"<[^>]*>", "", page)  # as people read it
    for words in ("neural-foundation", "largest", "sim001", "p99", "run quickstart --tiny"):
        assert words in text, words


def test_from_python_as_published(quickstart: Run) -> None:
    model = NeuralFoundationModel.from_pretrained(quickstart.only("export"))
    decoder = model.get_decoder("motor_imagery")
    edf = sorted(quickstart.output.glob("prepare/*/sim001.edf"))[0]
    loader = NeuralDataLoader(data_path=edf, sampling_rate=250, channels=16, temporal_window=2.0)
    decisions = [decoder.decode(sample) for sample in loader.stream()]
    assert all(d is not None and set(d.probability) == {"left_hand", "right_hand"} for d in decisions)


def test_package_names_its_task_and_holds_no_paths(quickstart: Run) -> None:
    facts = json.loads((quickstart.only("export") / "package.json").read_text())
    assert facts["task"] == "motor_imagery"
    assert "/" not in json.dumps({k: v for k, v in facts.items() if k != "trained"}), "a package holds no paths"
