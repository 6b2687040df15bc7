"""A recipe: named stages as data, checked as a graph before anything starts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from ..core.errors import SpecError, did_you_mean, one_of
from ..core.kinds import of, spec_error
from ..core.specs import Spec
from .space import Tune
from .stage import Stage
from .table import STAGES
from .yaml12 import parse, parse_file

FORMAT_VERSION = 1


class Recipe(Spec):
    """A whole experiment. `tiny` lists the settings that make it small: the same recipe, in seconds.

    `tune` says which settings a search may change. `groups` gives stages a name together, for `run --stage`; it
    enters no key.
    """

    format_version: int = FORMAT_VERSION
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")
    description: str = ""
    seed: int = Field(0, ge=0)
    stages: dict[str, of(STAGES, Stage)] = Field(min_length=1)  # type: ignore[valid-type]
    groups: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    tiny: dict[str, Any] = Field(default_factory=dict)
    tune: Tune | None = None

    def order(self) -> list[str]:
        """Return the stages so that each comes after its inputs."""
        graph = {name: dependencies(stage) for name, stage in self.stages.items()}
        return [n for n in TopologicalSorter(graph).static_order() if n in self.stages]

    def upstream(self, *stages: str) -> list[str]:
        """Return some stages and all they need, in order."""
        wanted, todo = set(stages), list(stages)
        while todo:
            new = set(dependencies(self.stages[todo.pop()])) - wanted
            wanted |= new
            todo += new
        return [n for n in self.order() if n in wanted]

    def members(self, name: str) -> list[str]:
        """Return the stages that a name stands for: those of a group, or the one stage; SpecError for neither."""
        if name in self.groups:
            return list(self.groups[name])
        if name not in self.stages:
            known = [*self.stages, *self.groups]
            groups = f"; the groups {one_of(self.groups)}" if self.groups else ""
            raise SpecError(
                f"Recipe '{self.name}' has no stage{' or group' if self.groups else ''} '{name}'."
                f"{did_you_mean(name, known)}",
                allowed=f"{'the stages ' if self.groups else ''}{one_of(self.stages)}{groups}",
            )
        return [name]

    def groups_of(self, stage: str) -> list[str]:
        """Return the groups that a stage is in."""
        return [name for name, stages in self.groups.items() if stage in stages]


def dependencies(stage: Stage) -> list[str]:
    """Return the names of all stages that `stage` needs, those it fans out over included."""
    return [*(s for names in stage.input_stages().values() for s in names), *named(stage)]


def named(stage: Stage) -> list[str]:
    """Return the stages named by `for_each`: splits, and stages with an axis of their own."""
    parts = stage.for_each if isinstance(stage.for_each, list) else [stage.for_each]
    return [p for p in parts if isinstance(p, str)]


def listed(stage: Stage) -> dict[str, list[Any]]:
    """Return the axes that `for_each` lists by value."""
    parts = stage.for_each if isinstance(stage.for_each, list) else [stage.for_each]
    return {axis: list(values) for p in parts if isinstance(p, Mapping) for axis, values in p.items()}


def built_in() -> list[str]:
    """Return the names of the recipes that come with the package; those of a folder are called `folder/recipe`."""
    return sorted(_recipes(resources.files("neural_foundation.recipes"), ""))


def _recipes(folder: Traversable, prefix: str) -> Iterator[str]:
    for entry in folder.iterdir():
        if entry.name.endswith(".yaml"):
            yield prefix + entry.name.removesuffix(".yaml")
        elif entry.is_dir():
            yield from _recipes(entry, f"{prefix}{entry.name}/")


def text_of(source: str | Path) -> tuple[str, str]:
    """Return (text, name) of a recipe given by file or built-in name; SpecError names what there is."""
    path = Path(source)
    if path.suffix in {".yaml", ".yml"} or path.is_file():
        if not path.is_file():
            raise SpecError(
                f"There is no recipe file {path}",
                remedy="Check the path, or start from a built-in one: "
                f"neural-foundation new {built_in()[0]} {path.name}",
            )
        try:
            return path.read_text(encoding="utf-8"), path.name
        except UnicodeDecodeError:
            raise SpecError(f"{path} is not text", remedy="Give a recipe in YAML (UTF-8)") from None
    if str(source) not in built_in():
        raise SpecError(
            f"There is no recipe '{source}'.{did_you_mean(str(source), built_in())}",
            allowed=f"a YAML file, or {one_of(built_in())}",
        )
    file = resources.files("neural_foundation.recipes").joinpath(f"{source}.yaml")
    return file.read_text(encoding="utf-8"), f"{source}.yaml"


def load(source: str | Path, *, changes: Sequence[str] = (), tiny: bool = False) -> Recipe:
    """Return the checked recipe of a file or built-in name, with `a.b=c` settings applied in order.

    Raises SpecError: unknown recipe, kind or field, a setting that names nothing, a graph that does not fit.
    """
    return check(*value_of(source, changes=changes, tiny=tiny))


def value_of(source: str | Path, *, changes: Sequence[str] = (), tiny: bool = False) -> tuple[dict[str, Any], str]:
    """Return (mapping, name) of a recipe with settings applied, as `check` takes it."""
    text, name = text_of(source)
    value = parse(text, name)
    if not isinstance(value, dict):
        raise SpecError(
            f"{name} holds no mapping",
            allowed="name: ..., stages: ...",
            remedy="See a built-in recipe with: neural-foundation new quickstart my.yaml",
        )
    if tiny:
        if not value.get("tiny"):
            raise SpecError(
                f"{name} has no tiny variant", remedy="Add a 'tiny:' mapping of settings, or leave out --tiny"
            )
        value = apply(value, dict(value["tiny"]))
        value["name"] = f"{value.get('name', '')}-tiny"
    return apply(value, dict(_setting(c) for c in changes)), name


def check(value: Mapping[str, Any], name: str = "recipe") -> Recipe:
    """Return a recipe from its mapping, its graph checked."""
    if value.get("format_version", FORMAT_VERSION) > FORMAT_VERSION:
        raise SpecError(
            f"{name} has format_version {value['format_version']}",
            allowed=f"up to {FORMAT_VERSION}",
            remedy="Use a newer neural-foundation",
        )
    try:
        recipe = Recipe.model_validate(dict(value))
    except ValidationError as error:
        raise spec_error(name, error, Recipe) from None
    _check_graph(recipe)
    return recipe


def apply(value: dict[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy with dotted settings put in; the last word may be new, the way to it must exist."""
    for dotted, new in settings.items():
        path = dotted.split(".")
        if path[0] not in {"seed", "name", "stages", "groups", "tiny", "tune", "description"}:
            path = ["stages", *path]
        value = _put(value, path, new, dotted)
    return value


def _put(node: Any, path: list[str], new: Any, dotted: str) -> Any:
    head, *rest = path
    if isinstance(node, list):
        if not head.isdigit() or int(head) >= len(node):
            raise SpecError(f"Setting '{dotted}': '{head}' is no place in a list of {len(node)}")
        return [
            _put(v, rest, new, dotted) if rest and i == int(head) else new if i == int(head) else v
            for i, v in enumerate(node)
        ]
    if not isinstance(node, dict):
        raise SpecError(f"Setting '{dotted}': there is nothing under '{head}'")
    if rest and head not in node:
        raise SpecError(f"Setting '{dotted}' names no '{head}'.{did_you_mean(head, node)}", allowed=one_of(node))
    return {**node, head: _put(node[head], rest, new, dotted) if rest else new}


def _setting(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise SpecError(f"Setting '{text}' is not understood", allowed="stage.field=value, e.g. --set split.folds=3")
    return name.strip(), parse(value, f"--set {name}")


def _check_graph(recipe: Recipe) -> None:
    for name, stage in recipe.stages.items():
        _check_inputs(recipe, name, stage)
    try:
        recipe.order()
    except CycleError as error:
        raise SpecError(f"Stages depend on each other in a circle: {' -> '.join(error.args[1])}") from None
    _check_groups(recipe)
    if recipe.tune is not None:
        _check_tune(recipe, recipe.tune)


def _check_groups(recipe: Recipe) -> None:
    for group, stages in recipe.groups.items():
        if group in recipe.stages:
            raise SpecError(f"'{group}' names both a group and a stage", remedy="Give the group another name")
        if not stages:
            raise SpecError(f"Group '{group}' is empty", allowed=one_of(recipe.stages))
        for stage in stages:
            if stage not in recipe.stages:
                hint = did_you_mean(stage, recipe.stages)
                raise SpecError(f"Group '{group}' names unknown stage '{stage}'.{hint}", allowed=one_of(recipe.stages))


def _check_tune(recipe: Recipe, tune: Tune) -> None:
    if tune.stage not in recipe.stages:
        hint = did_you_mean(tune.stage, recipe.stages)
        raise SpecError(f"tune names unknown stage '{tune.stage}'.{hint}", allowed=one_of(recipe.stages))
    if getattr(getattr(recipe.stages[tune.stage], "learner", None), "max_epochs", None) is None:
        raise SpecError(
            f"tune: stage '{tune.stage}' has no learner with epochs",
            allowed="a stage that fits by gradients",
            remedy="Its history is what trials are judged by",
        )
    needed = recipe.upstream(tune.stage)
    for setting in tune.space:
        stage = setting.removeprefix("stages.").partition(".")[0]
        if stage not in needed:
            hint = did_you_mean(stage, needed)
            raise SpecError(f"tune: '{setting}' changes nothing of '{tune.stage}'.{hint}", allowed=one_of(needed))
        if recipe.stages[stage].gives == "Split":
            raise SpecError(
                f"tune: '{setting}' changes who is held out",
                remedy="Trials would be judged by different validation parts; leave it out of the space",
            )


def _check_inputs(recipe: Recipe, name: str, stage: Stage) -> None:
    for port, sources in stage.input_stages().items():
        if port not in stage.takes:
            raise SpecError(
                f"Stage '{name}': unknown input '{port}'.{did_you_mean(port, stage.takes)}",
                allowed=one_of(stage.takes) if stage.takes else "no inputs",
            )
        for source in sources:
            _known(recipe, name, source)
            gives, wanted = recipe.stages[source].gives, stage.takes[port].type
            if gives != wanted:
                raise SpecError(f"Stage '{name}': input '{port}' takes {wanted}, but stage '{source}' gives {gives}")
    for port, rule in stage.takes.items():
        if rule.required and port not in stage.inputs:
            raise SpecError(f"Stage '{name}': input '{port}' is missing", allowed=f"a stage that gives {rule.type}")
    for source in named(stage):
        _known(recipe, name, source)
        if recipe.stages[source].gives != "Split" and not recipe.stages[source].own_axis:
            raise SpecError(
                f"Stage '{name}': for_each names '{source}', which is no split, nor one item a recording",
                allowed="a split, or a stage with items of its own",
            )
    for axis in listed(stage):
        if axis != "seed" and axis not in type(stage).model_fields:
            raise SpecError(
                f"Stage '{name}': for_each lists unknown field '{axis}'.{did_you_mean(axis, type(stage).model_fields)}"
            )


def _known(recipe: Recipe, name: str, source: str) -> None:
    if source not in recipe.stages:
        raise SpecError(
            f"Stage '{name}' names unknown stage '{source}'.{did_you_mean(source, recipe.stages)}",
            allowed=one_of(recipe.stages),
        )


__all__ = [
    "Recipe",
    "apply",
    "built_in",
    "check",
    "dependencies",
    "listed",
    "load",
    "named",
    "parse_file",
    "text_of",
    "value_of",
]
