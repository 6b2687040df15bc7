"""Small networks that decide on whole windows, and windows that they can learn to tell apart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from neural_foundation.core.specs import SignalSpec, TargetSpec
from neural_foundation.models.package import Facts, Package, save
from neural_foundation.models.packed import tensors
from neural_foundation.models.table import MODELS
from neural_foundation.models.window_network import WindowNetwork
from neural_foundation.sampling.windows import Windows

SIGNAL = SignalSpec(sfreq=100.0, ch_names=("a", "b", "c"), ch_types=("eeg", "eeg", "ecg"))
TARGET = TargetSpec(classes=("slow", "fast"))
WINDOW = 400
TINY: dict[str, dict[str, Any]] = {
    "resnet_gru": {"width": 8, "blocks": (1, 1), "hidden": 8, "kernel": 5},
    "squeezeformer": {"width": 16, "blocks": 2, "heads": 2, "kernel": 5},
    "spectrogram_efficientnet": {"width": 0.2, "depth": 0.2, "n_freqs": 16, "segment_s": 1.0, "hop_s": 0.1},
}


def spec_of(kind: str, **fields: Any) -> Any:
    return MODELS.parse({"kind": kind, "window_s": WINDOW / SIGNAL.sfreq, **TINY[kind], **fields})


def windows(n: int, seed: int = 0, n_times: int = WINDOW) -> tuple[Tensor, Tensor]:
    """Return signals (n, 3, n_times) in volts with a rhythm in noise, of 5 Hz or, class 1, of 12 Hz; and the class."""
    rng = np.random.default_rng(seed)
    target = np.arange(n) % 2
    phase = 2 * np.pi * rng.random((n, 3, 1))
    hz = np.where(target == 1, 12.0, 5.0)[:, None, None]
    rhythm = np.sin(2 * np.pi * hz * np.arange(n_times) / SIGNAL.sfreq + phase)
    signal = 1e-5 * (rhythm + 0.5 * rng.standard_normal((n, 3, n_times)))
    return torch.from_numpy(signal.astype(np.float32)), torch.from_numpy(target)


def network(kind: str, *, target: TargetSpec | None = TARGET, seed: int = 1, **fields: Any) -> WindowNetwork:
    """Return a calibrated network in evaluation mode whose decisions differ from window to window."""
    made: WindowNetwork = spec_of(kind, **fields).build(SIGNAL, target, seed=seed)
    made.calibrate([windows(16, seed=9)[0]])
    made.eval()
    if made.readout is not None:
        with torch.no_grad():
            said = made(windows(16, seed=9)[0]).logits[:, 0]
            scale = 2 / said.std(0)
            made.readout.bias.copy_(-scale * said.mean(0))
            made.readout.weight.mul_(scale[:, None])
    return made


def package(
    folder: Path, kind: str, *, raw: SignalSpec = SIGNAL, cut: dict[str, float] | None = None, **fields: Any
) -> Package:
    """Write the package of a `network` into a folder; `cut` are fields of its windows beside their length."""
    made = network(kind, **fields)
    facts = Facts(
        model=made.spec,
        raw=raw,
        signal=SIGNAL,
        target=TARGET,
        windows=Windows(length_s=WINDOW / SIGNAL.sfreq, **(cut or {})),
        name=kind,
        task="rhythm",
    )
    folder.mkdir(parents=True, exist_ok=True)
    return save(folder, facts, tensors(made.state_dict()))
