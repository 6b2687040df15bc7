"""The floor of every score: answers the classes' shares in training, whatever the signal."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from neural_foundation.core.specs import SignalSpec, TargetSpec

from .base import Estimator, ModelSpec

Array = NDArray[Any]


class Majority(ModelSpec):
    """Predict each class with its share among the training windows."""

    family: ClassVar[Literal["network", "estimator"]] = "estimator"
    kind: Literal["majority"] = "majority"

    def estimator(self, signal: SignalSpec, target: TargetSpec) -> MajorityEstimator:
        """Return the unfitted estimator."""
        return MajorityEstimator(signal, target)


class MajorityEstimator(Estimator):
    """Learned: `prior` (n_classes,)."""

    def _fit(self, signal: Array, target: Array, subject: Array) -> None:
        self._learned = {"prior": np.bincount(target, minlength=self.n_classes) / len(target)}

    def _probability(self, signal: Array) -> NDArray[np.float64]:
        return np.tile(np.asarray(self._learned["prior"], np.float64), (len(signal), 1))

    def _expected(self) -> tuple[str, ...]:
        return ("prior",)
