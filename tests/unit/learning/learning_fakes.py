"""A small network and small windows that learning can be tested on in milliseconds.

Windows: class 1 has twice the amplitude on its second channel. Shapes as everywhere: (n, n_chans, n_times).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor, nn

from neural_foundation.core.specs import SignalSpec, TargetSpec
from neural_foundation.models.base import ModelSpec
from neural_foundation.models.network import NetworkOutput

SIGNAL = SignalSpec(sfreq=100.0, ch_names=("a", "b", "c"))
TARGET = TargetSpec(classes=("left", "right"))
SUBJECTS = ("s1", "s2", "s3")


@dataclass(frozen=True)
class MemoryWindows:
    """The duck type of a WindowSet, in memory."""

    spec: SignalSpec
    signal: Any
    target: Any
    subject: Any
    session: Any
    trial: Any

    def __len__(self) -> int:
        return len(self.signal)

    @property
    def n_times(self) -> int:
        return int(self.signal.shape[2])

    def load(self, indices: Any) -> Any:
        return self.signal[np.asarray(indices)]

    def select(self, which: Any) -> MemoryWindows:
        names = ("signal", "target", "subject", "session", "trial")
        return replace(self, **{n: getattr(self, n)[np.asarray(which)] for n in names})


def windows(n: int = 24, *, seed: int = 0, n_times: int = 200, subjects: Sequence[str] = SUBJECTS) -> MemoryWindows:
    """Return n windows of 2 s, the subjects and classes in turn."""
    rng = np.random.default_rng(seed)
    target = np.arange(n) // len(subjects) % 2
    signal = rng.standard_normal((n, 3, n_times)).astype(np.float32)
    signal[target == 1, 1] *= 2
    subject = np.asarray([subjects[i % len(subjects)] for i in range(n)])
    return MemoryWindows(SIGNAL, signal * 1e-5, target, subject, subject, np.arange(n))


class SmallNetwork(nn.Module):
    """Log power of each channel at each token, two linear layers with dropout; the roles of a real network."""

    hop = 20
    head_names = ("readout", "reconstruct")
    subject_names = ("table", "adversary")
    front_end_names = ("spatial",)

    def __init__(self, target: TargetSpec | None, subjects: int) -> None:
        super().__init__()
        self.spatial = nn.Linear(3, 3, bias=False)
        self.body = nn.Sequential(nn.Linear(3, 8), nn.Dropout(0.2), nn.GELU(), nn.LayerNorm(8))
        self.table = nn.Embedding(subjects + 1, 8)
        self.adversary = nn.Linear(8, max(subjects, 1))
        self.reconstruct = nn.Linear(8, 3)
        self.readout = nn.Linear(8, target.n_outputs) if target else None
        self.register_buffer("mean", torch.zeros(()))
        self.checkpointing = False

    def calibrate(self, batches: Any) -> None:
        self.mean = torch.cat([self._power(b).flatten() for b in batches]).mean().detach()

    def _power(self, signal: Tensor) -> Tensor:
        mixed = self.spatial(signal.transpose(1, 2)) * 1e5
        return mixed.unflatten(1, (-1, self.hop)).square().mean(2).add(1e-3).log()

    def forward(self, signal: Tensor, subject: Any = None, token_mask: Any = None) -> NetworkOutput:
        signal = signal[:, :, : signal.shape[2] // self.hop * self.hop]
        tokens = self._power(signal) - self.mean
        given = tokens if token_mask is None else tokens * ~token_mask[..., None]
        subject = torch.zeros(len(signal), dtype=torch.long) if subject is None else subject
        steps = torch.arange(1, tokens.shape[1] + 1, device=signal.device)[:, None]
        features = self.body(given.cumsum(1) / steps) + self.table(subject)[:, None]
        logits = self.readout(features) if self.readout else None
        return NetworkOutput(
            logits, features, tokens.detach(), self.adversary(-features[:, -1]), self.reconstruct(features)
        )


class SmallModel(ModelSpec):
    """The spec of SmallNetwork."""

    kind: Literal["small"] = "small"
    family: ClassVar[Literal["network", "estimator"]] = "network"

    def build(self, signal: SignalSpec, target: TargetSpec | None, *, subjects: int = 0, seed: int = 0) -> nn.Module:
        with torch.random.fork_rng([]):
            torch.manual_seed(seed)
            return SmallNetwork(target, subjects)
