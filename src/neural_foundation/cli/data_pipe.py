"""What becomes of a verb whose reader has gone, as `| head` does: it ends in silence, as programs in pipes do."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator

import typer

GONE = 141  # 128 + SIGPIPE, what a shell says of a program that the signal ended


@contextlib.contextmanager
def heard() -> Iterator[None]:
    """Print within it. Where nobody reads standard output any more, the verb ends with exit code 141, in silence."""
    try:
        yield
        sys.stdout.flush()
    except (BrokenPipeError, SystemExit) as gone:  # rich makes SystemExit(1) of a broken pipe
        if isinstance(gone, SystemExit) and not isinstance(gone.__context__, BrokenPipeError):
            raise
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())  # what is still in the buffer has somewhere to go at exit
        os.close(nowhere)
        raise typer.Exit(GONE) from None
