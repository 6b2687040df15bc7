"""Scores of sessions over models, folds and seeds, as one JSON value.

The session is the unit: a session's score is the mean over its folds and seeds, a model's score the mean over sessions.
With three sessions or more the interval is a 95 % bootstrap interval over sessions. With fewer it is the range over
folds and seeds, and says so: it tells how much a fit matters, nothing about another session.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import DataError, one_of
from ..metrics import bootstrap_mean
from .trial_scores import POSITION, Scored

Array = NDArray[Any]
LEAST_SESSIONS = 3  # for an interval over sessions
LESS_IS_BETTER = ("mean_error", "median_error")
_NULLS = {
    "bits_per_spike": "the unit's mean rate in the training part",
    "bits_per_spike_test_null": "the unit's mean rate in the test part itself",
    "r2": "the mean of the test part",
    "psth_r2": "the mean of the test part",
    "balanced_accuracy": "classes shuffled among the session's tested trials",
    "mean_error": "the mean position of the training part",
    "median_error": "the mean position of the training part",
}
_TITLES = {
    "bits_per_spike": "bits per spike",
    "bits_per_spike_test_null": "bits per spike, against the test mean",
    "r2": "R2, single trial",
    "psth_r2": "R2 of the mean over trials",
    "balanced_accuracy": "balanced accuracy",
    "mean_error": "mean error",
    "median_error": "median error",
}


@dataclass(frozen=True)
class Run:
    """One model on one session in one fold with one seed. chance : by name of a score, (n,) scores by shuffling.

    tested : what identifies the tested bins, the same for all that may be compared.
    """

    model: str
    hold_out: str
    session: str
    fold: str
    seed: int
    scored: Scored
    tested: str = ""
    nulls: Mapping[str, float] = field(default_factory=dict)
    chance: Mapping[str, Array] = field(default_factory=dict)


@dataclass(frozen=True)
class Metric:
    """One score's name taken apart: `direction.modality.score[channel]`."""

    name: str
    direction: str
    modality: str
    score: str
    channel: str

    @classmethod
    def of(cls, name: str) -> Metric:
        direction, modality, rest = name.split(".", 2)
        score, _, channel = rest.partition("[")
        return cls(name, direction, modality, score, channel.removesuffix("]"))

    @property
    def less_is_better(self) -> bool:
        return self.score in LESS_IS_BETTER

    def facts(self, unit: str) -> dict[str, Any]:
        """Return what a reader needs to know; `unit` is that of the modality's values."""
        return {
            "direction": self.direction,
            "modality": self.modality,
            "score": self.score,
            "channel": self.channel,
            "title": _TITLES[self.score],
            "unit": unit if self.less_is_better else "",
            "better": "less" if self.less_is_better else "more",
            "null": _NULLS[self.score],
        }


def summarise(
    runs: Sequence[Run],
    truth: Sequence[Run],
    baselines: Sequence[str],
    units: Mapping[str, str],
    seed: int,
    still: Sequence[Run] = (),
) -> dict[str, Any]:
    """Return the scores of all models.

    truth : runs of what knows how the data were made, one a session and fold; none of real data. still : the same of
    rates without the units' slow drift, which nothing that a model sees tells. units : of each
    modality's values. Raises DataError where models of one way of holding out were tested on other sessions or bins.
    """
    _check(runs)
    names = list(dict.fromkeys(name for r in (*runs, *truth) for name in r.scored.scores))
    models = list(dict.fromkeys(r.model for r in runs))
    ceilings = {h: [t for t in truth if t.hold_out == h] for h in dict.fromkeys(r.hold_out for r in runs)}
    made: dict[str, Any] = {}
    for model in models:
        mine = [r for r in runs if r.model == model]
        hold_out = mine[0].hold_out
        others = [[r for r in runs if r.model == b] for b in baselines if b != model]
        rivals = [rows for rows in others if rows and rows[0].hold_out == hold_out]
        made[model] = {
            "role": "baseline" if model in baselines else "model",
            "hold_out": hold_out,
            "folds": sorted({r.fold for r in mine}),
            "seeds": sorted({r.seed for r in mine}),
            "metrics": {
                name: entry
                for name in names
                if (entry := _entry(name, mine, rivals, ceilings[hold_out], seed)) is not None
            },
            "regions": _regions(mine, seed),
        }
        unmoved = [t for t in still if t.hold_out == hold_out]
        for name, entry in made[model]["metrics"].items():
            entry["ceiling_without_drift"] = _ceiling(name, _values(mine, name), entry["null"], unmoved)
    return {
        "metrics": {n: Metric.of(n).facts(units.get(Metric.of(n).modality, "")) for n in names},
        "models": made,
        "baselines": [b for b in models if b in baselines],
        "ceiling": _ceilings(ceilings, names, seed),
        "ceiling_without_drift": _ceilings({h: [t for t in still if t.hold_out == h] for h in ceilings}, names, seed),
    }


def _ceilings(by_way: Mapping[str, Sequence[Run]], names: Sequence[str], seed: int) -> dict[str, Any]:
    return {
        h: {n: _spread(values, seed) for n in names if (values := _values(rows, n))}
        for h, rows in by_way.items()
        if rows
    }


def _entry(
    name: str, mine: Sequence[Run], rivals: Sequence[Sequence[Run]], truth: Sequence[Run], seed: int
) -> dict[str, Any] | None:
    """Return one model's entry of one score; None where it has none anywhere."""
    values = _values(mine, name)
    if not values:
        return None
    metric = Metric.of(name)
    entry: dict[str, Any] = _spread(values, seed)
    entry["sessions"] = _by(values, 0)
    entry["runs"] = [{"session": s, "fold": f, "seed": k, "value": v} for (s, f, k), v in sorted(values.items())]
    entry["difference"] = _difference(metric, values, rivals, seed)
    entry["chance"] = _chance(name, mine)
    entry["null"] = _null(name, mine, entry["chance"])
    entry["ceiling"] = _ceiling(name, values, entry["null"], truth)
    if left_out := _left_out(name, mine):
        entry["left_out"] = left_out
    return entry


def _left_out(name: str, runs: Sequence[Run]) -> dict[str, int]:
    """Return how many units a pooled score is without, by session, the most of its folds; {} where none."""
    found: dict[str, int] = {}
    for r in runs:
        if many := r.scored.left_out.get(name, 0):
            found[r.session] = max(many, found.get(r.session, 0))
    return dict(sorted(found.items()))


Key = tuple[str, str, int]  # session, fold, seed


def _values(runs: Iterable[Run], name: str) -> dict[Key, float]:
    """Return the defined values of one score."""
    return {
        (r.session, r.fold, r.seed): float(v)
        for r in runs
        if (v := r.scored.scores.get(name)) is not None and np.isfinite(v)
    }


def _by(values: Mapping[Key, float], part: int) -> dict[Any, float]:
    """Return means by session (0), fold (1) or seed (2)."""
    found: dict[Any, list[float]] = {}
    for key, value in values.items():
        found.setdefault(key[part], []).append(value)
    return {k: float(np.mean(v)) for k, v in sorted(found.items())}


def _spread(values: Mapping[Key, float], seed: int) -> dict[str, Any]:
    """Return mean, interval and of what it is, and standard deviations over sessions and over seeds."""
    sessions = np.array(list(_by(values, 0).values()))
    seeds = np.array(list(_by(values, 2).values()))
    fits: dict[tuple[str, int], list[float]] = {}
    for (_, fold, k), value in values.items():
        fits.setdefault((fold, k), []).append(value)
    each = [float(np.mean(v)) for v in fits.values()]
    mean = float(sessions.mean())
    low, high = (min(each), max(each)) if len(each) > 1 else (None, None)
    of = _range_of({f for f, _ in fits}, {k for _, k in fits}, len(sessions))
    if len(sessions) >= LEAST_SESSIONS:
        _, low, high = bootstrap_mean(sessions, seed)
        of = f"95 % bootstrap interval over {len(sessions)} sessions"
    return {
        "mean": mean,
        "low": low,
        "high": high,
        "interval": of,
        "sd_sessions": _sd(sessions),
        "sd_seeds": _sd(seeds),
        "n_sessions": len(sessions),
    }


def _range_of(folds: set[str], seeds: set[int], sessions: int) -> str:
    who = "one session" if sessions == 1 else f"{sessions} sessions"
    many = [f"{len(n)} {word}" for n, word in ((folds, "folds"), (seeds, "seeds")) if len(n) > 1]
    return f"range over {' x '.join(many)}, {who}" if many else f"one fit, {who}: no interval"


def _sd(values: Array) -> float | None:
    return float(values.std(ddof=1)) if len(values) > 1 else None


def _difference(
    metric: Metric, values: Mapping[Key, float], rivals: Sequence[Sequence[Run]], seed: int
) -> dict[str, Any] | None:
    """Return model minus the best baseline, paired over sessions and folds; both are means over seeds.

    The best is the best on these very sessions, which favours the baseline.
    """
    mine = _pairs(values)
    theirs = {rows[0].model: _pairs(_values(rows, metric.name)) for rows in rivals}
    theirs = {name: pairs for name, pairs in theirs.items() if pairs.keys() >= mine.keys()}
    if not theirs:
        return None
    sign = -1 if metric.less_is_better else 1
    best = max(theirs, key=lambda n: sign * float(np.mean([theirs[n][k] for k in mine])))
    apart = {(s, f, 0): value - theirs[best][s, f] for (s, f), value in mine.items()}
    return {"against": best, **_spread(apart, seed), "sessions": _by(apart, 0), "pairs": len(apart)}


def _pairs(values: Mapping[Key, float]) -> dict[tuple[str, str], float]:
    found: dict[tuple[str, str], list[float]] = {}
    for (session, fold, _), value in values.items():
        found.setdefault((session, fold), []).append(value)
    return {k: float(np.mean(v)) for k, v in found.items()}


def _chance(name: str, runs: Sequence[Run]) -> dict[str, float] | None:
    """Return what shuffled classes reach: mean over sessions of the mean over folds and seeds, shuffle by shuffle."""
    found: dict[str, list[Array]] = {}
    for r in runs:
        if name in r.chance:
            found.setdefault(r.session, []).append(r.chance[name])
    if not found:
        return None
    made = np.mean([np.mean(rows, 0) for rows in found.values()], 0)
    return {"mean": float(made.mean()), "level_95": float(np.quantile(made, 0.95))}


def _null(name: str, runs: Sequence[Run], chance: Mapping[str, float] | None) -> float:
    if chance is not None:
        return chance["mean"]
    given = {(r.session, r.fold, r.seed): r.nulls[name] for r in runs if name in r.nulls}
    return float(np.mean(list(_by(given, 0).values()))) if given else 0.0


def _ceiling(name: str, values: Mapping[Key, float], null: float, truth: Sequence[Run]) -> dict[str, Any] | None:
    """Return what the truth scores on the same sessions and folds, and the share of the way to it from the null."""
    pairs = {(s, f) for s, f, _ in values}
    best = {k: v for k, v in _values(truth, name).items() if k[:2] in pairs}
    if {k[:2] for k in best} != pairs:
        return None
    top = float(np.mean(list(_by(best, 0).values())))
    mean = float(np.mean(list(_by(values, 0).values())))
    return {"mean": top, "share": (mean - null) / (top - null) if top != null else None}


def _regions(runs: Sequence[Run], seed: int) -> dict[str, dict[str, Any]]:
    names = sorted({region for r in runs for region in r.scored.regions})
    made = {}
    for region in names:
        values = {
            (r.session, r.fold, r.seed): v
            for r in runs
            if np.isfinite(v := float(r.scored.regions.get(region, np.nan)))
        }
        if values:
            made[region or "unknown"] = {**_spread(values, seed), "sessions": _by(values, 0)}
    return made


def _check(runs: Sequence[Run]) -> None:
    if not runs:
        raise DataError("There are no models to score", remedy="Give 'models' one stage or more")
    kinds: dict[str, set[str]] = {}
    for r in runs:
        kinds.setdefault(r.model, set()).add(r.hold_out)
    for model, found in kinds.items():
        if len(found) > 1:
            given = f"Model '{model}' was tested in {len(found)} ways: {one_of(sorted(found))}"
            raise DataError(given, allowed="one split a stage", remedy="Make it two stages, one for each split")
    first: dict[tuple[str, str, str], Run] = {}
    for r in runs:
        other = first.setdefault((r.hold_out, r.session, r.fold), r)
        if other.tested != r.tested:
            given = f"'{r.model}' and '{other.model}' were tested on other bins of session '{r.session}'"
            raise DataError(given, remedy="Fit them with the same split and windows, so that they can be compared")


__all__ = ["LEAST_SESSIONS", "POSITION", "Metric", "Run", "summarise"]
