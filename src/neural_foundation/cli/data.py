"""data: the datasets that recipes can name, and what is in a recording."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def add(app: typer.Typer) -> None:
    group = typer.Typer(help="Datasets and recordings.", no_args_is_help=True)
    app.add_typer(group, name="data")

    @group.command("list")
    def list_() -> None:
        """List the datasets that a recipe can name."""
        from ..datasets.table import DATASETS

        for kind in DATASETS:
            typer.echo(f"{kind:<28} {DATASETS.row(kind).summary}")

    @group.command("inspect")
    def inspect(file: Annotated[Path, typer.Argument(help="A recording.", show_default=False)]) -> None:
        """Say what is in a recording."""
        from ..recordings import read

        with read(file) as session:
            for name, signal in session.signals.items():
                spec = signal.spec
                typer.echo(f"{name}: {spec.n_chans} channels at {spec.sfreq:g} Hz, {signal.n_times / spec.sfreq:.1f} s")
                typer.echo(f"    {', '.join(spec.ch_names)}")
            labels = sorted(set(session.trials.label))
            typer.echo(f"{len(session.trials.label)} events: {', '.join(labels) or 'none'}")
