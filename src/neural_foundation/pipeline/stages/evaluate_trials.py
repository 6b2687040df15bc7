"""evaluate_trials: each package on the trials or the time that its fold held out, both ways round.

Encoding: neural activity from behaviour. Decoding: behaviour from neural activity. Scores stand beside baselines,
chance and, of simulated data, the ceiling of a model that knows how they were made.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ...core.errors import DataError, PackageError, SpecError, one_of
from ...core.lineage import Output
from ...core.modalities import BinnedSpec
from ...core.seeds import derive
from ...core.specs import digest
from ...core.store import save_arrays, write_json
from ...evaluation.trial_examples import Shown
from ...evaluation.trial_scores import HeldOut, Scored, nulls, said_of, score_session
from ...evaluation.trial_summary import Run, summarise
from ...learning.objectives.multimodal import Multimodal
from ...metrics import chance
from ...models.predicted import DIRECTIONS, hidden_for
from ...sampling.binned import BinnedSession, BinnedSet
from ...sampling.coverage import not_in_training
from ...sampling.roles import ROLES, TrialFold
from ..stage import Job, Port, Stage
from .bin import Binned
from .evaluate import model_name as name_with_axes

if TYPE_CHECKING:
    from ...datasets.simulated.session_truth import SessionTruth
    from ...models.binned_package import BinnedPackage

Array = NDArray[Any]
FORMAT_VERSION = 1
MULTIMODAL = "multimodal"
AXIS_OF_SESSIONS = "recording"  # one fit a session: together they are one model


class EvaluateTrials(Stage):
    """Score models on held-out trials. `models` are what the recipe is about, `baselines` stand beside them."""

    kind: Literal["evaluate_trials"] = "evaluate_trials"
    permutations: int = Field(1000, ge=20, description="shuffles of the classes, for chance")
    shown_sessions: int = Field(3, ge=1, description="sessions of which example trials and means are kept")

    ensembles: bool = Field(False, description="also score the mean of what a model's seeds say, as NAME.mean")
    means: dict[str, tuple[str, ...]] = Field(
        {}, description="name -> models or baselines: also score the mean of what they say, as a model of that name"
    )
    ceiling: bool = Field(True, description="of simulated sessions, score what knows how they were made, too")

    takes = {
        "data": Port("Binned", many=True),
        "models": Port("BinnedPackage", many=True),
        "baselines": Port("BinnedPackage", many=True, required=False),
    }
    version: ClassVar[int] = 2
    gives: ClassVar[str] = "TrialScores"

    def run(self, job: Job) -> None:
        data = Binned.of(job.inputs["data"])
        job.subjects.update(data.subjects)
        work = _Evaluation(data, job.seed, self.permutations, self.shown_sessions, self.ceiling)
        outputs = [*job.inputs["models"], *job.inputs.get("baselines", [])]
        for done, output in enumerate(outputs):
            job.progress(done, len(outputs), f"predicting with {output.stage} {output.item}")
            work.add(output, gather=self._ensembles_of(model_name(output), output in job.inputs["models"]))
        work.add_means(self.means)
        work.check_complete()
        baselines = list(dict.fromkeys(model_name(o) for o in job.inputs.get("baselines", [])))
        write_json(job.folder / "scores.json", _finite(work.scores(baselines)))
        save_arrays(job.folder / "truth.npz", work.truth)
        for name, arrays in work.kept.items():
            save_arrays(job.folder / f"predictions-{name}.npz", arrays)

    def _ensembles_of(self, model: str, ours: bool) -> list[str]:
        """Return the names of the means that a model is part of."""
        own = [f"{model}.mean"] if self.ensembles and ours else []
        return own + [name for name, members in self.means.items() if model in members]


def model_name(output: Output) -> str:
    """Return the stage's name, with the values of axes other than folds, seeds and recordings."""
    axes = {a: v for a, v in output.manifest["facts"]["item"].items() if a != AXIS_OF_SESSIONS}
    facts = {**output.manifest["facts"], "item": axes}
    return name_with_axes(Output(output.stage, output.item, output.key, output.folder, {"facts": facts}))


@dataclass
class _Evaluation:
    """What was predicted and scored so far, one session at a time."""

    data: Binned
    seed: int
    permutations: int
    shown_sessions: int
    with_ceiling: bool
    runs: list[Run] = field(default_factory=list)
    ceilings: dict[tuple[str, str, str], Run] = field(default_factory=dict)
    still: list[Run] = field(default_factory=list)  # ceilings without the units' drift
    tested: dict[tuple[str, str, str, str], HeldOut] = field(default_factory=dict)
    decoded: dict[str, dict[int, dict[str, Array]]] = field(default_factory=dict)  # by session and trial
    truth: dict[str, Array] = field(default_factory=dict)
    kept: dict[str, dict[str, Array]] = field(default_factory=dict)
    units: dict[str, dict[str, list[Array]]] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    # by mean, session and fold: what each model said, one a seed
    gathered: dict[tuple[str, ...], tuple[HeldOut, dict[str, list[dict[str, Array]]]]] = field(default_factory=dict)

    def add(self, output: Output, *, gather: Sequence[str] = ()) -> None:
        """Predict and score with one package, on all sessions that it is for; `gather`: for these means, too."""
        from ...models.binned_package import BinnedPackage

        package = BinnedPackage.open(output.folder)
        fold, axes = package.facts.fold, output.manifest["facts"]["item"]
        if fold is None:
            given = f"The package of stage '{output.stage}' learned from everything, so nothing is left to test it on"
            raise DataError(given, remedy="Fit with for_each: a split")
        predict = _predictor(package, _directions(output))
        for session in self._sessions(package.facts.binned, output):
            windows = tested_windows(session, fold, package.facts.binned.n_bins)
            tested = self._tested(session, fold, windows)
            said = said_of(windows, predict(windows), tested)
            self._score(model_name(output), tested, said, seed=int(axes.get("seed", 0)))
            for mean in gather:
                key = (mean, session.spec.name, fold.hold_out, fold.name)
                said_by = self.gathered.setdefault(key, (tested, {}))[1]
                said_by.setdefault(model_name(output), []).append(said)

    def add_means(self, means: Mapping[str, Sequence[str]]) -> None:
        """Score the means: over a model's seeds, then over the models; SpecError where one of them was not given."""
        there = {r.model for r in self.runs}
        for name, members in means.items():
            if unknown := [m for m in members if m not in there]:
                given = f"means: '{name}' is made of '{unknown[0]}'"
                raise SpecError(given, allowed=one_of(sorted(there)), remedy="Give it as a model or a baseline")
        for (name, *_), (tested, said_by) in self.gathered.items():
            if sum(map(len, said_by.values())) > 1:
                self._score(name, tested, _mean_of([_mean_of(said) for said in said_by.values()]), seed=0)

    def _sessions(self, known: BinnedSpec, output: Output) -> list[BinnedSession]:
        """Return the sessions of the data that a package is for: all, or where there is a fit for each, its own."""
        names = {s.name for s in known.sessions}
        there = [s for s in self.data.sessions if s.spec.name in names]
        foreign = [s.spec.name for s in self.data.sessions if s.spec.name not in names]
        own = AXIS_OF_SESSIONS in output.manifest["facts"]["item"]
        if foreign and not own or not there:
            given = f"The package of stage '{output.stage}' does not know session '{(foreign or ['(none)'])[0]}'"
            raise PackageError(
                given, allowed=one_of(sorted(names)), remedy="Fit it on that session first, or leave that one out"
            )
        return there

    def _tested(self, session: BinnedSession, fold: TrialFold, windows: BinnedSet) -> HeldOut:
        """Return the test part, remembered: it is the same for every model with this fold."""
        key = (fold.hold_out, fold.name, session.spec.name, digest([fold.model_dump(mode="json"), windows.spec.n_bins]))
        if key not in self.tested:
            self.tested[key] = made = HeldOut.of(session, fold, windows)
            self._describe(made)
        return self.tested[key]

    def _describe(self, t: HeldOut) -> None:
        """Keep what is true of a test part, once for each way of holding out."""
        fold, name = t.fold, t.session.spec.name
        self.facts.setdefault("splits", {}).setdefault(fold.hold_out, {})[fold.name] = fold.model_dump(mode="json")
        place = (fold.hold_out, fold.name, name)
        if place in self.ceilings:
            return
        if lacking := not_in_training(fold, t.session):
            ways = self.facts.setdefault("not_in_training", {})
            ways.setdefault(fold.hold_out, {}).setdefault(fold.name, {})[name] = lacking
        best, still = self._ceiling(t)
        scores = [score_session(t, said) if said else Scored() for said in (best, still)]
        runs = [Run("truth", fold.hold_out, name, fold.name, 0, scored) for scored in scores]
        self.ceilings[place] = runs[0]
        self.still += [runs[1]] if still else []
        index = self._shown(name)
        if index is None:
            return
        self.truth[f"{fold.hold_out}/roles/{fold.name}/{index}"] = _roles(t.session, fold)
        if self._first(fold):
            self.truth |= {f"{fold.hold_out}/{index}/{k}": v for k, v in Shown.of(t).truth().items()}

    def _score(self, model: str, t: HeldOut, said: Mapping[str, Array], seed: int) -> None:
        name, fold = t.session.spec.name, t.fold
        scored = score_session(t, said)
        self.runs.append(
            Run(
                model,
                fold.hold_out,
                name,
                fold.name,
                seed,
                scored,
                tested=digest([len(t.bins), int(t.bins[0]), int(t.bins[-1]), int(t.bins.sum())]),
                nulls=nulls(t),
                chance=self._chances(t, said),
            )
        )
        for which, by_unit in scored.units.items():
            self.units.setdefault(model, {}).setdefault(f"{which}/{name}", []).append(by_unit)
        index = self._shown(name)
        arrays = self.kept.setdefault(model, {})
        if index is not None and self._first(fold) and not any(k.startswith(f"{index}/") for k in arrays):
            arrays |= {f"{index}/{k}": v for k, v in Shown.of(t).arrays(said).items()}

    def _chances(self, t: HeldOut, said: Mapping[str, Array]) -> dict[str, Array]:
        made = {}
        for m in t.modalities:
            target = t.true(m.name) if m.kind == "classes" and m.name in said else np.zeros(0, int)
            known = target >= 0
            if known.any():
                group = np.zeros(int(known.sum()), int)
                seed = derive(self.seed, "chance", t.session.spec.name, t.fold.name, m.name)
                guess = chance(target[known], said[m.name][known].argmax(1), group, seed, self.permutations)
                made[f"decoding.{m.name}.balanced_accuracy"] = guess.distribution
        return made

    def _ceiling(self, t: HeldOut) -> tuple[dict[str, Array], dict[str, Array]]:
        """Return what is predicted where it is known how a session was made, with and without the units' drift.

        {} of real data; without drift the counts alone.
        """
        from ...datasets.simulated.session_truth import truth_of

        name = t.session.spec.name
        names = [s.spec.name for s in self.data.sessions]
        if not self.with_ceiling:
            return {}, {}
        truth = truth_of(self.data.folders[names.index(name)], name)
        if truth is None:
            return {}, {}
        counts = next(m.name for m in t.modalities if m.kind == "counts")
        made: dict[str, Array] = {counts: truth.rates(t.session)[t.bins]}
        for modality, values in (self._decoded(truth, t) if t.aligned else {}).items():
            made[modality] = values if values.ndim == 2 else values.reshape(len(t.bins), -1)
        return made, {counts: truth.rates(t.session, drift=False)[t.bins]}

    def _decoded(self, truth: SessionTruth, t: HeldOut) -> dict[str, Array]:
        """Return the decoding ceiling of the tested trials; a trial that several folds test is decoded once."""
        known = self.decoded.setdefault(t.session.spec.name, {})
        new = [int(k) for k in t.trials if int(k) not in known]
        if new:
            made = truth.decoded(t.session, new)
            known.update({k: {n: v[i] for n, v in made.items()} for i, k in enumerate(new)})
        rows = [known[int(k)] for k in t.trials]
        return {name: np.stack([r[name] for r in rows]) for name in rows[0]}

    def _shown(self, name: str) -> int | None:
        """Return a session's place among those of which examples are kept."""
        names = [s.spec.name for s in self._examples()]
        return names.index(name) if name in names else None

    def _examples(self) -> tuple[BinnedSession, ...]:
        return self.data.sessions[: self.shown_sessions]

    def _first(self, fold: TrialFold) -> bool:
        return bool(next(iter(self.facts["splits"][fold.hold_out])) == fold.name)

    def check_complete(self) -> None:
        """Raise DataError unless each model was tested on every session, in every one of its folds and seeds."""
        wanted = [s.spec.name for s in self.data.sessions]
        for model in dict.fromkeys(r.model for r in self.runs):
            fits = {(r.fold, r.seed) for r in self.runs if r.model == model}
            for fold, seed in sorted(fits):
                there = {r.session for r in self.runs if (r.model, r.fold, r.seed) == (model, fold, seed)}
                lacking = [w for w in wanted if w not in there]
                if lacking:
                    given = f"'{model}' was not tested on session '{lacking[0]}' in fold {fold} with seed {seed}"
                    raise DataError(given, remedy="Fit it on every recording of the data")

    def scores(self, baselines: Sequence[str]) -> dict[str, Any]:
        """Return the scores of all models; keeps the scores of units beside the predictions."""
        modalities = self.data.sessions[0].modalities
        truth = [r for r in self.ceilings.values() if r.scored.scores]
        made = summarise(self.runs, truth, baselines, {m.name: m.unit for m in modalities}, self.seed, self.still)
        for model, found in self.units.items():
            with np.errstate(all="ignore"):
                means = {f"units/{k}": _mean(np.asarray(rows, np.float64)) for k, rows in found.items()}
            self.kept[model] |= means
        return {
            "format_version": FORMAT_VERSION,
            "bin_s": self.data.sessions[0].bin_s,
            "modalities": [m.model_dump(mode="json") for m in modalities],
            "sessions": {s.spec.name: _session_facts(s) for s in self.data.sessions},
            "unit_names": {s.spec.name: _units(s)[0] for s in self._examples()},
            "unit_regions": {s.spec.name: _units(s)[1] for s in self.data.sessions},
            "order": list(made["models"]),
            "shown": [s.spec.name for s in self._examples()],
            **self.facts,
            **made,
        }


def _mean_of(said: Sequence[Mapping[str, Array]]) -> dict[str, Array]:
    """Return the mean of predictions, of the modalities that all of them have."""
    names = [name for name in said[0] if all(name in one for one in said)]
    return {name: np.mean([one[name] for one in said], axis=0) for name in names}


def tested_windows(session: BinnedSession, fold: TrialFold, n_bins: int) -> BinnedSet:
    """Return the test windows of one session: whole trials as long as a window, else pieces a quarter apart."""
    return BinnedSet.cut([session], fold.spans(session, 0, "test"), n_bins, max(n_bins // 4, 1), role="test")


def _directions(output: Output) -> tuple[str, ...]:
    """Return the directions that a fit learned: a network trained to encode alone gives no score of decoding.

    SpecError where it learned neither.
    """
    learner = output.manifest["facts"].get("fields", {}).get("learner", {})
    objective = learner.get("objective") if isinstance(learner, dict) else None
    if not isinstance(objective, dict) or objective.get("kind", MULTIMODAL) != MULTIMODAL:
        return DIRECTIONS
    made = Multimodal.model_validate(objective)
    if not made.directions:
        given = f"Stage '{output.stage}' drew {one_of(made.mix)} alone, which tells neither direction"
        raise SpecError(given, remedy="Add encoding or decoding to its schemes, or leave it out of `models`")
    return made.directions


def _predictor(package: BinnedPackage, directions: Sequence[str]) -> Callable[[BinnedSet], dict[str, Array]]:
    """Return what predicts each hidden modality of one session, in some directions; weights are read once."""
    from ...models.binned_package import fitting, predict

    known = package.facts.binned
    estimator = package.estimator() if package.facts.model.family == "estimator" else None
    network = package.network() if estimator is None else None

    def both(windows: BinnedSet) -> dict[str, Array]:
        fitting(known, windows.spec)
        made: dict[str, Array] = {}
        for direction in directions:
            hidden = hidden_for(direction, windows.spec)
            if estimator is not None:
                said = estimator.predict(windows, hidden)
            else:
                said = predict(network, known, windows, hidden)
            made |= said.sessions[0]
        return made

    return both


def _mean(rows: Array) -> Array:
    known = np.isfinite(rows)
    total = np.where(known, rows, 0).sum(0) / np.maximum(known.sum(0), 1)
    return np.asarray(np.where(known.any(0), total, np.nan), np.float32)


def _roles(session: BinnedSession, fold: TrialFold) -> Array:
    """Return (n, 3): seconds from, to, and the index of the role of each stretch."""
    rows = []
    for role, name in enumerate(ROLES):
        spans = fold.spans(session, 0, name)
        start = session.start_s[spans.trial] + (spans.first - session.first[spans.trial]) * session.bin_s
        rows.append(np.stack([start, start + spans.length * session.bin_s, np.full(len(spans), role)], 1))
    return np.concatenate(rows)


def _session_facts(session: BinnedSession) -> dict[str, Any]:
    counts = [m.name for m in session.modalities if m.kind == "counts" and m.name in session.values]
    names = [m.name for m in session.modalities]
    regions = session.spec.regions if any(session.spec.regions) else ()
    return {
        "subject": session.spec.subject,
        "trials": session.n_trials,
        "seconds": float(session.length.sum() * session.bin_s),
        "units": {c: len(session.spec.channels[names.index(c)]) for c in counts},
        "regions": {r: regions.count(r) for r in sorted(set(regions))},
    }


def _units(session: BinnedSession) -> tuple[list[str], list[str]]:
    """Return the names and regions of the first modality of counts; no regions where none is known."""
    at = next((i for i, m in enumerate(session.modalities) if m.kind == "counts"), None)
    regions = session.spec.regions if any(session.spec.regions) else ()
    return ([] if at is None else list(session.spec.channels[at])), list(regions)


def _finite(value: Any) -> Any:
    """Return the value with None where a number is not defined: JSON has no NaN."""
    if isinstance(value, dict):
        return {k: _finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(v) for v in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value
