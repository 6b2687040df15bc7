"""The command line: one thin file a verb; nothing heavy is imported before a verb runs."""

from __future__ import annotations

import logging
import sys
from typing import Annotated

import typer

from ..core.errors import Interrupted, NeuralFoundationError
from . import data, inspect, key, new, run, schema, serve, stream, tune

app = typer.Typer(
    name="neural-foundation",
    help="Brain recordings become live decoders; brain-inspired models become measurable.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
run.add(app)
tune.add(app)
inspect.add(app)
new.add(app)
data.add(app)
schema.add(app)
serve.add(app)
stream.add(app)
key.add(app)


def _version(wanted: bool) -> None:
    if wanted:
        from .. import __version__

        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show what the parts log.")] = False,
) -> None:
    logging.basicConfig(
        level=logging.INFO if verbose else logging.WARNING,
        format="%(levelname)s %(name)s: %(message)s",
        stream=sys.stderr,
    )


def main() -> None:
    """Run the command line: an error of the user's is one message and exit code 1, Ctrl-C is 130."""
    try:
        app()
    except Interrupted as error:
        typer.echo(f"\n{error}", err=True)
        sys.exit(130)
    except NeuralFoundationError as error:
        typer.echo(f"Error: {error}", err=True)
        sys.exit(1)
    except KeyboardInterrupt:
        typer.echo("\nInterrupted. Nothing finished is lost; run the same command to go on.", err=True)
        sys.exit(130)
    except BrokenPipeError:
        sys.exit(141)
