"""The kinds of scores a recipe can ask for: one row and one small class each."""

from __future__ import annotations

from neural_foundation.core.kinds import KindTable, Row

_HERE = "neural_foundation.metrics.kinds"

METRICS = KindTable(
    "metrics",
    {
        "balanced_accuracy": Row(f"{_HERE}:BalancedAccuracy", "mean over classes of the share of right answers"),
        "accuracy": Row(f"{_HERE}:Accuracy", "share of right answers"),
        "roc_auc": Row(f"{_HERE}:RocAuc", "chance that a positive outranks a negative"),
        "log_loss": Row(f"{_HERE}:LogLoss", "mean of -ln p(target)"),
        "brier": Row(f"{_HERE}:Brier", "squared distance of the probabilities to the truth"),
        "calibration_error": Row(f"{_HERE}:CalibrationError", "gap between confidence and accuracy"),
    },
)
