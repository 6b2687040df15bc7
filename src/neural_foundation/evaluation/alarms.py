"""A model as a predictor of events: sensitivity against false alarms an hour, warning time, and what chance reaches.

A trial of one class ends in an event (an onset); alarms within it are right, alarms in any other scored time are
false. The level is the mean probability of that class over the last `smooth_s`. What a predictor without knowledge,
that raises false alarms as often, would have foreseen stands beside (Poisson alarms).

The threshold that counts for a person is set on the others: the lowest at which their false alarms are as rare as
`false_per_hour` asks. It is not nested: the others' probabilities come from models that had this person among their
training people. The curve over all thresholds has no such choice in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from neural_foundation.core.errors import DataError
from neural_foundation.core.specs import Spec
from neural_foundation.metrics import bootstrap_mean
from neural_foundation.metrics.events import at_least, chance_level, poisson_foreseen, raised, recent_mean

Array = NDArray[Any]
N_THRESHOLDS = 200
DIGITS = 9  # of a level: the rounding of a running sum is no difference
CURVE_POINTS = 60


class AlarmRule(Spec):
    """When an alarm is raised, and how rare false ones must be."""

    event: str = Field(description="the class whose trials end in an event")
    smooth_s: float = Field(60.0, ge=0, description="the level is the mean probability over so many seconds")
    refractory_s: float = Field(600.0, ge=0, description="after an alarm none is raised for so long")
    false_per_hour: float = Field(0.25, gt=0, description="most false alarms an hour that the threshold may give")


@dataclass(frozen=True, eq=False)
class Timeline:
    """One recording's decisions in order: end_s (n,) of each window, probability (n,) of the event's class.

    event : (n,) index into `onset_s` of the event that a window comes before, -1 where there is none. hop_s : the time
    that one decision stands for.
    """

    subject: str
    end_s: NDArray[np.float64]
    probability: NDArray[np.float64]
    event: NDArray[np.int64]
    onset_s: NDArray[np.float64]
    hop_s: float

    @property
    def false_hours(self) -> float:
        """Hours in which an alarm is false."""
        return float(np.count_nonzero(self.event < 0) * self.hop_s / 3600)

    @property
    def event_hours(self) -> NDArray[np.float64]:
        """Hours before each event in which an alarm counts, (n_events,)."""
        return np.bincount(self.event[self.event >= 0], minlength=len(self.onset_s)) * self.hop_s / 3600


@dataclass(frozen=True, eq=False)
class Outcome:
    """What one threshold gives on one recording: warning (n_events,) seconds, nan where none; false alarms."""

    warning_s: NDArray[np.float64]
    false: int


def outcome(line: Timeline, level: Array, threshold: float, rule: AlarmRule) -> Outcome:
    """Return the warnings and false alarms of one recording."""
    warning = np.full(len(line.onset_s), np.nan)
    false = 0
    for i in raised(line.end_s, level, threshold, rule.refractory_s).tolist():
        event = line.event[i]
        if event < 0:
            false += 1
        elif np.isnan(warning[event]):
            warning[event] = line.onset_s[event] - line.end_s[i]
    return Outcome(warning, false)


def alarms(end_s: Array, probability: Array, threshold: float, rule: AlarmRule) -> NDArray[np.float64]:
    """Return when alarms are raised (m,), seconds, on decisions that end at `end_s` (n,), in order of time.

    probability : (n,) of the rule's event, as a served package gives it.
    """
    found = raised(end_s, _level(end_s, probability, rule), threshold, rule.refractory_s)
    return np.asarray(end_s, np.float64)[found]


def _level(end_s: Array, probability: Array, rule: AlarmRule) -> NDArray[np.float64]:
    return np.asarray(recent_mean(end_s, probability, rule.smooth_s).round(DIGITS))


def alarm_scores(lines: Sequence[Timeline], rule: AlarmRule, seed: int) -> dict[str, Any]:
    """Return sensitivity, false alarms an hour, warning times, chance and the curve of one model, as JSON.

    `threshold` of a subject is the one that the others set, that beside `curve` the one that all of them set, for
    people who are new; None where no level keeps false alarms rare enough. `p` of chance takes all events as
    independent, though several are of one person; `sensitivity` has its interval over people.

    DataError where no event is left to foresee, or one person alone, whose threshold nobody else could set.
    """
    names = sorted({line.subject for line in lines})
    if not sum(len(line.onset_s) for line in lines) or len(names) < 2:
        given = f"{len(names)} people with {sum(len(line.onset_s) for line in lines)} events"
        raise DataError(given, allowed="two people or more, one event or more", remedy="Hold out more recordings")
    levels = [_level(line.end_s, line.probability, rule) for line in lines]
    thresholds = _thresholds(np.concatenate(levels))
    table = [[outcome(line, level, t, rule) for t in thresholds] for line, level in zip(lines, levels, strict=True)]
    chosen = {name: _threshold(lines, table, thresholds, rule, without=name) for name in names}
    kept = [row[chosen[line.subject]] if chosen[line.subject] < len(row) else _silent(line)
            for line, row in zip(lines, table, strict=True)]  # fmt: skip
    made = _summary(lines, kept, names, seed)
    for name in names:
        made["subjects"][name]["threshold"] = _at(thresholds, chosen[name])
    everybody = _threshold(lines, table, thresholds, rule)
    return {**made, "threshold": _at(thresholds, everybody), "curve": _curve(lines, table)}


def _at(thresholds: Array, index: int) -> float | None:
    return float(thresholds[index]) if index < len(thresholds) else None


def _thresholds(levels: Array) -> NDArray[np.float64]:
    """Return levels that occur, dense where they are high: alarms are rare."""
    n = len(levels)
    share = np.concatenate([np.linspace(0, 1, N_THRESHOLDS), 1 - np.geomspace(1 / n, 1, N_THRESHOLDS)])
    return np.unique(np.quantile(levels, share, method="nearest"))


def _silent(line: Timeline) -> Outcome:
    return Outcome(np.full(len(line.onset_s), np.nan), 0)


def _threshold(
    lines: Sequence[Timeline], table: list[list[Outcome]], thresholds: Array, rule: AlarmRule, *, without: str = ""
) -> int:
    """Return the lowest threshold from which on the others' false alarms are rare enough; beyond all: never."""
    others = [(line, row) for line, row in zip(lines, table, strict=True) if line.subject != without]
    hours = sum(line.false_hours for line, _ in others)
    rate = np.array([sum(row[k].false for _, row in others) for k in range(len(thresholds))]) / max(hours, 1e-9)
    too_many = np.flatnonzero(rate > rule.false_per_hour)
    return int(too_many[-1]) + 1 if len(too_many) else 0


def _summary(lines: Sequence[Timeline], kept: list[Outcome], names: list[str], seed: int) -> dict[str, Any]:
    warning = np.concatenate([o.warning_s for o in kept])
    hours, false = sum(line.false_hours for line in lines), sum(o.false for o in kept)
    foreseen = int(np.isfinite(warning).sum())
    rate = false / hours if hours else 0.0
    by_chance = poisson_foreseen(rate, np.concatenate([line.event_hours for line in lines]))
    subjects = {name: _of_one(lines, kept, name) for name in names}
    shares = [s["foreseen"] / s["events"] for s in subjects.values() if s["events"]]
    warned = warning[np.isfinite(warning)]
    return {
        "events": len(warning),
        "foreseen": foreseen,
        "sensitivity": bootstrap_mean(np.array(shares), seed)._asdict(),
        "false_per_hour": rate,
        "hours": hours,
        "warning_s": {
            "median": float(np.median(warned)) if foreseen else None,
            "shortest": float(warned.min()) if foreseen else None,
            "each": [None if np.isnan(w) else float(w) for w in warning],
        },
        "chance": {
            "sensitivity": float(by_chance.mean()),
            "level_95": chance_level(by_chance) / len(warning),
            "p": at_least(foreseen, by_chance),
        },
        "subjects": subjects,
    }


def _of_one(lines: Sequence[Timeline], kept: list[Outcome], name: str) -> dict[str, Any]:
    mine = [(line, o) for line, o in zip(lines, kept, strict=True) if line.subject == name]
    return {
        "events": sum(len(o.warning_s) for _, o in mine),
        "foreseen": sum(int(np.isfinite(o.warning_s).sum()) for _, o in mine),
        "false": sum(o.false for _, o in mine),
        "hours": sum(line.false_hours for line, _ in mine),
    }


def _curve(lines: Sequence[Timeline], table: list[list[Outcome]]) -> dict[str, list[float]]:
    """Return sensitivity and chance against false alarms an hour, one threshold for everybody, rarest alarms first."""
    hours = max(sum(line.false_hours for line in lines), 1e-9)
    event_hours = np.concatenate([line.event_hours for line in lines])
    points: dict[float, float] = {0.0: 0.0}
    for k in range(len(table[0])):
        warning = np.concatenate([row[k].warning_s for row in table])
        rate = sum(row[k].false for row in table) / hours
        points[rate] = max(points.get(rate, 0.0), float(np.isfinite(warning).mean()))
    rates = sorted(points)
    rates = [rates[i] for i in np.unique(np.linspace(0, len(rates) - 1, CURVE_POINTS).round().astype(int))]
    return {
        "false_per_hour": rates,
        "sensitivity": [points[r] for r in rates],
        "chance": [float(poisson_foreseen(r, event_hours).mean()) for r in rates],
    }
