"""Signals whose samples are numbers times a gain, in plain binary: frame by frame, or channel by channel.

Shared by the readers of formats that keep their samples in a file of nothing else, and name that file in a header
(BrainVision, EEGLAB). `companion` finds such a file; every error names the header, as that is what was opened.
"""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import RecordingError, one_of
from ..core.specs import SignalSpec
from .reader import AGAIN, OpenFile, newline_damage
from .session import Signal, Values

BLOCK_BYTES = 1 << 22
_SHOWN = 12  # file names in an error
_GLANCE = 1 << 20
_CHANCE = 4  # so many LF that all follow a CR are no chance


class ScaledSignal(Signal):
    """Samples that are stored numbers times a gain. gain : (n_chans,) from stored numbers to the unit of the spec."""

    def __init__(self, path: Path, spec: SignalSpec, n_times: int, gain: Any) -> None:
        super().__init__(spec, n_times)
        self.path = path
        self.gain = np.asarray(gain, np.float64).reshape(-1, 1)

    def _read(self, start: int, stop: int) -> Values:
        values = np.empty((self.spec.n_chans, stop - start), np.float32)
        step = max(1, BLOCK_BYTES // (8 * self.spec.n_chans))
        for at in range(start, stop, step):
            last = min(at + step, stop)
            # float64 until the end: the result is the nearest float32 of number times gain
            with np.errstate(over="ignore", invalid="ignore"):
                values[:, at - start : last - start] = self._stored(at, last) * self.gain
        self._check_finite(values, start)
        return values

    def _check_finite(self, values: Values, start: int) -> None:
        finite = np.isfinite(values)
        if not finite.all():
            at = int(np.argmin(finite.all(0)))
            name = self.spec.ch_names[int(np.argmin(finite[:, at]))]
            given = f"sample {start + at} of channel '{name}' is not finite"
            raise RecordingError(self.path, given, remedy="Correct or cut it in the source")

    @abstractmethod
    def _stored(self, start: int, stop: int) -> NDArray[Any]:
        """Return the stored numbers of samples [start, stop), (n_chans, stop - start)."""


class FrameSignal(ScaledSignal):
    """Samples at byte `at` of a file, `dtype` each. vectorized : all of channel 1 first, then all of channel 2, ..."""

    def __init__(
        self,
        path: Path,
        spec: SignalSpec,
        n_times: int,
        gain: Any,
        *,
        file: OpenFile,
        dtype: str,
        at: int = 0,
        vectorized: bool = False,
    ) -> None:
        super().__init__(path, spec, n_times, gain)
        self.file, self.dtype, self.at, self.vectorized = file, np.dtype(dtype), at, vectorized

    def _stored(self, start: int, stop: int) -> NDArray[Any]:
        n, n_chans, width = stop - start, self.spec.n_chans, self.dtype.itemsize
        if not self.vectorized:
            raw = self.file.read_at(n * n_chans * width, self.at + start * n_chans * width)
            return np.frombuffer(raw, self.dtype).reshape(n, n_chans).T
        places = (self.at + (c * self.n_times + start) * width for c in range(n_chans))
        return np.stack([np.frombuffer(self.file.read_at(n * width, place), self.dtype) for place in places])


def companion(path: Path, name: str, what: str) -> tuple[Path, int]:
    """Return the file `name` that the header `path` says holds its `what`, and its size.

    It must lie in the folder of the header: RecordingError (of the header) where the name leads elsewhere, or no such
    file is there (with those that are), or it is empty.
    """
    if not name or not name.isprintable() or name.startswith(".") or any(c in name for c in "/\\:"):
        given = f"its {what} are said to be in {name[:80]!r}"
        raise RecordingError(path, given, allowed="the name of a file beside it", remedy="Correct the name in it")
    found = path.parent / name
    try:
        there, size = found.is_file() and not found.samefile(path), found.stat().st_size if found.is_file() else 0
        with found.open("rb") if there else path.open("rb"):
            pass
    except OSError as error:
        given = f"its {what}, '{name[:80]}', cannot be opened ({error.strerror})"
        raise RecordingError(path, given, remedy="Check its permissions and its name") from None
    if not there:
        given = f"its {what} are said to be in '{name}', which is not there; {_beside(path)}"
        remedy = "Put the file beside it under that name, or correct the name in the header if the files were renamed"
        raise RecordingError(path, given, remedy=remedy)
    if size == 0:
        raise RecordingError(path, f"the file of its {what}, '{name}', is empty", remedy=AGAIN)
    return found, size


def check_newlines(path: Path, samples: Path) -> None:
    """Raise RecordingError (of `path`) where every LF of a binary file follows a CR: a line-ending conversion."""
    pairs, bare = newline_damage(samples)
    if bare == 0 and pairs >= _CHANCE:
        which = "it" if samples == path else f"'{samples.name}'"
        given = f"a line-ending conversion (LF to CR LF) damaged {which}: each of its {pairs} LF follows a CR"
        raise RecordingError(path, given, remedy=f"{AGAIN} (git: mark *{samples.suffix} as binary in .gitattributes)")


def glance_newlines(path: Path, samples: Path) -> None:
    """Do as `check_newlines` where the start of the file looks like it; cheap for files of any size."""
    with samples.open("rb") as file:
        block = file.read(_GLANCE)
    pairs = block.count(b"\r\n")
    if pairs >= _CHANCE and pairs == block.count(b"\n"):
        check_newlines(path, samples)


def _beside(path: Path) -> str:
    names = sorted(p.name for p in path.parent.iterdir() if p.is_file() and p.name != path.name)
    own = [n for n in names if n.rpartition(".")[0] == path.stem] or names
    if not own:
        return "no other file lies beside it"
    return f"beside it lie {one_of(own[:_SHOWN]).replace(' or ', ' and ')}{' ...' if len(own) > _SHOWN else ''}"
