"""SSVEP for an exoskeleton (Kalunga 2016): looking at a light that flickers at 13, 17 or 21 Hz, or at none."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from ..core.errors import RecordingError, one_of
from ..core.specs import SignalSpec
from .base import DatasetInfo, Files, Item
from .labels import classified, with_trials
from .sources import GitHub, Source

if TYPE_CHECKING:
    from ..recordings import Intervals, Session

TRIAL_S = 5.0
CODES = {1: "rest", 2: "13", 3: "21", 4: "17"}
_NAME = re.compile(r"record-\[(.+)\]_raw\.fif(\.gz)?")
_SUBJECT = re.compile(r"subject\d+")
# Subject and time of day of recordings that are published but must not be used.
_LEFT_OUT = (
    ("subject07", "15.33.08"),  # the samples are those of subject03's recording of that name
    ("subject08", "16.22.32"),  # these five the authors themselves exclude
    ("subject10", "15.10.48"),
    ("subject10", "15.50.09"),
    ("subject11", "17.56.37"),
    ("subject11", "18.02.40"),
)


class SSVEPExo(Files):
    """Flicker at 13, 17 and 21 Hz; with `rest` also none. Trials of 5 s from each event on.

    Event codes of the FIF files: 1 rest, 2 = 13 Hz, 3 = 21 Hz, 4 = 17 Hz (MOABB's class, made for another copy of the
    data, has 17 and 21 the other way round; with these files that order drops CCA to chance). The positions in the
    files are a template's in millimetres and not in the head frame; they are replaced by those of the 10-05 names.
    """

    kind: Literal["ssvep_exo"] = "ssvep_exo"
    rest: bool = Field(False, description="also decode rest, as the first of four classes")
    folders: ClassVar[tuple[str, ...]] = ("ssvep-exo", "dataset-ssvep-exoskeleton")
    source: ClassVar[Source | None] = GitHub(
        "sylvchev/dataset-ssvep-exoskeleton", "faf331c1707135a62fcf08db6575d1553c56e196"
    )
    published: ClassVar[re.Pattern[str] | None] = re.compile(
        r"(?P<subject>subject\d+)/record-\[[^\]]+\](_raw|-eve)\.fif"
    )
    info: ClassVar[DatasetInfo] = DatasetInfo(
        title="SSVEP for an exoskeleton",
        licence="CC0 1.0",
        citation=(
            "Kalunga, Chevallier, Barthelemy 2016, Online SSVEP-based BCI using Riemannian geometry, Neurocomputing, "
            "doi:10.1016/j.neucom.2016.01.007"
        ),
        url="https://github.com/sylvchev/dataset-ssvep-exoskeleton",
        n_subjects=12,
        sfreq=256.0,
        n_chans=8,
        note=(
            "The values are not volts (standard deviation about 0.007): normalise each recording. Some subjects have "
            "two recordings, minutes apart. A duplicate and the recordings that the authors exclude are left out."
        ),
        files="subjectNN/record-[TIME]_raw.fif with subjectNN/record-[TIME]-eve.fif",
    )

    def classes(self) -> tuple[str, ...]:
        return ("rest", "13", "17", "21") if self.rest else ("13", "17", "21")

    def found(self, root: Path) -> list[Item]:
        files = sorted([*root.glob("subject*/*_raw.fif"), *root.glob("subject*/*_raw.fif.gz")])
        matches = [(m, f) for f in files if (m := _NAME.fullmatch(f.name)) and _SUBJECT.fullmatch(f.parent.name)]
        return [
            Item(f"{f.parent.name}-{m[1]}", f.parent.name, (f, f.with_name(f"record-[{m[1]}]-eve.fif")))
            for m, f in matches
            if not _left_out(f.parent.name, m[1])
        ]

    def subject_of(self, name: str) -> str | None:
        subject = super().subject_of(name)
        return None if subject is None or _left_out(subject, name[name.index("[") + 1 : name.index("]")]) else subject

    def open(self, item: Item, folder: Path) -> Session:
        from ..recordings import read

        raw, eve = item.files
        session = read(raw, subject=item.subject)
        try:
            events = {name: name for name in self.classes()}
            session.signal.spec = _placed(session.signal.spec)
            trials = classified(_events(eve, session.signal.spec.sfreq), events, trial_s=TRIAL_S, where=str(eve))
        except BaseException:
            session.close()
            raise
        return with_trials(session, trials, session_id=item.id)


def _left_out(subject: str, stamp: str) -> bool:
    return any(subject == who and stamp.endswith(time) for who, time in _LEFT_OUT)


def _placed(spec: SignalSpec) -> SignalSpec:
    from ..recordings.montage import standard_1005

    return spec.replace(positions=tuple(standard_1005().get(name) for name in spec.ch_names))


def _events(file: Path, sfreq: float) -> Intervals:
    """Return the events of a FIF event file on the recording's clock, without durations."""
    from ..recordings import Intervals, read_events_fif

    events = read_events_fif(file)
    if unknown := sorted({int(code) for code in events[:, 2]} - set(CODES)):
        raise RecordingError(file, f"event code {one_of(map(str, unknown))} is unknown", allowed="1, 2, 3 or 4")
    return Intervals.of((sample / sfreq, sample / sfreq, CODES[int(code)]) for sample, _, code in events)
