"""How good out-of-fold probabilities are beside experts' votes: each member, each ensemble, and what anybody can say.

Shapes: n windows, K classes; probability (n, K), NaN rows where a model said nothing; votes (n, K); patient, fold (n,).
Windows nobody voted on are left out. Means are over windows, as the competition's; intervals are over patients.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neural_foundation.core.errors import DataError
from neural_foundation.core.seeds import generator
from neural_foundation.metrics import Interval, confusion, pearson
from neural_foundation.metrics.votes import BINS, agreement_by_votes, agrees, kl_each, vote_shares

from .ensembling import Uncertainty

Array = NDArray[Any]
Floats = NDArray[np.float64]
DRAWS = 2000
EDGES = 10  # bins of equal width of a probability


@dataclass(frozen=True, eq=False)
class Voted:
    """The windows that scores are made on, all with votes. target : (n,) the consensus, by its class."""

    votes: Floats
    target: NDArray[np.int64]
    patient: Array
    fold: Array
    seed: int = 0

    def __post_init__(self) -> None:
        lengths = {len(self.votes), len(self.target), len(self.patient), len(self.fold)}
        if len(lengths) != 1 or not len(self.votes):
            raise DataError(f"Votes, targets, patients and folds have lengths {sorted(lengths)}", allowed="one length")

    @property
    def n_classes(self) -> int:
        return int(self.votes.shape[1])


def ensemble_scores(
    voted: Voted,
    members: Mapping[str, Array],
    ensembles: Mapping[str, Array],
    *,
    baselines: Mapping[str, Array] | None = None,
    references: Mapping[str, Array] | None = None,
) -> dict[str, Any]:
    """Return the scores of all as one JSON value: `members`, `ensembles`, `baselines`, `references`, by name.

    Each has `kl` and `accuracy` (mean, interval over patients, of each fold, spread over folds), `kl_by_vote` (windows
    weighted by their votes), `confusion` (consensus by decision), `by_votes`, `reliability`, and `difference`: its KL
    less that of the best member on the windows that both speak of (None for that member). The best member is chosen on
    these very windows, which favours it.
    """
    groups = {"members": members, "ensembles": ensembles, "baselines": baselines or {}, "references": references or {}}
    rows = {(g, n): _rows(voted, p, n) for g, models in groups.items() for n, p in models.items()}
    found = {key: _one(voted, groups[key[0]][key[1]], mine) for key, mine in rows.items()}
    whole = [n for n in members if rows["members", n].all()] or list(members)
    best = min(whole, key=lambda n: float(found["members", n]["kl"]["mean"]))
    for (group, name), entry in found.items():
        both = rows[group, name] & rows["members", best]
        entry["difference"] = None
        if (group, name) != ("members", best) and both.any():
            away = _kl(voted, groups[group][name], both) - _kl(voted, members[best], both)
            entry["difference"] = {"against": best, **over_patients(away, voted.patient[both], voted.seed)._asdict()}
    return {
        "n_windows": len(voted.votes),
        "n_patients": len(np.unique(voted.patient)),
        "n_votes": float(voted.votes.sum()),
        "folds": np.unique(voted.fold).tolist(),
        "best_member": best,
        "experts": experts(voted.votes),
        **{g: {n: found[g, n] for n in models} for g, models in groups.items()},
    }


def over_patients(values: Array, patient: Array, seed: int, *, n: int = DRAWS) -> Interval:
    """Return the mean over windows (n,) and its 95 % interval: whole patients are drawn, with all their windows."""
    names, index = np.unique(patient, return_inverse=True)
    sums, counts = np.bincount(index, values), np.bincount(index)
    drawn = generator(seed, "patients").multinomial(len(names), np.full(len(names), 1 / len(names)), n)
    low, high = np.quantile(drawn @ sums / (drawn @ counts), (0.025, 0.975))
    return Interval(float(np.mean(values)), float(low), float(high))


def experts(votes: Array, *, bins: tuple[int, ...] = BINS) -> list[dict[str, Any]]:
    """Return, by the number of votes on a window, how often two of its experts agree; None where only one voted."""
    total = votes.sum(1)
    place = np.searchsorted(bins, total, side="right") - 1
    pairs = np.where(total >= 2, (votes * (votes - 1)).sum(1) / np.maximum(total * (total - 1), 1), np.nan)
    made = []
    for i, least in enumerate(bins):
        mine = (place == i) & (total >= 2)
        most = bins[i + 1] - 1 if i + 1 < len(bins) else None
        agreed = float(pairs[mine].mean()) if mine.any() else None
        made.append({"least": least, "most": most, "windows": int((place == i).sum()), "agreement": agreed})
    return made


def uncertainty_scores(voted: Voted, probability: Array, unsure: Uncertainty) -> dict[str, Any]:
    """Return the mean entropy and disagreement of right and of wrong decisions, and how they go with the experts'."""
    right = agrees(voted.votes, probability)
    share = vote_shares(voted.votes)
    theirs = -(share * np.log(np.where(share > 0, share, 1.0))).sum(1)
    made: dict[str, Any] = {}
    for name, values in (("entropy", unsure.entropy), ("disagreement", unsure.mutual_information)):
        varied = np.ptp(values) > 0 and np.ptp(theirs) > 0
        made[name] = {
            "right": float(values[right].mean()) if right.any() else None,
            "wrong": float(values[~right].mean()) if not right.all() else None,
            "correlation": float(pearson(theirs, values)) if varied else None,
        }
    return made


def _rows(voted: Voted, probability: Array, name: str) -> NDArray[np.bool_]:
    if probability.shape != voted.votes.shape:
        raise DataError(f"'{name}' gives {probability.shape}", allowed=f"{voted.votes.shape}, as the votes")
    found = np.isfinite(probability).all(1)
    if not found.any():
        raise DataError(f"'{name}' says nothing of any window", remedy="Leave it out of the ensemble")
    return np.asarray(found)


def _kl(voted: Voted, probability: Array, rows: Array) -> Floats:
    return kl_each(vote_shares(voted.votes[rows]), probability[rows])


def _one(voted: Voted, probability: Array, rows: NDArray[np.bool_]) -> dict[str, Any]:
    votes, p, patient = voted.votes[rows], probability[rows], voted.patient[rows]
    kl, right = _kl(voted, probability, rows), agrees(votes, p).astype(float)
    return {
        "windows": int(rows.sum()),
        "kl": _spread(voted, kl, patient, rows),
        "accuracy": _spread(voted, right, patient, rows),
        "kl_by_vote": float(np.average(kl, weights=votes.sum(1))),
        "confusion": confusion(voted.target[rows], p.argmax(1), voted.n_classes).tolist(),
        "by_votes": _by_votes(votes, p),
        "reliability": reliability(votes, p),
    }


def _spread(voted: Voted, values: Floats, patient: Array, rows: Array) -> dict[str, Any]:
    fold = voted.fold[rows]
    folds = [float(values[fold == f].mean()) if (fold == f).any() else None for f in np.unique(voted.fold).tolist()]
    known = np.array([v for v in folds if v is not None])
    sd = float(known.std(ddof=1)) if len(known) > 1 else None
    return {**over_patients(values, patient, voted.seed)._asdict(), "folds": folds, "sd_folds": sd}


def _by_votes(votes: Floats, p: Array) -> list[dict[str, Any]]:
    share = vote_shares(votes)[np.arange(len(votes)), p.argmax(1)]
    place = np.searchsorted(BINS, votes.sum(1), side="right") - 1
    return [
        {**b._asdict(), "agreement": float(share[place == i].mean()) if b.windows else None}
        for i, b in enumerate(agreement_by_votes(votes, p))
    ]


def reliability(votes: Array, probability: Array) -> dict[str, Any]:
    """Return, over all classes and windows, how a probability goes with the share of experts who chose the class.

    In bins of equal width, empty ones left out: mean `probability`, mean `share`, `count`; `error`, their mean absolute
    difference weighted by count.
    """
    p, share = np.asarray(probability, np.float64).ravel(), vote_shares(votes).ravel()
    place = np.minimum((p * EDGES).astype(np.int64), EDGES - 1)
    count = np.bincount(place, minlength=EDGES)
    kept = count > 0
    mean, said = (np.bincount(place, v, EDGES)[kept] / count[kept] for v in (p, share))
    error = float((count[kept] * np.abs(mean - said)).sum() / len(p))
    return {"probability": mean.tolist(), "share": said.tolist(), "count": count[kept].tolist(), "error": error}
