"""Options that several verbs share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from ..pipeline.plan import Plan

RecipeArg = Annotated[
    str, typer.Argument(metavar="RECIPE", help="A built-in recipe's name, or a YAML file.", show_default=False)
]
Set = Annotated[
    list[str], typer.Option("--set", metavar="A.B=C", help="Change a setting, e.g. split.folds=3; may be repeated.")
]
Tiny = Annotated[bool, typer.Option("--tiny", help="Run the recipe's tiny variant: the same steps in seconds.")]
OutputDir = Annotated[
    Path | None,
    typer.Option("--output", metavar="DIR", help="Where outputs lie; runs/RECIPE by default.", show_default=False),
]


def planned(recipe: str, changes: list[str], tiny: bool, output: Path | None) -> Plan:
    """Return the plan that a verb's options describe."""
    from ..pipeline.plan import make_plan
    from ..pipeline.recipe import load

    loaded = load(recipe, changes=changes, tiny=tiny)
    return make_plan(loaded, output or Path("runs") / loaded.name)
