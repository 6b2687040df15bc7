"""How sure a decoder may call itself: a temperature, sets of classes, and when it stays silent.

Fitted once on people that the model did not learn from, kept in the package, applied to each decision.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ..core.errors import DataError
from ..core.specs import Spec
from ..metrics import (
    abstention_threshold,
    aps_scores,
    class_quantiles,
    conformal_quantile,
    fit_temperature,
    lac_scores,
    prediction_sets,
)

Array = NDArray[Any]
Score = Literal["lac", "aps"]
Unit = Literal["window", "person"]
Abstain = Literal["set", "risk", "never"]
NEVER_SURE = 2.0  # a least confidence that no probability reaches
FLOOR = 1e-15  # of a probability, as `metrics.log_loss` has it: its logarithm must be finite


class Confidence(Spec):
    """What `Facts.confidence` holds.

    temperature : the logits are divided by it. alpha : a set is to miss the true class so often at most. score : how
    little a class fits, see `metrics.conformal`. thresholds : the largest score in a set, one for all classes or one a
    class. unit : what calibration counted as one, windows or people. abstain : when no decision is given: where the
    set does not hold exactly one class (`set`), where the confidence is under `least` (`risk`; above 1 is never sure),
    or never. people, windows : how many it was fitted on.

    All this is for a decision at the end of a window. earlier : what holds before, in order of time.
    """

    temperature: float = Field(1.0, gt=0)
    alpha: float = Field(0.1, gt=0, lt=1)
    score: Score = "lac"
    thresholds: tuple[Annotated[float, Field(ge=0, le=1)], ...] = Field((1.0,), min_length=1)
    unit: Unit = "window"
    abstain: Abstain = "never"
    least: float = Field(0.0, ge=0, le=NEVER_SURE)
    people: int = Field(0, ge=0)
    windows: int = Field(0, ge=0)
    earlier: tuple[Earlier, ...] = ()

    def apply(
        self, probability: Array, age_s: Array | float | None = None
    ) -> tuple[Array, NDArray[np.bool_], NDArray[np.bool_]]:
        """Return calibrated probability (n_classes, n), sets (n_classes, n) and where to stay silent (n,).

        probability : (n_classes, n) of the model, columns that sum to 1. age_s : (n,), seconds from where the window
        began (a trial's start, a reset) to each decision; left out, or later than the window was long, a decision is
        taken as one at the end of a window. The most likely class stays the same. A NaN column stays NaN, its set is
        empty, and it is silent unless `abstain` is never.
        """
        if age_s is not None and self.earlier:
            return self._aged(probability, age_s)
        p = self.tempered(probability)
        limits = self.thresholds[0] if len(self.thresholds) == 1 else np.array(self.thresholds)
        sets = prediction_sets(self.scored(p).T, limits).T
        if self.abstain == "set":
            return p, sets, np.add.reduce(sets, 0) != 1
        if self.abstain == "risk":
            return p, sets, ~(np.maximum.reduce(p, 0) >= self.least)
        return p, sets, np.zeros(p.shape[1], np.bool_)

    def tempered(self, probability: Array) -> Array:
        """Return softmax(log p / temperature) of probabilities (n_classes, n); p itself at temperature 1."""
        if self.temperature == 1.0:
            return probability
        p = np.maximum(probability, FLOOR) ** (1.0 / self.temperature)
        return np.asarray(p / np.add.reduce(p, 0))

    def scored(self, probability: Array) -> Array:
        """Return how little each class fits, (n_classes, n), of calibrated probabilities."""
        return lac_scores(probability) if self.score == "lac" else aps_scores(probability.T).T

    def _aged(self, probability: Array, age_s: Array | float) -> tuple[Array, NDArray[np.bool_], NDArray[np.bool_]]:
        if probability.shape[1] == 1:
            return self._of(bisect_left(self.earlier, float(np.asarray(age_s).item()) - 1e-9, key=_until))(probability)
        ends = [m.until_s for m in self.earlier]
        which = np.searchsorted(ends, np.broadcast_to(age_s, probability.shape[1:]) - 1e-9)
        p = np.empty_like(probability)
        sets, silent = np.empty(p.shape, np.bool_), np.empty(p.shape[1], np.bool_)
        for i in np.unique(which):
            mine = which == i
            p[:, mine], sets[:, mine], silent[mine] = self._of(int(i))(probability[:, mine])
        return p, sets, silent

    def _of(self, moment: int) -> Callable[[Array], tuple[Array, NDArray[np.bool_], NDArray[np.bool_]]]:
        return self.earlier[moment].confidence.apply if moment < len(self.earlier) else self.apply


class Earlier(Spec):
    """What holds for decisions up to `until_s` seconds after the window began, where no earlier one does."""

    until_s: float = Field(gt=0)
    confidence: Confidence


Confidence.model_rebuild()


def _until(moment: Earlier) -> float:
    return moment.until_s


def fit_confidence(
    probability: Array,
    target: Array,
    person: Array,
    *,
    alpha: float = 0.1,
    score: Score = "lac",
    per_class: bool = False,
    unit: Unit = "window",
    abstain: Abstain = "set",
    risk: float = 0.1,
) -> Confidence:
    """Return the confidence fitted on calibration windows: target and person (n,).

    probability : (n, n_classes), one decision a window, or (n, n_tokens, n_classes), several decisions of which any
    one may come; together they count as one window. For the temperature everybody counts alike, however many
    windows they have. Temperature and
    thresholds come from the same windows: exact for two classes, whose scores a temperature never reorders; for more,
    the loss is that of one fitted number. Where no threshold keeps the `risk`, it is always silent. Raises DataError
    where there are too few windows (people) for `alpha`.
    """
    p = np.asarray(probability, np.float64)
    tokens = p.shape[1] if p.ndim == 3 else 1
    p, window = p.reshape(-1, p.shape[-1]), np.repeat(np.arange(len(target)), tokens)
    target, person = np.asarray(target)[window], np.asarray(person)[window]
    _, index, count = np.unique(person, return_inverse=True, return_counts=True)
    temperature = fit_temperature(np.log(np.maximum(p, FLOOR)), target, weight=1 / count[index])
    first = Confidence(temperature=temperature, alpha=alpha, score=score)
    calibrated = first.tempered(p.T)
    thresholds = _thresholds(
        first.scored(calibrated).T, target, person if unit == "person" else window, alpha, unit, per_class
    )
    least = 0.0
    if abstain == "risk":
        right = calibrated.argmax(0) == target
        least = min(abstention_threshold(calibrated.max(0), right, risk, per_window=tokens), NEVER_SURE)
    facts = {"unit": unit, "abstain": abstain, "least": least, "people": len(count), "windows": int(window[-1]) + 1}
    return first.model_copy(update={"thresholds": thresholds, **facts})


def fit_earlier(
    along: Array, age_s: Array, target: Array, person: Array, *, moments: int, **options: Any
) -> tuple[Earlier, ...]:
    """Return what holds before the end of a window: one part of its length after the other, each fitted on its own.

    along : (n, n_tokens, n_classes), decisions as each window goes on, age_s (n_tokens,) after it began; the last one
    is the end and left out. moments : in how many equal parts the window is cut. options : as `fit_confidence` takes
    them. Early on a model has heard little and is no less bold, so one temperature for all decisions would be wrong.
    """
    age_s = np.asarray(age_s, np.float64)
    part = np.ceil(age_s[:-1] / age_s[-1] * moments - 1e-9)
    between = (age_s[:-1] + age_s[1:]) / 2  # live, the end of a token is known to a sample only
    return tuple(
        Earlier(
            until_s=float(between[part == i].max()),
            confidence=fit_confidence(along[:, :-1][:, part == i], target, person, **options),
        )
        for i in np.unique(part)
    )


def _thresholds(
    scores: Array, target: Array, groups: Array, alpha: float, unit: Unit, per_class: bool
) -> tuple[float, ...]:
    own = scores[np.arange(len(target)), target]
    if per_class:
        found = class_quantiles(own, target, alpha, n_classes=scores.shape[1], groups=groups)
    else:
        found = np.array([conformal_quantile(own, alpha, groups=groups)])
    if not np.isfinite(found).all():
        least = int(np.ceil(1 / alpha - 1 - 1e-9))
        raise DataError(
            f"{len(np.unique(groups))} calibration {'people' if unit == 'person' else 'windows'} cannot promise sets "
            f"that miss {alpha:g} at most",
            allowed=f"{least} or more{' of each class' if per_class else ''}",
            remedy="Keep more people for validation in the split, or allow a larger alpha"
            + (", or count windows (unit: window)" if unit == "person" else ""),
        )
    return tuple(float(t) for t in found)
