"""Seizures in clinical EEG (TUH EEG Seizure Corpus): hospital recordings with their labelled seizures."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from ..core.errors import RecordingError, one_of
from .base import DatasetInfo, Files, Item
from .labels import with_trials
from .sources import ByHand, Source

if TYPE_CHECKING:
    from ..recordings import Intervals, Session

_NAME = re.compile(r"([a-z]{8})_s\d{3}_t\d{3}\.edf")
_CLASSES = {"bckg": "background", "seiz": "seizure"}
_COLUMNS = ["channel", "start_time", "stop_time", "label", "confidence"]
_ROUNDING_S = 0.01  # the duration in a label file has two digits


class TUSZ(Files):
    """Seizure against background, over the whole of each EDF, from the `.csv_bi` beside it (one word for all channels).

    `split` keeps one of the corpus's own parts; people never lie in two. Layout of version 2:
    `edf/PART/PERSON/sNNN_YEAR/MONTAGE/PERSON_sNNN_tNNN.edf`.
    """

    kind: Literal["tusz"] = "tusz"
    split: Literal["train", "dev", "eval"] | None = Field(
        None, description="only this part of the corpus; default: all"
    )
    folders: ClassVar[tuple[str, ...]] = ("tuh_eeg_seizure", "tusz")
    source: ClassVar[Source | None] = ByHand(
        page="https://isip.piconepress.com/projects/nedc/html/tuh_eeg/",
        needs="an account of the Neural Engineering Data Consortium (a signed form)",
        steps=(
            "Send the form on https://isip.piconepress.com/projects/nedc/html/tuh_eeg/ and wait for the password; then "
            "run: 'rsync -auvxL nedc-tuh-eeg@www.isip.piconepress.com:data/tuh_eeg/tuh_eeg_seizure/v2.0.3/ "
            "{folder}/'"
        ),
    )
    published: ClassVar[re.Pattern[str] | None] = re.compile(
        r"edf/(train|dev|eval)/(?P<subject>[a-z]{8})/s\d{3}_\d{4}/[^/]+/[a-z]{8}_s\d{3}_t\d{3}\.(edf|csv_bi)"
    )
    info: ClassVar[DatasetInfo] = DatasetInfo(
        title="TUH EEG Seizure Corpus, version 2",
        licence="free after a signed form; it may not be passed on",
        citation=(
            "Shah et al. 2018, The Temple University Hospital Seizure Detection Corpus, Front. Neuroinform. 12:83; "
            "Obeid & Picone 2016, The Temple University Hospital EEG Data Corpus, Front. Neurosci. 10:196"
        ),
        url="https://isip.piconepress.com/projects/nedc/html/tuh_eeg/",
        n_subjects=675,
        note=(
            "Rate (250 to 1000 Hz), channels and reference differ between recordings: resample and `pick` before "
            "training. Report results on `eval`, and by events as well as by windows. The montage folders (01_tcp_ar, "
            "02_tcp_le, 03_tcp_ar_a, 04_tcp_le_a) name the reference of the recording."
        ),
        files="edf/{train,dev,eval}/PERSON/sNNN_YEAR/MONTAGE/PERSON_sNNN_tNNN.edf with .csv_bi beside it",
    )

    def classes(self) -> tuple[str, ...]:
        return tuple(_CLASSES.values())

    def found(self, root: Path) -> list[Item]:
        base = root / "edf" if (root / "edf").is_dir() else root
        files = sorted(base.glob(f"{self.split or '*'}/*/*/*/*.edf"), key=lambda f: f.name)
        matches = [(m, f) for f in files if (m := _NAME.fullmatch(f.name)) and f.parts[-4] == m[1]]
        return [Item(f.stem, m[1], (f, f.with_suffix(".csv_bi"))) for m, f in matches]

    def open(self, item: Item, folder: Path) -> Session:
        from ..recordings import read

        edf, labels = item.files
        session = read(edf, subject=item.subject)
        try:
            end_s = session.signal.start_s + session.signal.duration_s
            trials = _trials(labels, session.signal.start_s, end_s)
        except BaseException:
            session.close()
            raise
        return with_trials(session, trials, session_id=item.id)


def _trials(path: Path, start_s: float, end_s: float) -> Intervals:
    """Return the rows of a label file as intervals, checked against the recording."""
    from ..recordings import Intervals

    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        raise RecordingError(path, f"it cannot be read ({error.strerror})", remedy="Copy it beside its EDF") from None
    if not lines or not re.fullmatch(r"# version = csv_v1\.\d+\.\d+", lines[0].strip()):
        raise RecordingError(path, "its first line names no known version", allowed="'# version = csv_v1.0.0'")
    table = [line.strip().split(",") for line in lines if line.strip() and not line.startswith("#")]
    if table[:1] != [_COLUMNS]:
        columns = one_of(table[0]) if table else "missing"
        raise RecordingError(path, f"its columns are {columns}", allowed=", ".join(_COLUMNS))
    return Intervals.of(_row(path, row, start_s, end_s) for row in table[1:])


def _row(path: Path, row: list[str], first_s: float, last_s: float) -> tuple[float, float, str]:
    try:
        channel, start, stop, label, _ = row
        start_s, stop_s = float(start), float(stop)
    except ValueError:
        raise RecordingError(path, f"the line '{','.join(row)}' is no label", allowed=",".join(_COLUMNS)) from None
    if channel != "TERM" or label not in _CLASSES:
        given = f"it has the label '{label}' of channel '{channel}'"
        raise RecordingError(path, given, allowed="bckg or seiz of TERM", remedy="Use the .csv_bi, not the .csv")
    if not first_s <= start_s < stop_s <= last_s + _ROUNDING_S:
        given = f"the label from {start_s:g} to {stop_s:g} s does not lie within the recording ({last_s:g} s)"
        raise RecordingError(path, given, allowed="labels inside the recording")
    return start_s, min(stop_s, last_s), _CLASSES[label]
