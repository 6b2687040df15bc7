"""plan, status, show: looking before and after."""

from __future__ import annotations

from collections import Counter
from typing import Annotated

import typer

from .options import OutputDir, RecipeArg, Set, Tiny, planned


def add(app: typer.Typer) -> None:
    @app.command("plan")
    def plan(recipe: RecipeArg, changes: Set = [], tiny: Tiny = False, output: OutputDir = None) -> None:  # noqa: B006
        """Say what a run would do, item by item, and why; nothing runs."""
        from ..pipeline.plan import reason

        made = planned(recipe, changes, tiny, output)
        for task in made.tasks:
            state = made.state[task.name]
            verb = "keep" if state == "fresh" else "make"
            why = reason(task, state)
            typer.echo(f"{verb}  {task.name:<36} {task.key}{'  ' + why if why else ''}")
        todo = sum(s != "fresh" for s in made.state.values())
        typer.echo(f"{todo} of {len(made.tasks)} items to make, into {made.root}/")

    @app.command("status")
    def status(recipe: RecipeArg, changes: Set = [], tiny: Tiny = False, output: OutputDir = None) -> None:  # noqa: B006
        """Say how far a run is, a line a stage."""
        from ..pipeline.stages.quarantine import quarantined

        made = planned(recipe, changes, tiny, output)
        width = max((len(", ".join(made.recipe.groups_of(n))) for n in made.recipe.stages), default=0)
        for name in made.recipe.order():
            counts = Counter(made.state[t.name] for t in made.of_stage(name))
            total = sum(counts.values())
            bad = len(quarantined([o for t in made.of_stage(name) if (o := t.output()) is not None]))
            said = [(n, s) for s, n in sorted(counts.items()) if s != "fresh"] + [(bad, "in quarantine")]
            others = ", ".join(f"{n} {s}" for n, s in said if n)
            group = f"{', '.join(made.recipe.groups_of(name)):<{width}} " if width else ""
            typer.echo(
                f"{group}{name:<16} {counts['fresh']:>3}/{total:<3} fresh{'  (' + others + ')' if others else ''}"
            )

    @app.command("show")
    def show(
        recipe: RecipeArg,
        stage: Annotated[
            str | None, typer.Option("--stage", help="Only this stage, or group of stages.", show_default=False)
        ] = None,
        changes: Set = [],  # noqa: B006
        tiny: Tiny = False,
        output: OutputDir = None,
    ) -> None:
        """Show finished outputs: where they lie, from what they came, and the scores."""
        from .summary import print_summary

        made = planned(recipe, changes, tiny, output)
        shown = made.recipe.stages if stage is None else made.recipe.members(stage)
        for task in (t for t in made.tasks if t.stage in shown):
            found = task.output()
            if found is None:
                typer.echo(f"{task.name}: not made yet")
                continue
            m = found.manifest
            typer.echo(f"{task.name}  {found.folder}")
            by = f"{m['run']['seconds']:.1f} s by: {m['run']['command'] or '(Python)'}"
            typer.echo(f"    {by}; {len(m['subjects'])} subjects; torch {m['libraries'].get('torch', '-')}")
            typer.echo(f"    files: {', '.join([*m['outputs'], *m['measured']])}")
        print_summary(made)
