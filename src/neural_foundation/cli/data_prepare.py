"""data prepare: a folder of recordings becomes sessions in HDF5; what cannot be read is quarantined."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from .folder import FolderReport

SOME_QUARANTINED = 3  # exit code: the others were prepared
MOST_LISTED = 20


def add(group: typer.Typer) -> None:
    @group.command("prepare")
    def prepare(
        source: Annotated[
            Path, typer.Option("--input", metavar="DIR", help="A folder of recordings.", show_default=False)
        ],
        output: Annotated[Path, typer.Option("--output", metavar="DIR", help="Where sessions go.", show_default=False)],
        config: Annotated[
            str | None,
            typer.Option(
                "--config",
                metavar="YAML",
                help="dataset, signals and windows, as in a recipe's prepare stage; or a recipe.",
                show_default=False,
            ),
        ] = None,
        workers: Annotated[int, typer.Option("--workers", min=1, help="Files in parallel processes.")] = 1,
    ) -> None:
        """Prepare every recording of a folder; go on past bad ones.

        Exit code 3: some files are quarantined, all others are prepared.
        """
        from .folder import folder_plan, prepare_folder
        from .run import command
        from .show_progress import Display
        from .terminal import console

        plan = folder_plan(source, output, config)
        with Display([t.name for t in plan.tasks if t.output() is None], "prepare") as display:
            report = prepare_folder(plan, workers=workers, command=command(), report=display.report)
        say(report, console())
        _end(report)


def _end(report: FolderReport) -> None:
    from ..core.errors import DataError

    if report.bad and not report.good:
        given = f"None of {len(report.bad)} recordings could be prepared"
        raise DataError(given, remedy=f"The reasons are in {report.root / 'quarantine.json'}")
    if report.bad:
        raise typer.Exit(SOME_QUARANTINED)


def say(report: FolderReport, console: Console) -> None:
    """Print what was prepared, by channels and rates, and what is quarantined, with the reasons."""
    from rich.table import Table

    from .folder import summary
    from .terminal import plain

    facts = summary(report)
    if report.good:
        table = Table(title="Prepared", **plain())
        for head in ("files", "hours", "channels", "rate (Hz)", "prepared as"):
            table.add_column(head, justify="left" if head == "prepared as" else "right")
        for shape in facts["shapes"][:MOST_LISTED]:
            raw, made = shape["raw"], shape["prepared"]
            to = f"{made['channels']} channels at {made['sfreq']:g} Hz"
            table.add_row(str(shape["files"]), f"{shape['hours']:.2f}", str(raw["channels"]), f"{raw['sfreq']:g}", to)
        console.print(table)
    if report.bad:
        table = Table(title=f"Quarantined: {len(report.bad)}", **plain())
        table.add_column("file", overflow="fold")
        table.add_column("reason", overflow="fold")
        for bad in report.bad[:MOST_LISTED]:
            table.add_row(bad.file, bad.reason)
        console.print(table)
        if len(report.bad) > MOST_LISTED:
            console.print(f"and {len(report.bad) - MOST_LISTED} more, in quarantine.json")
    _totals(report, facts["hours"], len(facts["subjects"]), facts["windows"])


def _totals(report: FolderReport, hours: float, subjects: int, windows: int) -> None:
    n = len(report.good) + len(report.bad)
    kept = f" ({report.fresh} were ready)" if report.fresh else ""
    typer.echo(f"{len(report.good)} of {n} files prepared{kept}, {len(report.bad)} quarantined, {report.seconds:.0f} s")
    typer.echo(f"{hours:.2f} hours of {subjects} subjects, {windows:,} windows")
    if without := sum(not p.facts["windows"] for p in report.good):
        typer.echo(f"{without} files hold no window: they are shorter, or nowhere valid for so long")
    if more := sum(bool(p.facts["left_out"]) for p in report.good):
        typer.echo(f"{more} files hold more than the signal that was prepared; summary.json names it (`left_out`)")
    typer.echo(f"Written to {report.root}/: prepare/, summary.json, quarantine.json")
