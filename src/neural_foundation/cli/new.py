"""new: a recipe of your own to edit."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def add(app: typer.Typer) -> None:
    @app.command("new")
    def new(
        name: Annotated[str, typer.Argument(metavar="NAME", help="A built-in recipe.", show_default=False)],
        file: Annotated[Path, typer.Argument(metavar="FILE", help="Where to write it.", show_default=False)],
    ) -> None:
        """Copy a built-in recipe to a file of your own; edit the data path, then run it."""
        from ..core.errors import StoreError
        from ..core.store import write_bytes
        from ..pipeline.recipe import text_of

        text, _ = text_of(name)
        if file.exists():
            raise StoreError(f"{file} is already there", remedy="Give another name, or remove it first")
        header = f"# yaml-language-server: $schema={file.stem}.schema.json\n"
        write_bytes(file, (header + text).encode())
        write_bytes(file.with_name(f"{file.stem}.schema.json"), _schema())
        typer.echo(
            f"Wrote {file} (and {file.stem}.schema.json, for completion in editors). Next: neural-foundation run {file}"
        )


def _schema() -> bytes:
    import json

    from .schema import recipe_schema

    return (json.dumps(recipe_schema(), indent=1) + "\n").encode()
