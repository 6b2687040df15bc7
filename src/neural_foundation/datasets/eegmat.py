"""EEG during mental arithmetic (PhysioNet eegmat): rest against task."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from .base import DatasetInfo, Files, Item
from .labels import with_trials
from .sources import PhysioNet, Source

if TYPE_CHECKING:
    from ..recordings import Session

_NAME = re.compile(r"(Subject\d+)_([12])\.edf")
_CLASSES = ("rest", "task")


class EEGMAT(Files):
    """Rest (`SubjectNN_1.edf`) against mental serial subtraction (`SubjectNN_2.edf`).

    One trial a recording, over the whole of it: cut windows from it, and hold out subjects. The files also hold
    A2-A1 and an ECG, which the reader marks as misc and ecg.
    """

    kind: Literal["eegmat"] = "eegmat"
    folders: ClassVar[tuple[str, ...]] = ("eegmat",)
    source: ClassVar[Source | None] = PhysioNet("eegmat")
    published: ClassVar[re.Pattern[str] | None] = re.compile(r"(?P<subject>Subject\d+)_[12]\.edf")
    info: ClassVar[DatasetInfo] = DatasetInfo(
        title="EEG during mental arithmetic tasks",
        licence="ODC-By 1.0",
        citation=(
            "Zyma et al. 2019, Electroencephalograms during Mental Arithmetic Task Performance, Data 4(1):14; "
            "Goldberger et al. 2000, PhysioNet, Circulation 101:e215"
        ),
        url="https://physionet.org/content/eegmat/1.0.0/",
        n_subjects=36,
        sfreq=500.0,
        n_chans=19,
        note=(
            "Rest always precedes task, so time is confounded with the class. The authors filtered the data and "
            "removed artefacts by ICA. Windows of one subject in training and test inflate scores."
        ),
        files="SubjectNN_1.edf (rest), SubjectNN_2.edf (task)",
    )

    def classes(self) -> tuple[str, ...]:
        return _CLASSES

    def found(self, root: Path) -> list[Item]:
        matches = [(m, f) for f in sorted(root.glob("*.edf")) if (m := _NAME.fullmatch(f.name))]
        return [Item(f.stem, m[1], (f,)) for m, f in matches]

    def open(self, item: Item, folder: Path) -> Session:
        from ..recordings import Intervals, read

        (file,) = item.files
        session = read(file, subject=item.subject)
        label = _CLASSES[int(file.stem[-1]) - 1]
        try:
            start_s = session.signal.start_s
            trial = Intervals.of([(start_s, start_s + session.signal.duration_s, label)])
        except BaseException:
            session.close()
            raise
        return with_trials(session, trial, session_id=item.id)
