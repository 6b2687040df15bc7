"""Outputs of the stages that come before an evaluation of trials, made without them: sessions and fitted packages."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from neural_foundation.core.lineage import Output, open_output, write_manifest
from neural_foundation.core.modalities import BinnedSessionSpec, ModalitySpec
from neural_foundation.core.store import write_json
from neural_foundation.models.base import ModelSpec
from neural_foundation.models.binned_package import BinnedFacts, save_binned
from neural_foundation.models.table import MODELS
from neural_foundation.pipeline.stages.split_trials import sets
from neural_foundation.sampling.binned import BinnedSession, spec_of
from neural_foundation.sampling.roles import TrialFold

DATASET = {
    "kind": "made",
    "title": "Made sessions",
    "licence": "CC0",
    "citation": "none",
    "url": "",
    "note": "Made sessions say nothing about animals.",
}


def walker(name: str = "w", bins: int = 400, units: int = 8, seed: int = 0) -> BinnedSession:
    """Return one long recording of an animal that walks in a square of 100 cm, its units tuned to where it is."""
    rng = np.random.default_rng(seed)
    angle = np.cumsum(rng.normal(0, 0.3, bins))
    step = np.stack([np.cos(angle), np.sin(angle)], 1) * 4
    path = np.cumsum(step, 0) % 200
    position = np.where(path > 100, 200 - path, path)
    centre = rng.uniform(0, 100, (units, 2))
    rate = 0.1 + 2 * np.exp(-((position[:, None] - centre) ** 2).sum(2) / (2 * 20**2))
    position[bins // 2 : bins // 2 + 5] = np.nan
    modalities = (
        ModalitySpec(name="spikes", kind="counts"),
        ModalitySpec(name="position", kind="continuous", unit="cm"),
    )
    spec = BinnedSessionSpec(name=name, subject=name, channels=(tuple(f"u{i}" for i in range(units)), ("x", "y")))
    values = {"spikes": rng.poisson(rate).astype(np.uint16), "position": position.astype(np.float32)}
    where = np.array([0]), np.array([bins]), np.array([3.0])
    return BinnedSession(spec, 0.1, modalities, values, *where)


def output(stage: str, item: dict[str, str], folder: Path) -> Output:
    """Finish a folder as the runner would."""
    facts = {
        "stage": stage,
        "item": ".".join(f"{a}-{v}" for a, v in sorted(item.items())),
        "key": f"key-{stage}",
        "facts": {"item": item, "seed": 3},
        "run": {"command": "neural-foundation run made"},
    }
    write_manifest(folder, facts)
    made = open_output(folder)
    assert made is not None
    return made


def binned(root: Path, sessions: Sequence[BinnedSession]) -> list[Output]:
    """Write sessions as the bin stage does."""
    made = []
    for session in sessions:
        folder = root / "bin" / session.spec.name
        facts = {"said": "8 of 9 units (1 silent); all trials", "subject": session.spec.subject, "overlap_s": 0.0}
        session.write(folder, {**facts, "recording": session.spec.name, "dataset": DATASET})
        made.append(output("bin", {"recording": session.spec.name}, folder))
    return made


def fitted(
    root: Path,
    stage: str,
    model: str | dict[str, Any],
    sessions: Sequence[BinnedSession],
    fold: TrialFold | None,
    n_bins: int,
    **item: str,
) -> Output:
    """Fit a baseline to sessions and write its package as the fit_trials stage does."""
    spec, known = MODELS.parse(model), spec_of(sessions, n_bins)
    assert isinstance(spec, ModelSpec)
    train = sets(fold or TrialFold(name="all", hold_out="block"), sessions, n_bins)
    estimator = spec.binned_estimator(known).fit(train["train"], train["validation"])
    axes = {**({"fold": fold.name} if fold else {}), **item}
    folder = root / stage / ("-".join(axes.values()) or "only")
    people = tuple(dict.fromkeys(s.spec.subject for s in sessions))
    save_binned(
        folder, BinnedFacts(model=spec, binned=known, subjects=people, name=stage, fold=fold), estimator.state()
    )
    history = [{"step": k, "train_loss": 1 / k, "validation_loss": 1.1 / k} for k in (1, 2, 3)]
    write_json(folder / "history.json", history)
    return output(stage, axes, folder)
