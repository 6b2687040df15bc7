"""Gradient-boosted trees on features of a window: what a window is measured to be, in place of what it looks like.

Friedman 2001 (Ann. Statist. 29(5)); histograms as in LightGBM (Ke et al. 2017, NeurIPS 30), by scikit-learn's
HistGradientBoostingClassifier. What is learned is kept as arrays (tree_arrays.py), what is measured is in
window_features.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator

from neural_foundation.core.errors import DataError
from neural_foundation.core.seeds import derive
from neural_foundation.core.specs import SignalSpec, TargetSpec, off_key

from .base import ABSENT, Estimator, ModelSpec
from .tree_arrays import TREES, arrays_of, check_trees, one_class, probabilities
from .window_features import WindowFeatures

Array = NDArray[Any]
BANDS = {
    "slow": (0.5, 2.0),
    "delta": (2.0, 4.0),
    "theta": (4.0, 8.0),
    "alpha": (8.0, 13.0),
    "beta": (13.0, 30.0),
    "gamma": (30.0, 45.0),
}


class BoostedTrees(ModelSpec):
    """Gradient-boosted trees on spectral, temporal and rhythmic features of each window.

    Learns from votes where windows have them: a window counts for each class that it has votes for, by its share of
    them. A class that no training window has gets the probability 0.001.
    """

    family: ClassVar[Literal["network", "estimator"]] = "estimator"
    kind: Literal["boosted_trees"] = "boosted_trees"
    bands: dict[str, tuple[float, float]] = Field(BANDS, min_length=1, description="[low, high) in Hz by name")
    crop_s: float | None = Field(None, gt=0, description="measure these central seconds too; None: the whole alone")
    per_channel: bool = Field(True, description="measures of each channel; without them, those over channels alone")
    weigh: Literal["votes", "sqrt", "none"] = Field(
        "votes", description="a window counts by its number of votes, by the root of it, or all count alike"
    )
    max_iter: int = Field(100, ge=1, description="rounds, each a tree a class")
    learning_rate: float = Field(0.06, gt=0, le=1, description="share of each tree that is added")
    max_leaf_nodes: int = Field(8, ge=2, description="leaves of a tree at most")
    min_samples_leaf: int = Field(
        20, ge=1, description="rows of a leaf at least; a window is a row a class it counts for"
    )
    l2: float = Field(1.0, ge=0, description="penalty on what a leaf adds")
    feature_share: float = Field(0.2, gt=0, le=1, description="of the features, drawn anew for each split")
    seed: int = Field(0, ge=0, description="of the features that are drawn, beside the run's own")
    threads: int = off_key(1, ge=1, description="threads while fitting")

    @field_validator("bands")
    @classmethod
    def _edges(cls, bands: dict[str, tuple[float, float]]) -> dict[str, tuple[float, float]]:
        from ..signals.features import check_bands

        check_bands(bands)
        return bands

    def estimator(self, signal: SignalSpec, target: TargetSpec) -> BoostedTreesEstimator:
        """Return the unfitted estimator; SpecError where no band fits the sampling rate."""
        return BoostedTreesEstimator(self, signal, target)


class BoostedTreesEstimator(Estimator):
    """Learned: the arrays of `tree_arrays`. `names` : of the features, in the order that the trees know."""

    takes_votes: ClassVar[bool] = True
    fills_absent: ClassVar[bool] = True
    reads: ClassVar[int] = 64

    def __init__(self, spec: BoostedTrees, signal: SignalSpec, target: TargetSpec) -> None:
        super().__init__(signal, target)
        self.spec = spec
        self._measure = WindowFeatures(signal, bands=spec.bands, crop_s=spec.crop_s, per_channel=spec.per_channel)
        self.names = self._measure.names

    def features(self, signal: Array) -> NDArray[np.float64]:
        """Return the features (n, n_features) of windows (n, n_chans, n_times), numbers that float32 holds."""
        return self._measure(self._checked(signal))

    def load(self, state: Mapping[str, Array]) -> Estimator:
        """Take what `state()` gave and return self; PackageError where it is no trees of these features."""
        super().load(state)
        learned, self._learned = self._learned, {}
        check_trees(learned, len(self.names), self.n_classes)
        self._learned = learned
        return self

    def from_features(self, features: Array) -> NDArray[np.float64]:
        """Return probabilities (n, n_classes) of features (n, n_features)."""
        if not self._learned:
            raise DataError("BoostedTreesEstimator is not fitted", remedy="Call fit(...) or load(state) first")
        return in_all_classes(probabilities(features, self._learned), self._learned["present"], self.n_classes)

    def _reduced(self, signal: Array) -> Array:
        return self._measure(signal)

    def _fit(self, features: Array, target: Array, subject: Array) -> None:
        self._boost(features, target, np.ones(len(target)))

    def _fit_votes(self, features: Array, votes: Array, subject: Array) -> None:
        total = votes.sum(1, keepdims=True)
        counts = np.where(total > 0, total, 1) ** {"votes": 0.0, "sqrt": 0.5, "none": 1.0}[self.spec.weigh]
        window, target = np.nonzero(votes)
        weight = (votes / counts)[window, target]
        self._boost(features[window], target, weight * (np.count_nonzero(total) / weight.sum()))

    def _boost(self, features: Array, target: Array, weight: Array) -> None:
        """Fit rows of features, each of one class and with a weight; the weights sum to the number of windows."""
        from threadpoolctl import threadpool_limits

        present, code = np.unique(target, return_inverse=True)
        if len(present) == 1:
            self._learned = one_class(present, len(self.names))
            return
        with threadpool_limits(limits=self.spec.threads):
            model = self._unfitted().fit(features, code, sample_weight=weight)
        self._learned = arrays_of(model, present)

    def _unfitted(self) -> Any:
        from sklearn.ensemble import HistGradientBoostingClassifier

        spec = self.spec
        return HistGradientBoostingClassifier(
            max_iter=spec.max_iter,
            learning_rate=spec.learning_rate,
            max_leaf_nodes=spec.max_leaf_nodes,
            min_samples_leaf=spec.min_samples_leaf,
            l2_regularization=spec.l2,
            max_features=spec.feature_share,
            early_stopping=False,  # it would hold out rows, not subjects
            random_state=derive(self.seed, "boosted_trees", spec.seed),
        )

    def _probability(self, signal: Array) -> NDArray[np.float64]:
        return self.from_features(self._measure(signal))

    def _expected(self) -> tuple[str, ...]:
        return TREES


def in_all_classes(probability: Array, present: Array, n_classes: int) -> NDArray[np.float64]:
    """Return (n, n_classes) of the probabilities (n, P) of some classes: each of the others gets `ABSENT`."""
    out = np.full((len(probability), n_classes), ABSENT)
    out[:, present] = probability * (1 - ABSENT * (n_classes - len(present)))
    return out
