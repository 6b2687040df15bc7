"""The scores of classifiers as kinds: `score(target (n,), probability (n, n_classes)) -> float`."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from neural_foundation.core.specs import Spec

from . import classification

Array = NDArray[Any]


class Metric(Spec):
    """Base of scores. `better` says which way is up."""

    better: ClassVar[Literal["higher", "lower"]] = "higher"

    def score(self, target: Array, probability: Array) -> float:
        """Return the score of probabilities (n, n_classes) for targets (n,)."""
        raise NotImplementedError


class BalancedAccuracy(Metric):
    """Mean over classes of the share of right answers."""

    kind: Literal["balanced_accuracy"] = "balanced_accuracy"

    def score(self, target: Array, probability: Array) -> float:
        return classification.balanced_accuracy(target, np.argmax(probability, axis=1))


class Accuracy(Metric):
    """Share of right answers."""

    kind: Literal["accuracy"] = "accuracy"

    def score(self, target: Array, probability: Array) -> float:
        return classification.accuracy(target, np.argmax(probability, axis=1))


class RocAuc(Metric):
    """Area under the ROC curve, mean over pairs of classes."""

    kind: Literal["roc_auc"] = "roc_auc"

    def score(self, target: Array, probability: Array) -> float:
        return classification.roc_auc(target, probability)


class LogLoss(Metric):
    """Mean of -ln p(target)."""

    better = "lower"
    kind: Literal["log_loss"] = "log_loss"

    def score(self, target: Array, probability: Array) -> float:
        return classification.log_loss(target, probability)


class Brier(Metric):
    """Mean squared distance to the one-hot target."""

    better = "lower"
    kind: Literal["brier"] = "brier"

    def score(self, target: Array, probability: Array) -> float:
        return classification.brier(target, probability)


class CalibrationError(Metric):
    """Expected calibration error over bins of equal width."""

    better = "lower"
    kind: Literal["calibration_error"] = "calibration_error"
    bins: int = Field(10, ge=2, le=100, description="bins of confidence")

    def score(self, target: Array, probability: Array) -> float:
        return classification.calibration_error(target, probability, bins=self.bins)
