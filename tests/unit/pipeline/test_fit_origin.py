"""fit says in the package what training began with, where a setting left that open."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import window_networks

from neural_foundation.core.specs import SignalSpec
from neural_foundation.models.package import Package
from neural_foundation.pipeline.plan import make_plan
from neural_foundation.pipeline.recipe import check
from neural_foundation.pipeline.runner import run
from neural_foundation.recordings import Intervals, write_edf

KIND = "spectrogram_efficientnet"
SPEC = SignalSpec(sfreq=100, ch_names=("Cz", "Pz"), ch_types=("eeg", "eeg"))
GRADIENT = {"kind": "gradient", "objective": {"kind": "classify", "from_s": 0}, "max_epochs": 1, "batch_size": 8}


@pytest.mark.slow
def test_a_package_says_that_its_weights_began_from_scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    onset = 1.0 + 2.0 * np.arange(8)
    (tmp_path / "data" / "ann").mkdir(parents=True)
    events = Intervals(onset, onset + 2.0, ("left", "right") * 4)
    values = np.random.default_rng(0).normal(0, 1e-5, (2, 1900))
    write_edf(tmp_path / "data" / "ann" / "run.edf", values=values, spec=SPEC, annotations=events, subject="x")
    hub = {"pretrained": "nobody/nothing", "pretrained_or_scratch": True}
    recipe = {
        "name": "began",
        "stages": {
            "prepare": {
                "kind": "prepare",
                "dataset": {
                    "kind": "recordings",
                    "path": str(tmp_path / "data"),
                    "events": {k: k for k in ("left", "right")},
                },
                "windows": {"length_s": 2.0},
            },
            "net": {
                "kind": "fit",
                "inputs": {"data": "prepare"},
                "model": {"kind": KIND, "window_s": 2.0, **window_networks.TINY[KIND], **hub},
                "learner": GRADIENT,
            },
        },
    }
    plan = make_plan(check(recipe), tmp_path / "out")
    run(plan)
    (task,) = plan.of_stage("net")
    output = task.output()
    assert output is not None
    package = Package.open(output.folder)
    assert package.facts.trained["began_from"] == "scratch, 'nobody/nothing' was not reached"
    assert "| Began from | scratch, 'nobody/nothing' was not reached |" in output.path("card.md").read_text()
    assert package.predict_proba(np.zeros((1, 2, 200), np.float32)).shape == (1, 2)
