"""Small packages of models that decide on whole windows, for tests of live decoding."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from small_package import CHAIN, HANDS, RAW, signal

from neural_foundation.core.specs import TargetSpec
from neural_foundation.core.stream import run
from neural_foundation.models.package import Facts, Package, save
from neural_foundation.models.table import MODELS
from neural_foundation.sampling.windows import Windows
from neural_foundation.signals.chain import chain
from neural_foundation.signals.table import SIGNALS

SPECS = {
    "band_power": {"kind": "band_power", "bands": [[4, 8], [8, 13]], "segment_s": 1.0, "c": 0.1},
    "tangent_space": {"kind": "tangent_space", "bands": [[8, 13]], "c": 0.1},
    "cca": {"kind": "cca"},
    "boosted_trees": {"kind": "boosted_trees", "max_iter": 10, "min_samples_leaf": 5},
}


def make(folder: Path, kind: str = "band_power", *, hop_s: float | None = None) -> Package:
    """Write a package into `folder`: an estimator that tells a strong rhythm in noise from a weak one."""
    ops = tuple(SIGNALS.parse(dict(op)) for op in CHAIN)
    model = MODELS.parse(SPECS[kind])
    target = TargetSpec(classes=("10", "15")) if kind == "cca" else HANDS
    clean = [run(chain(ops, RAW), signal(3000, seed=s)).values for s in range(3)]
    windows = np.concatenate([np.stack(np.split(c, 15, axis=1)) for c in clean])
    power = windows[:, 0].var(1)
    estimator = model.estimator(RAW, target)
    estimator.fit(windows, (power > np.median(power)).astype(int), np.repeat(["a", "b", "c"], 15))
    facts = Facts(
        model=model,
        chain=ops,
        raw=RAW,
        signal=RAW,
        target=target,
        windows=Windows(start_s=0.5, length_s=2.0, hop_s=hop_s),
        name="bands",
        task="hands",
    )
    folder.mkdir(parents=True, exist_ok=True)
    return save(folder, facts, estimator.state())
