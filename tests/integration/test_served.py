"""The served examples on simulated people, end to end on their tiny variants: trained, exported, replayed, reported."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from neural_foundation.core.store import load_arrays, read_json
from neural_foundation.core.stream import Chunk
from neural_foundation.pipeline.plan import make_plan
from neural_foundation.pipeline.recipe import load
from neural_foundation.pipeline.runner import run
from neural_foundation.realtime.live_model import LiveModel

RECIPES = {
    "sleep-staging": ("stager", "sleep_stage", ("W", "N1", "N2", "N3", "R")),
    "seizure-warning": ("warner", "seizure_warning", ("baseline", "preictal")),
    "neurofeedback": ("alpha", "alpha_up", ("rest", "up")),
}
pytestmark = pytest.mark.slow
each = pytest.mark.parametrize("name", RECIPES)


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return the folder that each tiny recipe filled."""
    folders = {name: tmp_path_factory.mktemp(name) for name in RECIPES}
    for name, folder in folders.items():
        run(make_plan(load(name, tiny=True), folder))
    return folders


def only(folder: Path, stage: str) -> Path:
    (found,) = [p.parent for p in folder.glob(f"{stage}/*/manifest.json")]
    return found


@each
def test_people_never_seen_are_told_apart(outputs: dict[str, Path], name: str) -> None:
    model, _, classes = RECIPES[name]
    scores = read_json(only(outputs[name], "evaluate") / "scores.json")
    entry = scores["models"][model]
    assert tuple(scores["classes"]) == classes
    assert entry["balanced_accuracy"]["mean"] > entry["chance"]["level_95"]
    assert set(entry["kappa"]["subjects"]) == {f"sim{k:03d}" for k in range(1, 5)}
    assert 0 < entry["kappa"]["mean"] < 1
    assert len(entry["by_class"]["recall"]) == len(classes)
    assert scores["models"]["majority"]["kappa"]["mean"] == 0


@each
def test_what_is_streamed_equals_the_evaluation(outputs: dict[str, Path], name: str) -> None:
    facts = read_json(only(outputs[name], "replay") / "replay.json")
    assert facts["largest_difference"] < 1e-6
    trace = load_arrays(only(outputs[name], "replay") / "trace.npz")
    assert trace["valid"].mean() > 0.9


@each
def test_the_exported_package_is_ready_to_be_served(outputs: dict[str, Path], name: str) -> None:
    live = LiveModel.open(only(outputs[name], "export"))
    assert (live.task, live.classes) == RECIPES[name][1:]
    decoder, raw = live.decoder(), live.facts.raw
    noise = np.random.default_rng(0).normal(0, 1e-5, (raw.n_chans, round(40 * raw.sfreq))).astype(np.float32)
    out, _ = decoder.step(Chunk.of(noise), decoder.start())
    assert out.n_times > 0
    np.testing.assert_allclose(out.values.sum(0), 1)


@each
def test_nobody_can_take_it_for_people(outputs: dict[str, Path], name: str) -> None:
    assert "imulated" in (only(outputs[name], "export") / "card.md").read_text()
    page = (only(outputs[name], "report") / "report.html").read_text()
    assert "imulated" in page
    assert "not how it does on people" in page


def test_alarms_stand_beside_chance(outputs: dict[str, Path]) -> None:
    folder = only(outputs["seizure-warning"], "evaluate")
    made = read_json(folder / "scores.json")["alarms"]["models"]
    warner, floor = made["warner"], made["majority"]
    assert warner["events"] == 8
    assert warner["foreseen"] / 8 > warner["chance"]["level_95"]
    assert 0 < warner["warning_s"]["median"] <= 360
    assert (floor["foreseen"], floor["false_per_hour"]) == (0, 0)
    assert len(warner["curve"]["sensitivity"]) == len(warner["curve"]["false_per_hour"])
    page = (only(outputs["seizure-warning"], "report") / "report.html").read_text()
    assert "Warnings and false alarms" in page
