"""export_ensemble: from a learned ensemble and the packages of its folds to one folder that is served."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import window_networks

from neural_foundation.core.errors import DataError, PackageError, SpecError
from neural_foundation.core.lineage import Output
from neural_foundation.core.specs import SignalSpec
from neural_foundation.core.store import read_json, write_json
from neural_foundation.evaluation.ensembling import Blend
from neural_foundation.evaluation.report.markup import duration
from neural_foundation.export.ensemble_package import ENSEMBLE, EnsemblePackage, JoinedPredict
from neural_foundation.export.tree_graph import TREE_GRAPH
from neural_foundation.models.package import WINDOW_GRAPH, Package, save
from neural_foundation.models.packed import FACTS, WEIGHTS
from neural_foundation.pipeline.plan import Plan, make_plan
from neural_foundation.pipeline.recipe import apply, check
from neural_foundation.pipeline.runner import run
from neural_foundation.pipeline.stage import Job
from neural_foundation.pipeline.stages import export_ensemble
from neural_foundation.pipeline.stages.ensemble_benchmark import BENCHMARK
from neural_foundation.pipeline.stages.export import INT8, PROGRAM
from neural_foundation.pipeline.stages.export_ensemble import TABLE, ExportEnsemble
from neural_foundation.pipeline.stages.prepare import Prepared
from neural_foundation.realtime.live_model import LiveModel
from neural_foundation.realtime.sliding import predictor
from neural_foundation.recordings import Intervals, write_edf

pytestmark = pytest.mark.slow  # networks are fitted and exported

SPEC = SignalSpec(sfreq=100, ch_names=("Cz", "Pz"), ch_types=("eeg", "eeg"))
PEOPLE = ("ann", "bob", "cyd", "dan")
LABELS = ("slow", "fast", "none") * 4
FIT = {"kind": "fit", "for_each": "split", "inputs": {"data": "prepare"}}
GRADIENT = {"kind": "gradient", "objective": {"kind": "classify", "from_s": 0}, "max_epochs": 1, "batch_size": 8}
NET = {"kind": "resnet_gru", "window_s": 1.0, **window_networks.TINY["resnet_gru"]}
TREES = {"kind": "boosted_trees", "max_iter": 5, "min_samples_leaf": 3}
RECIPE: dict[str, Any] = {
    "name": "deployed",
    "stages": {
        "prepare": {
            "kind": "prepare",
            "dataset": {"kind": "recordings", "events": {k: k for k in ("slow", "fast", "none")}},
            "signals": [{"kind": "bandpass", "low_hz": 1, "high_hz": 40}],
            "windows": {"length_s": 1.0},
        },
        "split": {"kind": "split", "inputs": {"data": "prepare"}, "folds": 2, "validation": 0.5},
        "trees": {**FIT, "span_s": [0.2, 0.9], "model": TREES, "learner": "estimator"},
        "net": {**FIT, "model": NET, "learner": GRADIENT},
        "floor": {**FIT, "model": "majority", "learner": "estimator"},
        "ensemble": {
            "kind": "ensemble",
            "inputs": {"data": "prepare", "models": ["trees", "net"], "baselines": "floor"},
            "strengths": [0.1],
        },
        "export": {
            "kind": "export_ensemble",
            "inputs": {"ensemble": "ensemble", "models": ["trees", "net", "floor"], "data": "prepare"},
            "fold": 0,
            "int8": True,
            "gate_kl": 10.0,
            "task": "rhythm",
        },
        "report": {
            "kind": "report_votes",
            "inputs": {"data": "prepare", "ensemble": "ensemble", "exported": "export"},
            "typical": 0,
            "worst": 0,
        },
        "whole": {"kind": "export_ensemble", "inputs": {"ensemble": "ensemble", "models": ["trees", "net"]}},
    },
}


def recording(path: Path, seed: int) -> None:
    """Write 12 trials of noise with a rhythm of their class's frequency."""
    rng, onset = np.random.default_rng(seed), 1.0 + 2.0 * np.arange(len(LABELS))
    values, t = rng.normal(0, 1e-5, (2, 2700)), np.arange(100) / 100
    for start, label in zip(onset, LABELS, strict=True):
        hz = {"slow": 8, "fast": 20, "none": 0}[label]
        values[:, int(start * 100) : int(start * 100) + 100] += 2e-5 * np.sin(2 * np.pi * hz * t + rng.uniform(0, 6))
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
    root = tmp_path_factory.mktemp("deployed")
    for k, name in enumerate(PEOPLE):
        recording(root / "data" / name / f"{name}.edf", k)
    plan = planned(root)
    run(plan, stage="ensemble")
    run(plan, stage="export")
    return root, plan


def job_of(made: tuple[Path, Plan], folder: Path, stage: str = "export", **changes: Any) -> tuple[Any, Job]:
    """Return a stage on the finished inputs, by itself, and the job it runs as."""
    (task,) = planned(made[0], **changes).of_stage(stage)
    inputs = {port: [o for t in tasks if (o := t.output()) is not None] for port, tasks in task.inputs.items()}
    return task.spec, Job(stage, {}, task.seed, folder, inputs, key="k")


def test_weights_are_those_that_were_fitted_and_graphs_are_made(made: tuple[Path, Plan]) -> None:
    _, plan = made
    folder = only(plan, "export").folder
    assert sorted(p.name for p in (folder / "members").iterdir()) == ["net", "trees"]
    for stage, graph in (("trees", TREE_GRAPH), ("net", WINDOW_GRAPH)):
        (task,) = [t for t in plan.of_stage(stage) if t.item["fold"] == "0"]
        (there,) = (folder / "members" / stage).iterdir()
        assert there.name == "fold-0"
        source = task.output()
        assert source is not None
        for name in (FACTS, WEIGHTS):
            assert (there / name).read_bytes() == source.path(name).read_bytes()
        assert (there / graph).is_file()
    package = EnsemblePackage.open(folder)
    final = read_json(only(plan, "ensemble").path(ENSEMBLE))["final"]
    assert package.facts.ensemble == ("trees", "net")
    assert package.blend.value() == Blend.of(final).value()
    assert (package.facts.name, package.facts.task, package.ensembled.method) == ("export", "rhythm", "weighted")
    assert package.facts.subjects == PEOPLE  # the weights know all of them


def test_decisions_are_the_final_blends_of_the_packages_own(made: tuple[Path, Plan], tmp_path: Path) -> None:
    _, plan = made
    stage, job = job_of(made, tmp_path, "whole")
    stage.run(job)
    package = EnsemblePackage.open(tmp_path)
    assert [len(p) for p in package.members] == [2, 2]  # of both folds
    windows = Prepared.of([o for t in plan.of_stage("prepare") if (o := t.output()) is not None]).labelled()
    each = []
    for name in ("trees", "net"):
        outputs = [o for t in plan.of_stage(name) if (o := t.output()) is not None]
        each.append(np.mean([Package.open(o.folder).decide(windows) for o in outputs], 0))
    final = read_json(only(plan, "ensemble").path(ENSEMBLE))["final"]
    wanted = Blend.of(final).apply(np.stack(each, 1))["weighted"]
    np.testing.assert_allclose(package.decide(windows), wanted, rtol=0, atol=1e-9)
    np.testing.assert_allclose(package.predict_proba(windows.load()), wanted, rtol=0, atol=1e-6)
    assert "this very mean was tested on nobody" in (tmp_path / "card.md").read_text()
    assert all("int8" not in read_json(p / "export.json") for p in (tmp_path / "members" / "net").iterdir())


def test_a_member_is_given_the_part_of_a_window_that_it_learned_from(made: tuple[Path, Plan]) -> None:
    package = EnsemblePackage.open(only(made[1], "export").folder)
    (trees,), (net,) = package.members
    assert (trees.facts.windows.start_s, trees.facts.windows.length_s) == (0.2, pytest.approx(0.7))
    assert package.facts.windows == net.facts.windows  # the widest
    windows = np.random.default_rng(0).normal(0, 1e-5, (3, 2, 100)).astype(np.float32)
    wanted = np.stack([trees.predict_proba(windows[..., 20:90]), net.predict_proba(windows)], 1)
    for each in (package.each(windows), JoinedPredict(package, predictor).each(windows)):
        np.testing.assert_allclose(each, wanted, rtol=0, atol=1e-5)
    windows[..., :20] += 1
    np.testing.assert_array_equal(package.each(windows)[:, 0], wanted[:, 0] / wanted[:, 0].sum(1, keepdims=True))


def test_each_graph_says_how_far_it_is_from_its_model(made: tuple[Path, Plan], tmp_path: Path) -> None:
    members = only(made[1], "export").folder / "members"
    trees, net = (read_json(members / n / "fold-0" / "export.json") for n in ("trees", "net"))
    assert (trees["graph"], trees["trees"], trees["fold"]) == (None, TREE_GRAPH, "0")
    assert trees["n_bytes"] == (members / "trees" / "fold-0" / TREE_GRAPH).stat().st_size
    assert set(trees["parity"]) == {"1", "16", "256"}
    assert set(net["parity"]) == {"50", "100", "200"}
    assert max([*trees["parity"].values(), *net["parity"].values()]) <= 1e-4
    stage, job = job_of(made, tmp_path)
    tree_graph = export_ensemble.tree_graph

    def other(package: Package, folder: Path) -> None:
        arrays = package.arrays()
        tree_graph(save(folder / "other", package.facts, arrays | {"value": -arrays["value"]}), folder)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(export_ensemble, "tree_graph", other)
        with pytest.raises(PackageError, match="The graph differs from its model by .* at 1 windows"):
            stage.run(job)


def test_programs_of_torch_are_written_where_asked_for(made: tuple[Path, Plan], tmp_path: Path) -> None:
    import torch

    assert not list(only(made[1], "export").folder.rglob(PROGRAM))
    stage, job = job_of(made, tmp_path, "whole", whole__torch=True)
    stage.run(job)
    package = EnsemblePackage.open(tmp_path)
    written = sorted(p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob(PROGRAM))
    assert written == [f"members/net/fold-{k}/{PROGRAM}" for k in (0, 1)]
    assert all(PROGRAM in part.files for part in package.ensembled.members[1].packages), "they are part of its digest"
    net, window = package.members[1][0], np.random.default_rng(0).normal(0, 1e-5, (2, 2, 100)).astype(np.float32)
    assert read_json(net.folder / "export.json")["program"] == PROGRAM
    said = torch.export.load(net.folder / PROGRAM).module()(torch.from_numpy(window))[0]
    np.testing.assert_allclose(said.detach().numpy(), net.predict_proba(window), rtol=0, atol=1e-5)


def test_it_is_served(made: tuple[Path, Plan]) -> None:
    model = LiveModel.open(only(made[1], "export").folder)
    assert (model.task, model.members, model.classes) == ("rhythm", ("trees", "net"), ("slow", "fast", "none"))


def test_the_benchmark_tells_size_latency_and_what_the_gate_said(made: tuple[Path, Plan]) -> None:
    output = only(made[1], "export")
    found = read_json(output.path(BENCHMARK))
    rows = {(r["member"], r["form"]): r for r in found["rows"]}
    assert set(rows) == {
        ("trees", "features"),
        ("trees", "onnx"),
        ("trees", "arrays"),
        ("net", "onnx"),
        ("net", "int8"),
    }
    assert rows.pop(("trees", "features"))["n_bytes"] is None
    for row in [*rows.values(), found["decision"]]:
        assert 0 < row["median_ms"] <= row["p95_ms"]
        assert row["calls"] >= 5
        assert row["n_bytes"] > 0
    net = output.folder / "members" / "net" / "fold-0"
    assert rows["net", "onnx"]["n_bytes"] == (net / WINDOW_GRAPH).stat().st_size
    assert rows["net", "int8"]["n_bytes"] == (net / INT8).stat().st_size
    said = read_json(net / "export.json")["int8"]
    row = rows["net", "int8"]
    assert (row["kl"], row["kl_int8"], row["kept"]) == (said["kl"], said["kl_int8"], 1)
    assert found["int8"]["net"][0]["passes"] is True
    assert list(found["int8"]) == ["net"]
    lines = output.path(TABLE).read_text().splitlines()
    assert lines[-1].startswith("| all | ensemble | 2 | as served |")
    assert {line.count("|") for line in lines[3:]} == {11}
    assert output.manifest["measured"] == [BENCHMARK, TABLE]


def test_the_report_shows_what_the_deployed_ensemble_costs(made: tuple[Path, Plan]) -> None:
    run(made[1], stage="report")
    output = only(made[1], "report")
    decision = read_json(only(made[1], "export").path(BENCHMARK))["decision"]
    text = (output.folder / "report.html").read_text()
    assert f"takes {duration(decision['median_ms'] / 1e3)} in the median, by 2 packages" in text
    assert "report.html" in output.manifest["measured"], "latencies differ from run to run"


def test_8_bits_that_lose_too_much_are_not_written(made: tuple[Path, Plan], tmp_path: Path) -> None:
    stage, job = job_of(made, tmp_path, export__gate_kl=0.0)
    from neural_foundation.export import window_graph

    right = window_graph.kl_gate

    def worse(before: np.ndarray, after: np.ndarray, votes: np.ndarray, *, allowed: float) -> dict[str, Any]:
        wrong = 0.98 * np.roll(votes, 1, 1) + 0.01
        return right(before, wrong, votes, allowed=allowed)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(window_graph, "kl_gate", worse)
        stage.run(job)
    assert not list(tmp_path.rglob(INT8))
    (row,) = [r for r in read_json(tmp_path / BENCHMARK)["rows"] if r["form"] == "int8"]
    assert (row["kept"], row["n_bytes"], row["median_ms"]) == (0, None, None)
    assert row["kl_int8"] > row["kl"]
    text = (tmp_path / TABLE).read_text()
    assert "| 0 of 1 |" in text
    assert "- net, fold-0: 8 bits not kept: KL rises" in text
    assert EnsemblePackage.open(tmp_path).facts.ensemble == ("trees", "net")


def test_the_card_is_for_people(made: tuple[Path, Plan]) -> None:
    output = only(made[1], "export")
    text = output.path("card.md").read_text()
    scores = read_json(only(made[1], "ensemble").path(ENSEMBLE))["scores"]
    for words in (
        "the probability of slow, fast and none",
        "2 channels, 100 Hz, raw, in volts: Cz, Pz",
        "48 windows of 4 people, against labels. Each person was held out",
        f"| This ensemble | {scores['ensembles']['weighted']['kl']['mean']:.3f} (",
        "| floor |",
        "| trees | boosted_trees | 1 |",
        "Research use. Not a medical device.",
        "what is deployed here is one of them",
    ):
        assert words in text
    assert "ms" not in text.split()


def test_what_a_kill_left_is_finished_with_the_same_bytes(
    made: tuple[Path, Plan], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage, job = job_of(made, tmp_path)
    right, asked = export_ensemble.Export.run, []

    def killed(self: Any, inner: Job) -> None:
        asked.append(inner.folder.parent.name)
        if asked == ["trees", "net"]:
            raise KeyboardInterrupt
        right(self, inner)

    monkeypatch.setattr(export_ensemble.Export, "run", killed)
    with pytest.raises(KeyboardInterrupt):
        stage.run(job)
    assert not (tmp_path / FACTS).exists()
    stage, job = job_of(made, tmp_path)
    stage.run(job)
    assert asked == ["trees", "net", "net"], "what was finished is not made again"
    there = only(made[1], "export").folder
    names = {p.relative_to(tmp_path) for p in tmp_path.rglob("*") if p.is_file()}
    assert {Path(ENSEMBLE), Path(FACTS), Path("card.md")} < names
    for name in names - {Path(BENCHMARK), Path(TABLE), Path(FACTS)}:  # the facts hold the key, here another one
        assert (tmp_path / name).read_bytes() == (there / name).read_bytes(), name
    assert set(job.subjects) == set(PEOPLE)


def test_a_package_that_failed_is_left_out(made: tuple[Path, Plan], tmp_path: Path) -> None:
    _, job = job_of(made, tmp_path, "whole")
    value = read_json(job.one("ensemble").path(ENSEMBLE))
    failed = [{"model": "net", "item": "fold-1", "windows": 3}]
    chosen = export_ensemble.chosen_packages(job, value | {"failed": failed})
    assert {n: [o.item for o in found] for n, found in chosen.items()} == {
        "trees": ["fold-0", "fold-1"],
        "net": ["fold-0"],
    }
    final = value["final"] | {"members": ["net"]}
    assert list(export_ensemble.chosen_packages(job, value | {"final": final})) == ["net"]


def test_what_it_refuses(made: tuple[Path, Plan], tmp_path: Path) -> None:
    stage, job = job_of(made, tmp_path)
    with pytest.raises(SpecError, match="int8 is judged on held-out windows, and there are none"):
        stage.run(replace(job, inputs={**job.inputs, "data": []}))
    with pytest.raises(DataError, match="member 'net' of the ensemble has no package.*Name the stages"):
        stage.run(replace(job, inputs={**job.inputs, "models": [o for o in job.inputs["models"] if o.stage != "net"]}))
    folder = tmp_path / "other"
    folder.mkdir()
    value = read_json(job.one("ensemble").path(ENSEMBLE))
    write_json(folder / ENSEMBLE, value | {"classes": ["fast", "slow", "none"]})
    with pytest.raises(PackageError, match="The members decide between.*as the ensemble was learned"):
        stage.run(replace(job, inputs={**job.inputs, "ensemble": [Output("ensemble", "", "", folder)]}))


def test_one_fold_or_all() -> None:
    assert ExportEnsemble(fold=1).chosen_axes() == {"fold": "1"}
    assert ExportEnsemble().chosen_axes() == {}
