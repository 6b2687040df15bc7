"""A small ensemble: two estimators, one of them twice, and a network of whole windows with its graph."""

from __future__ import annotations

import fcntl
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import window_networks
import window_package
from small_package import CHAIN, HANDS, RAW, signal

from neural_foundation.core.stream import run
from neural_foundation.evaluation.ensembling import Blend, Stack
from neural_foundation.export.ensemble_package import EnsembleFacts, EnsemblePackage, Method, save_ensemble
from neural_foundation.export.window_graph import export_window
from neural_foundation.models.package import WINDOW_GRAPH, Facts, Package, save
from neural_foundation.models.packed import FACTS, tensors
from neural_foundation.models.table import MODELS
from neural_foundation.sampling.windows import Windows
from neural_foundation.signals.chain import chain
from neural_foundation.signals.table import SIGNALS

NAMES = ("bands", "trees", "net")
BLEND = Blend(
    temperatures=np.array([1.3, 0.8, 1.1]),
    weights=np.array([0.2, 0.5, 0.3]),
    geometric=np.array([0.1, 0.3, 0.6]),
    after=(0.9, 1.2),
    stack=Stack(np.linspace(-0.4, 0.5, 12).reshape(6, 2), np.array([0.05, -0.05]), 0.1),
)


def cleaned(n_times: int, seed: int = 0) -> np.ndarray:
    """Return what the packages' chain makes of a signal (3, n_times)."""
    return run(chain(tuple(SIGNALS.parse(dict(op)) for op in CHAIN), RAW), signal(n_times, seed)).values


def windows(n: int, seed: int = 5) -> np.ndarray:
    return np.stack(np.split(cleaned(200 * n, seed), n, axis=1))


def network(folder: Path) -> Package:
    """Write a tiny network of windows with the chain of `window_package`, and its graph."""
    model = MODELS.parse({"kind": "resnet_gru", "window_s": 2.0, **window_networks.TINY["resnet_gru"]})
    made = model.build(RAW, HANDS, seed=2)
    made.calibrate([torch.from_numpy(windows(8))])
    with torch.no_grad():
        made.readout.weight.mul_(30)
    made.eval()
    facts = Facts(
        model=model,
        chain=tuple(SIGNALS.parse(dict(op)) for op in CHAIN),
        raw=RAW,
        signal=RAW,
        target=HANDS,
        windows=Windows(start_s=0.5, length_s=2.0),
        name="net",
        task="hands",
    )
    folder.mkdir(parents=True, exist_ok=True)
    export_window(made, folder / WINDOW_GRAPH)
    return save(folder, facts, tensors(made.state_dict()))


def make(folder: Path, *, method: Method = "weighted") -> EnsemblePackage:
    """Write an ensemble of 'bands' (two packages), 'trees' and 'net' into a folder."""
    places = [folder / "members" / p for p in ("bands/fold-0", "bands/fold-1", "trees/fold-0", "net/fold-0")]
    first = window_package.make(places[0])
    other = window_package.SPECS["band_power"] | {"c": 10.0}
    window_package.SPECS["other_bands"] = other
    try:
        window_package.make(places[1], "other_bands")
    finally:
        del window_package.SPECS["other_bands"]
    window_package.make(places[2], "boosted_trees")
    network(places[3])
    shared = {n: getattr(first.facts, n) for n in ("raw", "chain", "signal", "target", "windows")}
    facts = EnsembleFacts(name="joined", task="hands", ensemble=NAMES, **shared)
    members = {"bands": places[:2], "trees": places[2:3], "net": places[3:]}
    return save_ensemble(folder, facts, BLEND, method, members)


def shared(factory: pytest.TempPathFactory) -> EnsemblePackage:
    """Return one made once for all the workers of a run; read it, do not change it."""
    base = factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "small-ensemble"
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return EnsemblePackage.open(folder) if (folder / FACTS).is_file() else make(folder)


def copied(package: EnsemblePackage, folder: Path) -> Path:
    shutil.copytree(package.folder, folder)
    return folder
