"""tune: search for settings, then run the whole recipe with the best."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .options import OutputDir, RecipeArg, Set, Tiny
from .run import command, say

if TYPE_CHECKING:
    from ..pipeline.tuning import Outcome, Search


def add(app: typer.Typer) -> None:
    @app.command("tune")
    def tune(
        recipe: RecipeArg,
        samples: Annotated[int, typer.Option("--samples", min=1, help="How many sets of settings to try.")] = 30,
        changes: Set = [],  # noqa: B006 - typer reads the default, nothing changes it
        tiny: Tiny = False,
        output: OutputDir = None,
        workers: Annotated[int, typer.Option("--workers", min=1, help="Trials at once.")] = 1,
        device: Annotated[str, typer.Option("--device", help="auto, cpu or cuda.")] = "auto",
        address: Annotated[
            str, typer.Option("--address", help="Of a Ray cluster; RAY_ADDRESS, or this machine, by default.")
        ] = "",
    ) -> None:
        """Search for the settings that the recipe's `tune` part names, then run it all with the best."""
        from ..core.device import check_name
        from ..core.store import lock
        from ..pipeline.recipe import value_of
        from ..pipeline.tuning import best_of, best_value, prepare, write

        check_name(device)
        value, name = value_of(recipe, changes=changes, tiny=tiny)
        root = output or Path("runs") / str(value.get("name", ""))
        search = prepare(value, root, samples, name)
        if len(search.trials) < samples:
            typer.echo(f"Of {samples} draws {len(search.trials)} differ")
        with lock(root):
            outcomes = _search(search, workers, device, address)
        best = best_of(outcomes, search.tune.mode)
        made = write(search, outcomes)
        _print(search, outcomes)
        typer.echo(f"Best: trial {best.number}. Its recipe: {made[0]}; all trials: {made[1]}")
        _run(best_value(value, best.settings), root, workers, device)


def _search(search: Search, workers: int, device: str, address: str) -> list[Outcome]:
    from ..core.errors import Interrupted
    from ..pipeline.executors_ray import library
    from ..pipeline.runner import make
    from ..pipeline.tuning import Watch, trial_name
    from ..pipeline.tuning_ray import search_with_ray
    from .show_progress import Display

    library()  # before anything is made
    shared = search.shared()
    with Display([t.name for t in shared if t.output() is None], "shared by all trials") as display:
        make(shared, search.root, workers, device, command(), display.report, None)
    with Display([trial_name(t.number) for t in search.trials], "trials") as display:
        watch = Watch(search, display.report)
        try:
            search_with_ray(search, watch, workers=workers, device=device, command=command(), address=address)
        except KeyboardInterrupt:
            raise Interrupted(
                f"Interrupted; {len(watch.outcomes)} of {len(search.trials)} trials have ended and are kept",
                remedy="Run the same command to go on",
            ) from None
    search.clean(watch.all())
    return watch.all()


def _print(search: Search, outcomes: Sequence[Outcome]) -> None:
    from rich.table import Table

    from ..pipeline.tuning import ranked
    from .terminal import console, plain

    spec = search.tune
    table = Table(title=f"{len(outcomes)} trials of {spec.stage}, the best first", **plain())
    for head in ("trial", spec.metric, "status", "epochs", "s", *spec.space):
        table.add_column(head, justify="left" if head == "status" else "right", overflow="fold")
    for o in ranked(outcomes, spec.mode):
        value = "-" if o.value is None else f"{o.value:.5g}"
        settings = (f"{v:.4g}" if isinstance(v, float) else str(v) for v in (o.settings[n] for n in spec.space))
        table.add_row(str(o.number), value, o.status, str(o.epochs), f"{o.seconds:.0f}", *settings)
    console().print(table)
    for o in outcomes:
        if o.error:
            typer.echo(f"Trial {o.number} failed: {o.error}", err=True)


def _run(value: dict[str, object], root: Path, workers: int, device: str) -> None:
    from ..pipeline.executors import make
    from ..pipeline.plan import make_plan
    from ..pipeline.recipe import check
    from ..pipeline.runner import run
    from .show_progress import Display

    plan = make_plan(check(value), root)
    with Display([t.name for t in plan.tasks if t.output() is None], plan.recipe.name) as display:
        ran = run(plan, device=device, command=command(), report=display.report, executor=make("local", workers))
    say(plan, ran)
