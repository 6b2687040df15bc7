"""Small packages of binned sessions that decode live: a causal model and one that sees windows whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from binned import made_session, made_set

from neural_foundation.core.lineage import Output
from neural_foundation.models.binned_package import BinnedFacts, BinnedPackage, save_binned
from neural_foundation.models.neds import Neds
from neural_foundation.models.packed import tensors
from neural_foundation.pipeline.stage import Job
from neural_foundation.pipeline.table import STAGES
from neural_foundation.sampling.binned import BinnedSet

BINS = 20
FORMS: dict[str, dict[str, Any]] = {
    "causal": {"layers": 2, "causal": True, "context_bins": 6, "local_bins": 4},
    "whole": {"layers": 1, "bin_embedding": False},
}
SESSION = "a"


def windows() -> BinnedSet:
    """Return the trials of 'a', with all modalities, and of 'b', which lacks a speed and a class."""
    return made_set([made_session("a", 0, gaps=0.2), made_session("b", 1, without=("wheel_speed", "block"))])


def package(folder: Path, *, data: BinnedSet | None = None, **fields: Any) -> BinnedPackage:
    """Write a package of a model with weights drawn at random, so that everything matters."""
    data = data or windows()
    spec = Neds(size="tiny", width=16, heads=2, **fields)
    network = spec.build(data.spec, seed=3)
    network.calibrate_sets(data)
    noise = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for p in network.parameters():
            p += 0.1 * torch.randn(p.shape, generator=noise)
    facts = BinnedFacts(model=spec, binned=data.spec, subjects=("animal-a", "animal-b"), name="live")
    return save_binned(folder, facts, tensors(network.state_dict()))


def export(source: Path, folder: Path, **fields: Any) -> Path:
    """Run the stage on a package's folder; return where it wrote."""
    folder.mkdir(parents=True, exist_ok=True)
    job = Job(stage="export", item={}, seed=0, folder=folder, inputs={"model": [Output("fit", "", "k", source)]})
    STAGES.parse({"kind": "export_trials", **fields}).run(job)  # type: ignore[attr-defined]
    return folder


def exported(folder: Path, form: str) -> Path:
    """Return the folder of an exported package, made where it is not there."""
    made = folder / form
    if not (made / "export.json").is_file():
        export(package(folder / f"{form}-fitted", **FORMS[form]).folder, made, session=SESSION)
    return made
