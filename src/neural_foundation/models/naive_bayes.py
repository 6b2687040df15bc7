"""Position from spikes by Bayes' rule on Poisson rate maps.

Shapes: n windows, T bins, C units, D axes of the position (1 or 2), G places of a grid, flattened.

Sources: Zhang et al. 1998 (J Neurophysiol 79:1017): the maps, the posterior, and the memory of where it was.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from neural_foundation.core.errors import DataError, SpecError
from neural_foundation.core.modalities import BinnedSpec

from .binned_estimator import BinnedEstimator, BinnedModel, Windows
from .linear import softmax

Array = NDArray[Any]
LEARNED = ("low", "cell", "shape", "log_rate", "rate", "log_prior", "step", "smooth")
WIDTHS = (0.02, 0.04, 0.06, 0.09, 0.13)  # of the maps' smoothing, shares of the longest side
LEAST = 0.02  # the least rate of a place, as a share of the unit's mean: a unit silent there says little, not all


class NaiveBayes(BinnedModel):
    """Decode a position of one or two channels: the mean of the posterior over a grid of places.

    Given the place, units fire independently and by Poisson's law. A map is spikes by time spent, both smoothed with a
    Gaussian whose width is the best on the validation part, and its places not visited get the unit's mean rate.

    Without `memory` each bin is decoded by itself, from the counts within `window_s` around it, as far as they lie in
    the window of bins. With it, from its own counts alone and from the posterior of the bin before, spread by how far
    the animal moves in a bin: causal, and begun anew in each window. `ahead` adds what follows, up to the window's end
    (the forward-backward recursion of a hidden Markov model): the posterior given all counts of the window.
    """

    kind: Literal["naive_bayes"] = "naive_bayes"
    modality: str = Field("position", description="the modality that is decoded")
    window_s: float = Field(1.4, gt=0, description="without memory: counts are summed over so long around each bin")
    prior: Literal["flat", "occupancy"] = Field("flat", description="of places: all alike, or as visited in training")
    memory: bool = Field(False, description="begin at the posterior of the bin before")
    ahead: bool = Field(False, description="with memory: given what follows in the window, too")
    places: int = Field(32, ge=4, le=200, description="of the grid along the longest side")

    @model_validator(mode="after")
    def _ahead_is_memory(self) -> NaiveBayes:
        if self.ahead and not self.memory:
            raise ValueError("ahead is the memory's other half: set memory: true")
        return self

    def binned_estimator(self, signal: BinnedSpec, *, seed: int = 0) -> NaiveBayesEstimator:
        """Return the unfitted estimator; the seed is not used. SpecError where the modality is no position."""
        return NaiveBayesEstimator(self, signal)


class NaiveBayesEstimator(BinnedEstimator):
    """Learned: the grid's corner `low` (D,), `cell` (1,) and `shape` (D,); `log_rate` (G, C) and its sum over units
    `rate` (G,), events a bin; `log_prior` (G,); `step` (D,), the deviation of a bin's movement; `smooth` (1,)."""

    def __init__(self, model: NaiveBayes, spec: BinnedSpec) -> None:
        super().__init__(spec)
        self.model = model
        if spec.modality(model.modality).kind != "continuous":
            given = f"naive_bayes cannot decode '{model.modality}', which is of {spec.modality(model.modality).kind}"
            raise SpecError(given, allowed="a continuous modality", remedy="Name it in the model's field 'modality'")
        for index, session in enumerate(spec.sessions):
            if len(spec.channels(index, model.modality)) > 2:
                given = f"'{model.modality}' of session '{session.name}' has more than two channels"
                raise SpecError(given, allowed="one or two", remedy="Name a position in the model's field 'modality'")
        self.half = 0 if model.memory else max(0, round((model.window_s / spec.bin_s - 1) / 2))

    def _fit(self, session: int, train: Windows, validation: Windows) -> dict[str, Array]:
        if not self._decodes(session):
            return {}
        counts, name = self._has(session, "counts"), self.model.modality
        y, x = train.join(counts).astype(np.float64), train.values[name].astype(np.float64)
        known = ~np.isnan(x).any(-1)
        if not known.any():
            given = f"'{name}' of session '{self.spec.sessions[session].name}' is known in no bin of its training part"
            raise DataError(given, remedy="Leave the session out, or name another modality")
        low, cell, shape = _grid(x[known], self.model.places)
        at = _place(x[known], low, cell, shape)
        time = np.bincount(at, minlength=int(np.prod(shape))).astype(np.float64)
        spikes = np.stack([np.bincount(at, c, len(time)) for c in y[known].T], axis=-1)
        moved = np.diff(x, axis=1).reshape(-1, x.shape[-1])
        step = np.nan_to_num(np.sqrt(np.nanmean(moved**2, axis=0))) if len(moved) else np.zeros(x.shape[-1])
        best: dict[str, Array] = {}
        least = np.inf
        for width in WIDTHS:
            made = _maps(time, spikes, shape, width * max(shape), flat=self.model.prior == "flat")
            grid = (low, np.array([cell]), np.asarray(shape, np.int64))
            tried = dict(zip(LEARNED, (*grid, *made, np.maximum(step, cell / 2), np.array([width])), strict=True))
            said = self._decode(tried, validation.join(counts))
            errors = np.sqrt(((said - validation.values[name]) ** 2).sum(-1))
            error = float(np.nanmean(errors)) if not np.isnan(errors).all() else 0.0
            if not best or error < least:
                best, least = tried, error
        return best

    def _predict(
        self, session: int, learned: Mapping[str, Array], seen: Windows, hidden: tuple[str, ...]
    ) -> dict[str, Array]:
        counts, name = self._has(session, "counts"), self.model.modality
        if name not in hidden or not self._decodes(session) or not all(n in seen.values for n in counts):
            return {}
        return {name: self._decode(learned, seen.join(counts))}

    def _expected(self, session: int) -> set[str]:
        return set(LEARNED) if self._decodes(session) else set()

    def _decodes(self, session: int) -> bool:
        return bool(self._has(session, "counts")) and self.model.modality in self._has(session, "continuous")

    def _decode(self, learned: Mapping[str, Array], counts: Array) -> NDArray[np.float64]:
        """Return the mean place (n, T, D)."""
        summed, bins = _around(counts, self.half)
        shape = tuple(int(s) for s in learned["shape"])
        axes = np.meshgrid(*[np.arange(s) for s in shape], indexing="ij")
        centres = learned["low"] + learned["cell"][0] * (np.stack([a.ravel() for a in axes], axis=-1) + 0.5)
        made = []
        for window in summed:  # one at a time: places times bins of all of them would not fit
            logs = window @ learned["log_rate"].T - bins[:, None] * learned["rate"]
            made.append(self._posterior(logs, learned, shape) @ centres)
        return np.asarray(made, np.float64).reshape(len(counts), counts.shape[1], len(shape))

    def _posterior(self, logs: Array, learned: Mapping[str, Array], shape: tuple[int, ...]) -> Array:
        if not self.model.memory:
            return np.asarray(softmax(logs + learned["log_prior"]))
        past = _filtered(logs, learned, shape)
        return _smoothed(past, logs, learned, shape) if self.model.ahead else past


def _grid(x: Array, places: int) -> tuple[Array, float, tuple[int, ...]]:
    low, high = x.min(0), x.max(0)
    cell = float(max((high - low).max(), 1e-9) / places)
    return low, cell, tuple(max(1, int(np.ceil(s / cell - 1e-9))) for s in high - low)


def _place(x: Array, low: Array, cell: float, shape: tuple[int, ...]) -> Array:
    index = np.clip(((x - low) / cell).astype(np.int64), 0, np.asarray(shape) - 1)
    return np.asarray(np.ravel_multi_index(tuple(index.T), shape))


def _maps(time: Array, spikes: Array, shape: tuple[int, ...], width: float, *, flat: bool) -> tuple[Array, ...]:
    """Return log rates (G, C), their sum over units (G,) and the log prior (G,)."""
    mean = np.maximum(spikes.sum(0), 0.5) / max(time.sum(), 1)
    smooth_time = _smooth(time[:, None], shape, width)
    # one bin of the mean rate at each place: what decides where nothing was, and little where much was
    rate = (_smooth(spikes, shape, width) + mean) / (smooth_time + 1)
    rate = np.maximum(rate, LEAST * mean)
    visited = smooth_time[:, 0] / smooth_time.sum()
    prior = np.zeros(len(time)) if flat else np.log(np.maximum(visited, 1e-6 / len(time)))
    return np.log(rate), rate.sum(1), prior


def _smooth(values: Array, shape: tuple[int, ...], width: float) -> Array:
    """Return values (G, C) smoothed over the places of the grid by a Gaussian of `width` places on each axis."""
    made = values.reshape(*shape, -1)
    for axis, size in enumerate(shape):
        made = np.moveaxis(np.tensordot(_gaussian(size, width), made, axes=(1, axis)), 0, axis)
    return made.reshape(values.shape)


def _gaussian(size: int, width: float) -> Array:
    away = np.arange(size)[:, None] - np.arange(size)
    weight = np.exp(-0.5 * (away / width) ** 2)
    return np.asarray(weight / weight.sum(0))  # what is smoothed at an edge stays inside


def _around(counts: Array, half: int) -> tuple[Array, Array]:
    """Return the counts within `half` bins on both sides (n, T, C), and of how many bins they are (T,)."""
    n_bins = counts.shape[1]
    total = np.concatenate([np.zeros_like(counts[:, :1], np.float64), np.cumsum(counts, axis=1, dtype=np.float64)], 1)
    low, high = np.maximum(np.arange(n_bins) - half, 0), np.minimum(np.arange(n_bins) + half + 1, n_bins)
    return total[:, high] - total[:, low], (high - low).astype(np.float64)


def _filtered(logs: Array, learned: Mapping[str, Array], shape: tuple[int, ...]) -> Array:
    """Return the posterior (T, G) of each bin given all bins up to it."""
    prior, moves = softmax(learned["log_prior"]), _moves(learned, shape)
    made, before = np.empty_like(logs), prior
    for t, log in enumerate(logs):
        made[t] = before * np.exp(log - log.max())
        total = made[t].sum()
        made[t] = made[t] / total if total > 0 else softmax(log)
        before = _spread(made[t], moves, shape) * prior
        before = before / before.sum()
    return made


def _smoothed(past: Array, logs: Array, learned: Mapping[str, Array], shape: tuple[int, ...]) -> Array:
    """Return the posterior (T, G) of each bin given all bins, from those given the bins up to it."""
    prior, back = softmax(learned["log_prior"]), [move.T for move in _moves(learned, shape)]
    made, after = past.copy(), np.ones_like(prior)
    for t in range(len(logs) - 2, -1, -1):
        told = after * prior * np.exp(logs[t + 1] - logs[t + 1].max())
        after = _spread(told / max(told.sum(), np.finfo(float).tiny), back, shape)
        both = past[t] * after
        made[t] = both / both.sum() if both.sum() > 0 else past[t]
    return made


def _moves(learned: Mapping[str, Array], shape: tuple[int, ...]) -> list[Array]:
    cell = learned["cell"][0]
    return [_gaussian(size, step / cell) for size, step in zip(shape, learned["step"], strict=True)]


def _spread(places: Array, moves: list[Array], shape: tuple[int, ...]) -> Array:
    """Return places (G,) after a movement on each axis."""
    made = places.reshape(shape)
    for axis, move in enumerate(moves):
        made = np.moveaxis(np.tensordot(move, made, axes=(1, axis)), 0, axis)
    return made.ravel()
