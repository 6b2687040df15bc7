"""data prepare: a folder of recordings becomes sessions in HDF5; what cannot be read is quarantined."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from .folder import FolderReport

SOME_QUARANTINED = 3  # exit code: the others were prepared
MOST_LISTED, MOST_BAD = 20, 6


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
                help="dataset, signals, windows and step, as in a recipe's prepare stage, and quality; or a recipe.",
                show_default=False,
            ),
        ] = None,
        workers: Annotated[int, typer.Option("--workers", min=1, help="Files in parallel processes.")] = 1,
    ) -> None:
        """Prepare every recording of a folder; go on past bad ones.

        Exit code 3: some files are quarantined, all others are prepared.
        """
        from .data_pipe import heard
        from .folder import folder_plan, prepare_folder
        from .run import command
        from .show_progress import Display
        from .terminal import console

        plan = folder_plan(source, output, config)
        with Display([t.name for t in plan.tasks if t.output() is None], "prepare") as display:
            report = prepare_folder(plan, workers=workers, command=command(), report=display.report)
        with heard():
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
            table.add_row(str(shape["files"]), f"{shape['hours']:.2f}", *_shape(shape["raw"], shape["prepared"]))
        console.print(table)
        _kept(facts["kept"], console)
        _worst(facts["quality"], console)
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
    _usable(facts["quality"])
    typer.echo(f"Written to {report.root}/: prepare/, summary.json, quarantine.json")


def _shape(raw: dict[str, Any] | None, made: dict[str, Any] | None) -> tuple[str, str, str]:
    if raw is None or made is None:
        return "-", "-", "no regular signal"
    return str(raw["channels"]), f"{raw['sfreq']:g}", f"{made['channels']} channels at {made['sfreq']:g} Hz"


def _kept(rows: list[dict[str, Any]], console: Console) -> None:
    """Print what sessions hold of each modality, where that is more than one signal of one name."""
    from rich.table import Table

    from .terminal import plain

    if len(rows) < 2 and all(row["modality"] == "signals" for row in rows):
        return
    table = Table(title="Kept", **plain())
    for head in ("modality", "name", "files", "what"):
        table.add_column(head, justify="right" if head == "files" else "left", overflow="fold")
    for row in rows[:MOST_LISTED]:
        table.add_row(row["modality"], row["name"], str(row["files"]), _amount(row))
    console.print(table)
    if len(rows) > MOST_LISTED:
        console.print(f"and {len(rows) - MOST_LISTED} more, in summary.json (`kept`)")


def _amount(row: dict[str, Any]) -> str:
    rates = f" at {', '.join(f'{hz:g}' for hz in row['sfreq'])} Hz" if "sfreq" in row else ""
    return (
        ", ".join(f"{row[word]:,} {word}" for word in ("units", "spikes", "channels", "columns", "rows") if word in row)
        + rates
    )


def _totals(report: FolderReport, hours: float, subjects: int, windows: int) -> None:
    n = len(report.good) + len(report.bad)
    kept = f" ({report.fresh} were ready)" if report.fresh else ""
    typer.echo(f"{len(report.good)} of {n} files prepared{kept}, {len(report.bad)} quarantined, {report.seconds:.0f} s")
    typer.echo(f"{hours:.2f} hours of {subjects} subjects, {windows:,} windows")
    if without := sum(not p.facts["windows"] for p in report.good):
        typer.echo(f"{without} files hold no window: they are shorter, or nowhere valid for so long")
    if more := sum(bool(p.facts["left_out"]) for p in report.good):
        typer.echo(f"{more} files hold what a session has no field for; summary.json names it (`left_out`)")


def _worst(quality: dict[str, Any] | None, console: Console) -> None:
    """Print the recordings that are usable least, where some deserve a look."""
    from rich.table import Table

    from ..evaluation.inspection.words import share
    from .terminal import plain

    if not quality or not quality["worst"]:
        return
    table = Table(title="Least usable, as recorded", **plain())
    for head in ("file", "usable", "bad channels"):
        table.add_column(head, justify="right" if head == "usable" else "left", overflow="fold")
    for row in quality["worst"]:
        bad = [f"{name} ({', '.join(reasons)})" for name, reasons in row["bad_channels"].items()]
        more = f" and {len(bad) - MOST_BAD} more" if len(bad) > MOST_BAD else ""
        table.add_row(row["file"], share(row["usable"]), ", ".join(bad[:MOST_BAD]) + more or "-")
    console.print(table)
    if (left := quality["named"] - len(quality["worst"])) > 0:
        console.print(f"and {left} more with bad channels or less than 90 % usable, in summary.json")


def _usable(quality: dict[str, Any] | None) -> None:
    if not quality:
        return
    if n := quality["files"]:
        usable, hours, bad = (quality[name] for name in ("usable_hours", "hours", "with_bad_channels"))
        typer.echo(
            f"{usable:.2f} of {hours:.2f} hours as recorded are usable, {bad} of {n} recordings have bad channels"
        )
    for row in quality["not_judged"]:
        typer.echo(f"{row['files']} files without a report of quality: {row['reason']}")
