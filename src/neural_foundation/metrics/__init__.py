"""Scores, intervals, chance levels, calibration, prediction sets: numpy only."""

from __future__ import annotations

from .agreement import by_class, cohen_kappa
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
from .conformal import (
    aps_scores,
    class_quantiles,
    conformal_quantile,
    coverage,
    group_coverage,
    lac_scores,
    prediction_sets,
    set_size,
)
from .inference import Chance, Interval, bootstrap_mean, chance, paired_difference
from .regression import pearson, r2
from .reliability import (
    Reliability,
    calibration_interval,
    debiased_calibration_error,
    expected_calibration_error,
    fit_temperature,
    reliability_curve,
)
from .selective import RiskCoverage, abstention_threshold, area_under_risk_coverage, risk_coverage
from .topography import topography_correlation
from .traces import Steadiness, coherence, steadiness

__all__ = [
    "Chance",
    "Interval",
    "Reliability",
    "RiskCoverage",
    "Steadiness",
    "abstention_threshold",
    "accuracy",
    "aps_scores",
    "area_under_risk_coverage",
    "balanced_accuracy",
    "bootstrap_mean",
    "brier",
    "by_class",
    "calibration",
    "calibration_error",
    "calibration_interval",
    "chance",
    "class_quantiles",
    "cohen_kappa",
    "coherence",
    "conformal_quantile",
    "confusion",
    "coverage",
    "debiased_calibration_error",
    "expected_calibration_error",
    "fit_temperature",
    "group_coverage",
    "lac_scores",
    "log_loss",
    "paired_difference",
    "pearson",
    "prediction_sets",
    "r2",
    "reliability_curve",
    "risk_coverage",
    "roc_auc",
    "set_size",
    "steadiness",
    "topography_correlation",
]
