"""What a `neds` network keeps for one session, and the names it is kept under."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

import torch
from torch import nn

from ..core.errors import SignalMismatchError
from ..core.modalities import BinnedSessionSpec, BinnedSpec
from ..core.seeds import derive
from ..core.specs import digest
from .layers.stitching import Counts, Scale, StitchedCounts, UnitCounts
from .neds import Neds


def of_a_name(parameter: str) -> bool:
    """Return whether a parameter is of a session, of channels or of a region: of what not every network knows."""
    return parameter.startswith(("sessions.", "channels.")) or ".regions." in parameter


def channels_key(name: str, channels: Sequence[str]) -> str:
    """Return the name that maps of a continuous modality with these channels are kept under."""
    return f"m_{name}-{digest(list(channels))[:12]}"


@contextlib.contextmanager
def drawn(seed: int, *purpose: str) -> Iterator[None]:
    """Draw torch's random numbers from a seed of our own and leave the process's generator as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(seed, *purpose))
        yield


class SessionPart(nn.Module):
    """What is of one session alone: its vector, its units' maps, its scales."""

    def __init__(self, spec: Neds, signal: BinnedSpec, session: BinnedSessionSpec) -> None:
        super().__init__()
        self.embedding = nn.Parameter(torch.zeros(spec.sized("width")))
        self.counts, self.scales = nn.ModuleDict(), nn.ModuleDict()
        located = next(iter(signal.of_kind("counts")), "")
        for modality, channels in zip(signal.modalities, session.channels, strict=True):
            if modality.kind == "counts" and channels:
                self.counts[f"m_{modality.name}"] = _counts_of(
                    spec, len(channels), session.regions if modality.name == located else ()
                )
            elif modality.kind == "continuous" and channels:
                self.scales[f"m_{modality.name}"] = Scale(len(channels))

    def of_counts(self, name: str) -> Counts:
        """Return the maps of a modality of counts."""
        part = self.counts[f"m_{name}"]
        assert isinstance(part, Counts)
        return part

    def of_continuous(self, name: str) -> Scale:
        """Return the scale of a continuous modality."""
        part = self.scales[f"m_{name}"]
        assert isinstance(part, Scale)
        return part


def _counts_of(spec: Neds, channels: int, regions: Sequence[str]) -> Counts:
    if regions and len(regions) != channels:
        raise SignalMismatchError(f"{len(regions)} regions of {channels} units", allowed="one a unit, or none")
    if spec.inputs == "units":
        return UnitCounts(channels, spec.unit_width, regions or [""] * channels)
    return StitchedCounts(channels, spec.sized("width"))
