"""The search for settings: trials are a recipe with other settings, run up to one fit stage in the same store.

What trials share is made once; a trial whose fit is there already is not fitted again. What became of each trial is a
small JSON file under `tune/`, so that a search that was cut off goes on, and a longer one begins where a shorter one
ended. Ray (`tuning_ray`) only decides which trials run, where, and which of them stop early.
"""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from ..core.errors import DataError, NeuralFoundationError, SpecError, one_of
from ..core.specs import digest
from ..core.store import read_json, remove, write_bytes, write_json
from ..learning.listening import History, listening
from .making import execute_once
from .plan import Plan, Task, make_plan
from .recipe import Recipe, apply, check
from .space import NOT_JUDGED, Tune, draws
from .yaml12 import parse

FOLDER = "tune"
Hear = Callable[[int, float], None]  # epochs done, what the trial is worth now
Status = Literal["finished", "stopped", "failed"]


@dataclass(frozen=True)
class Outcome:
    """What became of a trial. rows : [epochs, value] as told. value : the last; None where it failed."""

    number: int
    settings: dict[str, Any]
    status: Status
    value: float | None
    epochs: int
    seconds: float
    rows: list[list[float]] = field(default_factory=list)
    error: str = ""


@dataclass(frozen=True)
class Trial:
    """One set of settings: its plan, and the items of the tuned stage by which it is judged."""

    number: int
    settings: dict[str, Any]
    plan: Plan
    judged: tuple[Task, ...]

    @property
    def needed(self) -> list[Task]:
        """Return the items it is made of, in order."""
        return _with_inputs(self.plan, self.judged)

    @property
    def key(self) -> str:
        return digest([t.key for t in self.judged])

    @property
    def max_epochs(self) -> int:
        """Return the most epochs it may take, over all its items."""
        learners: list[Any] = [getattr(t.spec, "learner", None) for t in self.judged]
        return sum(int(learner.max_epochs) for learner in learners)


@dataclass(frozen=True)
class Search:
    """All that a search is made of: the recipe as a mapping, its `tune` part, the store, the trials."""

    value: Mapping[str, Any]
    tune: Tune
    root: Path
    trials: tuple[Trial, ...]

    @cached_property
    def folder(self) -> Path:
        """Where the trials of this search are remembered; another space or way to judge has another."""
        fields = self.tune.model_dump(mode="json", exclude={"max_concurrent", "cpus", "gpus"})
        return self.root / FOLDER / digest(fields)

    def remembered(self) -> dict[int, Outcome]:
        """Return the outcomes of trials that ended in earlier runs, by number."""
        found = {}
        for trial in self.trials:
            path = self.folder / f"{trial.key}.json"
            if path.exists():
                found[trial.number] = Outcome(**{**read_json(path), "number": trial.number})
        return found

    def remember(self, outcome: Outcome) -> None:
        """Write what became of a trial."""
        write_json(self.folder / f"{self.trials[outcome.number].key}.json", asdict(outcome))

    def shared(self) -> list[Task]:
        """Return the items before the tuned stage that more than one trial needs."""
        seen: dict[str, int] = {}
        tasks: dict[str, Task] = {}
        for trial in self.trials:
            for task in trial.needed:
                if task.stage != self.tune.stage:
                    seen[task.key] = seen.get(task.key, 0) + 1
                    tasks.setdefault(task.key, task)
        return [tasks[key] for key, n in seen.items() if n > 1 or len(self.trials) == 1]

    def clean(self, outcomes: Sequence[Outcome]) -> None:
        """Remove what stopped trials left half made; the caller holds the lock of the store."""
        for outcome in outcomes:
            if outcome.status != "finished":
                for task in self.trials[outcome.number].judged:
                    remove(task.working)


def prepare(value: Mapping[str, Any], root: Path, samples: int, name: str = "recipe") -> Search:
    """Return the search that a recipe's `tune` part describes.

    Raises SpecError: no `tune` part, a setting that names nothing, a value that its field does not take.
    """
    recipe = check(value, name)
    tune = tune_of(recipe, name)
    _check_values(value, tune)
    trials = []
    for number, settings in enumerate(draws(tune, recipe.seed, samples)):
        plan = make_plan(check(apply(dict(value), settings)), root)
        tasks = plan.of_stage(tune.stage)
        trials.append(Trial(number, settings, plan, tuple(tasks if tune.items == "all" else tasks[:1])))
    return Search(value, tune, root, tuple(trials))


def tune_of(recipe: Recipe, name: str) -> Tune:
    """Return what a recipe says about its search; SpecError where that is nothing."""
    if recipe.tune is None:
        raise SpecError(
            f"{name} does not say what to search",
            remedy="Add 'tune: {stage: ..., space: {stage.field: {loguniform: [low, high]}}}' to it",
        )
    return recipe.tune


def _check_values(value: Mapping[str, Any], tune: Tune) -> None:
    """Try each choice and both ends of each range, the others as they are in the recipe."""
    for setting, values in tune.space.items():
        for one in values.ends():
            try:
                check(apply(dict(value), {setting: one}))
            except NeuralFoundationError as error:
                raise SpecError(
                    f"tune: {setting} = {one!r} cannot be: {error.given}", allowed=error.allowed, remedy=error.remedy
                ) from None


def run_trial(search: Search, trial: Trial, hear: Hear, device: str = "auto", command: str = "") -> None:
    """Make what a trial needs and tell what it is worth after each epoch; what `hear` raises ends it.

    With several items to judge by, epochs go on counting, and the value is the mean of the items so far.
    """
    for task in trial.needed:
        if task.stage != search.tune.stage:
            execute_once(task, search.root, device, command)
    before, values = 0, list[float]()
    for task in trial.judged:
        said = _Telling(search.tune, task, before, values, hear)
        with listening(said):
            execute_once(task, search.root, device, command)
        output = task.output()
        assert output is not None
        history = read_json(output.path("history.json"))
        said(history)
        values.append(worth(history, search.tune, _monitor(task)))
        before += len(history)


class _Telling:
    """Tells each row of a growing history once."""

    def __init__(self, tune: Tune, task: Task, before: int, values: Sequence[float], hear: Hear) -> None:
        self.tune, self.monitor, self.hear = tune, _monitor(task), hear
        self.before, self.values, self.told = before, list(values), 0

    def __call__(self, history: History) -> None:
        while self.told < len(history):
            self.told += 1
            now = worth(history[: self.told], self.tune, self.monitor)
            self.hear(self.before + self.told, (sum(self.values) + now) / (len(self.values) + 1))


def _monitor(task: Task) -> str:
    """Return the figure by which the learner chooses the weights it hands back."""
    return str(getattr(getattr(task.spec, "learner", None), "monitor", "loss"))


def worth(history: History, tune: Tune, monitor: str = "loss") -> float:
    """Return the metric at the epoch whose weights the fit would hand back: its best by its own monitor.

    Raises DataError: the history has no such figure, as there is no validation part, or none by that name.
    """
    rows = list(history)
    for row in rows[-1:]:
        if tune.metric not in row:
            there = sorted(n for n in row if n not in NOT_JUDGED and not n.startswith("train"))
            raise DataError(
                f"The history of stage '{tune.stage}' has no '{tune.metric}'",
                allowed=one_of(there) if there else "",
                remedy="" if there else "Give the split a validation part: trials are never judged by test data",
            )
    if not rows:
        raise DataError(f"The history of stage '{tune.stage}' is empty", remedy="Its fit must have epochs")
    if monitor == "balanced_accuracy" and monitor in rows[-1]:
        return float(max(rows, key=lambda row: row[monitor])[tune.metric])
    by = "validation_loss" if "validation_loss" in rows[-1] else tune.metric
    return float(min(rows, key=lambda row: row[by])[tune.metric])


def ranked(outcomes: Sequence[Outcome], mode: str) -> list[Outcome]:
    """Return the outcomes, the best first; those that failed last. Equal ones stay in the order they were drawn."""
    sign = 1.0 if mode == "min" else -1.0
    return sorted(
        outcomes, key=lambda o: (o.value is None, 0.0 if o.value is None else sign * o.value, -o.epochs, o.number)
    )


def best_of(outcomes: Sequence[Outcome], mode: str) -> Outcome:
    """Return the best trial; DataError with the first error where all failed."""
    best = ranked(outcomes, mode)[0]
    if best.value is None:
        raise DataError(f"All {len(outcomes)} trials failed. Trial {best.number}: {best.error}")
    return best


def write(search: Search, outcomes: Sequence[Outcome]) -> tuple[Path, Path]:
    """Write `best.yaml`, the whole recipe with the best settings, and `trials.csv`; return their paths."""
    order = ranked(outcomes, search.tune.mode)
    best = best_of(outcomes, search.tune.mode)
    recipe, table = search.root / FOLDER / "best.yaml", search.root / FOLDER / "trials.csv"
    value = best_value(search.value, best.settings)
    head = (
        f"# The best of {len(outcomes)} trials of {value['name']}: "
        f"{search.tune.metric} {best.value:.6g} in trial {best.number}.\n"
    )
    write_bytes(recipe, (head + dumped(value)).encode())
    write_bytes(table, _csv(search.tune, order).encode())
    return recipe, table


def best_value(value: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return a recipe's mapping with settings put in; what made it tiny was applied already."""
    made = apply(dict(value), settings)
    return {k: v for k, v in made.items() if k != "tiny" or not str(made["name"]).endswith("-tiny")}


def dumped(value: Mapping[str, Any]) -> str:
    """Return YAML that our parser reads back to the same value."""
    import yaml

    class Plain(yaml.SafeDumper):
        def ignore_aliases(self, data: Any) -> bool:
            return True

    text = yaml.dump(dict(value), Dumper=Plain, sort_keys=False, allow_unicode=True, width=110)
    if parse(text) != dict(value):
        import json

        text = json.dumps(value, indent=1, ensure_ascii=False) + "\n"  # is YAML as well
    return text


def _csv(tune: Tune, outcomes: Sequence[Outcome]) -> str:
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["trial", "status", tune.metric, "epochs", "seconds", *tune.space, "error"])
    for o in outcomes:
        value = "" if o.value is None else repr(o.value)
        settings = [o.settings[name] for name in tune.space]
        writer.writerow([o.number, o.status, value, o.epochs, round(o.seconds, 1), *settings, o.error])
    return file.getvalue()


def _with_inputs(plan: Plan, tasks: Sequence[Task]) -> list[Task]:
    """Return tasks and all they need, in the order of the plan."""
    wanted, todo = set[str](), list(tasks)
    while todo:
        task = todo.pop()
        if task.name not in wanted:
            wanted.add(task.name)
            todo += task.needs()
    return [t for t in plan.tasks if t.name in wanted]


class Watch:
    """Takes what trials tell in the search's own process, and remembers each that ends."""

    def __init__(self, search: Search, report: Callable[[str, int, int, str], None]) -> None:
        self.search, self.report = search, report
        self.outcomes = search.remembered()
        self.rows: dict[int, list[list[float]]] = {}
        self.began: dict[int, float] = {}
        for number in self.outcomes:
            report(trial_name(number), 1, 1, "done")

    @property
    def todo(self) -> list[Trial]:
        return [t for t in self.search.trials if t.number not in self.outcomes]

    def begin(self, number: int) -> None:
        self.began.setdefault(number, time.monotonic())
        self.report(trial_name(number), 0, self.search.trials[number].max_epochs, "starting")

    def tell(self, number: int, epochs: int, value: float) -> None:
        self.rows.setdefault(number, []).append([epochs, value])
        self.began.setdefault(number, time.monotonic())
        total = self.search.trials[number].max_epochs
        self.report(trial_name(number), epochs, total, f"{self.search.tune.metric.replace('_', ' ')} {value:.4g}")

    def end(self, number: int, status: Status, error: str = "") -> None:
        """Remember a trial, unless an earlier run does; one that told nothing has failed."""
        if number not in self.outcomes:
            rows = self.rows.get(number, [])
            last: list[Any] = rows[-1] if rows and status != "failed" else [0, None]
            seconds = time.monotonic() - self.began.get(number, time.monotonic())
            trial = self.search.trials[number]
            done = Outcome(number, trial.settings, status, last[1], int(last[0]), round(seconds, 2), rows, error)
            self.outcomes[number] = done
            self.search.remember(done)
            self.report(trial_name(number), 1, 1, "done")

    def all(self) -> list[Outcome]:
        return [self.outcomes[t.number] for t in self.search.trials if t.number in self.outcomes]


def trial_name(number: int) -> str:
    """Return what a trial is called where items are."""
    return f"trial/{number}"
