"""The recipes of binned sessions, run as a user runs them, on their tiny variants."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from quickstart_runs import Run

from neural_foundation.core.store import read_json
from neural_foundation.models.binned_package import BinnedPackage

pytestmark = pytest.mark.slow


def run(recipe: str, output: Path, *more: str) -> Run:
    call = [sys.executable, "-m", "neural_foundation", "run", recipe, "--tiny", "--output", str(output), *more]
    done = subprocess.run(call, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return Run(output, 0.0, done.stdout)


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return run("neds/single-session", tmp_path_factory.mktemp("single"))


def test_every_model_is_scored_in_its_own_directions(single: Run) -> None:
    models = read_json(single.only("evaluate") / "scores.json")["models"]
    directions = {name: {key.split(".")[0] for key in m["metrics"]} for name, m in models.items()}
    assert directions["mm"] == {"encoding", "decoding"}
    assert directions["encoding"] == directions["glm"] == directions["psth"] == {"encoding"}
    assert directions["decoding"] == directions["ridge"] == directions["gru"] == {"decoding"}
    assert {m["hold_out"] for m in models.values()} == {"trial", "block"}


def test_scores_lie_between_the_null_and_the_ceiling(single: Run) -> None:
    found = read_json(single.only("evaluate") / "scores.json")["models"]["glm"]["metrics"]
    bits = found["encoding.spikes.bits_per_spike"]
    assert 0 < bits["mean"] < bits["ceiling"]["mean"]


def test_the_summary_and_the_report_say_both_splits(single: Run) -> None:
    assert "Scores on blocks of time" in single.text
    assert "Scores on random trials" in single.text
    page = (single.only("report") / "report.html").read_text()
    for section in ("Every model, both ways round", "Encoding maps", "Rasters", "Splits"):
        assert section in page


def test_a_second_run_has_nothing_to_do(single: Run) -> None:
    assert "Nothing to do" in run("neds/single-session", single.output).text


def test_a_package_from_elsewhere_is_fine_tuned_on_a_session_it_never_saw(tmp_path: Path) -> None:
    given = run("neds/pretrain", tmp_path / "pretrain", "--stage", "pretrain").only("pretrain")
    change = f"pretrain={{kind: package, path: '{given}'}}"
    tuned = run("neds/finetune", tmp_path / "tuned", "--set", change, "--stage", "finetune")
    before, after = (BinnedPackage.open(folder) for folder in (given, tuned.only("finetune")))
    assert [s.name for s in after.facts.binned.sessions] == ["session010"]
    assert "session010" not in [s.name for s in before.facts.binned.sessions]
    old, new = before.arrays(), after.arrays()
    core = [name for name in new if name.startswith("core.") and new[name].ndim == 2]
    near = [abs(new[n] - old[n]).mean() / abs(old[n]).mean() for n in core]
    assert 0 < max(near) < 0.5, "the core goes on from the package's, in a few steps"
    assert "others" not in {p.name for p in tuned.output.iterdir()}, "the ten sessions are not made again"
