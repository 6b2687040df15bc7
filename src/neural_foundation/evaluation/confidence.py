"""What a calibrated confidence is worth on people held out: reliability, coverage of each, what silence buys.

Shapes: n windows; probability (n, n_classes); sets (n, n_classes); abstained (n,). The person is the unit: a value is
made for each, then averaged, and intervals are over people.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neural_foundation.core.errors import DataError
from neural_foundation.metrics import (
    area_under_risk_coverage,
    bootstrap_mean,
    calibration_interval,
    debiased_calibration_error,
    group_coverage,
    log_loss,
    reliability_curve,
    risk_coverage,
    set_size,
)
from neural_foundation.models.confidence import FLOOR, Confidence

from .scores import Predictions

Array = NDArray[Any]
MOST_POINTS = 60


@dataclass(frozen=True)
class Answers:
    """Predictions of one model, and what its confidence makes of them.

    given : probabilities as the model gave them. calibrated : the same windows, calibrated.
    """

    given: Predictions
    calibrated: Predictions
    sets: NDArray[np.bool_]
    abstained: NDArray[np.bool_]
    alpha: float

    @classmethod
    def of(cls, given: Predictions, confidence: Confidence) -> Answers:
        """Return what a confidence makes of some predictions."""
        probability, sets, abstained = confidence.apply(given.probability.T)
        return cls(given, replace(given, probability=probability.T), sets.T, abstained, confidence.alpha)

    @classmethod
    def join(cls, parts: Sequence[Answers]) -> Answers:
        """Return the answers of one model over its folds and seeds, each by its own confidence, as one."""
        alphas = {p.alpha for p in parts}
        if len(alphas) != 1:
            raise DataError(f"Confidences of one model have alpha {sorted(alphas)}", allowed="one alpha for all folds")
        return cls(
            Predictions.join([p.given for p in parts]),
            Predictions.join([p.calibrated for p in parts]),
            np.concatenate([p.sets for p in parts]),
            np.concatenate([p.abstained for p in parts]),
            alphas.pop(),
        )


def confidence_scores(answers: Answers, seed: int) -> dict[str, Any]:
    """Return the scores of a confidence as one JSON value.

    `before` and `after` calibration: `log_loss` and `error` (expected calibration error in bins of equal mass, with
    its interval over people), `debiased_error`, `reliability`. `coverage` of the sets: wished, mean over people with
    interval, spread, and of each; `sd_alike` is the spread that everybody alike would show with so few windows each.
    `set_size`: mean and shares. `answered`: share, accuracy of those answered and of all. `risk_coverage`: the curve
    of the calibrated confidence and the area under it.
    """
    return {
        "before": _reliability(answers.given, seed),
        "after": _reliability(answers.calibrated, seed),
        "coverage": _coverage(answers, seed),
        "set_size": _sizes(answers.sets),
        "answered": _answered(answers, seed),
        "risk_coverage": _risk(answers.calibrated),
    }


@dataclass(frozen=True)
class Along:
    """Decisions as windows go on, one row a window: age_s (n_tokens,), and subject (n,).

    held, spoke, right, loss : (n, n_tokens) whether the set holds the true class, a decision is given, the most likely
    class is the true one, and -ln p of the true one. held_at_end, loss_at_end : the same, had each decision been taken
    for one at the end of a window.
    """

    age_s: Array
    until_s: tuple[float, ...]
    subject: Array
    held: Array
    spoke: Array
    right: Array
    loss: Array
    held_at_end: Array
    loss_at_end: Array

    @classmethod
    def of(cls, along: Array, age_s: Array, target: Array, subject: Array, confidence: Confidence) -> Along:
        """Return what a confidence makes of decisions (n, n_tokens, n_classes)."""
        n, tokens, k = along.shape
        truth = np.repeat(target, tokens)
        flat = along.reshape(-1, k).T
        made: list[Array] = []
        for ages in (np.tile(age_s, n), None):
            p, sets, silent = confidence.apply(flat, ages)
            at = truth, np.arange(n * tokens)
            made += [sets[at], ~silent, p.argmax(0) == truth, -np.log(np.maximum(p[at], FLOOR))]
        held, spoke, right, loss, held_at_end, _, _, loss_at_end = (x.reshape(n, tokens) for x in made)
        until_s = (*(m.until_s for m in confidence.earlier), float(age_s[-1]))
        return cls(age_s, until_s, subject, held, spoke, right, loss, held_at_end, loss_at_end)


def earlier_scores(parts: Sequence[Along], seed: int) -> list[dict[str, Any]]:
    """Return one row a part of the window, the end last: `until_s`, means over people of the coverage, the share
    decided, the accuracy of all and (over all decisions) of those decided, the log loss; and what coverage and log
    loss would be if each decision were taken for one at the end of a window.
    """
    first = parts[0]
    if any(p.until_s != first.until_s or len(p.age_s) != len(first.age_s) for p in parts):
        raise DataError("Confidences of one model have other moments", allowed="the same in all folds")
    part = np.searchsorted(first.until_s, first.age_s - 1e-9)
    subject = np.concatenate([p.subject for p in parts])

    def mean(name: str, mine: Array) -> dict[str, Any]:
        values = np.concatenate([getattr(p, name)[:, mine] for p in parts]).mean(1)
        return bootstrap_mean(np.array([values[subject == s].mean() for s in np.unique(subject)]), seed)._asdict()

    rows = []
    for i in range(len(first.until_s)):
        mine = part == i
        if not mine.any():  # another length of windows than it was calibrated with
            continue
        spoke, right = (np.concatenate([getattr(p, n)[:, mine] for p in parts]) for n in ("spoke", "right"))
        rows.append(
            {
                "until_s": float(first.age_s[mine].max()),
                "coverage": mean("held", mine),
                "coverage_as_at_end": mean("held_at_end", mine),
                "decided": mean("spoke", mine),
                "accuracy": mean("right", mine),
                "accuracy_of_decided": float(right[spoke].mean()) if spoke.any() else None,
                "log_loss": mean("loss", mine),
                "log_loss_as_at_end": mean("loss_at_end", mine),
            }
        )
    return rows


def _reliability(p: Predictions, seed: int) -> dict[str, Any]:
    curve = reliability_curve(p.target, p.probability)
    by_person = {str(s): log_loss(p.target[p.subject == s], p.probability[p.subject == s]) for s in _people(p)}
    return {
        "log_loss": _over_people(by_person, seed),
        "error": calibration_interval(p.target, p.probability, p.subject, seed)._asdict(),
        "debiased_error": debiased_calibration_error(p.target, p.probability),
        "reliability": {name: values.tolist() for name, values in curve._asdict().items()},
    }


def _coverage(a: Answers, seed: int) -> dict[str, Any]:
    found = group_coverage(a.sets, a.given.target, a.given.subject)
    windows = np.array([np.sum((a.given.subject == s) & (a.given.seed == a.given.seed[0])) for s in found])
    mean = float(np.mean(list(found.values())))
    return {
        "wished": 1 - a.alpha,
        **_over_people(found, seed),
        "sd_alike": float(np.sqrt(mean * (1 - mean) * np.mean(1 / np.maximum(windows, 1)))),
    }


def _sizes(sets: Array) -> dict[str, Any]:
    shares = np.bincount(sets.sum(1), minlength=sets.shape[1] + 1) / len(sets)
    return {"mean": set_size(sets), "shares": shares.tolist()}


def _answered(a: Answers, seed: int) -> dict[str, Any]:
    p = a.calibrated
    right, spoke = p.probability.argmax(1) == p.target, ~a.abstained
    people = [(str(s), p.subject == s) for s in _people(p)]
    spoken = [(s, mine & spoke) for s, mine in people if spoke[mine].any()]
    return {
        "share": _over_people({s: float(spoke[mine].mean()) for s, mine in people}, seed),
        "accuracy": _over_people({s: float(right[given].mean()) for s, given in spoken}, seed),
        "accuracy_of_all": _over_people({s: float(right[mine].mean()) for s, mine in people}, seed),
        "pooled_share": float(spoke.mean()),
        "pooled_accuracy": float(right[spoke].mean()) if spoke.any() else None,
        "silent_people": [s for s, mine in people if not spoke[mine].any()],
    }


def _risk(p: Predictions) -> dict[str, Any]:
    confidence, right = p.probability.max(1), p.probability.argmax(1) == p.target
    curve = risk_coverage(confidence, right)
    kept = np.unique(np.linspace(0, len(curve.coverage) - 1, MOST_POINTS).round().astype(int))
    return {
        "area": area_under_risk_coverage(confidence, right),
        **{name: values[kept].tolist() for name, values in curve._asdict().items()},
    }


def _over_people(values: dict[str, float], seed: int) -> dict[str, Any]:
    found = np.array(list(values.values()))
    if not len(found):
        return {"mean": None, "low": None, "high": None, "sd_subjects": None, "subjects": {}}
    return {
        **bootstrap_mean(found, seed)._asdict(),
        "sd_subjects": float(found.std(ddof=1)) if len(found) > 1 else None,
        "subjects": values,
    }


def _people(p: Predictions) -> Array:
    return np.unique(p.subject)
