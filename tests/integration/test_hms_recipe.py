"""The recipe `hms` on files in the competition's own layout, from raw files to the ensemble that decides."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from quickstart_runs import Run

from neural_foundation.api import NeuralFoundationModel
from neural_foundation.core.store import read_json
from neural_foundation.datasets.simulated.icu import SimulatedHMS

pytestmark = pytest.mark.slow
pq = pytest.importorskip("pyarrow.parquet")

FEWER = (
    "split.folds=2",
    "contrastive.learner.max_epochs=1",
    "resnet_gru.learner.max_epochs=1",
    "efficientnet.learner.max_epochs=1",
    "squeezeformer.learner.max_epochs=1",
    "squeezeformer_pretrained.learner.max_epochs=1",
    "trees.for_each=[split, {seed: [0]}]",
    "few_pretrained.learner.max_epochs=1",
    "few_scratch.learner.max_epochs=1",
)


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Write a small set whose first file is cut off and one of whose rows nobody voted on; return it and that file."""
    folder = tmp_path_factory.mktemp("competition") / "hms"
    SimulatedHMS(patients=14, eegs=2, rows=3, seed=3).write(folder)
    cut, *_ = sorted((folder / "train_eegs").glob("*.parquet"))
    cut.write_bytes(cut.read_bytes()[:5000])
    path = folder / "train.csv"
    rows = path.read_text().splitlines()
    second = max(i for i, row in enumerate(rows) if row.split(",")[1] == "1")  # of an EEG with a row before it
    rows[second] = ",".join([*rows[second].split(",")[:-6], *"000000"])
    path.write_text("\n".join(rows) + "\n")
    for spectrogram in (folder / "train_spectrograms").iterdir():
        spectrogram.unlink()  # the recipe does not use them
    return folder, cut


@pytest.fixture(scope="module")
def made(layout: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Run:
    output = tmp_path_factory.mktemp("hms")
    dataset = json.dumps({"kind": "hms", "path": str(layout[0]), "spectrogram": False, "faulty_rows": "leave_out"})
    call = [sys.executable, "-m", "neural_foundation", "run", "hms", "--tiny", "--output", str(output)]
    sets = [part for change in (f"prepare.dataset={dataset}", *FEWER) for part in ("--set", change)]
    done = subprocess.run([*call, *sets], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return Run(output, 0.0, done.stdout)


def test_what_was_left_out_is_said(made: Run, layout: tuple[Path, Path]) -> None:
    page = (made.only("report") / "report.html").read_text()
    assert f"1 recording is in quarantine and left out: {layout[1].stem} (" in page
    assert "1 faulty row is left out: line " in page
    assert "nobody voted" in page
    assert layout[1].stem in made.text


def test_no_patient_is_on_both_sides(made: Run) -> None:
    folds = read_json(made.only("split") / "split.json")
    assert len(folds) == 2
    for fold in folds:
        roles = [set(fold[role]) for role in ("train", "validation", "test")]
        assert not roles[0] & roles[1] | roles[0] & roles[2] | roles[1] & roles[2]
        for package in made.output.glob(f"*/fold-{fold['name']}*/package.json"):
            assert not set(read_json(package)["subjects"]) & roles[2], package


def test_the_ensemble_decides_on_what_the_experts_saw(made: Run) -> None:
    model = NeuralFoundationModel.from_pretrained(made.only("export_ensemble"))
    decoder = model.get_decoder("harmful_brain_activity")
    assert decoder.decoder.past_s == 20.0
    assert decoder.decode(np.zeros((19, 49 * 200), np.float32)) is None
    noise = np.random.default_rng(0).normal(0, 2e-5, (19, 2 * 50 * 200)).astype(np.float32)
    decision = decoder.decode(noise)
    assert decision is not None
    assert decision.valid
    assert sum(decision.probability.values()) == pytest.approx(1, abs=1e-6)
    assert list(decision.probability) == ["Seizure", "LPD", "GPD", "LRDA", "GRDA", "Other"]
