"""Sleep stages of whole nights (PhysioNet sleep-edfx, sleep-cassette)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from ..core.errors import DataError, RecordingError
from .base import DatasetInfo, Files, Item
from .labels import with_trials
from .sources import PhysioNet, Source

if TYPE_CHECKING:
    from ..recordings import Intervals, Session, Signal

EPOCH_S = 30.0
_PSG = re.compile(r"((SC4\d\d)\d)\w\w-PSG\.edf")
_STAGES = {
    "Sleep stage W": "W",
    "Sleep stage 1": "N1",
    "Sleep stage 2": "N2",
    "Sleep stage 3": "N3",
    "Sleep stage 4": "N3",  # the rules of 2007 have one stage where those of 1968 have two
    "Sleep stage R": "REM",
}
_NO_STAGE = ("Sleep stage ?", "Movement time")


class SleepEDF(Files):
    """Wake, N1, N2, N3 and REM in epochs of 30 s: `SC4ssNE0-PSG.edf` with `SC4ssNEC-Hypnogram.edf` (ss the person, N
    the night, C the scorer).

    The scorers' stages 3 and 4 (Rechtschaffen & Kales 1968) are N3; movement time and unscored stretches are no
    epochs. A recording lasts about 20 hours, most of them awake: `wake_s` keeps that much of it around the sleep.
    Both files of a night start at the same time. An epoch counts where the recording holds all of it.
    """

    kind: Literal["sleep_edf"] = "sleep_edf"
    wake_s: float | None = Field(
        1800.0, ge=0, description="wake kept before the first and after the last epoch of sleep, seconds; null: all"
    )
    folders: ClassVar[tuple[str, ...]] = ("sleep-edfx", "sleep-edf", "sleep-edf-database-expanded-1.0.0")
    source: ClassVar[Source | None] = PhysioNet("sleep-edfx")
    published: ClassVar[re.Pattern[str] | None] = re.compile(
        r"sleep-cassette/(?P<subject>SC4\d\d)\d\w\w-(PSG|Hypnogram)\.edf"
    )
    info: ClassVar[DatasetInfo] = DatasetInfo(
        title="Sleep-EDF expanded, sleep cassette",
        licence="ODC-By 1.0",
        citation=(
            "Kemp et al. 2000, Analysis of a sleep-dependent neuronal feedback loop: the slow-wave microcontinuity of "
            "the EEG, IEEE TBME 47(9):1185; Goldberger et al. 2000, PhysioNet, Circulation 101:e215"
        ),
        url="https://physionet.org/content/sleep-edfx/1.0.0/",
        n_subjects=78,
        sfreq=100.0,
        n_chans=2,
        note=(
            "Two nights of most people: hold out people, not nights. Where `wake_s` is null, most epochs are wake by "
            "day, and accuracy says little. Airflow, EMG envelope, temperature and event marker are at 1 Hz, a signal "
            "of their own. About 8 GB."
        ),
        files="sleep-cassette/SC4ssNE0-PSG.edf with sleep-cassette/SC4ssNEC-Hypnogram.edf",
    )

    def classes(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(_STAGES.values()))

    def found(self, root: Path) -> list[Item]:
        files = sorted(root.rglob("SC4*-PSG.edf"), key=lambda f: f.name)
        matches = [(m, f) for f in files if (m := _PSG.fullmatch(f.name))]
        return [Item(m[1], m[2], (f, _hypnogram(f, m[1]))) for m, f in matches]

    def open(self, item: Item, folder: Path) -> Session:
        from ..recordings import read

        psg, hypnogram = item.files
        with read(hypnogram) as scored:
            labels = scored.trials
        session = read(psg, subject=item.subject)
        try:
            trials = self._epochs(labels, session.signal, hypnogram)
        except BaseException:
            session.close()
            raise
        return with_trials(session, trials, session_id=item.id)

    def _epochs(self, labels: Intervals, signal: Signal, file: Path) -> Intervals:
        from ..recordings import Intervals

        end_s = signal.start_s + signal.duration_s
        rows = [r for r in _cut(labels, file) if r[0] >= signal.start_s and r[1] <= end_s + 1e-6]
        asleep = [r for r in rows if r[2] != "W"]
        if not asleep:
            raise DataError(f"{file} scores no sleep", remedy="Leave this night out with `exclude`")
        if self.wake_s is not None:
            first, last = asleep[0][0] - self.wake_s, asleep[-1][1] + self.wake_s
            rows = [r for r in rows if r[0] >= first and r[1] <= last]
        return Intervals.of(rows)


def _hypnogram(psg: Path, night: str) -> Path:
    found = sorted(psg.parent.glob(f"{night}*-Hypnogram.edf"))
    if len(found) != 1:
        given = f"{len(found)} hypnograms lie beside it"
        raise RecordingError(psg, given, allowed=f"one {night}..-Hypnogram.edf", remedy="Fetch the night again")
    return found[0]


def _cut(labels: Intervals, file: Path) -> list[tuple[float, float, str]]:
    """Return the scored stretches as epochs of 30 s, in order."""
    rows: list[tuple[float, float, str]] = []
    for start_s, end_s, label in labels:
        if label in _NO_STAGE:
            continue
        if label not in _STAGES:
            allowed = ", ".join((*_STAGES, *_NO_STAGE))
            raise RecordingError(file, f"'{label}' at {start_s:g} s is no sleep stage", allowed=allowed)
        n = round((end_s - start_s) / EPOCH_S)
        if n < 1 or abs(n * EPOCH_S - (end_s - start_s)) > 1e-6:
            given = f"'{label}' at {start_s:g} s lasts {end_s - start_s:g} s"
            raise RecordingError(file, given, allowed="a whole number of epochs of 30 s")
        rows += [(start_s + i * EPOCH_S, start_s + (i + 1) * EPOCH_S, _STAGES[label]) for i in range(n)]
    return rows
