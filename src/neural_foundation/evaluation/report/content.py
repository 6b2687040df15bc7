"""What a report can hold: frozen dataclasses of plain numbers. A part that is None is left out of the page.

Shapes: k classes, n_chans channels, n steps or samples. Seconds throughout. Intervals are 95 % intervals.
Scores are such that more is better (balanced accuracy, AUC, R2).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from neural_foundation.core.errors import DataError

Array = NDArray[Any]


def _check(right: bool, given: str, allowed: str) -> None:
    if not right:
        raise DataError(given, allowed=allowed)


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class DataSource:
    """A data set as its authors want it named. Only an http(s) `url` becomes a link."""

    title: str
    licence: str = ""
    citation: str = ""
    url: str = ""
    n_subjects: int | None = None


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """Where numbers come from: what was run, on what, with which seed and versions."""

    command: str
    seed: int | None = None
    stage: str = ""
    stage_key: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    data: tuple[DataSource, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ModelScores:
    """One model's score on each held-out group, in the order of `HeldOutScores.subjects`; NaN where undefined.

    role : `model` is what the report is about, `baseline` stands beside it, `ceiling` is the best that the data
    allow (a decoder that knows the truth, or one trained on the subject itself).
    """

    model: str
    by_subject: tuple[float, ...]
    mean: Estimate
    role: Literal["model", "baseline", "ceiling"] = "baseline"


@dataclass(frozen=True, kw_only=True)
class HeldOutScores:
    """Scores on people (or sessions) that no part of the training saw.

    chance : expected score and permutation interval of the MEAN under shuffled labels. chance_by_subject : the same
    for each group. n_trials : trials scored per group. group : what was held out, in the singular.
    """

    subjects: tuple[str, ...]
    models: tuple[ModelScores, ...]
    chance: Estimate
    chance_by_subject: tuple[Estimate, ...] | None = None
    n_trials: tuple[int, ...] | None = None
    metric: str = "balanced accuracy"
    group: str = "subject"
    provenance: Provenance | None = None

    def __post_init__(self) -> None:
        n = len(self.subjects)
        _check(
            n > 0 and bool(self.models), f"scores of {n} groups and {len(self.models)} models", "at least one of each"
        )
        for m in self.models:
            _check(len(m.by_subject) == n, f"'{m.model}' has {len(m.by_subject)} scores for {n} groups", f"{n} scores")
        chances = [self.chance, *(self.chance_by_subject or ())]
        finite = all(np.isfinite([c.value, c.low, c.high]).all() for c in chances)
        _check(finite, "a chance level or its interval that is not finite", "numbers; widen the permutation test")
        for name in ("chance_by_subject", "n_trials"):
            values = getattr(self, name)
            _check(values is None or len(values) == n, f"{name} does not hold one entry per group", f"{n} entries")

    @property
    def main(self) -> ModelScores:
        """The model that the report is about: the first with role `model`, else the first."""
        return next((m for m in self.models if m.role == "model"), self.models[0])

    @property
    def best_baseline(self) -> ModelScores | None:
        """The baseline with the highest mean; None where there is none."""
        baselines = [
            m for m in self.models if m.role == "baseline" and m is not self.main and np.isfinite(m.mean.value)
        ]
        return max(baselines, key=lambda m: m.mean.value, default=None)


@dataclass(frozen=True, kw_only=True)
class PairedDifference:
    """Model minus baseline on the same held-out groups; `by_subject` in the order of `subjects`."""

    model: str
    baseline: str
    difference: Estimate
    subjects: tuple[str, ...] = ()
    by_subject: tuple[float, ...] = ()
    metric: str = "balanced accuracy"
    method: str = "bootstrap over subjects"
    provenance: Provenance | None = None

    def __post_init__(self) -> None:
        n = len(self.by_subject)
        _check(n == len(self.subjects), f"{n} differences for {len(self.subjects)} groups", "one difference per group")
        _check(bool(np.isfinite(self.difference.value)), "a mean difference that is not finite", "a number")


@dataclass(frozen=True, kw_only=True)
class TrainingBudget:
    """From scratch beside pre-trained at one amount of labelled data, e.g. label "5 subjects"."""

    label: str
    scratch: Estimate
    pretrained: Estimate
    difference: Estimate | None = None


@dataclass(frozen=True, kw_only=True)
class PretrainingGain:
    """What pre-training adds, by the amount of labelled data."""

    budgets: tuple[TrainingBudget, ...]
    metric: str = "balanced accuracy"
    chance: float | None = None
    note: str = ""
    provenance: Provenance | None = None


@dataclass(frozen=True, kw_only=True)
class LearningCurve:
    """One fit: the training loss and a validation value over optimiser steps; `chosen_step` is the kept checkpoint."""

    name: str
    step: Array
    loss: Array
    validation_step: Array | None = None
    validation: Array | None = None
    chosen_step: int | None = None

    def __post_init__(self) -> None:
        _check(
            len(self.step) == len(self.loss),
            f"'{self.name}': {len(self.loss)} losses at {len(self.step)} steps",
            "as many",
        )
        given = (self.validation_step is None, self.validation is None)
        _check(given[0] == given[1], f"'{self.name}': validation without its steps, or steps alone", "both or none")


@dataclass(frozen=True, kw_only=True)
class LearningCurves:
    """All fits of one stage, e.g. title "Pre-training", one curve per fold."""

    title: str
    curves: tuple[LearningCurve, ...]
    loss_label: str = "training loss"
    validation_label: str = "validation score"
    provenance: Provenance | None = None


@dataclass(frozen=True, kw_only=True)
class Confusion:
    """counts (k, k): rows the true class, columns the decoded one. kappa : Cohen's, mean over people."""

    classes: tuple[str, ...]
    counts: Array
    model: str = ""
    kappa: Estimate | None = None
    provenance: Provenance | None = None

    def __post_init__(self) -> None:
        k = len(self.classes)
        _check(
            np.shape(self.counts) == (k, k), f"counts of shape {np.shape(self.counts)} for {k} classes", f"({k}, {k})"
        )


@dataclass(frozen=True, kw_only=True)
class ScalpMap:
    """One value per channel; `reference` is the true topography to compare with, where it is known."""

    title: str
    values: Array
    reference: Array | None = None
    correlation: float | None = None


@dataclass(frozen=True, kw_only=True)
class ScalpMaps:
    """Maps over electrode positions (n_chans, 3): metres, head frame (x right, y front, z up)."""

    ch_names: tuple[str, ...]
    positions: Array
    maps: tuple[ScalpMap, ...]
    unit: str = "a.u."
    reference_unit: str = "a.u."
    note: str = ""
    provenance: Provenance | None = None

    def __post_init__(self) -> None:
        n = len(self.ch_names)
        _check(
            np.shape(self.positions) == (n, 3),
            f"positions of shape {np.shape(self.positions)} for {n} channels",
            f"({n}, 3)",
        )
        _check(
            bool(np.isfinite(self.positions).all()),
            "electrode positions that are not finite",
            "channels with known positions only",
        )
        for m in self.maps:
            sizes = {len(v) for v in (m.values, m.reference) if v is not None}
            _check(sizes == {n}, f"map '{m.title}' has {sorted(sizes)} values for {n} channels", f"{n} values")


@dataclass(frozen=True, kw_only=True)
class Trial:
    """A stretch of the recording with its true class, and the decision at its end where one was taken."""

    start_s: float
    end_s: float
    label: str
    decided: str | None = None


@dataclass(frozen=True, kw_only=True)
class DecisionTrace:
    """The live decision on a held-out recording: probability (n, k) at time_s (n,); NaN where there was no output.

    Of a longer trace `excerpt_s` seconds are drawn, from just before the first trial; the page says so.
    """

    title: str
    classes: tuple[str, ...]
    time_s: Array
    probability: Array
    trials: tuple[Trial, ...] = ()
    threshold: float | None = None
    resets_s: tuple[float, ...] = ()
    excerpt_s: float = 240.0
    note: str = ""
    provenance: Provenance | None = None

    def __post_init__(self) -> None:
        expected = (len(self.time_s), len(self.classes))
        _check(
            np.shape(self.probability) == expected,
            f"probability of shape {np.shape(self.probability)}",
            f"{expected}: times by classes",
        )
        _check(len(self.time_s) > 1, f"a trace of {len(self.time_s)} times", "at least two")


@dataclass(frozen=True, kw_only=True)
class Latency:
    """Time of each step (n,). step : what one step is. deadline_s : when the next one is due."""

    seconds: Array
    step: str
    deadline_s: float | None = None
    provenance: Provenance | None = None

    def __post_init__(self) -> None:
        values = np.asarray(self.seconds)
        _check(
            values.size > 0 and bool((values > 0).all()),
            "latencies that are missing, zero or negative",
            "positive seconds",
        )


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """Reliability by bin: mean confidence, share correct, trials; `error` is the expected calibration error.

    interval : of the error, over people. before : the same decisions before they were calibrated.
    """

    confidence: tuple[float, ...]
    correct: tuple[float, ...]
    count: tuple[int, ...]
    error: float | None = None
    interval: Estimate | None = None
    before: Calibration | None = None
    provenance: Provenance | None = None

    def __post_init__(self) -> None:
        sizes = {len(self.confidence), len(self.correct), len(self.count)}
        _check(len(sizes) == 1, f"calibration bins of unequal number {sorted(sizes)}", "one entry of each per bin")


@dataclass(frozen=True, kw_only=True)
class Certainty:
    """What a decoder's confidence is worth on people held out: sets of classes, and silence.

    answered, accuracy : (m,) share of decisions given at each threshold, rising, and the share of right ones among
    them. given : share and accuracy under the package's own rule; None where it gives no decision at all. coverage :
    how often a set holds the true class, mean over people; wished : how often it was to. by_subject : coverage of each
    of `subjects`. alike : standard deviation of it if all people were alike. set_size : mean number of classes.
    along : as a window goes on, by seconds since it began: coverage, share decided, share right of those decided (None
    where nothing is) and of all.
    """

    answered: Array
    accuracy: Array
    given: tuple[float, float] | None
    coverage: Estimate
    wished: float
    subjects: tuple[str, ...]
    by_subject: tuple[float, ...]
    alike: float
    set_size: float
    along: tuple[tuple[float, float, float, float | None, float], ...] = ()
    provenance: Provenance | None = None

    def __post_init__(self) -> None:
        sizes = len(self.answered), len(self.accuracy)
        _check(
            sizes[0] == sizes[1] > 0, f"a curve of {sizes[0]} shares and {sizes[1]} accuracies", "one or more of both"
        )
        sizes = len(self.subjects), len(self.by_subject)
        _check(sizes[0] == sizes[1] > 0, f"coverage of {sizes[1]} for {sizes[0]} people", "one of each")


@dataclass(frozen=True, kw_only=True)
class Alarms:
    """A predictor of events: foreseen of `events`, false alarms an hour over `hours`, and what chance foresees.

    sensitivity : mean over people. warning_s : median. chance, chance_level : mean and 95 % quantile of the share that
    Poisson alarms foresee which are as often false; chance_p : how often they foresee as many. curve_* : (m,) over all
    thresholds, false alarms an hour rising. people : name, foreseen, events, false alarms, hours. others : model, share
    foreseen, false alarms an hour, chance at that rate.
    """

    model: str
    event: str
    events: int
    foreseen: int
    sensitivity: Estimate
    false_per_hour: float
    hours: float
    warning_s: float | None
    chance: float
    chance_level: float
    chance_p: float
    curve_false: Array
    curve_sensitivity: Array
    curve_chance: Array
    people: tuple[tuple[str, int, int, int, float], ...]
    others: tuple[tuple[str, float, float, float], ...] = ()
    provenance: Provenance | None = None

    def __post_init__(self) -> None:
        sizes = {len(self.curve_false), len(self.curve_sensitivity), len(self.curve_chance)}
        _check(len(sizes) == 1 and 0 not in sizes, f"a curve of {sorted(sizes)} points", "as many of each, one or more")
        _check(0 <= self.foreseen <= self.events, f"{self.foreseen} of {self.events} events", "at most all of them")


@dataclass(frozen=True, kw_only=True)
class TemporalCoherence:
    """One number for how steady the decision is in time, with its definition and, if known, another's value."""

    value: float
    definition: str
    reference: float | None = None
    reference_label: str = "baseline"
    provenance: Provenance | None = None


@dataclass(frozen=True, kw_only=True)
class ReportContent:
    """Everything on the page. `task` and `held_out` complete the verdict: "decodes {task} on {held_out}"."""

    title: str
    provenance: Provenance
    task: str = "the target"
    held_out: str = "people it never saw"
    caveats: tuple[str, ...] = ()
    scores: HeldOutScores | None = None
    difference: PairedDifference | None = None
    gain: PretrainingGain | None = None
    trace: DecisionTrace | None = None
    latency: Latency | None = None
    scalp: ScalpMaps | None = None
    confusion: Confusion | None = None
    calibration: Calibration | None = None
    certainty: Certainty | None = None
    alarms: Alarms | None = None
    coherence: TemporalCoherence | None = None
    learning: tuple[LearningCurves, ...] = ()
