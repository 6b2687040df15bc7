"""What a finished run says at its end: the table of scores and where the report lies."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from ..pipeline.plan import Plan


def print_summary(plan: Plan) -> None:
    """Print the scores of finished evaluations and the path of the report."""
    from ..pipeline.stages import report, report_trials, report_votes

    for table in [t for stage in (report, report_trials, report_votes) for t in stage.terminal_tables(plan)]:
        from rich.console import Console

        Console().print(table)
    for task in plan.tasks:
        output = task.output()
        if output is not None and task.spec.gives == "Report":
            typer.echo(f"Report: {output.path('report.html')}")
