"""A small network of binned sessions that keeps to the interface: made, calibrated, trained and adopted in a moment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from neural_foundation.core.modalities import BinnedSpec
from neural_foundation.core.specs import TargetSpec
from neural_foundation.models.base import ModelSpec


class SmallSessions(nn.Module):
    """Each modality is read into a common space, summed there, seen with the window's mean, and written.

    Parameters of a session are named `read.SESSION/MODALITY`, and so on.
    """

    def __init__(self, spec: BinnedSpec, width: int, dropout: float) -> None:
        super().__init__()
        self.spec = spec
        self.read, self.write = nn.ModuleDict(), nn.ModuleDict()
        self.mean, self.sd = nn.ParameterDict(), nn.ParameterDict()
        self.unseen = nn.ParameterDict({name: nn.Parameter(torch.randn(width) * 0.1) for name in spec.names})
        self.body = nn.Sequential(nn.Linear(2 * width, width), nn.GELU(), nn.Dropout(dropout), nn.Linear(width, width))
        for index, session in enumerate(spec.sessions):
            for m in spec.modalities:
                if channels := spec.channels(index, m.name):
                    key = f"{session.name}/{m.name}"
                    n = len(m.classes) or len(channels)
                    self.read[key] = nn.Embedding(n, width) if m.classes else nn.Linear(n, width)
                    self.write[key] = nn.Linear(width, n)
                    for held, start in ((self.mean, 0.0), (self.sd, 1.0)):
                        held[key] = nn.Parameter(torch.full((n,), start), requires_grad=False)

    def calibrate_sets(self, windows: Any) -> None:
        for index, session in enumerate(windows.spec.sessions):
            for name in windows.sessions[index].values:
                if windows.spec.modality(name).kind == "continuous":
                    values = torch.from_numpy(windows.values(index, name)).flatten(0, 1)
                    known = values[~values.isnan().any(1)]
                    self.mean[f"{session.name}/{name}"].data = known.mean(0)
                    self.sd[f"{session.name}/{name}"].data = known.std(0) + 1e-6

    def standardise(self, session: int, name: str, values: Tensor) -> Tensor:
        key = f"{self.spec.sessions[session].name}/{name}"
        return (values - self.mean[key]) / self.sd[key]

    def restore(self, session: int, name: str, values: Tensor) -> Tensor:
        key = f"{self.spec.sessions[session].name}/{name}"
        return values * self.sd[key] + self.mean[key]

    def adopt(self, weights: Mapping[str, Tensor]) -> None:
        with torch.no_grad():
            for name, tensor in self.state_dict(keep_vars=True).items():
                if name in weights:
                    tensor.copy_(weights[name])

    def forward(self, batch: Any, hidden: Mapping[str, Tensor] | None = None) -> list[dict[str, Tensor]]:
        return [self._group(group, hidden or {}) for group in batch.groups]

    def _group(self, group: Any, hidden: Mapping[str, Tensor]) -> dict[str, Tensor]:
        rows, session = slice(group.first_row, group.first_row + len(group)), self.spec.sessions[group.session].name
        total: Any = 0.0
        for name, value in group.values.items():
            kind, read = self.spec.modality(name).kind, self.read[f"{session}/{name}"]
            if kind == "classes":
                token = read(value.clamp_min(0))[:, None]
            else:
                value = self.standardise(group.session, name, value) if kind == "continuous" else value
                token = read(torch.nan_to_num(value))
            mask = hidden[name][rows] if name in hidden else torch.zeros(token.shape[:2], dtype=torch.bool)
            total = total + torch.where(mask[..., None], self.unseen[name].to(token.dtype), token)
        made = self.body(torch.cat([total, total.mean(1, keepdim=True).expand_as(total)], -1))
        out = {}
        for name in group.values:
            written = self.write[f"{session}/{name}"](made)
            out[name] = written.mean(1) if self.spec.modality(name).kind == "classes" else written
        return out


class SmallBinned(ModelSpec):
    """The spec of SmallSessions."""

    kind: Literal["small_binned"] = "small_binned"
    family: ClassVar[Literal["network", "estimator"]] = "network"
    data: ClassVar[Literal["signal", "binned"]] = "binned"
    width: int = 16
    dropout: float = 0.0

    def build(self, signal: Any, target: TargetSpec | None, *, subjects: int = 0, seed: int = 0) -> nn.Module:
        with torch.random.fork_rng([]):
            torch.manual_seed(seed)
            return SmallSessions(signal, self.width, self.dropout)
