"""The floor of every score: answers the classes' shares in training, whatever the signal."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from neural_foundation.core.specs import SignalSpec, TargetSpec

from .base import ABSENT, Estimator, ModelSpec

Array = NDArray[Any]


class Majority(ModelSpec):
    """Predict each class with its share among the training windows; of votes, with the mean of the windows' shares.

    A class without votes gets the probability 0.001.
    """

    family: ClassVar[Literal["network", "estimator"]] = "estimator"
    kind: Literal["majority"] = "majority"

    def estimator(self, signal: SignalSpec, target: TargetSpec) -> MajorityEstimator:
        """Return the unfitted estimator."""
        return MajorityEstimator(signal, target)


class MajorityEstimator(Estimator):
    """Learned: `prior` (n_classes,)."""

    takes_votes: ClassVar[bool] = True

    def _fit(self, signal: Array, target: Array, subject: Array) -> None:
        self._learned = {"prior": np.bincount(target, minlength=self.n_classes) / len(target)}

    def _fit_votes(self, signal: Array, votes: Array, subject: Array) -> None:
        voted = votes[votes.any(1)]
        mean = (voted / voted.sum(1, keepdims=True)).mean(0)
        absent = mean == 0
        self._learned = {"prior": np.where(absent, ABSENT, mean * (1 - ABSENT * np.count_nonzero(absent)))}

    def _probability(self, signal: Array) -> NDArray[np.float64]:
        return np.tile(np.asarray(self._learned["prior"], np.float64), (len(signal), 1))

    def _expected(self) -> tuple[str, ...]:
        return ("prior",)
