"""A MATLAB variable as a reader sees it: named fields, of which the small are loaded and the samples are located.

Two files hold the two formats: `matlab_v5` (MATLAB 5.0, what `save -v6` and `-v7` write) and `matlab_v73` (HDF5, what
`save -v7.3` writes). Neither executes anything; function handles, objects and opaque values are unknown (None).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from ..core.errors import RecordingError

MAX_DEPTH = 6
MAX_VALUE = 1 << 28  # bytes of a field that is loaded whole
MAX_RATIO = 100  # how much larger compressed data may get
MIN_UNPACKED = 1 << 26
AGAIN = "Copy it again from its source, in binary mode"

# str: text (rows of a text array joined by LF). array: numbers, in MATLAB's shape. list: a struct array, element by
# element, with the fields that were asked for. tuple: a cell array. None: a value of another class.
Value = str | NDArray[np.float64] | list[dict[str, Any]] | tuple[Any, ...] | None


@dataclass(frozen=True)
class Stored:
    """A numeric array that is not loaded. frames : start, stop -> (stop - start, n_rows), columns of the array."""

    dims: tuple[int, ...]
    frames: Callable[[int, int], NDArray[Any]]


class Fields(ABC):
    """The fields of a struct, or the variables of a file."""

    names: tuple[str, ...] = ()

    @abstractmethod
    def value(self, name: str, keep: tuple[str, ...] = ()) -> Value:
        """Return a field, loaded; of a struct in it only the fields `keep`. None where there is no such field."""

    @abstractmethod
    def stored(self, name: str) -> Stored | None:
        """Return where the numeric field lies, or None where it is no numeric array (or not there)."""

    @abstractmethod
    def fields(self, name: str) -> Fields | None:
        """Return the fields of a struct of one element, or None where it is none."""

    @abstractmethod
    def close(self) -> None:
        """Release the file."""


def fail(path: Path, given: str, *, allowed: str = "", remedy: str = AGAIN) -> NoReturn:
    """Raise RecordingError."""
    raise RecordingError(path, given, allowed=allowed, remedy=remedy)
