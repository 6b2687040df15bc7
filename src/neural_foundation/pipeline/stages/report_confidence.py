"""What the report says of confidence, from `scores.json`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from ...evaluation.report import Calibration, Certainty, Estimate, Provenance


def estimate(interval: dict[str, float]) -> Estimate:
    """Return a mean with its interval as the report takes it."""
    return Estimate(interval["mean"], interval["low"], interval["high"])


def calibration(entry: dict[str, Any], provenance: Provenance) -> Calibration:
    """Return one model's reliability: with a confidence after and before calibration, in bins of equal mass."""
    if "confidence" in entry:
        before, after = (_reliability(entry["confidence"][when]) for when in ("before", "after"))
        return replace(after, before=before, provenance=provenance)
    c = entry["calibration"]
    kept = [i for i, n in enumerate(c["count"]) if n]
    pick = {k: tuple(c[k][i] for i in kept) for k in ("confidence", "accuracy", "count")}
    return Calibration(
        confidence=pick["confidence"],
        correct=pick["accuracy"],
        count=pick["count"],
        error=c["error"],
        provenance=provenance,
    )


def _reliability(made: dict[str, Any]) -> Calibration:
    curve = made["reliability"]
    return Calibration(
        confidence=tuple(curve["confidence"]),
        correct=tuple(curve["accuracy"]),
        count=tuple(curve["windows"]),
        error=made["error"]["mean"],
        interval=estimate(made["error"]),
    )


def certainty(made: dict[str, Any] | None, provenance: Provenance) -> Certainty | None:
    """Return what one model's confidence is worth; None where it has none."""
    if made is None:
        return None
    coverage, answered, curve = made["coverage"], made["answered"], made["risk_coverage"]
    given = answered["pooled_accuracy"]
    return Certainty(
        answered=np.array(curve["coverage"]),
        accuracy=1 - np.array(curve["risk"]),
        given=None if given is None else (answered["pooled_share"], given),
        coverage=estimate(coverage),
        wished=coverage["wished"],
        subjects=tuple(coverage["subjects"]),
        by_subject=tuple(coverage["subjects"].values()),
        alike=coverage["sd_alike"],
        set_size=made["set_size"]["mean"],
        along=tuple(_moment(row) for row in made.get("earlier", ())),
        provenance=provenance,
    )


def _moment(row: dict[str, Any]) -> tuple[float, float, float, float | None, float]:
    means = [row[name]["mean"] for name in ("coverage", "decided", "accuracy")]
    return row["until_s"], means[0], means[1], row["accuracy_of_decided"], means[2]
