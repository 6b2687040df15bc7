"""What of a network belongs to one session, or to channels of one name, rather than to all.

Shapes: b windows, T bins, C channels of a modality in one session, D width of a token, k width of a unit's embedding.
Every map here starts so that a fresh network predicts what calibration knows: mean rates, zero in standard deviations.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

START = 0.3  # size of a unit's embedding at the start: small, so that a new session begins near its mean rates


def key_of(name: str) -> str:
    """Return a name of a parameter for any name; no two names give the same one."""
    return "s_" + "".join(c if c.isascii() and (c.isalnum() or c == "-") else _escaped(c) for c in name)


def _escaped(c: str) -> str:
    return "__" if c == "_" else f"_{ord(c):x}_"


def transformed(counts: Tensor, transform: str) -> Tensor:
    """Return counts on the scale that tokens are made from."""
    if transform == "sqrt":
        return counts.sqrt()
    return counts.log1p() if transform == "log1p" else counts


class Counts(nn.Module):
    """A session's units: counts to tokens and back, by one linear map each. Base of `UnitCounts`.

    mean : (C,) of the transformed counts in training. scale : their standard deviation, one number for all units, so
    that a busy unit keeps its greater weight. bias : (C,) log events a bin.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("scale", torch.ones(()))
        self.bias = nn.Parameter(torch.zeros(channels))

    def centred(self, values: Tensor) -> Tensor:
        """Return transformed counts about their mean."""
        return (values - self.mean) / self.scale

    def tokens(self, values: Tensor, basis: Basis | None) -> Tensor:
        """Return tokens (b, T, D) of centred counts (b, T, C)."""
        raise NotImplementedError

    def log_rates(self, h: Tensor, basis: Basis | None) -> Tensor:
        """Return log events a bin (b, T, C) from the core's tokens (b, T, D)."""
        raise NotImplementedError


class StitchedCounts(Counts):
    """One linear map a session in, and one out."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__(channels)
        self.embed = nn.Parameter(torch.randn(width, channels) / math.sqrt(channels))
        self.read = nn.Parameter(torch.zeros(channels, width))

    def tokens(self, values: Tensor, basis: Basis | None) -> Tensor:
        """Return tokens (b, T, D) of centred counts (b, T, C)."""
        return functional.linear(values, self.embed)

    def log_rates(self, h: Tensor, basis: Basis | None) -> Tensor:
        """Return log events a bin (b, T, C) from the core's tokens (b, T, D)."""
        return functional.linear(h, self.read, self.bias)


class Basis(nn.Module):
    """The tuning that all sessions' units share: an embedding to a token's parts, and a token to an embedding's.

    regions : one vector a brain region, by name, added to the embeddings of its units.
    """

    def __init__(self, unit_width: int, width: int) -> None:
        super().__init__()
        self.embed = nn.Parameter(torch.randn(width, unit_width) / math.sqrt(unit_width))
        self.read = nn.Parameter(torch.zeros(unit_width, width))
        self.regions = nn.ParameterDict()

    def know(self, regions: Sequence[str]) -> None:
        """Add regions that are not known yet; they start at zero."""
        for region in sorted(set(regions) - {""}):
            if key_of(region) not in self.regions:
                self.regions[key_of(region)] = nn.Parameter(torch.zeros(self.embed.shape[1]))


class UnitCounts(Counts):
    """An embedding (k numbers), a gain and a bias a unit; the maps from and to tokens are the shared `Basis`.

    Log rate = bias + (embedding + region) . read h, token = embed sum_u gain_u count_u (embedding + region)_u.
    """

    region: Tensor

    def __init__(self, channels: int, unit_width: int, regions: Sequence[str]) -> None:
        super().__init__(channels)
        self.embedding = nn.Parameter(torch.randn(channels, unit_width) * START / math.sqrt(unit_width))
        self.gain = nn.Parameter(torch.full((channels,), math.sqrt(unit_width / channels) / START))
        self.known = sorted(set(regions) - {""})
        index = [self.known.index(r) + 1 if r else 0 for r in regions]
        self.register_buffer("region", torch.tensor(index, dtype=torch.int64), persistent=False)

    def tokens(self, values: Tensor, basis: Basis | None) -> Tensor:
        """Return tokens (b, T, D) of centred counts (b, T, C)."""
        assert basis is not None
        made = values @ (self.gain[:, None] * self._embedding(basis))
        return functional.linear(made, basis.embed)

    def log_rates(self, h: Tensor, basis: Basis | None) -> Tensor:
        """Return log events a bin (b, T, C) from the core's tokens (b, T, D)."""
        assert basis is not None
        return functional.linear(functional.linear(h, basis.read), self._embedding(basis), self.bias)

    def _embedding(self, basis: Basis) -> Tensor:
        if not self.known:
            return self.embedding
        regions = [torch.zeros_like(self.embedding[0]), *(basis.regions[key_of(r)] for r in self.known)]
        return self.embedding + torch.stack(regions)[self.region]


class Scale(nn.Module):
    """Mean and standard deviation (C,) of a session's continuous modality in training."""

    mean: Tensor
    std: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("std", torch.ones(channels))


class Channels(nn.Module):
    """Continuous channels, standardised: values to tokens and back; of all sessions that have channels so named."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.embed = nn.Linear(channels, width)
        self.read = nn.Linear(width, channels)
        nn.init.normal_(self.embed.weight, std=1 / math.sqrt(channels))
        for parameter in (self.embed.bias, self.read.weight, self.read.bias):
            nn.init.zeros_(parameter)


class Classes(nn.Module):
    """A word a trial: its token, and the logits of the words."""

    def __init__(self, classes: int, width: int) -> None:
        super().__init__()
        self.embed = nn.Embedding(classes, width)
        self.read = nn.Linear(width, classes)
        for parameter in (self.read.weight, self.read.bias):
            nn.init.zeros_(parameter)
