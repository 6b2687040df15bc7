"""The lab streaming layer: its library when it is there, and what a stream says of its channels."""

from __future__ import annotations

from typing import Any

from ...core.errors import MissingExtraError, StreamError

# how descriptions of streams write what `VOLTS` knows by its sign
WORDS = {"volt": "v", "millivolt": "mv", "microvolt": "uv", "nanovolt": "nv"}


def pylsl() -> Any:
    """Return the library; MissingExtraError where it is not installed, StreamError where it finds no liblsl."""
    try:
        import pylsl as library
    except ImportError:
        raise MissingExtraError("pylsl", "lsl") from None
    except RuntimeError as error:
        why = str(error).partition("\n")[0]
        raise StreamError(f"pylsl finds no liblsl ({why})", remedy="Install liblsl, or set PYLSL_LIB") from None
    return library


def volts_per(unit: str) -> float | None:
    """Return how many volts one `unit` ('microvolts', 'uV', 'V') is; None where it is no unit of voltage."""
    from ...recordings.channels import VOLTS

    word = unit.strip().lower()
    return VOLTS.get(WORDS.get(word.rstrip("s"), word))
