"""What one model's predictions on the test part of one binned session are worth.

Shapes: n tested bins in time order, m tested trials, C channels of a modality, T bins of a window, K classes. Each
tested bin is scored once: where windows overlap, their predictions are averaged onto the session's time axis.

A score is named `direction.modality.score`, with `[channel]` behind it for one channel of several:
"encoding.spikes.bits_per_spike", "decoding.velocity.r2[x]", "decoding.choice.balanced_accuracy".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.modalities import ModalitySpec
from ..metrics import balanced_accuracy
from ..metrics.behaviour import position_error, psth_r2, r2_by_channel
from ..metrics.spikes import UnitScores, bits_per_spike
from ..sampling.binned import BinnedSession, BinnedSet, Indices
from ..sampling.roles import TrialFold

Array = NDArray[Any]
LEAST_TRIALS = 3  # of a class, for a mean over its trials to be compared
POSITION = "position"
PLACES = (1, 2)  # channels of a position that has an error: along a track, or in the plane
MOST_CHANNELS = 8  # of one modality that each have a score of their own


@dataclass(frozen=True, eq=False)
class HeldOut:
    """The test part of one session in one fold, and what the training part says of its means.

    bins : (n,) tested bins, rising. trials : (m,) tested trials. train : (k,) bins of the training part. aligned : the
    length of the tested trials, in bins, where all are whole and equally long; else 0.
    """

    session: BinnedSession
    fold: TrialFold
    bins: Indices
    trials: Indices
    train: Indices
    aligned: int

    @classmethod
    def of(cls, session: BinnedSession, fold: TrialFold, windows: BinnedSet) -> HeldOut:
        """Return what the test windows of one session cover."""
        covered = np.zeros(int((session.first + session.length).max()), bool)
        for first in windows.first:
            covered[first : first + windows.spec.n_bins] = True
        trials = np.unique(windows.trial)
        lengths = np.unique(session.length[trials])
        whole = all(
            covered[a : a + n].all() for a, n in zip(session.first[trials], session.length[trials], strict=True)
        )
        whole = whole and bool((np.diff(session.first[trials]) > 0).all())
        aligned = int(lengths[0]) if whole and len(lengths) == 1 and session.n_trials > 1 else 0
        train = fold.spans(session, 0, "train")
        learned = [np.arange(a, a + n) for a, n in zip(train.first, train.length, strict=True)]
        return cls(session, fold, np.flatnonzero(covered), trials, np.concatenate(learned), aligned)

    @property
    def modalities(self) -> tuple[ModalitySpec, ...]:
        """The modalities that the session has."""
        return tuple(m for m in self.session.modalities if m.name in self.session.values)

    def true(self, name: str) -> Array:
        """Return a modality on the tested bins (n, C); of classes on the tested trials (m,)."""
        held, kind = self.session.values[name], next(m.kind for m in self.modalities if m.name == name)
        return np.asarray(held[self.trials if kind == "classes" else self.bins])

    def train_mean(self, name: str) -> NDArray[np.float64]:
        """Return the mean of each channel over the training part, (C,), unknown values left out."""
        values = np.asarray(self.session.values[name][self.train], np.float64)
        known = np.isfinite(values)
        total = np.where(known, values, 0).sum(0)
        return np.asarray(total / np.maximum(known.sum(0), 1))

    def folded(self, values: Array) -> Array:
        """Return values (n, C) of aligned trials as (m, T, C)."""
        return values.reshape(len(self.trials), self.aligned, -1)

    def channels(self, name: str) -> tuple[str, ...]:
        """Return the names of a modality's channels."""
        names = [m.name for m in self.session.modalities]
        return self.session.spec.channels[names.index(name)]

    @property
    def by_unit_regions(self) -> tuple[str, ...]:
        """The region of each channel of the first modality of counts; () where none are known."""
        return self.session.spec.regions if any(self.session.spec.regions) else ()


@dataclass(frozen=True)
class Scored:
    """Scores by name; `units` (C,) bits per spike by null; `regions` pooled bits per spike by region.

    left_out : by name of a pooled score, how many units it is without, where there are any: those that never fired
    where the null is from, or have no spike in the test part.
    """

    scores: Mapping[str, float] = field(default_factory=dict)
    units: Mapping[str, Array] = field(default_factory=dict)
    regions: Mapping[str, float] = field(default_factory=dict)
    left_out: Mapping[str, int] = field(default_factory=dict)


def onto_axis(windows: BinnedSet, values: Array, bins: Indices) -> NDArray[np.float32]:
    """Return predictions of windows (w, T, C) of one session on the tested bins (n, C).

    Where windows overlap it is their mean, weighted by the square of how many bins it is to the window's nearer end: in
    its middle a window has seen most of what is about a bin.
    """
    weights = np.minimum(np.arange(1, values.shape[1] + 1), np.arange(values.shape[1], 0, -1))[:, None] ** 2
    place = np.full(int(bins[-1]) + 1, -1, np.int64)
    place[bins] = np.arange(len(bins))
    total = np.zeros((len(bins), values.shape[2]))
    seen = np.zeros((len(bins), 1))
    for first, said in zip(windows.first, values, strict=True):
        at = slice(int(place[first]), int(place[first]) + len(said))  # a window's bins follow each other on the axis
        total[at] += weights * said
        seen[at] += weights
    return np.asarray(total / seen, np.float32)


def onto_trials(windows: BinnedSet, values: Array, trials: Indices) -> NDArray[np.float64]:
    """Return class probabilities of windows (w, K) as those of trials (m, K): the mean over a trial's windows."""
    row = np.searchsorted(trials, windows.trial)
    total = np.zeros((len(trials), values.shape[1]))
    np.add.at(total, row, values)
    return np.asarray(total / np.bincount(row, minlength=len(trials))[:, None])


def said_of(windows: BinnedSet, predicted: Mapping[str, Array], tested: HeldOut) -> dict[str, Array]:
    """Return what a model predicted of one session on its axis: (n, C), classes (m, K)."""
    kinds = {m.name: m.kind for m in tested.modalities}
    return {
        name: onto_trials(windows, values, tested.trials)
        if kinds[name] == "classes"
        else onto_axis(windows, values, tested.bins)
        for name, values in predicted.items()
        if name in kinds
    }


def score_session(tested: HeldOut, said: Mapping[str, Array]) -> Scored:
    """Return the scores of one model on one session; what it said nothing of has none. NaN where one is undefined."""
    scores: dict[str, float] = {}
    units: dict[str, Array] = {}
    regions: dict[str, float] = {}
    left_out: dict[str, int] = {}
    first_counts = next((m.name for m in tested.session.modalities if m.kind == "counts"), "")
    for m in tested.modalities:
        if m.name not in said:
            continue
        direction = "encoding" if m.role == "neural" else "decoding"
        if m.kind == "counts":
            found = _bits(tested, m.name, said[m.name])
            made = {s: f.pooled for s, f in found.items()}
            made["psth_r2"] = _psth(tested, tested.true(m.name), said[m.name])
            left_out |= {f"{direction}.{m.name}.{s}": f.left_out for s, f in found.items() if f.left_out}
            if m.name == first_counts:
                units, regions = {s: f.by_unit for s, f in found.items()}, _regions(tested, m.name, said[m.name])
        else:
            made = (_classes if m.kind == "classes" else _continuous)(tested, m.name, said[m.name])
        scores |= {f"{direction}.{m.name}.{score}": value for score, value in made.items()}
    return Scored(scores, units, regions, left_out)


def _bits(t: HeldOut, name: str, rates: Array) -> dict[str, UnitScores]:
    """Return bits per spike against the training mean and against that of the test part."""
    counts = t.true(name)
    nulls = {"": t.train_mean(name), "_test_null": counts.mean(0, dtype=np.float64)}
    return {f"bits_per_spike{end}": bits_per_spike(counts, rates, null) for end, null in nulls.items()}


def _regions(t: HeldOut, name: str, rates: Array) -> dict[str, float]:
    counts, null = t.true(name), t.train_mean(name)
    where = np.asarray(t.by_unit_regions)
    return {
        str(region): bits_per_spike(counts[:, where == region], rates[:, where == region], null[where == region]).pooled
        for region in np.unique(where)
    }


def _continuous(t: HeldOut, name: str, values: Array) -> dict[str, float]:
    true, channels = t.true(name), t.channels(name)
    if not np.isfinite(true).any():
        return {"r2": float("nan")}
    each = r2_by_channel(true, values)
    made = {"r2": _mean(each)}
    if 1 < len(channels) <= MOST_CHANNELS:
        made |= {f"r2[{c}]": float(v) for c, v in zip(channels, each, strict=True)}
    made["psth_r2"] = _psth(t, true, values)
    if name == POSITION and len(channels) in PLACES and np.isfinite(true).all(1).any():
        error = position_error(true, values)
        made |= {"mean_error": float(error.mean()), "median_error": float(np.median(error))}
    return made


def _classes(t: HeldOut, name: str, probability: Array) -> dict[str, float]:
    target = t.true(name)
    known = target >= 0
    if not known.any():
        return {"balanced_accuracy": float("nan")}
    return {"balanced_accuracy": balanced_accuracy(target[known], probability[known].argmax(1))}


def _psth(t: HeldOut, true: Array, said: Array) -> float:
    """Return the R2 of means over the trials of a class; NaN where trials are not aligned or no class has enough."""
    label = condition(t)
    if label is None:
        return float("nan")
    return _mean(psth_r2(t.folded(true), t.folded(said), label))


def condition(t: HeldOut) -> Array | None:
    """Return the class of each tested trial (m,) by the first modality of classes, -1 where its class has too few."""
    static = [m.name for m in t.modalities if m.kind == "classes"]
    if not t.aligned:
        return None
    label = np.array(t.true(static[0])) if static else np.zeros(len(t.trials), np.int64)
    for k in np.unique(label):
        if (label == k).sum() < LEAST_TRIALS:
            label[label == k] = -1
    return label if (label >= 0).any() else None


def nulls(t: HeldOut) -> dict[str, float]:
    """Return what knowing nothing scores where that is not 0: the errors of the training part's mean position."""
    if POSITION not in t.session.values or len(t.channels(POSITION)) not in PLACES:
        return {}
    mean = t.train_mean(POSITION)[None].repeat(len(t.bins), 0)
    made = _continuous(t, POSITION, mean)
    return {f"decoding.{POSITION}.{s}": made[s] for s in ("mean_error", "median_error") if s in made}


def _mean(values: Array) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else float("nan")
