"""export of networks of whole windows: the graph, what stands beside it, and what `export.json` says of both."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import window_networks

from neural_foundation.core.errors import SpecError
from neural_foundation.core.lineage import Output
from neural_foundation.core.specs import SignalSpec
from neural_foundation.core.store import read_json, write_json
from neural_foundation.models.package import WINDOW_GRAPH, Package
from neural_foundation.pipeline.plan import Plan, make_plan
from neural_foundation.pipeline.recipe import check
from neural_foundation.pipeline.runner import run
from neural_foundation.pipeline.stage import Job
from neural_foundation.pipeline.stages.export import INT8, PROGRAM, Export
from neural_foundation.pipeline.table import STAGES
from neural_foundation.realtime.live_model import LiveModel
from neural_foundation.recordings import Intervals, write_edf

SPEC = SignalSpec(sfreq=100, ch_names=("Cz", "Pz"), ch_types=("eeg", "eeg"))


def recipe(data: Path) -> dict[str, Any]:
    learner = {"kind": "gradient", "objective": {"kind": "classify", "from_s": 0}, "max_epochs": 2, "batch_size": 8}
    model = {"kind": "resnet_gru", "window_s": 1.0, **window_networks.TINY["resnet_gru"]}
    return {
        "name": "windows",
        "stages": {
            "prepare": {
                "kind": "prepare",
                "dataset": {"kind": "recordings", "path": str(data), "events": {"left": "left", "right": "right"}},
                "windows": {"length_s": 1.0},
            },
            "split": {"kind": "split", "inputs": {"data": "prepare"}, "folds": 2, "validation": 0.5},
            "net": {
                "kind": "fit",
                "inputs": {"data": "prepare"},
                "for_each": "split",
                "model": model,
                "learner": learner,
            },
            "export": {
                "kind": "export",
                "inputs": {"model": "net", "data": "prepare"},
                "fold": 0,
                "formats": ["onnx", "torch", "int8"],
                "int8_rise": 10.0,
                "int8_windows": 5,
            },
        },
    }


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    root = tmp_path_factory.mktemp("windows")
    for seed, name in enumerate(("ann", "bob", "cyd", "dan")):
        rng, onset = np.random.default_rng(seed), 1.0 + 2.0 * np.arange(8)
        (root / "data" / name).mkdir(parents=True)
        events = Intervals(onset, onset + 1.0, ("left", "right") * 4)
        values = rng.normal(0, 1e-5, (2, 1900))
        write_edf(root / "data" / name / "run.edf", values=values, spec=SPEC, annotations=events, subject="x")
    plan = make_plan(check(recipe(root / "data")), root / "out")
    run(plan)
    return plan


@pytest.mark.slow
def test_graph_program_and_8_bits_of_one_fold(done: Plan) -> None:
    (task,) = done.of_stage("export")
    output = task.output()
    assert output is not None
    facts = read_json(output.path("export.json"))
    assert (facts["graph"], facts["program"], facts["fold"]) == (WINDOW_GRAPH, PROGRAM, "0")
    assert (facts["n_times"], facts["n_chans"]) == (100, 2)
    assert max(facts["parity"].values()) <= 1e-4
    assert set(facts["parity"]) == {"50", "100", "200"}
    assert facts["n_bytes"] == output.path(WINDOW_GRAPH).stat().st_size
    said = facts["int8"]
    assert (said["role"], said["windows"], said["mode"], said["graph"]) == ("validation", 5, "static", INT8)
    assert said["n_bytes"] == output.path(INT8).stat().st_size
    fold = read_json(output.path("fold.json"))
    window = np.random.default_rng(0).standard_normal((1, 2, 100), np.float32) * np.float32(1e-5)
    package = Package.open(output.folder)
    live = LiveModel.open(output.folder)
    assert live.whole_windows
    np.testing.assert_allclose(live._predict(window), package.predict_proba(window), atol=1e-5)
    assert len(output.manifest["subjects"]) == len({*fold["train"], *fold["validation"]})


def job(folder: Path, package: Package) -> Job:
    write_json(package.folder / "fold.json", {"name": "all", "train": ["s"]})
    return Job("export", {}, 0, folder / "out", {"model": [Output("net", "", "", package.folder)]})


def test_8_bits_need_windows_to_judge_by(tmp_path: Path) -> None:
    stage = Export(inputs={"model": "net"}, formats=("onnx", "int8"))
    package = window_networks.package(tmp_path / "net", "resnet_gru")
    with pytest.raises(SpecError, match="int8 is judged on held-out windows.*Set inputs.data"):
        stage.run(job(tmp_path, package))


def test_other_formats_are_of_networks_of_whole_windows(tmp_path: Path, exported_package: Package) -> None:
    stage = Export(inputs={"model": "net"}, formats=("onnx", "torch"))
    source = Output("net", "", "", exported_package.folder)
    with pytest.raises(SpecError, match="formats onnx, torch of a multiscale. Allowed: 'onnx' alone"):
        stage.run(Job("export", {}, 0, tmp_path / "out", {"model": [source]}))
    with pytest.raises(SpecError, match="formats are written beside 'onnx'"):
        STAGES.parse({"kind": "export", "formats": ["int8"]})
