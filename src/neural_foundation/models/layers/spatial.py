"""Spatial filters that are a function of electrode positions alone, so that any montage can be bound.

Shapes: B batch, C channels, K virtual channels, N canonical sites, T samples.

The potential at N canonical sites on the head is interpolated from whichever electrodes there are (ordinary kriging
with an exponential covariance over the angle between directions); the learned mixing A (K, N) acts on the sites.
Both are linear, so a bound montage costs one (K, C) product: W = A Phi. The rows of Phi sum to one, so a missing
channel is filled in from its neighbours and the gain is kept; a site far from every electrode tends to their
weighted mean. The idea of interpolating to a canonical montage is that of spherical splines (Perrin et al. 1989);
the covariance differs on purpose: the exponential one stays well conditioned for dense and for clustered electrodes.

A channel of unknown position has a free learned column of its own, known by its name. It serves only recordings
that have that name.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ...core.errors import SignalMismatchError
from ...core.specs import Position

Array = NDArray[np.float64]
LENGTH = 0.6  # radians over which the covariance falls by e: about two 10-20 spacings
PACE = 10.0  # the filters learn so many times faster than other weights under Adam: they decide what is seen at all
NUGGET = 0.05  # sensor noise as a share of the variance


def canonical_sites(n: int) -> Array:
    """Return n unit directions (n, 3) spread evenly over the upper head (a Fibonacci lattice, z from -0.3 to 1)."""
    i = np.arange(n) + 0.5
    z = 1.0 - 1.3 * i / n
    angle = np.pi * (1 + 5**0.5) * i
    radius = np.sqrt(1 - z**2)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle), z], 1)


def directions(positions: Sequence[Position]) -> Array:
    """Return unit vectors (C, 3); SignalMismatchError where a position is not finite or is the origin."""
    points = np.asarray(positions, dtype=np.float64).reshape(-1, 3)
    norms = np.linalg.norm(points, axis=1)
    bad = np.flatnonzero(~np.isfinite(norms) | (norms < 1e-9))
    if len(bad):
        raise SignalMismatchError(
            f"Electrode position {int(bad[0])} is {tuple(points[bad[0]].tolist())}",
            allowed="a finite position in metres away from the head's centre, or none",
            remedy="Set the montage again, or give the channel no position",
        )
    return np.asarray(points / norms[:, None], dtype=np.float64)


def interpolation(positions: Sequence[Position], sites: Array) -> Array:
    """Return Phi (N, C): weights that give the potential at each site from the electrodes; rows sum to one."""
    electrodes = directions(positions)
    gram = _covariance(electrodes, electrodes) + NUGGET * np.eye(len(electrodes))
    cross = _covariance(sites, electrodes)
    weights = np.linalg.solve(gram, cross.T).T
    ones = np.linalg.solve(gram, np.ones(len(electrodes)))
    return np.asarray(weights + np.outer((1 - weights.sum(1)) / ones.sum(), ones))


def _covariance(a: Array, b: Array) -> Array:
    return np.asarray(np.exp(-np.arccos(np.clip(a @ b.T, -1, 1)) / LENGTH))


def local_filters(positions: Sequence[Position], n_filters: int, rng: np.random.Generator) -> Array:
    """Return starting filters (K, C): surface Laplacians at well-spread electrodes, then random contrasts."""
    electrodes = directions(positions)
    n_chans = len(electrodes)
    angle = np.arccos(np.clip(electrodes @ electrodes.T, -1, 1))
    near = np.exp(-angle / 0.35) * (1 - np.eye(n_chans))
    laplacian = np.eye(n_chans) - near / np.maximum(near.sum(1, keepdims=True), 1e-12)
    rows = laplacian[_farthest(angle, min(n_filters, n_chans))]
    return np.concatenate([rows, contrasts(n_chans, n_filters - len(rows), rng)])


def contrasts(n_chans: int, n_filters: int, rng: np.random.Generator) -> Array:
    """Return random orthogonal rows (K, C) in groups of C, about the mean of all channels where C > 1."""
    groups = [np.linalg.qr(rng.standard_normal((n_chans, n_chans)))[0] for _ in range(-(-n_filters // n_chans))]
    return np.concatenate([np.zeros((0, n_chans)), *groups])[:n_filters]


def _farthest(angle: Array, n: int) -> list[int]:
    """Return n electrodes, each the farthest from those before; the first is the most central."""
    chosen = [int(angle.sum(1).argmin())]
    while len(chosen) < n:
        gap = angle[:, chosen].min(1)
        gap[chosen] = -1.0
        chosen.append(int(gap.argmax()))
    return chosen


class SpatialFilter(nn.Module):
    """Virtual channels (B, K, T) from channels (B, C, T): one product with `weight()` (K, C).

    Parameters
    ----------
    ch_names, positions : the montage it is built on; positions may be empty or hold None.
    n_filters : K. n_sites : N, the canonical sites of the mixing.
    """

    interpolate: Tensor
    free_columns: Tensor
    expand: Tensor

    def __init__(
        self,
        ch_names: Sequence[str],
        positions: Sequence[Position | None],
        *,
        n_filters: int,
        n_sites: int,
        rng: np.random.Generator,
    ) -> None:
        super().__init__()
        places = list(positions) or [None] * len(ch_names)
        self.n_sites = n_sites
        self._fixed: Tensor | None = None
        self.free_names = tuple(n for n, p in zip(ch_names, places, strict=True) if p is None)
        known = [p for p in places if p is not None]
        self._known: dict[int, Position] = {}
        self.mixing = nn.Parameter(torch.zeros(n_filters, n_sites))
        self.free = nn.Parameter(torch.zeros(n_filters, len(self.free_names))) if self.free_names else None
        self.register_buffer("interpolate", torch.zeros(n_sites, len(places)), persistent=False)
        self.register_buffer("expand", torch.zeros(len(self.free_names), len(places)), persistent=False)
        self.bind_montage(places, names=ch_names)
        with torch.no_grad():
            self._start(known, n_filters, rng)

    def _start(self, known: list[Position], n_filters: int, rng: np.random.Generator) -> None:
        if known:
            wanted = local_filters(known, n_filters, rng)
            phi = interpolation(known, canonical_sites(self.n_sites))
            self.mixing.copy_(torch.tensor(wanted @ np.linalg.pinv(phi, rcond=1e-3) / PACE, dtype=torch.float32))
        if self.free is not None:
            scale = (1.0 if not known else 0.1) / PACE
            self.free.copy_(torch.tensor(scale * contrasts(len(self.free_names), n_filters, rng), dtype=torch.float32))

    def bind_montage(
        self,
        positions: Sequence[Position | None],
        mask: Sequence[bool] | None = None,
        *,
        names: Sequence[str] | None = None,
    ) -> None:
        """Take another montage: positions (C,), mask (C,) False where a channel is to be left out.

        A channel without position is left out too, unless `names` names one that had a free column from the start.
        Raises SignalMismatchError where no usable channel is left.
        """
        used = [True] * len(positions) if mask is None else list(mask)
        known = [i for i, p in enumerate(positions) if used[i] and p is not None]
        free = {
            i: self.free_names.index(n)
            for i, n in enumerate(names or ())
            if used[i] and positions[i] is None and n in self.free_names
        }
        if not known and not free:
            raise SignalMismatchError(
                f"None of the {len(positions)} channels can be used",
                allowed="channels with a position, or with a name the model was built with",
                remedy="Set a montage (e.g. standard_1020) on the recording",
            )
        self._known = {i: p for i, p in enumerate(positions) if i in known and p is not None}
        phi = self._interpolated(self.n_sites, len(positions))
        expand = np.zeros((len(self.free_names), len(positions)))
        for channel, column in free.items():
            expand[column, channel] = 1.0
        device = self.mixing.device
        self.interpolate = torch.tensor(phi, dtype=torch.float32, device=device)
        self.expand = torch.tensor(expand, dtype=torch.float32, device=device)

    def onto(self, n_sites: int) -> Tensor:
        """Return the interpolation (n_sites, C) from the bound montage; zeros where no channel has a position."""
        return torch.tensor(self._interpolated(n_sites, self.n_chans), dtype=torch.float32, device=self.mixing.device)

    def _interpolated(self, n_sites: int, n_chans: int) -> Array:
        phi = np.zeros((n_sites, n_chans))
        if self._known:
            phi[:, list(self._known)] = interpolation(list(self._known.values()), canonical_sites(n_sites))
        return phi

    @property
    def n_known(self) -> int:
        """Channels of the bound montage whose position is known and used."""
        return len(self._known)

    @property
    def n_chans(self) -> int:
        """C of the bound montage."""
        return int(self.interpolate.shape[1])

    @contextlib.contextmanager
    def fixed(self) -> Iterator[None]:
        """Fold the filters for the bound montage once, for as long as the context lasts; gradients still flow."""
        before, self._fixed = self._fixed, self.weight()
        try:
            yield
        finally:
            self._fixed = before

    def weight(self) -> Tensor:
        """Return W (K, C), the filters on the channels of the bound montage."""
        if self._fixed is not None:
            return self._fixed
        weight = self.mixing @ self.interpolate
        return PACE * (weight if self.free is None else weight + self.free @ self.expand)

    def forward(self, signal: Tensor) -> Tensor:
        return self.weight() @ signal
