"""run: make what is not there yet."""

from __future__ import annotations

import shlex
import sys
from typing import Annotated

import typer

from .options import OutputDir, RecipeArg, Set, Tiny, planned


def add(app: typer.Typer) -> None:
    @app.command("run")
    def run(
        recipe: RecipeArg,
        stage: Annotated[
            str | None, typer.Option("--stage", help="Only this stage and what it needs.", show_default=False)
        ] = None,
        changes: Set = [],  # noqa: B006 - typer reads the default, nothing changes it
        tiny: Tiny = False,
        output: OutputDir = None,
        workers: Annotated[int, typer.Option("--workers", min=1, help="Independent items in parallel processes.")] = 1,
        device: Annotated[str, typer.Option("--device", help="auto, cpu or cuda:N.")] = "auto",
    ) -> None:
        """Run a recipe: skip what is fresh, go on where it stopped."""
        from ..core.device import check_name
        from ..core.errors import SpecError, did_you_mean, one_of
        from ..pipeline.runner import run as run_plan
        from .show_progress import Display

        check_name(device)
        plan = planned(recipe, changes, tiny, output)
        if stage is not None and stage not in plan.recipe.stages:
            raise SpecError(
                f"Recipe '{plan.recipe.name}' has no stage '{stage}'.{did_you_mean(stage, plan.recipe.stages)}",
                allowed=one_of(plan.recipe.stages),
            )
        tasks = plan.tasks if stage is None else plan.up_to(stage)
        with Display([t.name for t in tasks if t.output() is None], plan.recipe.name) as display:
            ran = run_plan(plan, stage=stage, workers=workers, device=device, command=command(), report=display.report)
        _say(plan, ran)


def command() -> str:
    """Return the command line as a user would type it."""
    return shlex.join(["neural-foundation", *sys.argv[1:]])


def _say(plan: object, ran: object) -> None:
    from ..pipeline.plan import Plan
    from ..pipeline.runner import Ran
    from .summary import print_summary

    assert isinstance(plan, Plan)
    assert isinstance(ran, Ran)
    print_summary(plan)
    if ran.made:
        made = f"Made {len(ran.made)} outputs in {ran.seconds:.0f} s, {len(ran.fresh)} were fresh"
        typer.echo(f"{made}. They lie in {plan.root}/")
    else:
        typer.echo(f"Nothing to do: all {len(ran.fresh)} outputs are fresh. They lie in {plan.root}/")
