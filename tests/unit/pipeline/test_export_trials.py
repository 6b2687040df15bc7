"""The stage that exports a package of binned sessions: what it writes, of which session, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import live_binned
import pytest

from neural_foundation.core.errors import PackageError, SpecError
from neural_foundation.core.store import read_json, write_json
from neural_foundation.export.binned_graph import BinnedGraph
from neural_foundation.models.binned_package import BinnedPackage, save_binned
from neural_foundation.models.table import MODELS
from neural_foundation.pipeline.recipe import check
from neural_foundation.pipeline.table import STAGES
from neural_foundation.sampling.roles import TrialFold


def test_it_writes_the_package_and_what_was_exported(exported_binned: dict[str, Path]) -> None:
    folder = exported_binned["causal"]
    assert sorted(p.name for p in folder.iterdir()) == [
        "card.md",
        "export.json",
        "model.safetensors",
        "package.json",
        "step.onnx",
    ]
    facts = read_json(folder / "export.json")
    assert (facts["graph"], facts["session"], facts["hop"], facts["lookahead_s"]) == ("step.onnx", "a", 1, 0)
    assert facts["outputs"][:2] == ["wheel_speed/wheel_speed", "motion_energy/left"]
    assert facts["outputs"][-3:] == ["block/low", "block/even", "block/high"]
    assert BinnedPackage.open(folder).facts.name == "live"


def test_of_whole_windows_place_and_hop_are_kept(
    exported_binned: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def written(network: object, path: Path, session: int) -> BinnedGraph:
        asked.append(session)
        path.write_bytes(b"graph")
        return BinnedGraph(path, 7)

    monkeypatch.setattr("neural_foundation.export.binned_graph.export_decoding", written)
    source = exported_binned["whole"].parent / "whole-fitted"
    package = BinnedPackage.open(source)
    fold = TrialFold(name="2", hold_out="trial")
    save_binned(tmp_path / "fit", package.facts.model_copy(update={"fold": fold}), package.arrays())
    write_json(tmp_path / "fit" / "fold.json", fold.model_dump(mode="json"))
    made = live_binned.export(tmp_path / "fit", tmp_path / "out", session="b", place="middle", hop=4)
    facts = read_json(made / "export.json")
    assert (facts["graph"], facts["hop"], facts["place"], facts["fold"]) == ("window.onnx", 4, "middle", "2")
    assert (asked, facts["session"], facts["n_nodes"]) == ([1], "b", 7)
    assert facts["lookahead_s"] == pytest.approx(9 * 0.02)
    assert read_json(made / "fold.json")["name"] == "2"
    assert read_json(exported_binned["whole"] / "export.json")["hop"] == 2  # a tenth of a window


def test_of_several_sessions_it_is_the_first_and_it_says_so(
    exported_binned: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    asked = []

    def written(network: object, path: Path, session: int) -> BinnedGraph:
        asked.append(session)
        path.write_bytes(b"graph")
        return BinnedGraph(path, 7)

    monkeypatch.setattr("neural_foundation.export.binned_graph.export_decoding", written)
    source = exported_binned["whole"].parent / "whole-fitted"
    made = live_binned.export(source, tmp_path / "out")
    assert (asked, read_json(made / "export.json")["session"]) == ([0], "a")
    assert "session 'a', the first of 2" in caplog.text


def test_what_it_refuses(exported_binned: dict[str, Path], tmp_path: Path) -> None:
    source = exported_binned["causal"].parent / "causal-fitted"
    with pytest.raises(SpecError, match="does not know session 'c'"):
        live_binned.export(source, tmp_path / "x", session="c")
    for wrong in ({"hop": 2}, {"place": "middle"}):
        with pytest.raises(SpecError, match="each bin as it comes"):
            live_binned.export(source, tmp_path / "x", session="a", **wrong)
    facts = BinnedPackage.open(source).facts
    save_binned(tmp_path / "ridge", facts.model_copy(update={"model": MODELS.parse("ridge")}), {})
    with pytest.raises(PackageError, match="does not decode live"):
        live_binned.export(tmp_path / "ridge", tmp_path / "x", session="a")


def test_it_picks_one_of_many() -> None:
    made = STAGES.parse({"kind": "export_trials", "fold": 1, "seed": 0, "recording": "session003"})
    assert made.chosen_axes() == {"fold": "1", "seed": "0", "recording": "session003"}  # type: ignore[attr-defined]
    assert STAGES.parse("export_trials").chosen_axes() == {}  # type: ignore[attr-defined]


def test_in_a_recipe() -> None:
    stages = {
        "bin": {"kind": "bin", "dataset": "simulated_sessions"},
        "trials": {"kind": "split_trials", "inputs": {"data": "bin"}},
        "fit": {
            "kind": "fit_trials",
            "for_each": ["trials", {"seed": [0, 1]}],
            "inputs": {"data": "bin"},
            "model": {"kind": "neds", "causal": True},
            "learner": {"kind": "gradient", "objective": "multimodal"},
        },
        "export": {"kind": "export_trials", "inputs": {"model": "fit"}, "fold": 0, "seed": 0},
    }
    recipe = check({"name": "live", "seed": 0, "stages": stages})
    assert recipe.stages["export"].gives == "BinnedExported"
