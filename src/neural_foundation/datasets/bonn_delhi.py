"""Single-channel segments of EEG with and without seizures: Bonn (Andrzejak 2001) and Delhi (Swami 2016).

Both are read from the published zip as it lies there. Neither says whose a segment is. So the `subject` of a recording
is a part of the segments, named by their numbers (`segments-001-010`): a group to hold out, never a person.
"""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ..core.errors import DataError, RecordingError, one_of
from ..core.specs import SignalSpec
from .base import DatasetInfo, Files, Item
from .sources import ByHand, Source
from .zipped import AGAIN, Held, content, inside, members

if TYPE_CHECKING:
    from ..recordings import Session

REPOSITORY = "https://github.com/RYH2077/EEG-Epilepsy-Datasets"
RARE = "seizure_vs_rest"
TWO_CLASSES = ("rest", "seizure")
MICROVOLT = 1e-6
MAX_VALUE = 1 << 15  # both sets are of 16 bits or fewer
NO_SUBJECTS = (
    "No cross-subject claim is possible: the files carry no subject ids, so segments of one person may lie on both "
    "sides of every split. What is called a subject or a person here is a part of the segments, by their numbers."
)
_NUMBERS = re.compile(rb"[\s\d+-]*")
_FOLDER = r"(?!\.\.?/)(?:[^/]+/)?"  # archives of one folder more are as good


class Segments(Files):
    """Base of both: an archive of sets of numbered segments, one class a set.

    archives : what the zip may be called. sets : of the archive, in the order of the classes. seizure : which of the
    classes is the seizure. n_times : samples of every segment, at `info.sfreq`.
    """

    parts: int = Field(10, ge=2, le=50, description="groups of segments for `split`, each with equally many of a set")
    folders: ClassVar[tuple[str, ...]] = ("bonn-delhi",)
    archives: ClassVar[tuple[str, ...]]
    sets: ClassVar[Mapping[str, str]]
    member: ClassVar[re.Pattern[str]]
    n_times: ClassVar[int]

    @property
    @abstractmethod
    def rest_is_one(self) -> bool:
        """Whether all that is no seizure is one class."""

    def subject_of(self, name: str) -> str | None:
        return None  # an archive is everybody's

    @abstractmethod
    def values(self, archive: Path, name: str) -> NDArray[np.float64]:
        """Return the samples of a member in microvolts, of any number; RecordingError where it holds none."""

    def classes(self) -> tuple[str, ...]:
        return TWO_CLASSES if self.rest_is_one else tuple(self.sets.values())

    def found(self, root: Path) -> list[Item]:
        """Return a recording a segment, by set and number. `root` : the folder of the archive, or the archive."""
        archive = root if root.is_file() else next((f for n in self.archives if (f := root / n).is_file()), None)
        if archive is None:
            return []
        return [
            Item(f"{name}{number:03d}", part, (archive,))
            for name, numbers in self._numbered(archive).items()
            for number, part in zip(numbers, _parts(list(numbers), self.parts, archive), strict=True)
        ]

    def open(self, item: Item, folder: Path) -> Session:
        from ..recordings import ArraySignal, Intervals, Session

        (archive,) = self.raw_files(item)
        name = item.id.rstrip("0123456789")
        member = self._numbered(archive).get(name, {}).get(int(item.id[len(name) :] or -1))
        if member is None:
            raise RecordingError(archive, f"it has no segment {item.id}", remedy=AGAIN)
        values = self._checked(self.values(archive, member), inside(archive, member))
        sfreq = self.info.sfreq
        assert sfreq is not None
        signal = ArraySignal(values[None] * MICROVOLT, SignalSpec(sfreq=sfreq, ch_names=("EEG",), ch_types=("eeg",)))
        label = self.sets[name]
        label = ("seizure" if label == "seizure" else "rest") if self.rest_is_one else label
        return Session(item.id, item.subject, {"eeg": signal}, Intervals.of([(0.0, signal.duration_s, label)]))

    def _numbered(self, archive: Path) -> dict[str, dict[int, str]]:
        """Return set -> number -> member, in order; RecordingError where the sets are not equally numbered."""
        found: dict[str, dict[int, str]] = {name: {} for name in self.sets}
        for member in members(archive):
            match = self.member.fullmatch(member)
            if match is None:
                continue
            numbers = found[match["set"]]
            if numbers.setdefault(int(match["number"]), member) != member:
                given = f"it has two members for segment {match['set']}{match['number']}"
                raise RecordingError(archive, given, remedy=AGAIN)
        every = sorted(set().union(*found.values()))
        if not every:
            allowed = f"the sets {one_of(self.sets)} of {self.info.title}"
            raise RecordingError(archive, "it holds no segments", allowed=allowed, remedy="Check `path`")
        if missing := [f"{name}{n:03d}" for name in found for n in every if n not in found[name]]:
            shown = f"{one_of(missing[:6])}{f' and {len(missing) - 6} more' if len(missing) > 6 else ''}"
            given = f"it lacks segment {shown}"
            raise RecordingError(archive, given, allowed="the same numbers in every set", remedy=AGAIN)
        return {name: {n: numbers[n] for n in every} for name, numbers in found.items()}

    def _checked(self, values: NDArray[np.float64], where: Path) -> NDArray[np.float64]:
        if values.shape != (self.n_times,):
            raise RecordingError(where, f"it has {values.size} samples", allowed=f"{self.n_times}", remedy=AGAIN)
        if not (np.abs(values) <= MAX_VALUE).all():
            allowed = f"whole numbers of microvolts from -{MAX_VALUE} to {MAX_VALUE}"
            raise RecordingError(where, "it holds values that are no EEG", allowed=allowed, remedy=AGAIN)
        return values


def _parts(numbers: Sequence[int], count: int, archive: Path) -> list[str]:
    """Return the part of each number, in order: `count` runs of consecutive numbers, as equal as they can be."""
    if len(numbers) < count:
        given = f"{archive}: {len(numbers)} segments of a set cannot make parts: {count}"
        raise DataError(given, allowed=f"2 to {len(numbers)}", remedy="Set `parts` lower")
    runs = np.array_split(np.asarray(numbers), count)
    return [f"segments-{run[0]:03d}-{run[-1]:03d}" for run in runs for _ in run]


def _source(published: str, called: str) -> ByHand:
    return ByHand(
        page=REPOSITORY,
        needs="a download by hand (no licence of the recordings is stated)",
        steps=f"Download '{published}' from {REPOSITORY} into {{folder}}; {called} will do as a name, too",
    )


class Bonn(Segments):
    """Five sets of 100 segments of 23.6 s (4097 samples at 173.61 Hz, integers, taken as microvolts).

    Z eyes open and O eyes closed: five healthy people, scalp. N opposite hemisphere and F focus between seizures,
    S seizure: five patients, intracranial. In the literature the sets are A to E, in this order.
    """

    kind: Literal["bonn"] = "bonn"
    task: Literal["five_class", "seizure_vs_rest"] = Field(
        "five_class", description="which of the five sets, or set S (seizure) against the other four"
    )
    archives: ClassVar[tuple[str, ...]] = ("bonn.zip", "Bonn EEG dataset.zip")
    sets: ClassVar[Mapping[str, str]] = {
        "Z": "eyes_open",
        "O": "eyes_closed",
        "N": "opposite",
        "F": "focus",
        "S": "seizure",
    }
    member: ClassVar[re.Pattern[str]] = re.compile(
        _FOLDER + r"(?:A_Z|B_O|C_N|D_F|E_S)/(?P<set>[ZONFS])(?P<number>\d{3})\.(?:txt|TXT)"
    )
    n_times: ClassVar[int] = 4097
    source: ClassVar[Source | None] = _source("Bonn EEG dataset.zip", "bonn.zip")
    published: ClassVar[re.Pattern[str] | None] = re.compile(r"(bonn|Bonn EEG dataset)\.zip")
    shared: ClassVar[tuple[str, ...]] = ("bonn.zip",)
    info: ClassVar[DatasetInfo] = DatasetInfo(
        title="Bonn EEG segments",
        licence="none stated (public for research; the MIT licence of the repository is not of the recordings' owner)",
        citation=(
            "Andrzejak, Lehnertz, Rieke, Mormann, David, Elger 2001, Indications of nonlinear deterministic and "
            "finite-dimensional structures in time series of brain electrical activity, Phys. Rev. E 64:061907"
        ),
        url=REPOSITORY,
        n_subjects=10,
        sfreq=173.61,
        n_chans=1,
        note=(
            f"{NO_SUBJECTS} Healthy people were recorded on the scalp, patients inside the skull: the classes differ "
            "by the electrodes, too. The files state no unit; microvolts are assumed."
        ),
        files="bonn.zip (A_Z/Z001.txt to E_S/S100.txt), as it is",
        group="part",
    )

    @property
    def rest_is_one(self) -> bool:
        return self.task == RARE

    def values(self, archive: Path, name: str) -> NDArray[np.float64]:
        text = content(archive, name)
        try:
            if _NUMBERS.fullmatch(text) is None:
                raise ValueError
            return np.array([int(word) for word in text.split()], np.float64)
        except (ValueError, OverflowError):
            given = "it is no list of whole numbers"
            raise RecordingError(inside(archive, name), given, allowed="one number a line", remedy=AGAIN) from None


class Delhi(Segments):
    """Three sets of 50 segments of 5.12 s (1024 samples at 200 Hz, scalp, 0.5 to 70 Hz, taken as microvolts)."""

    kind: Literal["delhi"] = "delhi"
    task: Literal["three_class", "seizure_vs_rest"] = Field(
        "three_class", description="which of the three sets, or ictal (seizure) against the other two"
    )
    archives: ClassVar[tuple[str, ...]] = ("delhi.zip", "Delhi dataset.zip")
    sets: ClassVar[Mapping[str, str]] = {"interictal": "interictal", "preictal": "preictal", "ictal": "seizure"}
    member: ClassVar[re.Pattern[str]] = re.compile(
        _FOLDER + r"(?P<set>interictal|preictal|ictal)/(?P=set)(?P<number>\d{1,3})\.mat"
    )
    n_times: ClassVar[int] = 1024
    source: ClassVar[Source | None] = _source("Delhi dataset.zip", "delhi.zip")
    published: ClassVar[re.Pattern[str] | None] = re.compile(r"(delhi|Delhi dataset)\.zip")
    shared: ClassVar[tuple[str, ...]] = ("delhi.zip",)
    info: ClassVar[DatasetInfo] = DatasetInfo(
        title="Delhi EEG segments",
        licence="none stated (the text beside it asks to be cited)",
        citation=(
            "Swami, Gandhi, Panigrahi, Tripathi, Anand 2016, A novel robust diagnostic model to detect seizures in "
            "electroencephalography, Expert Syst. Appl. 56:116, doi:10.1016/j.eswa.2016.02.040"
        ),
        url=REPOSITORY,
        n_subjects=10,
        sfreq=200.0,
        n_chans=1,
        note=f"{NO_SUBJECTS} The files state no unit; microvolts are assumed.",
        files="delhi.zip (ictal/ictal1.mat to preictal/preictal50.mat), as it is",
        group="part",
    )

    @property
    def rest_is_one(self) -> bool:
        return self.task == RARE

    def values(self, archive: Path, name: str) -> NDArray[np.float64]:
        from ..recordings.mat5 import Mat5
        from ..recordings.mat_fields import Fields

        where, held = inside(archive, name), content(archive, name)
        variables = Mat5(where, Held(where, held), len(held))
        try:
            fields = Fields(variables)
            values = fields.value(fields.names[0]) if len(fields.names) == 1 else None
        finally:
            variables.close()
        if not isinstance(values, np.ndarray) or values.size != max(values.shape, default=0):
            raise RecordingError(where, "it does not hold one variable, a column of numbers", remedy=AGAIN)
        return values.reshape(-1)
