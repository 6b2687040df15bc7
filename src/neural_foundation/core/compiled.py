"""How inner loops are compiled; imported by the modules that hold them, never by a spec."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import numba

F = TypeVar("F", bound=Callable[..., object])


def jit(function: F) -> F:
    """Compile without the GIL, cached on disk where some cache folder can be written."""
    try:
        compiled: F = numba.njit(nogil=True, cache=True, error_model="numpy")(function)
    except RuntimeError:  # a read-only installation without a home: compile in every process
        compiled = numba.njit(nogil=True, error_model="numpy")(function)
    return compiled
