"""Scores, intervals, chance levels, calibration, prediction sets: numpy only."""

from __future__ import annotations

from .agreement import by_class, cohen_kappa
from .behaviour import (
    mean_position_error,
    median_position_error,
    position_error,
    psth_r2,
    r2_by_channel,
    r2_weighted,
)
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
from .spikes import (
    UnitScores,
    bits_against_test_mean,
    bits_against_train_mean,
    bits_per_spike,
    deviance_explained,
    mean_rates,
)
from .topography import topography_correlation
from .traces import Steadiness, coherence, steadiness

__all__ = [
    "Chance",
    "Interval",
    "Reliability",
    "RiskCoverage",
    "Steadiness",
    "UnitScores",
    "abstention_threshold",
    "accuracy",
    "aps_scores",
    "area_under_risk_coverage",
    "balanced_accuracy",
    "bits_against_test_mean",
    "bits_against_train_mean",
    "bits_per_spike",
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
    "deviance_explained",
    "expected_calibration_error",
    "fit_temperature",
    "group_coverage",
    "lac_scores",
    "log_loss",
    "mean_position_error",
    "mean_rates",
    "median_position_error",
    "paired_difference",
    "pearson",
    "position_error",
    "prediction_sets",
    "psth_r2",
    "r2",
    "r2_by_channel",
    "r2_weighted",
    "reliability_curve",
    "risk_coverage",
    "roc_auc",
    "set_size",
    "steadiness",
    "topography_correlation",
]
