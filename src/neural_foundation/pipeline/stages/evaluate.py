"""evaluate: each package on the people (or times) its fold held out; scores beside baselines, chance and ceiling."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ...core.errors import DataError, SpecError, did_you_mean, one_of
from ...core.lineage import Output
from ...core.specs import SignalSpec
from ...core.store import read_json, save_arrays, write_json
from ...core.stream import run
from ...evaluation.alarms import AlarmRule, Timeline, alarm_scores
from ...evaluation.confidence import Along, Answers, confidence_scores, earlier_scores
from ...evaluation.patterns import silent_subjects, subject_patterns, window_covariances
from ...evaluation.scores import Predictions, score
from ...evaluation.vote_scores import vote_scores
from ...metrics import topography_correlation
from ...metrics.votes import class_frequency
from ...models.package import Package
from ...recordings import read
from ...sampling.windows import WindowSet
from ...signals.chain import chain
from ..stage import Job, Port, Stage
from .prepare import Prepared, raw_session
from .split import Fold


class Evaluate(Stage):
    """Score models on held-out windows. `models` are what the recipe is about, `baselines` stand beside them."""

    kind: Literal["evaluate"] = "evaluate"
    permutations: int = 1000
    band_hz: tuple[float, float] | None = None
    alarms: AlarmRule | None = Field(None, description="score as a predictor of events, too")

    takes = {
        "data": Port("Prepared", many=True),
        "models": Port("Package", many=True),
        "baselines": Port("Package", many=True, required=False),
    }
    version: ClassVar[int] = 3
    gives: ClassVar[str] = "Scores"

    def run(self, job: Job) -> None:
        data = Prepared.of(job.inputs["data"])
        windows = data.labelled()
        predictions, confidences = self._predictions(job, windows)
        baselines = sorted({model_name(o) for o in job.inputs.get("baselines", [])})
        job.subjects.update(data.subjects)
        scores = score(predictions, data.classes, job.seed, baselines=baselines, permutations=self.permutations)
        scores |= {"baselines": baselines, "group": data.dataset.get("group", "subject")}
        scores["ceiling"] = _ceiling(data)
        for name, found in confidences.items():
            scores["models"][name]["confidence"] = found
        if windows.votes is not None:
            frequencies, people = _learned(job, windows)
            scores["kl"] = vote_scores(predictions, frequencies, job.seed, baselines=baselines, people=people)
        if self.alarms is not None:
            scores["alarms"] = _alarms(self.alarms, predictions, windows, data, job.seed)
        for p in predictions:
            p.save(job.folder / f"predictions-{p.model}.npz")
        if len(data.classes) == 2 and windows.spec.n_chans > 1:  # one channel has no map
            patterns = self._patterns(windows, next(p for p in predictions if p.model not in baselines), data, job)
            if patterns:
                scores["patterns"] = patterns.pop("facts")
                save_arrays(job.folder / "patterns.npz", patterns)
        write_json(job.folder / "scores.json", scores)

    def _predictions(self, job: Job, windows: WindowSet) -> tuple[list[Predictions], dict[str, dict[str, Any]]]:
        """Return what each model says, and the scores of the confidence of those that have one."""
        outputs = [*job.inputs["models"], *job.inputs.get("baselines", [])]
        parts: dict[str, list[Predictions]] = {}
        made: dict[str, list[tuple[Answers, Along | None]]] = {}
        for done, output in enumerate(outputs):
            job.progress(done, len(outputs), f"deciding with {output.stage} {output.item}")
            said = predict(output, windows)
            parts.setdefault(model_name(output), []).append(said)
            if Package.open(output.folder).facts.confidence is not None:
                made.setdefault(model_name(output), []).append(answers(output, windows, said))
        said_in_order = [_in_order(Predictions.join(p)) for p in parts.values()]
        return said_in_order, {name: _confidence(pairs, job.seed) for name, pairs in made.items()}

    def _patterns(self, windows: WindowSet, predictions: Predictions, data: Prepared, job: Job) -> dict[str, Any]:
        """Return Haufe patterns of the first model, where the power lies that drives its decision, or {}."""
        first = predictions.pick(predictions.seed == predictions.seed[0])
        odds = np.log(np.clip(first.probability[:, 1], 1e-6, 1)) - np.log(np.clip(first.probability[:, 0], 1e-6, 1))
        if len(silent_subjects(odds, first.subject)) == len(np.unique(first.subject)):
            return {}
        signal = _in_sensor_space(windows, data, job)
        if signal is None:
            return {}
        covariance = window_covariances(signal, windows.spec.sfreq, self.band_hz)[_rows(windows, first)]
        made = subject_patterns(covariance, odds, first.subject)
        # a class drives its decision by power that falls (desynchronisation): the map of class 1 is the negative one
        maps = {"positive": made.positive[0], "negative": made.negative[0]}
        facts: dict[str, Any] = {
            "model": predictions.model,
            "positive_strength": float(made.positive_strength[0]),
            "negative_strength": float(made.negative_strength[0]),
            "silent": list(made.silent),
        }
        truth = _true_topographies(data)
        for way, values in maps.items():
            if truth:
                likeness = {side: topography_correlation(values, t) for side, t in truth.items()}
                facts[f"{way}_source"] = best = max(likeness, key=lambda side: likeness[side])
                facts[f"{way}_correlation"] = likeness[best]
        return {"facts": facts, **maps, **{f"true_{side}": t for side, t in truth.items()}}


def predict(output: Output, windows: WindowSet, role: Literal["validation", "test"] = "test") -> Predictions:
    """Return what a fitted package says of the windows its fold held out (or kept for validation), uncalibrated."""
    fold = Fold.model_validate(read_json(output.path("fold.json")))
    test = fold.choose(windows, role)
    if not len(test):
        raise DataError(
            f"Fold '{fold.name}' holds nobody out",
            remedy="Fit with for_each: a split, so that there are people to evaluate on",
        )
    package = Package.open(output.folder)
    if package.facts.model.context == "stream":
        raise SpecError(
            f"Stage '{output.stage}' carries its state over the whole recording (context: stream), windows do not",
            allowed="context: trial",
            remedy="Set the model's context to 'trial' to score it on windows",
        )
    probability = package.decide(test)
    fold_index, seed = (np.full(len(test), number) for number in _numbers(output, fold))
    return Predictions(
        model_name(output),
        probability,
        test.target,
        test.subject,
        test.session,
        test.trial,
        fold_index,
        seed,
        test.votes,
    )


def _numbers(output: Output, fold: Fold) -> tuple[int, int]:
    """Return the numbers of a package's fold and seed, 0 for one that has no number."""
    return int(fold.name) if fold.name.isdigit() else 0, int(output.manifest["facts"]["item"].get("seed", 0))


def _learned(
    job: Job, windows: WindowSet
) -> tuple[dict[tuple[str, int, int], NDArray[np.float64]], dict[str, list[int]]]:
    """Return how often each class was voted for in the windows that each package learned from, and of each model how
    many people's labels its packages learned from, for `vote_scores`.
    """
    frequencies, people = {}, dict[str, list[int]]()
    for output in (*job.inputs["models"], *job.inputs.get("baselines", [])):
        fold, name = Fold.model_validate(read_json(output.path("fold.json"))), model_name(output)
        learned = fold.choose(windows, "train")
        assert learned.votes is not None
        frequencies[name, *_numbers(output, fold)] = class_frequency(learned.votes)
        people.setdefault(name, []).append(len(fold.train))
    return frequencies, people


def answers(output: Output, windows: WindowSet, said: Predictions) -> tuple[Answers, Along | None]:
    """Return what a package's own confidence makes of what it said, and of what it says before a window's end."""
    package = Package.open(output.folder)
    confidence = package.facts.confidence
    assert confidence is not None
    along = None
    if confidence.earlier:
        test = Fold.model_validate(read_json(output.path("fold.json"))).choose(windows, "test")
        along = Along.of(*package.decide_along(test), test.target, test.subject, confidence)
    return Answers.of(said, confidence), along


def _confidence(pairs: list[tuple[Answers, Along | None]], seed: int) -> dict[str, Any]:
    along = [a for _, a in pairs if a is not None]
    scores = confidence_scores(Answers.join([a for a, _ in pairs]), seed)
    return scores | ({"earlier": earlier_scores(along, seed)} if along else {})


def model_name(output: Output) -> str:
    """Return the stage's name, with the values of axes other than folds and seeds: "scratch.train_subjects-1"."""
    axes = output.manifest["facts"]["item"]
    return ".".join([output.stage, *(f"{a}-{v}" for a, v in sorted(axes.items()) if a not in {"fold", "seed"})])


def _in_order(p: Predictions) -> Predictions:
    return p.pick(np.lexsort((np.arange(len(p.trial)), p.trial, p.session, p.subject, p.seed)))


def _in_sensor_space(windows: WindowSet, data: Prepared, job: Job) -> NDArray[np.float32] | None:
    """Return the windows (n, n_chans, n_times) as before any operation that scales or mixes channels apart.

    A scalp map is of the potential; where the chain whitens or scales each channel, the recordings are cleaned again
    without that. None where that gives other channels or another rate: what is decided from is no potential.
    """
    kept = [op for op in data.chain if op.keeps_topography]
    if len(kept) == len(data.chain):
        return windows.load()
    clean_spec = chain(kept, SignalSpec.model_validate(data.facts[0]["raw"])).output
    if (clean_spec.ch_names, clean_spec.sfreq) != (windows.spec.ch_names, windows.spec.sfreq):
        return None
    out = np.zeros((len(windows), windows.spec.n_chans, windows.n_times), np.float32)
    for file, (output, facts) in enumerate(zip(data.outputs, data.facts, strict=True)):
        with raw_session(output, facts) as session:
            clean = run(chain(kept, session.signal.spec), session.signal.read()).values
        for row in np.flatnonzero(windows.file == file):
            out[row] = clean[:, windows.start[row] : windows.start[row] + windows.n_times]
        job.progress(file + 1, len(data.outputs), "scalp maps")
    return out


def _rows(windows: WindowSet, p: Predictions) -> Any:
    """Return the index in `windows` of each predicted window: both are ordered by session, trial and place in it."""
    order = np.lexsort((windows.start, windows.trial, windows.session, windows.subject))
    return order[np.isin(windows.subject[order], p.subject)]


def _alarms(
    rule: AlarmRule, predictions: list[Predictions], windows: WindowSet, data: Prepared, seed: int
) -> dict[str, Any]:
    """Return each model's scores as a predictor of events, from the windows of its first seed."""
    if rule.event not in data.classes:
        given = f"alarms.event is '{rule.event}'.{did_you_mean(rule.event, data.classes)}"
        raise SpecError(given, allowed=one_of(data.classes))
    made = {}
    for p in predictions:
        first = p.pick(p.seed == p.seed[0])
        rows = _rows(windows, first)
        made[p.model] = alarm_scores(_timelines(rule, first, windows.select(rows), data), rule, seed)
    return {"rule": rule.model_dump(mode="json"), "models": made}


def _timelines(rule: AlarmRule, p: Predictions, windows: WindowSet, data: Prepared) -> list[Timeline]:
    column, sfreq = data.classes.index(rule.event), windows.spec.sfreq
    found = []
    for file in np.unique(windows.file):
        mine = windows.file == file
        order = np.argsort(windows.start[mine], kind="stable")
        trial, target = windows.trial[mine][order], windows.target[mine][order]
        with read(windows.paths[file]) as session:
            ends, begins = session.trials.end_s, session.signal.start_s
        events = np.unique(trial[target == column])
        place = np.where(target == column, np.searchsorted(events, trial), -1)
        found.append(
            Timeline(
                subject=str(p.subject[mine][0]),
                end_s=begins + (windows.start[mine][order] + windows.n_times) / sfreq,
                probability=p.probability[mine][order, column],
                event=place,
                onset_s=ends[events],
                hop_s=data.windows.hop_s or data.windows.length_s,
            )
        )
    return found


def _truths(data: Prepared) -> list[Any]:
    from ...datasets.simulated import truth

    return [
        truth(o.folder, f["subject"])
        for o, f in zip(data.outputs, data.facts, strict=True)
        if _truth_file(o.folder, f["subject"]).exists()
    ]


def _truth_file(folder: Path, subject: str) -> Path:
    return folder / f"{subject}-truth.npz"


def _ceiling(data: Prepared) -> dict[str, Any] | None:
    """Return what the true sources allow, where the data was simulated."""
    truths = _truths(data)
    if not truths:
        return None
    from ...datasets.simulated import ceiling

    w = data.windows
    made = ceiling(truths, start_s=w.start_s, length_s=w.length_s)
    return {
        "accuracy": made.accuracy,
        "subjects": dict(zip(data.subjects, made.across.tolist(), strict=True)),
        "within": made.within.tolist(),
    }


def _true_topographies(data: Prepared) -> dict[str, Any]:
    """Return the mean true topography of each source over subjects, average-referenced as the recordings are."""
    truths = _truths(data)
    found = {}
    for side in ("left", "right"):
        maps = [getattr(t, f"{side}_source") for t in truths]
        unit = [(m - m.mean()) / np.linalg.norm(m - m.mean()) for m in maps]
        if unit:
            found[side] = np.mean([u * np.sign(u @ unit[0]) for u in unit], 0)
    return found
