"""Epileptic seizures of children (PhysioNet chbmit): days of scalp EEG, and when the seizures were."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from ..core.errors import RecordingError
from ..core.specs import SignalSpec
from .base import DatasetInfo, Files, Item
from .sources import PhysioNet, Source

if TYPE_CHECKING:
    from ..recordings import Intervals, Session, Signal
    from ..recordings.edf_header import Field, Header

_NAME = re.compile(r"(chb\d\d)[abc]?_\d\d\+?\.edf")
_SAME_PERSON = {"chb21": "chb01"}  # recorded 1.5 years apart
_NO_CHANNEL = re.compile(r"[-.]*")  # labels of the recorder's unused inputs
_FILE = re.compile(r"File Name:\s*(\S+)")
_COUNT = re.compile(r"Number of Seizures in File:\s*(\d+)")
_EDGE = re.compile(r"Seizure(?:\s+\d+)?\s+(Start|End) Time:\s*(\d+(?:\.\d+)?)\s*seconds?")


class CHBMIT(Files):
    """Seizure against background, over the whole of `chbNN/chbNN_MM.edf`; times from `chbNN/chbNN-summary.txt`.

    Channels are bipolar. Most files hold T8-P8 twice, with the same samples: the first stays. Inputs labelled '-' or
    '.' were unused and are left out.
    """

    kind: Literal["chb_mit"] = "chb_mit"
    folders: ClassVar[tuple[str, ...]] = ("chbmit", "chb-mit", "chb-mit-scalp-eeg-database-1.0.0")
    source: ClassVar[Source | None] = PhysioNet("chbmit")
    published: ClassVar[re.Pattern[str] | None] = re.compile(
        r"(?P<subject>chb\d\d)/(chb\d\d[abc]?_\d\d\+?\.edf|chb\d\d-summary\.txt)"
    )
    info: ClassVar[DatasetInfo] = DatasetInfo(
        title="CHB-MIT scalp EEG",
        licence="ODC-By 1.0",
        citation=(
            "Shoeb 2009, Application of machine learning to epileptic seizure onset detection and treatment, PhD "
            "thesis, MIT; Goldberger et al. 2000, PhysioNet, Circulation 101:e215"
        ),
        url="https://physionet.org/content/chbmit/1.0.0/",
        n_subjects=23,
        sfreq=256.0,
        n_chans=22,
        note=(
            "Case chb21 is the same girl as chb01, so both are subject chb01. Seizures are well under 1 % of the time: "
            "accuracy says nothing, and windows of one recording in training and test inflate scores. The channels "
            "change within some cases (chb04, chb11 to chb19): choose common ones with the signal operation `pick`. "
            "About 43 GB."
        ),
        files="chbNN/chbNN_MM.edf with chbNN/chbNN-summary.txt",
    )

    def classes(self) -> tuple[str, ...]:
        return ("background", "seizure")

    def found(self, root: Path) -> list[Item]:
        files = sorted(root.glob("chb*/chb*.edf"))
        matches = [(m, f) for f in files if (m := _NAME.fullmatch(f.name)) and m[1] == f.parent.name]
        return [Item(f.stem, _person(m[1]), (f, f.with_name(f"{m[1]}-summary.txt"))) for m, f in matches]

    def subject_of(self, name: str) -> str | None:
        case = super().subject_of(name)
        return None if case is None else _person(case)

    def open(self, item: Item, folder: Path) -> Session:
        from ..recordings import Session
        from ..recordings.edf_header import read_header
        from ..recordings.reader import OpenFile

        edf, summary = item.files
        times = _seizures(summary, edf.name)
        header = read_header(edf, width=2, unused=_NO_CHANNEL)
        file = OpenFile(edf)
        try:
            signal = _signal(header, item.subject, file)
            trials = _trials(times, signal.duration_s, summary, edf.name)
        except BaseException:
            file.close()
            raise
        return Session(item.id, item.subject, {"eeg": signal}, trials, close=file.close)


def _person(case: str) -> str:
    return _SAME_PERSON.get(case, case)


def _signal(header: Header, subject: str, file: object) -> Signal:
    """Return the channels that were used, each name once."""
    import numpy as np

    from ..recordings.channels import VOLTS, channel, positions
    from ..recordings.edf import RecordSignal
    from ..recordings.edf_header import is_annotation

    used: dict[str, Field] = {}
    for field in header.fields:
        if not is_annotation(field) and not _NO_CHANNEL.fullmatch(field.label):
            used.setdefault(channel(field.label).name, field)
    rates = {field.n for field in used.values()}
    if len(rates) != 1 or any(field.unit.lower() not in VOLTS for field in used.values()):
        raise RecordingError(
            header.path, "its channels differ in rate or have no unit of voltage", allowed="one rate, uV"
        )
    (n,) = rates
    names, types = tuple(used), tuple(channel(field.label).type for field in used.values())
    spec = SignalSpec(
        sfreq=n / header.record_s, ch_names=names, ch_types=types, positions=positions(names, types), subject=subject
    )
    volts = [VOLTS[field.unit.lower()] for field in used.values()]
    first = np.arange(header.n_records, dtype=np.int64) * n
    return RecordSignal(spec, header, list(used.values()), volts, first, 0.0, file)  # type: ignore[arg-type]


def _trials(times: list[tuple[float, float]], duration_s: float, summary: Path, name: str) -> Intervals:
    """Return the seizures, and the background between them."""
    from ..recordings import Intervals

    rows, at = [], 0.0
    for start_s, end_s in sorted(times):
        if not at <= start_s < end_s <= duration_s:
            given = f"the seizure from {start_s:g} to {end_s:g} s does not lie within {name} ({duration_s:g} s)"
            raise RecordingError(summary, given, allowed="seizures one after the other, inside the recording")
        rows += [(at, start_s, "background")] * (start_s > at) + [(start_s, end_s, "seizure")]
        at = end_s
    return Intervals.of(rows + [(at, duration_s, "background")] * (duration_s > at))


def _seizures(summary: Path, name: str) -> list[tuple[float, float]]:
    """Return start and end of each seizure in a recording, in seconds; RecordingError where the summary is no help."""
    try:
        text = summary.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        remedy = "Fetch the case again: its summary says when the seizures were"
        raise RecordingError(summary, f"it cannot be read ({error.strerror})", remedy=remedy) from None
    parts = _FILE.split(text)[1:]
    sections = [body for file, body in zip(parts[::2], parts[1::2], strict=True) if file == name]
    if len(sections) != 1:
        raise RecordingError(summary, f"it names {name} {len(sections)} times", allowed="once")
    counts = _COUNT.findall(sections[0])
    edges = _EDGE.findall(sections[0])
    n = int(counts[0]) if len(counts) == 1 else -1
    if n < 0 or [kind for kind, _ in edges] != ["Start", "End"] * n:
        given = f"for {name} it says {_one(counts)} seizures, and gives {len(edges)} times"
        raise RecordingError(summary, given, allowed="a start and an end for each seizure")
    values = [float(value) for _, value in edges]
    return list(zip(values[::2], values[1::2], strict=True))


def _one(counts: list[str]) -> str:
    """Return the only number, or what there is instead."""
    return counts[0] if len(counts) == 1 else "no" if not counts else " and ".join(counts)
