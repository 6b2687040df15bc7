"""How tables look: the same words with and without a terminal; where there is none, no colours and no cut lines."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

PIPED_WIDTH = 140


def console() -> Console:
    """Return a console on standard output; in a pipe it is as wide as the tables need."""
    from rich.console import Console

    return Console() if sys.stdout.isatty() else Console(width=PIPED_WIDTH, force_terminal=False, soft_wrap=False)


def plain() -> dict[str, Any]:
    """Return the looks of a table: lines under the head only, titles on the left."""
    from rich import box

    return {
        "box": box.SIMPLE_HEAD,
        "title_justify": "left",
        "title_style": "bold",
        "header_style": "bold",
        "pad_edge": False,
        "padding": (0, 1, 0, 0),
        "show_edge": False,
    }
