"""data: datasets and recordings, from a stranger's disk to sessions that recipes read."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from . import data_inspect, data_prepare, data_quality


def add(app: typer.Typer) -> None:
    group = typer.Typer(help="Datasets and recordings.", no_args_is_help=True)
    app.add_typer(group, name="data")
    data_inspect.add(group)
    data_quality.add(group)
    data_prepare.add(group)

    @group.command("convert")
    def convert(
        source: Annotated[Path, typer.Argument(help="A recording.", show_default=False)],
        target: Annotated[Path, typer.Argument(help="What to write: .h5, or .edf.", show_default=False)],
        subject: Annotated[
            str | None, typer.Option("--subject", help="The pseudonym to give.", show_default=False)
        ] = None,
        drop: Annotated[
            list[str], typer.Option("--drop", metavar="WHAT", help="What .edf cannot hold, to leave out; repeatable.")
        ] = [],  # noqa: B006 - typer reads the default, nothing changes it
        overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the target.")] = False,
    ) -> None:
        """Write a recording in another format, and check the copy against it."""
        from ..recordings.convert import convert as write
        from .show_progress import Display

        with Display([source.name], "convert") as display:

            def progress(done: int, total: int, text: str) -> None:
                display.report(source.name, done, total, text)

            write(source, target, subject=subject, overwrite=overwrite, drop=drop, progress=progress)
        typer.echo(f"Wrote {target}")

    @group.command("list")
    def list_() -> None:
        """List the datasets that a recipe can name: licence, people, and what is here."""
        from ..datasets.catalogue import catalogue
        from .data_pipe import heard

        entries = catalogue()
        with heard():
            for entry in entries:
                typer.echo(f"{entry.name:<28} {entry.summary}")
                people = f"{entry.info.n_subjects} subjects" if entry.info.n_subjects else ""
                how = f"needs {entry.needs}" if entry.needs else "data fetch" if entry.fetchable else ""
                facts = [entry.info.licence, people, f"in {entry.here}" if entry.here else how]
                typer.echo(f"{'':<28}   {'; '.join(f for f in facts if f)}")

    @group.command("fetch")
    def fetch(
        dataset: Annotated[str, typer.Argument(metavar="NAME", help="A dataset, or dandi:ID.", show_default=False)],
        output: Annotated[
            Path | None,
            typer.Option(
                "--output",
                metavar="DIR",
                help="What holds all datasets; NEURAL_FOUNDATION_DATA by default.",
                show_default=False,
            ),
        ] = None,
        subject: Annotated[
            list[str], typer.Option("--subject", metavar="ID", help="Only this one's files; may be repeated.")
        ] = [],  # noqa: B006 - typer reads the default, nothing changes it
        eid: Annotated[
            list[str], typer.Option("--eid", metavar="EID", help="A session of `ibl`; may be repeated.")
        ] = [],  # noqa: B006 - as above
    ) -> None:
        """Get a published dataset: check what is in the folder, download what is missing."""
        from ..datasets.fetch import fetch as get
        from .show_progress import Display

        with Display([dataset], "fetch") as display:

            def progress(done: int, total: int, text: str) -> None:
                display.report(dataset, done, total, text)

            found = get(dataset, output, subjects=subject or None, eids=eid or None, progress=progress)
        say = [f"{len(found.downloaded)} downloaded", f"{len(found.verified)} were there and are as published"]
        say += [f"{len(found.unverified)} were there"] if found.unverified else []
        typer.echo(f"{found.name}: {', '.join(say)}. {found.n_files} files in {found.path}")
        if found.note:
            typer.echo(found.note)
