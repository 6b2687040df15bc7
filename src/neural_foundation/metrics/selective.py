"""What may be left unanswered: error among the answered windows against how many are answered.

Shapes: confidence (n,), larger is surer; right (n,) whether the answer is.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from neural_foundation.core.errors import DataError

Array = NDArray[Any]


class RiskCoverage(NamedTuple):
    """coverage : share answered at each threshold, rising. risk : share of wrong ones among them. All (m,)."""

    coverage: NDArray[np.float64]
    risk: NDArray[np.float64]
    threshold: NDArray[np.float64]


def risk_coverage(confidence: Array, right: Array) -> RiskCoverage:
    """Return the risk-coverage curve (El-Yaniv and Wiener 2010): one point a distinct confidence, surest first."""
    confidence, wrong, last = _surest_first(confidence, right)
    count = np.flatnonzero(last) + 1
    return RiskCoverage(count / len(wrong), np.cumsum(wrong)[last] / count, confidence[last])


def area_under_risk_coverage(confidence: Array, right: Array) -> float:
    """Return the mean over windows of the risk at their own confidence (Geifman, Uziel and El-Yaniv 2019).

    0 is best; confidence that says nothing gives about the error of all windows.
    """
    curve = risk_coverage(confidence, right)
    return float(np.sum(np.diff(curve.coverage, prepend=0.0) * curve.risk))


def abstention_threshold(confidence: Array, right: Array, risk: float, *, per_window: int = 1) -> float:
    """Return the least confidence to answer at, so that at most a share `risk` of the answered ones is wrong.

    Of all thresholds whose count (wrong + 1) / (answered + 1) is at most `risk`, the one that answers most. The added
    one keeps a threshold from resting on a few lucky windows: answering takes 1 / risk - 1 windows at least. It is an
    estimate on calibration windows, no promise for new people. Infinite where no threshold does.

    per_window : how many answers each window gave. They are all but the same one, so each counts 1 / per_window.
    """
    if not 0 < risk < 1 or per_window < 1:
        given = f"risk is {risk}, with {per_window} answers a window"
        raise DataError(given, allowed="above 0 and under 1; 1 answer or more")
    confidence, wrong, last = _surest_first(confidence, right)
    answered = np.flatnonzero(last) + 1
    good = np.flatnonzero((np.cumsum(wrong)[last] + per_window) / (answered + per_window) <= risk + 1e-12)
    return float(confidence[last][good[-1]]) if len(good) else float("inf")


def _surest_first(confidence: Array, right: Array) -> tuple[Array, Array, NDArray[np.bool_]]:
    """Return confidence and wrong answers, surest first, and which is the last of its confidence."""
    confidence, right = np.asarray(confidence, np.float64), np.asarray(right, bool)
    if confidence.ndim != 1 or confidence.shape != right.shape or not len(confidence):
        raise DataError(
            f"Confidence {confidence.shape} and answers {right.shape} do not match", allowed="(n,) and (n,), n >= 1"
        )
    order = np.argsort(-confidence, kind="stable")
    confidence = confidence[order]
    return confidence, ~right[order], np.append(np.diff(confidence) != 0, True)
