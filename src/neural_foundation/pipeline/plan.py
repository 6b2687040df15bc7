"""The plan: every item of every stage with its key, and whether its output is there, and if not, why.

Keys are made from specs, seeds, raw files and the keys of inputs, never from results; so all of them are known
before anything runs.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from ..core.errors import NeuralFoundationError
from ..core.kinds import spec_error
from ..core.lineage import MANIFEST, Output, open_output, source_digest
from ..core.seeds import derive
from ..core.specs import digest, identity
from ..core.store import read_json, sha256, write_json
from .recipe import Recipe, listed, named
from .stage import Item, Stage, item_name

Freshness = Literal["fresh", "missing", "stale", "interrupted"]


@dataclass
class Task:
    """One item of one stage. `facts` is what its key is made from."""

    stage: str
    item: Item
    spec: Stage
    seed: int
    key: str
    folder: Path
    facts: dict[str, Any]
    inputs: dict[str, list[Task]] = field(repr=False, default_factory=dict)

    @property
    def name(self) -> str:
        return f"{self.stage}/{item_name(self.item)}".rstrip("/")

    @property
    def working(self) -> Path:
        """Where the item is made; renamed to `folder` when finished."""
        return self.folder.with_name(self.folder.name + ".partial")

    def needs(self) -> list[Task]:
        return [t for tasks in self.inputs.values() for t in tasks]

    def output(self) -> Output | None:
        return open_output(self.folder)


@dataclass
class Plan:
    """All tasks of a recipe in an order they can run in."""

    recipe: Recipe
    root: Path
    tasks: list[Task]

    def of_stage(self, stage: str) -> list[Task]:
        return [t for t in self.tasks if t.stage == stage]

    def up_to(self, name: str) -> list[Task]:
        """Return the tasks of a stage, or of a group of stages, and of all they need; SpecError for an unknown name."""
        wanted = set(self.recipe.upstream(*self.recipe.members(name)))
        return [t for t in self.tasks if t.stage in wanted]

    @cached_property
    def state(self) -> dict[str, Freshness]:
        """Return task name -> freshness."""
        return {t.name: _freshness(t) for t in self.tasks}


def make_plan(recipe: Recipe, root: Path) -> Plan:
    """Return the plan of a recipe whose outputs lie under `root`."""
    digests = FileDigests(root / ".digests.json")
    tasks: dict[str, list[Task]] = {}
    for name in recipe.order():
        spec = recipe.stages[name]
        tasks[name] = [_task(recipe, root, name, spec, item, tasks, digests) for item in _items(recipe, spec, tasks)]
    digests.save()
    return Plan(recipe, root, [t for stage in tasks.values() for t in stage])


class FileDigests:
    """SHA-256 of raw files, remembered by size and time of change so that a plan need not read terabytes again."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self.known: dict[str, list[Any]] = read_json(path) if path.exists() else {}
        except NeuralFoundationError:
            self.known = {}  # only a cache: read the files again
        self.changed = False

    def of(self, path: Path) -> str:
        stat = path.stat()
        mark = [stat.st_size, stat.st_mtime_ns]
        entry = self.known.get(str(path))
        if entry is None or entry[:2] != mark:
            entry = self.known[str(path)] = [*mark, sha256(path)]
            self.changed = True
        return str(entry[2])

    def save(self) -> None:
        if self.changed:
            write_json(self.path, self.known)


def _items(recipe: Recipe, spec: Stage, tasks: dict[str, list[Task]]) -> Iterable[Item]:
    axes = {axis: [str(v) for v in values] for axis, values in listed(spec).items()}
    for name in named(spec):
        stage = recipe.stages[name]
        axes[_axis(stage)] = [str(f) for f in stage.fold_names()] if stage.gives == "Split" else stage.own_values()
    if spec.own_axis:
        axes[spec.own_axis] = spec.own_values()
    return [dict(zip(axes, values, strict=True)) for values in product(*axes.values())]


def _axis(stage: Stage) -> str:
    return "fold" if stage.gives == "Split" else stage.own_axis


def _task(
    recipe: Recipe, root: Path, name: str, spec: Stage, item: Item, tasks: dict[str, list[Task]], digests: FileDigests
) -> Task:
    chosen = {axis: v for axis in listed(spec) for v in listed(spec)[axis] if str(v) == item[axis]}
    base = int(chosen.pop("seed", recipe.seed))
    spec = _with(spec, name, chosen)
    seed = derive(base, name, item_name(item))
    splits = [s for s in named(spec) if recipe.stages[s].gives == "Split"]
    sources = spec.input_stages() | ({"split": splits} if splits else {})
    wanted = item | spec.chosen_axes()
    inputs = {port: [t for s in stages for t in tasks[s] if _agree(t.item, wanted)] for port, stages in sources.items()}
    facts = {
        "kind": spec.kind,
        "version": spec.version,
        "fields": {k: v for k, v in identity(spec).items() if k not in {"inputs", "for_each", "kind"}},
        "item": item,
        "seed": seed,
        "inputs": {port: [t.key for t in found] for port, found in inputs.items()},
        "files": {f"{k}/{p.name}": digests.of(p) for k, p in enumerate(spec.raw_files(item))}
        | ({"rows": rows} if (rows := spec.rows_digest(item)) else {}),
    }
    key = digest(facts)
    folder = root / name / "-".join(x for x in (item_name(item), key) if x)
    return Task(name, item, spec, seed, key, folder, facts, inputs)


def _with(spec: Stage, name: str, chosen: dict[str, Any]) -> Stage:
    """Return a stage with the values that `for_each` lists put in; SpecError where one is not allowed."""
    if not chosen:
        return spec
    fields = {n: getattr(spec, n) for n in type(spec).model_fields}
    try:
        return type(spec).model_validate({**fields, **chosen})
    except ValidationError as error:
        raise spec_error(f"Stage '{name}', for_each", error, type(spec)) from None


def _agree(theirs: Item, ours: Item) -> bool:
    return all(ours.get(axis, value) == value for axis, value in theirs.items())


def _freshness(task: Task) -> Freshness:
    if task.output() is not None:
        return "fresh"
    if task.working.exists():
        return "interrupted"
    return "stale" if _others(task) else "missing"


def _others(task: Task) -> list[Path]:
    prefix = f"{item_name(task.item)}-" if task.item else ""
    folders = task.folder.parent.glob(f"{prefix}*") if task.folder.parent.exists() else []
    return [f for f in folders if (f / MANIFEST).exists() and f != task.folder]


def reason(task: Task, freshness: Freshness) -> str:
    """Return why a task is in the state it is in, in one line for people."""
    if freshness == "fresh":
        output = task.output()
        changed = output is not None and output.manifest.get("source") != source_digest()
        return "the code changed since; the result is kept" if changed else ""
    if freshness == "interrupted":
        return "was interrupted; goes on where it stopped"
    if freshness == "missing":
        return "never run"
    newest = max(_others(task), key=lambda f: (f / MANIFEST).stat().st_mtime)
    return "; ".join(_differences(read_json(newest / MANIFEST)["facts"], task.facts)) or "another key"


def _differences(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    found = []
    for field_name in sorted({*old["fields"], *new["fields"]}):
        if old["fields"].get(field_name) != new["fields"].get(field_name):
            found.append(f"'{field_name}' changed")
    found += [f"input '{p}' changed" for p in new["inputs"] if old["inputs"].get(p) != new["inputs"][p]]
    found += [f"file '{f}' changed" for f in new["files"] if old["files"].get(f) != new["files"][f]]
    return found + [f"{k} changed" for k in ("seed", "version", "kind") if old[k] != new[k]]
