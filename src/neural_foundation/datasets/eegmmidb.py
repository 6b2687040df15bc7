"""EEG motor movement and imagery (PhysioNet eegmmidb): imagined left and right fist."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from .base import DatasetInfo, Files, Item
from .labels import classified, with_trials
from .sources import PhysioNet, Source

if TYPE_CHECKING:
    from ..recordings import Session

_NAME = re.compile(r"(S\d{3})R(\d{2})\.edf")
_RUNS = (4, 8, 12)  # opening and closing the left or right fist, imagined
_EVENTS = {"T1": "left_fist", "T2": "right_fist"}


class EEGMMIDB(Files):
    """Imagined left fist (T1) against right fist (T2): runs 4, 8 and 12 of each subject, one recording a run."""

    kind: Literal["eegmmidb"] = "eegmmidb"
    folders: ClassVar[tuple[str, ...]] = ("eegmmidb", "eegmmidb-s001")
    source: ClassVar[Source | None] = PhysioNet("eegmmidb")
    published: ClassVar[re.Pattern[str] | None] = re.compile(r"(?P<subject>S\d{3})/S\d{3}R(04|08|12)\.edf")
    info: ClassVar[DatasetInfo] = DatasetInfo(
        title="EEG motor movement and imagery",
        licence="open access on PhysioNet (ODC-By 1.0; read its page before you pass files on)",
        citation=(
            "Schalk et al. 2004, BCI2000: a general-purpose brain-computer interface system, IEEE TBME 51(6):1034; "
            "Goldberger et al. 2000, PhysioNet, Circulation 101:e215"
        ),
        url="https://physionet.org/content/eegmmidb/1.0.0/",
        n_subjects=109,
        sfreq=160.0,
        n_chans=64,
        note=(
            "Subjects S088, S092 and S100 are published at 128 Hz with other trial lengths, and S104 has odd trials; "
            "most studies leave these four out with `exclude`. A trial lasts about 4.1 s."
        ),
        files="SNNN/SNNNR04.edf, R08, R12 (also without the folder)",
    )

    def classes(self) -> tuple[str, ...]:
        return tuple(_EVENTS.values())

    def found(self, root: Path) -> list[Item]:
        files = sorted(root.rglob("*.edf"), key=lambda f: f.name)
        matches = [(m, f) for f in files if (m := _NAME.fullmatch(f.name))]
        return [Item(f.stem, m[1], (f,)) for m, f in matches if int(m[2]) in _RUNS]

    def open(self, item: Item, folder: Path) -> Session:
        from ..recordings import read

        (file,) = item.files
        session = read(file, subject=item.subject)
        try:
            trials = classified(session.trials, _EVENTS, trial_s=None, where=str(file))
        except BaseException:
            session.close()
            raise
        return with_trials(session, trials, session_id=item.id)
