"""The neds model on real recordings: it must be worth more than the linear and Poisson models beside it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from neural_foundation.core.store import read_json
from neural_foundation.datasets.base import DATA_FOLDER

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (Path(os.environ.get(DATA_FOLDER, "/nowhere")) / "spykesml").is_dir(),
        reason=f"needs spykesml under {DATA_FOLDER}",
    ),
]
ONE_BLOCK = ("blocks.only=1", "mm.for_each=[blocks, {seed: [0]}]")


def test_velocity_above_ridge_and_spikes_above_the_poisson_model(tmp_path: Path) -> None:
    settings = [part for setting in ONE_BLOCK for part in ("--set", setting)]
    call = [sys.executable, "-m", "neural_foundation", "run", "neds/macaque", "--stage", "evaluate"]
    done = subprocess.run([*call, *settings, "--output", str(tmp_path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (folder,) = [p.parent for p in tmp_path.glob("evaluate/*/scores.json")]
    models: dict[str, Any] = read_json(folder / "scores.json")["models"]

    def mean(model: str, name: str) -> float:
        return float(models[model]["metrics"][name]["mean"])

    for channel in ("x", "y"):
        assert mean("mm", f"decoding.velocity.r2[{channel}]") > mean("ridge", f"decoding.velocity.r2[{channel}]")
    assert mean("mm", "encoding.spikes.bits_per_spike") > mean("glm", "encoding.spikes.bits_per_spike") > 0
