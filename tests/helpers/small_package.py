"""A small exported package with random weights, for tests of live decoding."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from neural_foundation.core.specs import SignalSpec, TargetSpec
from neural_foundation.core.stream import run
from neural_foundation.export.step_graph import export_step
from neural_foundation.models.multiscale import Multiscale
from neural_foundation.models.package import GRAPH, Facts, Package, save
from neural_foundation.models.packed import tensors
from neural_foundation.recordings.montage import standard_1005
from neural_foundation.sampling.windows import Windows
from neural_foundation.signals.chain import chain
from neural_foundation.signals.table import SIGNALS

NAMES = ("C3", "Cz", "C4")
RAW = SignalSpec(sfreq=100, ch_names=NAMES, ch_types=("eeg",) * 3, positions=tuple(standard_1005()[n] for n in NAMES))
CHAIN = ({"kind": "bandpass", "low_hz": 2, "high_hz": 40}, {"kind": "normalise", "mode": "global"})
HANDS = TargetSpec(classes=("left", "right"))
MODEL = Multiscale(d_model=16, n_heads=2, n_layers=1, virtual_channels=2, resonators=(2, 2, 4, 4))


def make(folder: Path, *, target: TargetSpec | None = HANDS, export: bool = True) -> Package:
    """Write a package into `folder`, calibrated on noise."""
    folder.mkdir(parents=True, exist_ok=True)
    ops = tuple(SIGNALS.parse(dict(op)) for op in CHAIN)
    network = MODEL.build(RAW, target, seed=3)
    clean = [run(chain(ops, RAW), signal(800, seed=s)).values for s in range(3)]
    network.calibrate([torch.from_numpy(c[None]) for c in clean])
    if target is not None:
        with torch.no_grad():
            network.readout.weight.mul_(10)  # so that decisions differ
    facts = Facts(
        model=MODEL,
        chain=ops,
        raw=RAW,
        signal=RAW,
        target=target,
        windows=Windows(start_s=0.5, length_s=2.0),
        name="adapt",
        task="hands",
    )
    package = save(folder, facts, tensors(network.state_dict()))
    if export:
        export_step(network, folder / GRAPH, tokens="one")
    return package


def opened(folder: Path) -> Package | None:
    """Return the exported package in `folder`; None where it is not there, or not finished."""
    return Package.open(folder) if (folder / GRAPH).exists() else None


def signal(n_times: int, seed: int = 0) -> np.ndarray:
    """Return noise (3, n_times) in volts with a rhythm that comes and goes."""
    rng = np.random.default_rng(seed)
    t = np.arange(n_times) / RAW.sfreq
    rhythm = np.sin(2 * np.pi * 10 * t) * (1 + np.sin(2 * np.pi * 0.3 * t))
    return (1e-5 * (rng.standard_normal((3, n_times)) + np.array([[1.0], [0.2], [0.0]]) * rhythm)).astype(np.float32)
