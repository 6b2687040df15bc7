"""Rats that forage or run on a track, from the repository of RatGPS: place cells and where the animal is."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from pydantic import Field

from ..core.errors import DataError, RecordingError, one_of
from ..core.specs import SignalSpec
from .base import DatasetInfo, Files, Item
from .ratgps_files import FINE, Floats, Ints, Windows, consecutive
from .sources import GitHub, Source

if TYPE_CHECKING:
    from ..recordings import Session

log = logging.getLogger(__name__)
_FINE_S = 0.02


class RatGPS(Files):
    """Where the rat is: a session a rat and task. Nothing is labelled: no classes, no trials.

    Signals: `counts` (a channel a neuron, named by its column) and `position` (`2D`: x and y in cm; `1D`: place on the
    track in the file's unit), on one clock that begins with the first window. A file `1xW_atA_step200` holds, every
    200 ms, the spikes in a window of W ms, and the position A times 20 ms after the window's begin, its middle: so the
    positions of 1x1400 are those of 1x200 three rows later, and agree exactly.

    counts '200ms' : consecutive bins of 200 ms, the position in the middle of each: the 1x200 file, or worked out from
    overlapping windows (see `ratgps_files.consecutive`): exact, for units that rest in one step of each residue; other
    units are left out and named in the log. '20ms' : bins of 20 ms, of the rats that have such a file, the position
    every 200 ms. 'windows' : the longest windows as published, one sample a row; neighbours share most of their
    spikes, so `split_trials` takes no random trials and no gap shorter than a window.
    """

    kind: Literal["ratgps"] = "ratgps"
    task: Literal["2D", "1D"] = Field("2D", description="2D: an open arena; 1D: a track")
    counts: Literal["200ms", "20ms", "windows"] = Field("200ms", description="which counts of spikes")
    folders: ClassVar[tuple[str, ...]] = ("ratgps", "RatGPS")
    source: ClassVar[Source | None] = GitHub("NeuroCSUT/RatGPS", "1ce7e52d72f4c042173582224aa8581b947b5238")
    published: ClassVar[re.Pattern[str] | None] = re.compile(
        r"[12]D/data/(?P<subject>[^_/]+)_(([12]D_)?1x\d+_at\d+_step\d+_[^/]*(feat|pos)\.dat|20ms\.mat)"
    )
    info: ClassVar[DatasetInfo] = DatasetInfo(
        title="RatGPS, place cells of rats (CA1)",
        licence="not stated",
        citation=(
            "Tampuu, Matiisen, Olafsdottir, Barry, Vicente 2019, Efficient neural decoding of self-location with a "
            "deep recurrent network, PLoS Comput. Biol., doi:10.1371/journal.pcbi.1006822"
        ),
        url="https://github.com/NeuroCSUT/RatGPS",
        n_subjects=5,
        sfreq=5.0,
        note=(
            "No licence is stated: ask before you pass it on. Neurons differ between the rats. Published windows of "
            "1.4 s follow each other by 0.2 s; "
            "rows that are split at random share spikes. The published LSTM's 12.5 cm (R2192) are of such windows."
        ),
        files="2D/data/RAT_1x200_at5_step200_bin100-RAW_feat.dat, ..._pos.dat, 1x400, 1x1400, RAT_20ms.mat; 1D alike",
    )

    @property
    def window_s(self) -> float:
        """How long the windows are that overlap; 0 where they do not."""
        return 1.4 if self.counts == "windows" else 0.0

    def classes(self) -> tuple[str, ...]:
        return ()

    def found(self, root: Path) -> list[Item]:
        items = []
        for rat, windows in sorted(self._windows(root).items()):
            files = self._files(root, rat, windows)
            if files:
                items.append(Item(f"{rat}-{self.task}", rat, files))
        return items

    def open(self, item: Item, folder: Path) -> Session:
        """Return counts and position; RecordingError where the files do not go together."""
        from ..recordings import ArraySignal, Session

        windows = Windows.of(self.raw_files(item)[0])
        assert windows is not None
        counts, position = windows.read()
        names = np.arange(counts.shape[1])
        start_s, sfreq = windows.at_s, 1 / windows.step_s
        rate = sfreq
        if self.counts == "20ms":
            counts, rate = _fine(item.files[2], counts, windows), 1 / _FINE_S
        elif self.counts == "200ms":
            counts, names = _consecutive(windows, counts)
            position, start_s = _in_the_middle(windows, position)
        else:
            start_s = 0.0
        signals = {
            "counts": ArraySignal(counts.T, _spec(tuple(map(str, names.tolist())), rate, "")),
            "position": ArraySignal(
                position.T,
                _spec(("x", "y")[: position.shape[1]], sfreq, "cm" if self.task == "2D" else ""),
                start_s=start_s,
            ),
        }
        return Session(item.id, item.subject, dict(signals))

    def _windows(self, root: Path) -> dict[str, list[Windows]]:
        """Return the files of each rat, shortest windows first; DataError where a file is there twice."""
        held: dict[str, list[Windows]] = {}
        for file in [root] if root.is_file() else sorted(root.rglob("*feat.dat")):
            windows = Windows.of(file)
            if windows is None or windows.task != self.task:
                continue
            for other in held.setdefault(windows.rat, []):
                if other.window_s == windows.window_s:
                    raise DataError(
                        f"{file} is there a second time: {other.counts}", remedy="Narrow `path` to one copy"
                    )
            held[windows.rat].append(windows)
        return {rat: sorted(ones, key=lambda w: w.window_s) for rat, ones in held.items()}

    def _files(self, root: Path, rat: str, windows: list[Windows]) -> tuple[Path, ...]:
        """Return counts, positions, and the file of 20 ms; () where the rat lacks what is asked for."""
        if self.counts == "windows":
            return (windows[-1].counts, windows[-1].position)
        # the position of a window of an odd number of steps is that of the middle of a step
        chosen = next((w for w in windows if w.steps % 2), windows[0])
        pair = (chosen.counts, chosen.position)
        if self.counts == "200ms":
            return pair
        fine = chosen.counts.with_name(f"{rat}_20ms.mat")
        return (*pair, fine) if chosen.steps == 1 and FINE.fullmatch(fine.name) and fine.is_file() else ()


def _spec(names: tuple[str, ...], sfreq: float, unit: str) -> SignalSpec:
    n = len(names)
    return SignalSpec(sfreq=sfreq, ch_names=names, ch_types=("misc",) * n, units=(unit,) * n)


def _consecutive(windows: Windows, counts: Ints) -> tuple[Ints, Ints]:
    """Return the counts of each step, and which units they are known of."""
    try:
        made, known = consecutive(counts, windows.steps)
    except ValueError as error:
        raise RecordingError(windows.counts, f"its {error}", remedy="Copy it again from its source") from None
    if not known.any():
        given = f"no unit's counts in {windows.step_s:g} s follow from its windows of {windows.window_s:g} s"
        raise RecordingError(windows.counts, given, remedy="Take the windows as they are: counts: windows")
    if not known.all():
        lost = one_of(map(str, np.flatnonzero(~known).tolist()))
        log.warning("%s: unit %s left out: no counts in %g s follow", windows.counts.name, lost, windows.step_s)
    return made[:, known], np.flatnonzero(known)


def _in_the_middle(windows: Windows, position: Floats) -> tuple[Floats, float]:
    """Return the position in the middle of steps, and when the first of them is."""
    steps = windows.at_s / windows.step_s
    if abs(steps % 1 - 0.5) < 1e-6:
        return position, windows.at_s
    if abs(steps - round(steps)) < 1e-6:  # on the edges of steps: half-way between two of them
        return (position[1:] + position[:-1]) / 2, windows.at_s + windows.step_s / 2
    raise RecordingError(windows.position, f"its positions lie {windows.at_s:g} s after the windows begin")


def _fine(file: Path, counts: Ints, windows: Windows) -> Ints:
    """Return the counts (n, n_units) of a file of 20 ms bins, which add up to those of the text file."""
    from ..recordings.mat_fields import Fields, open_mat
    from ..recordings.reader import file_size

    root = open_mat(file, file_size(file))
    try:
        fields = Fields(root)
        held = [v for n in fields.names if isinstance(v := fields.value(n), np.ndarray) and v.ndim == 2]
    finally:
        root.close()
    per = round(windows.step_s / _FINE_S)
    shape = (counts.shape[1], per * len(counts))
    fitting = [v for v in held if v.shape == shape] + [v.T for v in held if v.shape == shape[::-1]]
    if not fitting:
        allowed = f"{shape[0]} units x {shape[1]} bins, as {windows.counts.name} has them"
        raise RecordingError(file, f"it holds arrays of shape {', '.join(str(v.shape) for v in held)}", allowed=allowed)
    fine = fitting[0]
    if (counts != fine.reshape(shape[0], -1, per).sum(2).T).any():
        raise RecordingError(file, f"its counts do not add up to those of {windows.counts.name}")
    return fine.T.astype(np.int64)
