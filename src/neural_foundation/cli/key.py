"""key: the keys that open a server."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

KeysFile = Annotated[Path, typer.Option("--file", metavar="FILE", help="The file of keys that the server reads.")]


def add(app: typer.Typer) -> None:
    group = typer.Typer(help="Keys that open a server.", no_args_is_help=True)
    app.add_typer(group, name="key")

    @group.command("new")
    def new(
        who: Annotated[str, typer.Argument(metavar="NAME", help="Who or what gets it.", show_default=False)],
        scope: Annotated[
            list[str], typer.Option("--scope", metavar="SCOPE", help="stream, infer, watch or admin; may be repeated.")
        ] = [],  # noqa: B006 - typer reads the default, nothing changes it
        expires_days: Annotated[
            float | None, typer.Option("--expires-days", metavar="DAYS", help="It ends then.", show_default=False)
        ] = None,
        file: KeysFile = Path("keys.json"),
    ) -> None:
        """Make a key and print it, once: the file keeps only what recognises it."""
        from ..serving.keys import new_key

        text, key = new_key(file, who, scope, expires_days)
        typer.echo(text)
        typer.echo(f"Key {key.id} is in {file}. It is shown this once; keep it where secrets are kept.", err=True)

    @group.command("list")
    def list_(file: KeysFile = Path("keys.json")) -> None:
        """List the keys: id, name, scopes, when made, when they end."""
        import time

        from ..serving.keys import read
        from .data_pipe import heard

        keys, now_s = read(file).keys, time.time()
        with heard():
            for key in keys:
                ends = f"{key.expires:%Y-%m-%d %H:%M}" if key.expires else "never"
                ends += " (over)" if key.expired(now_s) else ""
                typer.echo(f"{key.id}  {key.name:<24} {','.join(key.scopes):<28} {key.created:%Y-%m-%d}  ends {ends}")
            if not keys:
                typer.echo(f"{file} holds no keys")

    @group.command("revoke")
    def revoke(
        id_: Annotated[str, typer.Argument(metavar="ID", help="The key's id, see: key list.", show_default=False)],
        file: KeysFile = Path("keys.json"),
    ) -> None:
        """Remove a key: it opens nothing from then on, and a server that runs need not be started again."""
        from ..serving.keys import revoke as remove

        key = remove(file, id_)
        typer.echo(f"Revoked {key.id} ({key.name})")
