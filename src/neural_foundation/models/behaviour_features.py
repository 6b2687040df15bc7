"""What behaviour says about each bin, for models that predict spikes from it.

Shapes: n windows of T bins; K channels of all continuous modalities; M time functions; F features.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from neural_foundation.core.modalities import BinnedSpec

from .binned_estimator import BinnedModel, Windows
from .lagged import Lags, standard

Array = NDArray[Any]
KEPT = ("y_mean", "y_scale", "reach", "aligned", "x_mean")


class BehaviourEncoder(BinnedModel):
    """Which behaviour around a bin an encoder sees.

    Each continuous channel: its lags, and smooth bumps over its value in the bin itself (a place field on each axis).
    Each class: a time course over the window of its own, from raised cosines, where windows begin at the same time of
    each trial; a constant where they do not. The time course that all trials share is there in the first case alone.
    """

    before_s: float = Field(0.3, gt=0, description="behaviour so far back, the bin itself among it")
    after_s: float = Field(0.3, ge=0, description="behaviour so far ahead: movement follows the spikes that cause it")
    step_s: float = Field(0.05, gt=0, description="length of a lag, one bin or more; values in it are summed")
    bumps: int = Field(6, ge=0, le=30, description="bumps over the value of each continuous channel; 0 for none")
    basis_s: float = Field(0.2, gt=0, description="distance of the raised cosines of a time course")


@dataclass(frozen=True)
class BehaviourFeatures:
    """Makes features (n, T, F) of a session's behaviour from what training taught about its values."""

    model: BehaviourEncoder
    spec: BinnedSpec
    continuous: tuple[str, ...]
    classes: tuple[str, ...]

    @property
    def lags(self) -> Lags:
        m, s = self.model, self.spec
        return Lags.of(s.bin_s, s.n_bins, m.before_s, m.after_s, m.step_s)

    def learn(self, train: Windows) -> dict[str, Array]:
        """Return `KEPT`: mean and deviation (K,) and the reach (2, K), in deviations, of values; whether windows are
        aligned (1,); the features' means (F,)."""
        learned: dict[str, Array] = {"aligned": np.array([train.aligned], np.int64), "x_mean": np.zeros(1)}
        values = train.join(self.continuous) if self.continuous else np.zeros((train.n, self.spec.n_bins, 0))
        learned["y_mean"], learned["y_scale"] = standard(values)
        flat = ((values - learned["y_mean"]) / learned["y_scale"]).reshape(-1, values.shape[-1])
        learned["reach"] = np.stack([_quantile(flat, 0.01), _quantile(flat, 0.99)])
        learned["x_mean"] = self.make(train, learned).mean((0, 1))
        return learned

    def sees(self, seen: Windows) -> bool:
        """Return whether all that the session has of behaviour is there to be seen."""
        names = (*self.continuous, *self.classes)
        return bool(names) and all(n in seen.values for n in names)

    def make(self, windows: Windows, learned: Mapping[str, Array]) -> NDArray[np.float64]:
        """Return features less their training means."""
        made = [np.zeros((windows.n, self.spec.n_bins, 0))]
        if self.continuous:
            values = (windows.join(self.continuous) - learned["y_mean"]) / learned["y_scale"]
            made.append(self.lags.features(np.nan_to_num(values, nan=0.0)) / np.sqrt(self.lags.step))
            made.append(self._bumps(values, learned["reach"]))
        basis = self._basis(bool(learned["aligned"][0]))
        if learned["aligned"][0]:
            made.append(np.broadcast_to(basis, (windows.n, *basis.shape)))
        for name in self.classes:
            chosen = windows.values[name][:, None] == np.arange(len(self.spec.modality(name).classes))
            course = chosen[:, None, :, None] * basis[None, :, None, :]
            made.append(course.reshape(windows.n, self.spec.n_bins, -1))
        return np.asarray(np.concatenate(made, axis=-1) - learned["x_mean"], np.float64)

    def _bumps(self, values: Array, reach: Array) -> Array:
        """Return Gaussian bumps (n, T, K * bumps) over the reach, as wide as they are apart; none where unknown."""
        if not self.model.bumps:
            return np.zeros((*values.shape[:2], 0))
        low, high = reach
        place = np.clip((values - low) / np.where(high > low, high - low, 1.0), -0.1, 1.1)[..., None]
        gaps = place * max(1, self.model.bumps - 1) - np.arange(self.model.bumps)
        return np.asarray(np.nan_to_num(np.exp(-(gaps**2) / 2), nan=0.0).reshape(*values.shape[:2], -1))

    def _basis(self, aligned: bool) -> NDArray[np.float64]:
        """Return raised cosines (T, M) that sum to one, a constant (T, 1) where windows are not aligned."""
        n_bins, gap = self.spec.n_bins, self.model.basis_s / self.spec.bin_s
        many = max(2, round((n_bins - 1) / gap) + 1) if aligned and n_bins > 1 else 1
        if many == 1:
            return np.ones((n_bins, 1))
        away = np.arange(n_bins)[:, None] * (many - 1) / (n_bins - 1) - np.arange(many)
        return np.asarray(np.where(np.abs(away) < 1, (1 + np.cos(np.pi * away)) / 2, 0.0))


def _quantile(flat: Array, q: float) -> Array:
    return np.array([np.quantile(c[~np.isnan(c)], q) if (~np.isnan(c)).any() else 0.0 for c in flat.T])
