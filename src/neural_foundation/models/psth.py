"""Spikes from the time in the window and the trial's classes: the mean response, all that does not vary by trial."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from neural_foundation.core.modalities import BinnedSpec

from .binned_estimator import BinnedEstimator, BinnedModel, Windows
from .poisson import log_likelihood

Array = NDArray[Any]
PRIORS = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1e6)  # trials that the mean weighs as; the last is the mean itself


class PSTH(BinnedModel):
    """Encode: the mean rate of each bin and condition, a condition being one word of every modality of classes.

    Shrunk twice, for each unit by as much as makes the validation part most likely: the mean of all trials (the PSTH)
    to the unit's mean rate, each condition's to the PSTH. A trial whose classes are hidden or not known, or whose
    condition training never had, gets the PSTH.
    """

    kind: Literal["psth"] = "psth"
    smooth_s: float = Field(0.04, ge=0, description="deviation of the Gaussian over time that means are smoothed with")

    def binned_estimator(self, signal: BinnedSpec, *, seed: int = 0) -> PSTHEstimator:
        """Return the unfitted estimator; the seed is not used."""
        return PSTHEstimator(self, signal)


class PSTHEstimator(BinnedEstimator):
    """Learned: `overall` (T, C) and `conditions` (Q, T, C) rates, and the priors `to_mean`, `to_psth` (C,), C the units
    of all modalities of counts and Q the product of the numbers of classes."""

    def __init__(self, model: PSTH, spec: BinnedSpec) -> None:
        super().__init__(spec)
        self.smoother = _smoother(spec.n_bins, model.smooth_s / spec.bin_s)

    def _fit(self, session: int, train: Windows, validation: Windows) -> dict[str, Array]:
        counts = self._has(session, "counts")
        if not counts:
            return {}
        y, apart = (p.join(counts).astype(np.float64) for p in (train, validation))
        mean = np.maximum(y.sum((0, 1)), 0.5) / (y.shape[0] * y.shape[1])
        condition, apart_condition = self._condition(session, train), self._condition(session, validation)
        total = self.smoother @ y.sum(0)
        tried = [(total + k * mean) / (len(y) + k) for k in PRIORS]
        best = np.argmax([_likelihood(np.broadcast_to(r, apart.shape), apart) for r in tried], axis=0)
        overall = np.stack(tried)[best, :, np.arange(len(best))].T
        sums, many = self._sums(session, y, condition)
        tried = [(sums + k * overall) / (many + k)[:, None, None] for k in PRIORS]
        likely = [_likelihood(_rates(overall, r, apart_condition), apart) for r in tried]
        chosen = np.argmax(likely, axis=0)
        conditions = np.moveaxis(np.stack(tried)[chosen, :, :, np.arange(len(chosen))], 0, -1)
        priors = np.asarray(PRIORS)
        return {"overall": overall, "conditions": conditions, "to_mean": priors[best], "to_psth": priors[chosen]}

    def _predict(
        self, session: int, learned: Mapping[str, Array], seen: Windows, hidden: tuple[str, ...]
    ) -> dict[str, Array]:
        names = self._has(session, "counts")
        if not names:
            return {}
        rates = _rates(learned["overall"], learned["conditions"], self._condition(session, seen))
        ends = np.cumsum([len(self.spec.channels(session, n)) for n in names])[:-1]
        return {n: v for n, v in zip(names, np.split(rates, ends, axis=-1), strict=True) if n in hidden}

    def _expected(self, session: int) -> set[str]:
        return {"overall", "conditions", "to_mean", "to_psth"} if self._has(session, "counts") else set()

    def _condition(self, session: int, windows: Windows) -> Array:
        """Return the condition (n,) of each window, -1 where one of its classes is not seen."""
        made, known = np.zeros(windows.n, np.int64), np.ones(windows.n, bool)
        for name in self._has(session, "classes"):
            value = windows.values.get(name, np.full(windows.n, -1))
            made, known = made * len(self.spec.modality(name).classes) + value, known & (value >= 0)
        return np.where(known, made, -1)

    def _sums(self, session: int, y: Array, condition: Array) -> tuple[Array, Array]:
        """Return smoothed sums (Q, T, C) of each condition, and its number of trials (Q,)."""
        many = int(np.prod([len(self.spec.modality(n).classes) for n in self._has(session, "classes")], dtype=int))
        sums = np.stack([self.smoother @ y[condition == k].sum(0) for k in range(many)])
        return sums, np.bincount(condition[condition >= 0], minlength=many)


def _rates(overall: Array, conditions: Array, condition: Array) -> Array:
    return np.concatenate([conditions, overall[None]])[condition]


def _likelihood(rates: Array, counts: Array) -> Array:
    flat = counts.shape[-1]
    return log_likelihood(np.log(rates).reshape(-1, flat), counts.reshape(-1, flat))


def _smoother(n_bins: int, width: float) -> NDArray[np.float64]:
    """Return (T, T), a Gaussian over bins whose weights sum to one for each bin, at the edges too."""
    away = np.arange(n_bins)[:, None] - np.arange(n_bins)
    weight = np.exp(-0.5 * (away / width) ** 2) if width > 0 else np.eye(n_bins)
    return np.asarray(weight / weight.sum(1, keepdims=True))
