"""The text files of RatGPS, and counts in overlapping windows made counts in consecutive ones."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..core.errors import RecordingError

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
AT_S = 0.02  # what `at` counts in a file's name
_AGAIN = "Copy it again from its source"
FEATURES = re.compile(
    r"(?P<rat>[^_/]+)_(?:(?P<task>[12]D)_)?1x(?P<window>\d+)_at(?P<at>\d+)_step(?P<step>\d+)_(?P<rest>[^/]*)feat\.dat"
)
FINE = re.compile(r"(?P<rat>[^_/]+)_20ms\.mat")


@dataclass(frozen=True)
class Windows:
    """A pair of files of one rat: counts in windows every `step_s`, and the position at a time in each.

    steps : how many steps a window is long. at_s : when in the window the position is from.
    """

    rat: str
    task: str
    steps: int
    step_s: float
    at_s: float
    counts: Path
    position: Path

    @classmethod
    def of(cls, file: Path) -> Windows | None:
        """Return what the name of a file of counts says; None where it is no such name."""
        match = FEATURES.fullmatch(file.name)
        if match is None:
            return None
        window, step = int(match["window"]), int(match["step"])
        if step == 0 or window == 0 or window % step:
            raise RecordingError(file, f"its windows of {window} ms are no whole steps of {step} ms")
        beside = file.with_name(file.name.removesuffix("feat.dat") + "pos.dat")
        at_s = round(int(match["at"]) * AT_S, 6)
        return cls(match["rat"], match["task"] or "2D", window // step, step / 1000, at_s, file, beside)

    @property
    def window_s(self) -> float:
        return self.steps * self.step_s

    def read(self) -> tuple[Ints, Floats]:
        """Return counts (n, n_units) and positions (n, 1 or 2); RecordingError where they do not go together."""
        counts, position = table(self.counts), table(self.position)
        if len(counts) != len(position):
            given = f"it has {len(position)} rows, {self.counts.name} {len(counts)}"
            raise RecordingError(self.position, given, allowed="one a window", remedy=_AGAIN)
        if position.shape[1] != (2 if self.task == "2D" else 1):
            given = f"it has {position.shape[1]} columns"
            raise RecordingError(self.position, given, allowed="x and y of the task '2D', one number of '1D'")
        if (counts < 0).any() or (counts != np.rint(counts)).any():
            raise RecordingError(self.counts, "it holds values that are no counts", allowed="whole numbers from 0")
        return counts.astype(np.int64), position


def table(file: Path) -> Floats:
    """Return the rows of a text file of numbers, (n, n_columns); RecordingError where it is cut or damaged."""
    if not file.is_file():
        raise RecordingError(file, "there is no such file", remedy="Complete the copy, or `exclude` the rat")
    raw = file.read_bytes()
    if not raw.endswith(b"\n"):
        raise RecordingError(file, "its last line has no end: it is truncated", remedy=_AGAIN)
    try:
        values = np.loadtxt(io.BytesIO(raw), dtype=np.float64, ndmin=2, comments=None)
    except ValueError as error:
        words = " ".join(str(error).split()).partition(";")[0]
        raise RecordingError(file, f"it is no table of numbers ({words})", remedy=_AGAIN) from None
    if not values.size or not np.isfinite(values).all():
        raise RecordingError(file, "it is empty, or holds values that are not finite", remedy=_AGAIN)
    return values


def consecutive(counts: Ints, steps: int) -> tuple[Ints, NDArray[np.bool_]]:
    """Return the counts (n + steps - 1, n_units) of each step, and for which units they are known.

    counts : (n, n_units) sums over `steps` consecutive steps, a window every step. Two neighbouring windows differ by
    the step that one has and the other has not: c[i + 1] - c[i] = b[i + steps] - b[i]. So all b follow from the first
    `steps` of them, and as none is negative, each of these is at least what keeps its successors from being so. Where
    these least values add up to the first window, there is no room for more: they are the counts. Where they do not
    (a unit that fires in every step), the counts cannot be known. ValueError where they add up to more: no such
    windows.
    """
    n, n_units = counts.shape
    steps_of = np.zeros((n + steps - 1, n_units), np.int64)
    change = np.diff(counts, axis=0)
    for first in range(steps):
        run = change[first::steps]
        steps_of[first::steps][1 : len(run) + 1] = np.cumsum(run, axis=0)
    least = np.stack([-steps_of[first::steps].min(axis=0) for first in range(steps)])
    if (least.sum(0) > counts[0]).any():
        raise ValueError(f"rows are no counts in windows of {steps} steps that follow each other by one")
    for first in range(steps):
        steps_of[first::steps] += least[first]
    known: NDArray[np.bool_] = least.sum(0) == counts[0]
    return steps_of, known
