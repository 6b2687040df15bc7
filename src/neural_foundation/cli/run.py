"""run: make what is not there yet."""

from __future__ import annotations

import shlex
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from .options import OutputDir, RecipeArg, Set, Tiny, planned

if TYPE_CHECKING:
    from ..pipeline.plan import Plan
    from ..pipeline.runner import Ran

RayKeys = Annotated[
    list[str],
    typer.Option("--ray", metavar="KEY=VALUE", help="With --executor ray: address, cpus, gpus (of an item)."),
]
SlurmKeys = Annotated[
    list[str],
    typer.Option(
        "--slurm",
        metavar="KEY=VALUE",
        help="With --executor slurm: partition, account, qos, constraint, time, mem, cpus, gpus, cluster.",
    ),
]


def add(app: typer.Typer) -> None:
    @app.command("run")
    def run(
        recipe: RecipeArg,
        stage: Annotated[
            str | None,
            typer.Option("--stage", help="Only this stage, or group of stages, and what it needs.", show_default=False),
        ] = None,
        changes: Set = [],  # noqa: B006 - typer reads the default, nothing changes it
        tiny: Tiny = False,
        output: OutputDir = None,
        workers: Annotated[int, typer.Option("--workers", min=1, help="Independent items in parallel processes.")] = 1,
        device: Annotated[str, typer.Option("--device", help="auto, cpu or cuda:N.")] = "auto",
        executor: Annotated[
            str, typer.Option("--executor", help="Where items are made: local, ray or slurm.")
        ] = "local",
        ray: RayKeys = [],  # noqa: B006 - typer reads the default, nothing changes it
        slurm: SlurmKeys = [],  # noqa: B006
    ) -> None:
        """Run a recipe: skip what is fresh, go on where it stopped."""
        from ..core.device import check_name
        from ..pipeline.executors import make
        from ..pipeline.runner import run as run_plan
        from .show_progress import Display

        check_name(device)
        chosen = make(executor, workers, ray, slurm)
        plan = planned(recipe, changes, tiny, output)
        tasks = plan.tasks if stage is None else plan.up_to(stage)
        with Display([t.name for t in tasks if t.output() is None], plan.recipe.name) as display:
            ran = run_plan(plan, stage=stage, device=device, command=command(), report=display.report, executor=chosen)
        say(plan, ran)


def command() -> str:
    """Return the command line as a user would type it."""
    return shlex.join(["neural-foundation", *sys.argv[1:]])


def say(plan: Plan, ran: Ran) -> None:
    """Print the scores of a run, what it made and where that lies."""
    from .summary import print_summary

    print_summary(plan)
    if ran.made:
        made = f"Made {len(ran.made)} outputs in {ran.seconds:.0f} s, {len(ran.fresh)} were fresh"
        typer.echo(f"{made}. They lie in {plan.root}/")
    else:
        typer.echo(f"Nothing to do: all {len(ran.fresh)} outputs are fresh. They lie in {plan.root}/")
