"""Scores, intervals, chance levels, calibration: numpy only."""

from __future__ import annotations

from .classification import (
    accuracy,
    balanced_accuracy,
    brier,
    calibration,
    calibration_error,
    confusion,
    log_loss,
    roc_auc,
)
from .inference import Chance, Interval, bootstrap_mean, chance, paired_difference
from .regression import pearson, r2
from .topography import topography_correlation
from .traces import Steadiness, coherence, steadiness

__all__ = [
    "Chance",
    "Interval",
    "Steadiness",
    "accuracy",
    "balanced_accuracy",
    "bootstrap_mean",
    "brier",
    "calibration",
    "calibration_error",
    "chance",
    "coherence",
    "confusion",
    "log_loss",
    "paired_difference",
    "pearson",
    "r2",
    "roc_auc",
    "steadiness",
    "topography_correlation",
]
