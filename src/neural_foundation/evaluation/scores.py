"""From predictions on held-out windows to scores that say how far they can be trusted.

Shapes: n windows; probability (n, n_classes); target (n,) class indices; subject, session (n,) names.
The subject is the unit: a score is made for each, then averaged, and intervals are over subjects.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neural_foundation.core import store
from neural_foundation.core.errors import DataError, StoreError, did_you_mean, one_of
from neural_foundation.metrics import (
    accuracy,
    balanced_accuracy,
    bootstrap_mean,
    brier,
    by_class,
    calibration,
    calibration_error,
    chance,
    cohen_kappa,
    confusion,
    log_loss,
    paired_difference,
    roc_auc,
)

Array = NDArray[Any]


@dataclass(frozen=True)
class Predictions:
    """What one model said of held-out windows; all arrays have one entry a window.

    trial : (n,) number of the trial within its session. fold, seed : (n,) which of the trained models said it.
    votes : (n, n_classes) how many experts chose each class; None where nobody was asked.
    """

    model: str
    probability: NDArray[np.float64]
    target: NDArray[np.int64]
    subject: NDArray[np.str_]
    session: NDArray[np.str_]
    trial: NDArray[np.int64]
    fold: NDArray[np.int64]
    seed: NDArray[np.int64]
    votes: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        lengths = {name: len(getattr(self, name)) for name in self._rows}
        if len(set(lengths.values())) != 1 or self.probability.ndim != 2:
            raise DataError(f"Predictions of '{self.model}' have unequal lengths {lengths}")
        if not lengths["target"]:
            raise DataError(f"Model '{self.model}' predicted nothing", remedy="Hold out one subject or more")

    @property
    def _rows(self) -> list[str]:
        """The names of what has an entry a window."""
        return [f.name for f in fields(self) if f.name != "model" and (f.name != "votes" or self.votes is not None)]

    @classmethod
    def join(cls, parts: Sequence[Predictions]) -> Predictions:
        """Return the predictions of one model over its folds and seeds as one."""
        names = {p.model for p in parts}
        if len(names) != 1:
            raise DataError(f"Predictions of {one_of(sorted(names))} cannot be joined", allowed="those of one model")
        rows = parts[0]._rows
        if any(p._rows != rows for p in parts):
            given = f"Some predictions of '{names.pop()}' have votes, others have none"
            raise DataError(given, remedy="Evaluate all folds on the same windows")
        return cls(names.pop(), **{r: np.concatenate([getattr(p, r) for p in parts]) for r in rows})

    def pick(self, chosen: Array) -> Predictions:
        """Return the windows that an index or mask chooses."""
        return Predictions(self.model, **{name: getattr(self, name)[chosen] for name in self._rows})

    def save(self, path: Path | str) -> None:
        """Write as an array file: no pickle, equal predictions give equal bytes."""
        store.save_arrays(path, {name: getattr(self, name) for name in ("model", *self._rows)})

    @classmethod
    def load(cls, path: Path | str) -> Predictions:
        """Return what `save` wrote; StoreError where the file is missing, damaged or something else."""
        arrays = store.load_arrays(path)
        expected = {f.name for f in fields(cls)}
        if set(arrays) | {"votes"} != expected:
            raise StoreError(
                f"{path} holds {one_of(sorted(arrays))}, not predictions", allowed=one_of(sorted(expected - {"votes"}))
            )
        return cls(str(arrays.pop("model")), **arrays)


def score(
    predictions: Sequence[Predictions],
    classes: Sequence[str],
    seed: int,
    *,
    baselines: Sequence[str] = (),
    permutations: int = 1000,
) -> dict[str, Any]:
    """Return the scores of all models as one JSON value.

    baselines : names of the models that the others are compared with. The comparison is with the best of them on
    these very subjects, which favours the baseline. seed : of permutations and bootstraps.

    Each of `models` has: `subjects` (balanced accuracy of each, mean over seeds), `balanced_accuracy` (mean,
    bootstrap interval over subjects, standard deviations over subjects and over seeds), `trial_balanced_accuracy`
    (probabilities averaged over a trial's windows), `accuracy`, `kappa` (Cohen's, mean over subjects with interval),
    `roc_auc`, `log_loss`, `brier`, `confusion`, `by_class` (recall, precision, F1, in the order of the classes),
    `calibration`, `chance` (by permutation of whole trials' classes within subjects; of the mean, and of each in its
    `subjects`), and `difference` to the best baseline (paired over subjects; None for that baseline).

    Raises
    ------
    DataError : no predictions, two of one name, other classes, or models tested on other windows.
    """
    _check(predictions, classes, baselines)
    tables = {p.model: _subject_table(p) for p in predictions}
    best = max(baselines, key=lambda name: tables[name].mean(), default=None)
    models = {p.model: _one(p, tables[p.model], len(classes), seed, permutations) for p in predictions}
    for name, entry in models.items():
        entry["difference"] = None
        if best is not None and name != best:
            interval = paired_difference(tables[name].mean(0), tables[best].mean(0), seed)
            entry["difference"] = {"against": best, **interval._asdict()}
    return {
        "classes": list(classes),
        "n_subjects": len(np.unique(predictions[0].subject)),
        "n_windows": len(_windows(predictions[0])),
        "best_baseline": best,
        "models": models,
    }


def _check(predictions: Sequence[Predictions], classes: Sequence[str], baselines: Sequence[str]) -> None:
    names = [p.model for p in predictions]
    if not names or len(set(names)) != len(names):
        raise DataError(f"Predictions are of {one_of(names)}", allowed="one or more, each of another model")
    unknown = [b for b in baselines if b not in names]
    if unknown:
        raise DataError(
            f"No predictions of baseline '{unknown[0]}'.{did_you_mean(unknown[0], names)}", allowed=one_of(names)
        )
    for p in predictions:
        if p.probability.shape[1] != len(classes):
            raise DataError(
                f"'{p.model}' gives {p.probability.shape[1]} classes", allowed=f"{len(classes)}: {one_of(classes)}"
            )
        if _windows(p) != _windows(predictions[0]):
            raise DataError(
                f"'{p.model}' and '{names[0]}' were tested on other windows, so that they cannot be compared",
                remedy="Evaluate all models on the same split",
            )


def _windows(p: Predictions) -> list[tuple[str, str, int, int, int]]:
    """Return what identifies each tested window, its order within a trial included, for one seed after another."""
    rows = list(zip(p.subject.tolist(), p.session.tolist(), p.trial.tolist(), p.target.tolist(), strict=True))
    made: set[tuple[str, str, int, int, int]] = set()
    for s in np.unique(p.seed):
        seen: dict[tuple[str, str, int, int], int] = {}
        for row, mine in zip(rows, p.seed == s, strict=True):
            if mine:
                seen[row] = seen.get(row, -1) + 1
                made.add((*row, seen[row]))
    return sorted(made)


def _subject_table(p: Predictions) -> NDArray[np.float64]:
    """Return balanced accuracies (n_seeds, n_subjects), subjects in the order of their names."""
    said = p.probability.argmax(1)
    made = np.zeros((len(np.unique(p.seed)), len(np.unique(p.subject))))
    for i, s in enumerate(np.unique(p.seed)):
        for j, name in enumerate(np.unique(p.subject)):
            mine = (p.seed == s) & (p.subject == name)
            if not mine.any():
                raise DataError(f"'{p.model}' was not tested on subject '{name}' with seed {s}", remedy="Run all folds")
            made[i, j] = balanced_accuracy(p.target[mine], said[mine])
    return made


def _one(p: Predictions, table: Array, n_classes: int, seed: int, permutations: int) -> dict[str, Any]:
    said = p.probability.argmax(1)
    by_trial = _trials(p)
    counts = confusion(p.target, said, n_classes)
    confidence, right, count = calibration(p.target, p.probability)
    return {
        "subjects": dict(zip(np.unique(p.subject).tolist(), table.mean(0).tolist(), strict=True)),
        "balanced_accuracy": {
            **bootstrap_mean(table.mean(0), seed)._asdict(),
            "sd_subjects": _sd(table.mean(0)),
            "sd_seeds": _sd(table.mean(1)),
            "n_seeds": len(table),
        },
        "trial_balanced_accuracy": float(_subject_table(by_trial).mean()),
        "accuracy": accuracy(p.target, said),
        "roc_auc": roc_auc(p.target, p.probability) if len(np.unique(p.target)) > 1 else None,
        "log_loss": log_loss(p.target, p.probability),
        "brier": brier(p.target, p.probability),
        "confusion": counts.tolist(),
        "kappa": _kappa(p, n_classes, seed),
        "by_class": {n: _numbers(v) for n, v in by_class(counts)._asdict().items()},
        "calibration": {
            "error": calibration_error(p.target, p.probability),
            "confidence": confidence.tolist(),
            "accuracy": right.tolist(),
            "count": count.tolist(),
        },
        "chance": _chance(p, seed, permutations),
    }


def _kappa(p: Predictions, n_classes: int, seed: int) -> dict[str, Any]:
    said = p.probability.argmax(1)
    each = {
        str(name): cohen_kappa(confusion(p.target[p.subject == name], said[p.subject == name], n_classes))
        for name in np.unique(p.subject)
    }
    return {**bootstrap_mean(np.array(list(each.values())), seed)._asdict(), "subjects": each}


def _numbers(values: Array) -> list[float | None]:
    return [float(v) if np.isfinite(v) else None for v in values]


def _sd(values: Array) -> float | None:
    return float(values.std(ddof=1)) if len(values) > 1 else None


def _trials(p: Predictions) -> Predictions:
    """Return one row a trial and seed: the mean probability of its windows; windows of two classes stay apart."""
    keys = list(zip(p.seed, p.subject, p.session, p.trial, p.target, strict=True))
    _, first, code = np.unique(_codes(keys), return_index=True, return_inverse=True)
    total = np.zeros((len(first), p.probability.shape[1]))
    np.add.at(total, code, p.probability)
    picked = p.pick(first)
    mean = total / np.bincount(code)[:, None]
    return Predictions(**{**{f.name: getattr(picked, f.name) for f in fields(picked)}, "probability": mean})


def _codes(keys: Sequence[tuple[Any, ...]]) -> NDArray[np.int64]:
    number = {key: i for i, key in enumerate(sorted(set(keys)))}
    return np.array([number[key] for key in keys])


def _chance(p: Predictions, seed: int, permutations: int) -> dict[str, Any]:
    # the same seed shuffles every trained model's targets alike, so the mean over models is itself one shuffle's score
    made = []
    for s in np.unique(p.seed):
        order = np.flatnonzero(p.seed == s)
        order = order[np.lexsort((p.target[order], p.trial[order], p.session[order], p.subject[order]))]
        units = _codes(list(zip(p.session[order], p.trial[order], strict=True)))
        guess = chance(
            p.target[order], p.probability[order].argmax(1), p.subject[order], seed, permutations, units=units
        )
        made.append(guess.by_group)
    by_subject = np.mean(made, axis=0)
    names = np.unique(p.subject).tolist()
    return {
        **_guessing(by_subject.mean(0)),
        "subjects": {name: _guessing(row) for name, row in zip(names, by_subject, strict=True)},
    }


def _guessing(distribution: Array) -> dict[str, float]:
    low, high = np.quantile(distribution, (0.05, 0.95))
    return {"mean": float(distribution.mean()), "level_5": float(low), "level_95": float(high)}
