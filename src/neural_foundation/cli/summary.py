"""What a finished run says at its end: the table of scores and where the report lies."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from ..pipeline.plan import Plan


def print_summary(plan: Plan) -> None:
    """Print the scores of finished evaluations, which recordings are in quarantine, and the path of the report."""
    from ..pipeline.stages import report, report_trials, report_votes
    from ..pipeline.stages.quarantine import in_quarantine, quarantined

    for table in [t for stage in (report, report_trials, report_votes) for t in stage.terminal_tables(plan)]:
        from rich.console import Console

        Console().print(table)
    made = [(t.spec.gives, o) for t in plan.tasks if (o := t.output()) is not None]
    if bad := quarantined([o for gives, o in made if gives == "Prepared"]):
        typer.echo(in_quarantine(bad))
    for gives, output in made:
        if gives == "Report":
            typer.echo(f"Report: {output.path('report.html')}")
