"""Harmful brain activity in the EEG of intensive care (Kaggle, HMS 2024), in the competition's own layout."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from ..core.errors import RecordingError, one_of
from ..core.specs import digest
from .base import DatasetInfo, Files, Item
from .hms_table import CLASSES, EEG_S, SPECTROGRAM_S, VOTES, Table, check_rows, facts, faulty, table, thinned
from .kaggle_client import Kaggle
from .sources import Source

if TYPE_CHECKING:
    from ..recordings import Session, Signal

EEG_HZ = 200.0
LABELLED_S = 10.0
STEP_S = 2.0  # between the rows of a spectrogram
TRAIN = "train.csv"
CHANNELS = (
    *("Fp1", "F3", "C3", "P3", "F7", "T3", "T5", "O1", "Fz", "Cz", "Pz"),
    *("Fp2", "F4", "C4", "P4", "F8", "T4", "T6", "O2", "EKG"),
)
REGIONS = ("LL", "RL", "LP", "RP")
N_BANDS = 100
_FILE = re.compile(r"train_(eegs|spectrograms)/(\d+)\.parquet")
_BAND = re.compile(r"(LL|RL|LP|RP)_(\d+(\.\d+)?)")


class HMS(Files):
    """Six classes of the central 10 s of labelled 50 s windows: `train.csv`, `train_eegs/EEG_ID.parquet`,
    `train_spectrograms/SPECTROGRAM_ID.parquet`.

    A recording is one EEG, its subject the patient. Signals: `eeg` (200 Hz, volts; NaN is not valid) and
    `spectrogram` (0.5 Hz, 400 columns of power, no unit), both on the EEG's clock. A trial is the labelled 10 s
    of a row (from 20 s after the row's offset), its label the consensus; the six votes, the ids and the offsets are
    its facts. Intervals `windows`: the whole 50 s, labelled with the label_id.
    """

    kind: Literal["hms"] = "hms"
    spectrogram: bool = Field(True, description="give the published spectrogram beside the EEG")
    ekg: bool = Field(False, description="give the EKG, too; a sample that any channel lacks is not valid")
    faulty_rows: Literal["refuse", "leave_out"] = Field(
        "refuse", description="what becomes of a recording with a row that contradicts itself or that nobody voted on"
    )
    apart_s: float = Field(0.0, ge=0, description="of rows whose offsets are closer than this, only the first is taken")
    folders: ClassVar[tuple[str, ...]] = ("hms-harmful-brain-activity-classification", "hms")
    source: ClassVar[Source | None] = Kaggle("hms-harmful-brain-activity-classification", TRAIN)
    published: ClassVar[re.Pattern[str] | None] = _FILE
    shared: ClassVar[tuple[str, ...]] = (TRAIN,)
    info: ClassVar[DatasetInfo] = DatasetInfo(
        title="HMS harmful brain activity",
        licence="non-commercial (CC BY-NC 4.0), under the rules of the competition",
        citation=(
            "Jing et al. 2024, HMS - Harmful Brain Activity Classification, Kaggle; Jing et al. 2023, Development of "
            "expert-level classification of seizures and rhythmic and periodic patterns during EEG interpretation, "
            "Neurology 100(17):e1750"
        ),
        url="https://www.kaggle.com/competitions/hms-harmful-brain-activity-classification",
        n_subjects=1950,
        sfreq=EEG_HZ,
        n_chans=len(CHANNELS),
        note=(
            "17,089 EEGs with 106,800 overlapping labelled windows: choose them by `apart_s`, and hold out patients. "
            "1 to 28 experts voted on a window; few votes are noisier. Needs the extra 'tables' (pyarrow). Kaggle "
            "gives no checksums: those of the first fetch are kept. About 26 GB."
        ),
        files="train.csv, train_eegs/EEG_ID.parquet, train_spectrograms/SPECTROGRAM_ID.parquet",
    )

    def classes(self) -> tuple[str, ...]:
        return CLASSES

    def votes(self) -> tuple[str, ...]:
        return VOTES

    def found(self, root: Path) -> list[Item]:
        path = root / TRAIN
        if not path.is_file():
            return []
        rows = table(path)
        return [
            Item(str(eeg), str(patient), (*self._files(root, eeg, spectrogram), path))
            for eeg, (patient, spectrogram) in rows.recordings.items()
        ]

    def subject_of(self, name: str) -> str | None:
        match = _FILE.fullmatch(name)
        if match is None:
            return None
        rows = table(self.root() / TRAIN)
        patient = (rows.patients if match[1] == "eegs" else rows.patients_of_spectrograms).get(int(match[2]))
        return None if patient is None else str(patient)

    def own_files(self, item: Item) -> tuple[Path, ...]:
        return tuple(f for f in item.files if f.name != TRAIN)  # of the table its own rows count: `rows_digest`

    def rows_digest(self, item: Item) -> str:
        rows = table(item.files[-1])
        at = rows.rows_of[int(item.id)]
        return digest([[repr(v) for v in rows.values[i].tolist()] + [rows.consensus[i]] for i in at])

    def left_out(self, item: Item) -> tuple[str, ...]:
        rows = table(item.files[-1])
        return tuple(faulty(rows, rows.rows_of[int(item.id)]).values()) if self.faulty_rows == "leave_out" else ()

    def _rows(self, rows: Table, item: Item, train: Path) -> list[int]:
        """Return which rows of an EEG are taken; RecordingError where one is faulty, or all are."""
        at = rows.rows_of[int(item.id)]
        bad = faulty(rows, at) if self.faulty_rows == "leave_out" else {}
        if len(bad) == len(at):
            given = f"no row of EEG {item.id} can be used. The first: {next(iter(bad.values()))}"
            raise RecordingError(train, given, remedy="Correct them in their source, or leave the patient out")
        good = [i for i in at if i not in bad]
        check_rows(rows, good, train)
        return thinned(rows, good, self.apart_s)

    def _files(self, root: Path, eeg: int, spectrogram: int) -> tuple[Path, ...]:
        bands = (root / "train_spectrograms" / f"{spectrogram}.parquet",) if self.spectrogram else ()
        return root / "train_eegs" / f"{eeg}.parquet", *bands

    def open(self, item: Item, folder: Path) -> Session:
        from ..recordings import Session
        from ..recordings.interval_table import IntervalTable
        from ..recordings.session import Intervals

        self.raw_files(item)
        eeg_path, *bands, train = item.files
        rows = table(train)
        at = self._rows(rows, item, train)
        with _Opened() as opened:
            eeg = opened.add(_eeg(eeg_path, item.subject, CHANNELS if self.ekg else CHANNELS[:-1]))
            _check_ends(rows.column("eeg_label_offset_seconds", at), EEG_S, eeg.duration_s, eeg_path, 1 / EEG_HZ)
            signals = {"eeg": eeg}
            if bands:
                signals["spectrogram"] = _placed(opened.add(_bands(bands[0], item.subject)), rows, at, train)
            start = rows.column("eeg_label_offset_seconds", at) + (EEG_S - LABELLED_S) / 2
            labels = tuple(rows.consensus[i] for i in at)
            trials = IntervalTable(start, start + LABELLED_S, labels, facts(rows, at))
            ids = tuple(map(str, trials.facts["label_id"]))
            windows = Intervals(start - (EEG_S - LABELLED_S) / 2, start + (EEG_S + LABELLED_S) / 2, ids)
            return Session(
                item.id, item.subject, signals, trials, intervals={"windows": windows}, close=opened.hand_over()
            )


class _Opened:
    """The files that are open, closed where something goes wrong before they are handed over."""

    def __init__(self) -> None:
        self.sessions: list[Session] = []
        self.handed = False

    def add(self, session: Session) -> Signal:
        self.sessions.append(session)
        return session.signal

    def hand_over(self) -> _Close:
        self.handed = True
        return _Close(self.sessions)

    def __enter__(self) -> _Opened:
        return self

    def __exit__(self, *_: object) -> None:
        if not self.handed:
            _Close(self.sessions)()


class _Close:
    """Closes several sessions."""

    def __init__(self, sessions: Sequence[Session]) -> None:
        self.sessions = list(sessions)

    def __call__(self) -> None:
        for session in self.sessions:
            session.close()


def _eeg(path: Path, subject: str, channels: Sequence[str]) -> Session:
    columns = _columns(path)
    if missing := [name for name in channels if name not in columns]:
        raise RecordingError(path, f"it has no column {one_of(missing)}", allowed=", ".join(channels), remedy=_LEAVE)
    types = tuple("ecg" if name == "EKG" else "eeg" for name in channels)
    layout = {"values": channels, "sfreq": EEG_HZ, "unit": "uV", "ch_names": channels, "ch_types": types}
    return _mapped(path, {"eeg": layout}, subject)


def _bands(path: Path, subject: str) -> Session:
    """Open a spectrogram; its rows lie every 2 s at the times of its column `time`."""
    columns = _columns(path)
    bands = [name for name in columns if _BAND.fullmatch(name)]
    counts = {region: sum(name.startswith(region) for name in bands) for region in REGIONS}
    if "time" not in columns or any(n != N_BANDS for n in counts.values()):
        has = ", ".join(f"{n} of {region}" for region, n in counts.items())
        given = f"its columns are {has}{'' if 'time' in columns else ', and no time'}"
        raise RecordingError(path, given, allowed=f"time, and {N_BANDS} each of LL_, RL_, LP_ and RP_", remedy=_LEAVE)
    layout = {"values": bands, "times": "time", "sfreq": 1 / STEP_S, "unit": "", "ch_names": bands}
    return _mapped(path, {"spectrogram": layout}, subject)


_LEAVE = "Get the file again, or leave its patient out with `exclude`"


def _columns(path: Path) -> list[str]:
    from ..recordings.parquet_rows import ParquetRows

    rows = ParquetRows(path)
    rows.close()
    return rows.columns


def _mapped(path: Path, signals: dict[str, dict[str, object]], subject: str) -> Session:
    from ..recordings.layout import Layout
    from ..recordings.tables import Parquet

    return Parquet(layout=Layout.of({"signals": signals}, "the competition's layout")).open(path, subject=subject)


def _placed(bands: Signal, rows: Table, at: Sequence[int], train: Path) -> Signal:
    """Return the spectrogram on the EEG's clock: both windows of a row have the same middle."""
    from .shifted import ShiftedSignal

    inside = rows.column("spectrogram_label_offset_seconds", at)
    _check_ends(inside, SPECTROGRAM_S, bands.n_times * STEP_S, train, STEP_S)
    shifts = rows.column("eeg_label_offset_seconds", at) + EEG_S / 2 - (inside + SPECTROGRAM_S / 2)
    if shifts.max() - shifts.min() > STEP_S:
        given = f"the rows of EEG {rows.eeg[at[0]]} place its spectrogram {shifts.min():g} to {shifts.max():g} s apart"
        raise RecordingError(train, given, allowed="one place", remedy="Set `spectrogram: false`")
    return ShiftedSignal(bands, float(shifts[0]))


def _check_ends(offsets: object, length_s: float, duration_s: float, path: Path, rounding_s: float) -> None:
    import numpy as np

    last = float(np.max(np.asarray(offsets, float)))
    if last + length_s > duration_s + rounding_s:
        given = f"a window from {last:g} to {last + length_s:g} s does not lie within the recording ({duration_s:g} s)"
        raise RecordingError(path, given, allowed="windows inside the recording", remedy=_LEAVE)
