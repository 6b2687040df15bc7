"""How far predictions are from the votes of experts, beside what needs no signal.

Shapes: n windows, K classes; votes (n, K). The patient (subject) is the unit: a divergence is made for each, then
averaged, and the interval is over patients. The mean over all windows, as the competition takes it, stands beside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neural_foundation.core.errors import DataError
from neural_foundation.metrics import bootstrap_mean
from neural_foundation.metrics.votes import agreement_by_votes, kl_each, vote_shares

from .scores import Predictions

Array = NDArray[Any]
Frequencies = Mapping[tuple[str, int, int], Array]


def vote_scores(
    predictions: Sequence[Predictions],
    frequencies: Frequencies,
    seed: int,
    *,
    baselines: Sequence[str] = (),
    people: Mapping[str, Sequence[int]] | None = None,
) -> dict[str, Any]:
    """Return the KL divergences of all models as one JSON value.

    frequencies : by (model, fold, seed) the class frequencies (K,) of the windows that it learned from, see
    `metrics.votes.class_frequency`. seed : of the bootstrap. people : by model, how many people each of its fits
    learned from; the fewest and the most of them are given as `people`.

    Each of `models` has: `patients` (mean over patients of the mean over their windows, with a 95 % bootstrap interval
    over patients), `subjects` (that of each), `pooled` (mean over windows), `sd_seeds` (of `pooled`; None for one
    seed), `class_frequency` and `uniform` (`patients` and `pooled` of a model that always says the class frequencies
    of its training windows, or all classes alike), `ratio` (`pooled` to that of the class frequencies), `folds` (one
    entry a fold and seed), and `agreement` (accuracy and divergence by number of votes). All are means over seeds. A
    model that is no baseline has `difference` from the best baseline of the same patients: the mean over patients of
    what its divergence is more than the other's, with a paired interval, and which that is, `against`.

    Raises
    ------
    DataError : predictions without votes, a window that nobody voted on, a model without class frequencies.
    """
    made = {p.model: _one(p, frequencies, seed) for p in predictions}
    for name in made.keys() - set(baselines):
        made[name]["difference"] = _difference(made, name, baselines, seed)
    for name, found in (people or {}).items():
        made[name]["people"] = [min(found), max(found)]
    return {"models": made}


def _difference(
    made: dict[str, dict[str, Any]], name: str, baselines: Sequence[str], seed: int
) -> dict[str, Any] | None:
    mine = made[name]["subjects"]
    others = [b for b in baselines if b in made and made[b]["subjects"].keys() == mine.keys()]
    if not others:
        return None
    best = min(others, key=lambda b: made[b]["patients"]["mean"])
    more = np.array([mine[s] - made[best]["subjects"][s] for s in mine])
    return {"against": best, **bootstrap_mean(more, seed)._asdict()}


def _one(p: Predictions, frequencies: Frequencies, seed: int) -> dict[str, Any]:
    if p.votes is None:
        raise DataError(f"The predictions of '{p.model}' hold no votes", remedy="Evaluate on windows with votes")
    shares = vote_shares(p.votes)
    made = {
        "kl": kl_each(shares, p.probability),
        "class_frequency": kl_each(shares, _always(p, frequencies)),
        "uniform": kl_each(shares, np.full(shares.shape, 1 / shares.shape[1])),
    }
    subjects = {name: _by_subject(each, p.subject) for name, each in made.items()}
    by_seed = np.array([made["kl"][p.seed == s].mean() for s in np.unique(p.seed)])
    floors = {
        name: {"patients": float(np.mean(list(subjects[name].values()))), "pooled": float(made[name].mean())}
        for name in ("class_frequency", "uniform")
    }
    pooled, floor = float(made["kl"].mean()), floors["class_frequency"]["pooled"]
    return {
        "patients": bootstrap_mean(np.array(list(subjects["kl"].values())), seed)._asdict(),
        "subjects": subjects["kl"],
        "pooled": pooled,
        "sd_seeds": float(by_seed.std(ddof=1)) if len(by_seed) > 1 else None,
        **floors,
        "ratio": pooled / floor if floor > 0 else None,
        "folds": _folds(p, made),
        "agreement": [b._asdict() for b in agreement_by_votes(p.votes, p.probability)],
    }


def _always(p: Predictions, frequencies: Frequencies) -> Array:
    """Return, for each window, the class frequencies that the model it was tested on learned from, (n, K)."""
    out = np.zeros(p.probability.shape)
    for fold, seed in _trained(p):
        if (p.model, fold, seed) not in frequencies:
            given = f"There are no class frequencies of '{p.model}', fold {fold}, seed {seed}"
            raise DataError(given, allowed="those of every fold and seed")
        out[(p.fold == fold) & (p.seed == seed)] = frequencies[p.model, fold, seed]
    return out


def _folds(p: Predictions, made: Mapping[str, Array]) -> list[dict[str, Any]]:
    rows = []
    for fold, seed in _trained(p):
        mine = (p.fold == fold) & (p.seed == seed)
        facts = {"fold": fold, "seed": seed, "windows": int(mine.sum()), "patients": len(np.unique(p.subject[mine]))}
        rows.append({**facts, **{name: float(each[mine].mean()) for name, each in made.items()}})
    return rows


def _trained(p: Predictions) -> list[tuple[int, int]]:
    return sorted(set(zip(p.fold.tolist(), p.seed.tolist(), strict=True)))


def _by_subject(each: Array, subject: Array) -> dict[str, float]:
    return {str(name): float(each[subject == name].mean()) for name in np.unique(subject)}
