"""Recordings, a network and an objective that windows in order can be tested on."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from make_prepared import prepared, spec_of
from torch import Tensor, nn

from neural_foundation.core.specs import SignalSpec
from neural_foundation.learning.base import Bound, Objective
from neural_foundation.learning.fit import fit
from neural_foundation.learning.objectives.tokens import outputs
from neural_foundation.learning.table import LEARNERS
from neural_foundation.models.multiscale import Multiscale
from neural_foundation.recordings import read
from neural_foundation.recordings.montage import standard_1005
from neural_foundation.sampling.windows import WindowSet, continuous

NAMES = ("C3", "Cz", "C4")
SIGNAL: SignalSpec = spec_of(names=NAMES).replace(positions=tuple(standard_1005()[n] for n in NAMES))
LENGTHS = (1000, 650, 820)
SMALL: dict[str, Any] = {
    "d_model": 16,
    "n_heads": 2,
    "n_layers": 1,
    "virtual_channels": 2,
    "resonators": (2, 2, 4, 4),
    "context": "stream",
    "tau_s": 5.0,
}
MODEL = Multiscale(**SMALL)
STILL = Multiscale(**SMALL, dropout=0.0, subject_dropout=0.0)
WHOLE = {
    "kind": "gradient",
    "objective": {"kind": "masked", "span_s": 0.2},
    "sampler": "ordered",
    "max_epochs": 2,
    "batch_size": 2,
    "averaging": "ema",
    "augment": {"gain": 0.2},
    "checkpoint_every_steps": 1,
}


def recordings(folder: Path, lengths: tuple[int, ...] = LENGTHS, **fields: Any) -> list[Path]:
    """Return prepared recordings of noise in volts at 100 Hz, of lengths in samples, each of a subject of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for i, n in enumerate(lengths):
        values = np.random.default_rng(i).standard_normal((3, n)).cumsum(1).astype(np.float32) * 1e-6
        paths.append(prepared(folder / f"r{i}.h5", n, subject=f"s{i}", spec=SIGNAL, values=values, **fields))
    return paths


def cut(paths: list[Path], hop_s: float = 1.0) -> WindowSet:
    """Return all windows of 1 s."""
    return continuous(paths, 1.0, hop_s)


def run(folder: Path, data: Path, learner: dict[str, Any] | None = None, **fields: Any) -> Any:
    """Fit the small network to recordings of two people, with a third one's held; goes on from a checkpoint."""
    paths = sorted(data.glob("*.h5"))
    windows = cut(paths)
    train, held = (windows.select(np.isin(windows.file, which)) for which in ([0, 1], [2]))
    asked = {"signal": SIGNAL, "target": None, "subjects": ("s0", "s1"), "folder": folder, "seed": 1} | fields
    return fit(asked.pop("model", MODEL), LEARNERS.parse(learner or WHOLE), train, held, **asked)


class Listening(Objective):
    """Notes each window's features, and has their mean square as its loss."""

    kind: Literal["listening"] = "listening"
    not_ordered: ClassVar[str] = ""

    def bind(self, bound: Bound) -> nn.Module:
        return _Listening()


NOTED: list[tuple[bool, int, Tensor]] = []  # training or not, item, features (M, D)


class _Listening(nn.Module):
    def forward(self, network: nn.Module, batch: Any) -> Tensor:
        features = outputs(network, batch).features
        for item, row in zip(batch.items.tolist(), features.detach(), strict=True):
            NOTED.append((self.training, int(item), row))
        return features.square().mean((1, 2))


@torch.no_grad()
def one_pass(network: Any, path: Path, subject: int = 0) -> Tensor:
    """Return the features (M, D) of a whole recording, heard at once."""
    with read(path) as session:
        signal = torch.from_numpy(session.signal.read()[None])
    features: Tensor = network.eval()(signal, subject=torch.tensor([subject])).features[0]
    return features
