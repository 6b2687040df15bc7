"""More spikes than were recorded: a unit's count in a bin, taken from another bin in which the animal did the same.

Where units fire independently given what is measured of behaviour (the assumption of every Poisson encoding model,
and of naive Bayes), counts of one unit may be exchanged between bins of like behaviour, for each unit by itself. A
window made so tells of behaviour what a recorded one does, but not which units happened to be noisy together; so a
decoder that has seen few minutes of data learns less of their noise by heart. Where the assumption fails, correlated
noise is lost: the share of windows that are made so leaves the others as they are.

Few minutes hold few paths, too. A window may leave its own path at a bin for that of a bin of like behaviour and go on
from there, forward or backward in time (`splice`): behaviour is continuous to within the distance of neighbours.

Shapes: T bins, C units, k neighbours, d values of the behaviours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ..core.errors import DataError, SpecError, one_of
from ..core.specs import Spec

if TYPE_CHECKING:
    from ..sampling.binned import BinnedBatch, BinnedSet, Group

Indices = NDArray[np.int64]


class Resample(Spec):
    """Which windows have their counts taken from bins of like behaviour, and from how many such bins."""

    by: tuple[str, ...] = Field(min_length=1, description="continuous behaviours that say what is alike")
    share: float = Field(0.5, gt=0, le=1, description="share of the training windows that are made so")
    neighbours: int = Field(12, ge=2, description="how many of the nearest training bins a count may come from")
    splice: float = Field(
        0.0, ge=0, lt=1, description="chance a bin that such a window goes on elsewhere, from a bin of like behaviour"
    )


class Resampler:
    """The training bins of each session, and for each of them those nearest in behaviour.

    SpecError where `by` names no continuous behaviour, DataError where a session lacks one or has too few bins.
    """

    def __init__(self, spec: Resample, windows: BinnedSet) -> None:
        for name in spec.by:
            windows.spec.modality(name)
            if name not in (known := windows.spec.of_role("behaviour", "continuous")):
                raise SpecError(f"resample.by: '{name}' is no behaviour over time", allowed=one_of(known))
        if spec.splice and windows.spec.of_kind("classes"):
            given = f"resample.splice is {spec.splice:g}, but a trial's {one_of(windows.spec.of_kind('classes'))}"
            raise SpecError(f"{given} would not hold for a path that leaves it", remedy="Set splice to 0")
        self.spec, self.windows = spec, windows
        self.nearest = [self._nearest(i) for i in range(len(windows.sessions))]

    def _nearest(self, session: int) -> Indices:
        """Return (n_bins_in_all, k): the training bins nearest to each training bin, itself among them; else -1."""
        from scipy.spatial import KDTree

        held = self.windows.sessions[session]
        if missing := [name for name in self.spec.by if name not in held.values]:
            given = f"Session '{held.spec.name}' has no {one_of(missing)} to resample by"
            raise DataError(given, remedy="Leave the session out, or resample by another behaviour")
        behaviour = np.concatenate([np.asarray(held.values[n], np.float64) for n in self.spec.by], 1)
        known = np.flatnonzero(self._covered(session, len(behaviour)) & np.isfinite(behaviour).all(1))
        if len(known) <= self.spec.neighbours:
            given = f"Session '{held.spec.name}' has {len(known)} training bins of known behaviour"
            raise DataError(given, allowed=f"more than resample.neighbours, {self.spec.neighbours}")
        scaled = behaviour[known] / np.maximum(behaviour[known].std(0), 1e-12)
        found = KDTree(scaled).query(scaled, k=self.spec.neighbours)[1]
        nearest = np.full((len(behaviour), self.spec.neighbours), -1, np.int64)
        nearest[known] = known[found]
        return nearest

    def _covered(self, session: int, n: int) -> NDArray[np.bool_]:
        """Return (n,): whether a bin lies in a training window."""
        mine = self.windows.session == session
        starts, stops = np.zeros(n + 1), np.zeros(n + 1)
        np.add.at(starts, self.windows.first[mine], 1)
        np.add.at(stops, self.windows.first[mine] + self.windows.slack[mine] + self.windows.spec.n_bins, 1)
        covered: NDArray[np.bool_] = np.cumsum(starts - stops)[:n] > 0
        return covered

    def apply(self, batch: BinnedBatch) -> BinnedBatch:
        """Return the batch with the counts of a share of its windows taken from like bins, drawn for each of them."""
        draws = batch.draws("resample")
        groups = [self._group(g, draws[g.first_row : g.first_row + len(g)]) for g in batch.groups]
        return replace(batch, groups=tuple(groups))

    def _group(self, group: Group, draws: Sequence[np.random.Generator]) -> Group:
        import torch

        rows = [i for i, draw in enumerate(draws) if draw.random() < self.spec.share]
        values = {name: v.clone() for name, v in group.values.items()} if rows else dict(group.values)
        for i in rows:
            path = self._path(group.session, int(group.first[i]), draws[i])
            for name in values:
                made = self._along(group.session, name, path, draws[i])
                if made is not None:
                    values[name][i] = torch.from_numpy(made).to(values[name].device)
        return replace(group, values=values)

    def _path(self, session: int, first: int, draw: np.random.Generator) -> Indices:
        """Return (T,): the bins that a window goes through, its own unless it is spliced."""
        n_bins, near = self.windows.spec.n_bins, self.nearest[session]
        path = np.arange(first, first + n_bins)
        if not self.spec.splice:
            return path
        at, way = first, 1
        for i, leave in enumerate(draw.random(n_bins) < self.spec.splice):
            if leave and near[at, 0] >= 0:
                at, way = int(near[at, draw.integers(self.spec.neighbours)]), int(draw.choice((-1, 1)))
            path[i] = at
            on = at + way
            if 0 <= on < len(near) and near[on, 0] >= 0:
                at = on
            else:  # the path ends here: turn back
                way = -way
        return path

    def _along(self, session: int, name: str, path: Indices, draw: np.random.Generator) -> NDArray[np.float32] | None:
        """Return a modality (T, C) along a path: counts of like bins where behaviour is known; None of classes."""
        held, kind = self.windows.sessions[session].values[name], self.windows.spec.modality(name).kind
        if kind != "counts":
            return None if kind == "classes" else np.asarray(held[path], np.float32)
        near = self.nearest[session][path]
        chosen = draw.integers(self.spec.neighbours, size=(len(path), held.shape[1]))
        source = np.where(near[:, :1] >= 0, np.take_along_axis(near, chosen, 1), path[:, None])
        return np.asarray(held[source, np.arange(held.shape[1])], np.float32)
