"""Macaques that reach, from the repository of spykesML: counts of sorted neurons and the movement of the hand."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ..core.errors import RecordingError, one_of
from ..core.specs import SignalSpec
from .base import DatasetInfo, Files, Item
from .sources import GitHub, Source

if TYPE_CHECKING:
    from ..recordings import Session
    from ..recordings.mat_fields import Fields

Floats = NDArray[np.float64]
BIN_S = 0.05  # as the paper says, where the file says nothing
_BEHAVIOURS = {"velocity": ("handVel", "vel", "velocity"), "position": ("handPos", "pos", "position")}
_AXES = ("x", "y", "z")
_OTHER = ("hipp_mizuseki_2009.mat",)  # of the repository, but no reaching
_AGAIN = "Copy it again from its source"


class SpykesML(Files):
    """Reaching, a session a .mat file (`path`: their folder, or one of them). Nothing is labelled: no classes.

    Signals, all with one sample a bin: `counts` (a channel a neuron), `velocity` and `position` of the hand (x, y) in
    the file's own units, which it does not state. An array may lie either way round: time is the axis that has one
    length in all of them. Where the hand has a third axis that is zero throughout, as in the M1 file, it is left out;
    NaN is a gap in what the hand did. Bins are as long as the steps of the variable `time`; where the file has none
    (S1), `bin_s` says it.
    """

    kind: Literal["spykesml"] = "spykesml"
    bin_s: float | None = Field(
        None, gt=0, description=f"length of a bin; None: the file's, {BIN_S:g} where it is silent"
    )
    folders: ClassVar[tuple[str, ...]] = ("spykesml", "spykesML")
    source: ClassVar[Source | None] = GitHub("KordingLab/spykesML", "ff2b1830ae07909e5f1a0811445ca3fd5732dc6f")
    published: ClassVar[re.Pattern[str] | None] = re.compile(r"data/(?P<subject>m1_stevenson_2011|s1_data)\.mat")
    info: ClassVar[DatasetInfo] = DatasetInfo(
        title="spykesML, reaching macaques (M1, S1)",
        licence="MIT (of the repository; none is stated for the recordings)",
        citation=(
            "Benjamin, Fernandes, Tomlinson, Ramkumar, VerSteeg, Chowdhury, Miller, Kording 2018, Modern machine "
            "learning as a benchmark for fitting neural responses, Front. Comput. Neurosci. 12:56, "
            "doi:10.3389/fncom.2018.00056; M1: Stevenson et al. 2011"
        ),
        url="https://github.com/KordingLab/spykesML",
        n_subjects=2,
        sfreq=1 / BIN_S,
        note=(
            "One session a file, without trials; neurons differ between the files. The units of hand position and "
            "velocity are not stated. The S1 file "
            "states no bin width: 50 ms are taken from the paper."
        ),
        files="data/m1_stevenson_2011.mat, data/s1_data.mat, and .mat files of the same variables",
    )

    def classes(self) -> tuple[str, ...]:
        return ()

    def found(self, root: Path) -> list[Item]:
        files = [root] if root.is_file() else sorted(f for f in root.rglob("*.mat") if f.name not in _OTHER)
        return [Item(file.stem, file.stem, (file,)) for file in files]

    def open(self, item: Item, folder: Path) -> Session:
        """Return the signals; RecordingError where the variables are not those, or contradict each other."""
        from ..recordings import ArraySignal, Session
        from ..recordings.mat_fields import Fields, open_mat
        from ..recordings.reader import file_size

        (file,) = self.raw_files(item)
        root = open_mat(file, file_size(file))
        try:
            counts, hand, time = _variables(file, Fields(root))
        finally:
            root.close()
        bin_s, start_s = self._clock(file, time)
        signals = {"counts": ArraySignal(counts, _spec(tuple(map(str, range(len(counts)))), bin_s), start_s=start_s)}
        for name, values in hand.items():
            signals[name] = ArraySignal(values, _spec(_AXES[: len(values)], bin_s), start_s=start_s)
        return Session(item.id, item.subject, dict(signals))

    def _clock(self, file: Path, time: Floats | None) -> tuple[float, float]:
        """Return the length of a bin and the start of the first one."""
        if time is None:
            return self.bin_s or BIN_S, 0.0
        steps = np.diff(time)
        bin_s = round(float(time[-1] - time[0]) / len(steps), 6)
        if not (np.isfinite(time).all() and bin_s > 0 and np.abs(steps - bin_s).max() < bin_s / 2):
            raise RecordingError(file, "the steps of its 'time' are not even", allowed="bins of one length")
        if self.bin_s is not None and abs(self.bin_s - bin_s) > 1e-6:
            given = f"its bins are {bin_s:g} s long, not bin_s={self.bin_s:g}"
            raise RecordingError(file, given, remedy="Leave bin_s out")
        return bin_s, float(time[0])


def _spec(names: tuple[str, ...], bin_s: float) -> SignalSpec:
    return SignalSpec(sfreq=1 / bin_s, ch_names=names, ch_types=("misc",) * len(names), units=("",) * len(names))


def _variables(file: Path, fields: Fields) -> tuple[Floats, dict[str, Floats], Floats | None]:
    """Return counts (n_neurons, n_times), behaviours (2 or 3, n_times), and the time of each bin, if it is there."""
    spikes = _matrix(file, fields, "spikes")
    names = {behaviour: n for behaviour, words in _BEHAVIOURS.items() for n in words if n in fields.names}
    if spikes is None or not names:
        wanted = "a matrix 'spikes', and 'handVel', 'vel', 'handPos' or 'pos'"
        raise RecordingError(file, f"it holds {one_of(fields.names)}", allowed=wanted, remedy="Check `path`")
    hand = {b: _matrix(file, fields, n) for b, n in names.items()}
    found = {names[b]: v for b, v in hand.items() if v is not None}
    n_times = _length(file, spikes, found)
    counts = spikes if spikes.shape[1] == n_times else spikes.T
    if not (np.isfinite(counts).all() and (counts >= 0).all() and (counts == np.rint(counts)).all()):
        raise RecordingError(file, "its 'spikes' are no counts", allowed="whole numbers from 0", remedy=_AGAIN)
    moved = {b: _hand(file, names[b], v, n_times) for b, v in hand.items() if v is not None}
    time = _matrix(file, fields, "time")
    if time is not None and time.size != n_times:
        raise RecordingError(file, f"it has {n_times} bins, but {time.size} times", remedy=_AGAIN)
    return counts, moved, None if time is None else time.reshape(-1)


def _matrix(file: Path, fields: Fields, name: str) -> Floats | None:
    """Return a variable of two axes; None where there is none of that name."""
    if name not in fields.names:
        return None
    value = fields.value(name)
    if not isinstance(value, np.ndarray) or value.ndim != 2 or not value.size:
        raise RecordingError(file, f"its '{name}' is no matrix of numbers", remedy=_AGAIN)
    return value


def _length(file: Path, spikes: Floats, hand: dict[str, Floats]) -> int:
    """Return the length that an axis of the spikes and of each behaviour share; the longest where there are several."""
    shared = [n for n in spikes.shape if n > len(_AXES) and all(n in v.shape for v in hand.values())]
    if not shared:
        shapes = ", ".join(f"'{n}' {v.shape[0]} x {v.shape[1]}" for n, v in {"spikes": spikes, **hand}.items())
        raise RecordingError(file, f"no axis of its arrays is time: {shapes}", allowed="one length in all")
    return int(max(shared))


def _hand(file: Path, name: str, values: Floats, n_times: int) -> Floats:
    values = values if values.shape[1] == n_times else values.T
    if len(values) == len(_AXES) and _flat(values[-1]):
        values = values[:-1]
    if len(values) > len(_AXES):
        raise RecordingError(file, f"its '{name}' has {len(values)} axes", allowed="up to 3")
    if np.isinf(values).any():
        allowed = "numbers, and NaN where the hand was not seen"
        raise RecordingError(file, f"its '{name}' holds infinite values", allowed=allowed, remedy=_AGAIN)
    return values


def _flat(axis: Floats) -> bool:
    """Return whether an axis is zero wherever it is known."""
    known = axis[~np.isnan(axis)]
    return bool(known.size) and not known.any()
