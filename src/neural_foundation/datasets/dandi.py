"""Any dandiset (https://dandiarchive.org): NWB files in a folder a subject, the Neural Latents sets among them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, field_validator

from ..core.specs import off_key
from .base import DatasetInfo, Files, Item
from .labels import classified, with_trials
from .recordings_folder import Events, two_classes
from .sources import Dandi, Source

if TYPE_CHECKING:
    from ..recordings import Session

_SUBJECT = re.compile(r"sub-([A-Za-z0-9+.-]+)")


class NwbFiles(Files):
    """Base of the datasets of NWB files in DANDI's layout: `sub-SUBJECT/sub-SUBJECT_...nwb`, the folder naming the
    subject.

    Without `events` the trials stay as the file has them, and there are no classes. Nothing else of a session changes:
    signals, spikes, series and intervals are the reader's.
    """

    version: str | None = off_key(
        None, pattern=r"^(draft|\d[\d.]*)$", description="the version to fetch; default: the newest published one"
    )
    pattern: str = Field("*.nwb", min_length=1, description="which files of a subject, e.g. '*desc-train*.nwb'")
    events: Events = Field((), description="label in the files -> class; the classes stand in this order")
    trial_s: float | None = Field(None, gt=0, description="length of a trial where its label has no duration, seconds")
    published: ClassVar[re.Pattern[str] | None] = re.compile(r"sub-(?P<subject>[^/]+)/[^/]+\.nwb")

    @field_validator("events")
    @classmethod
    def _none_or_two(cls, events: Events) -> Events:
        return two_classes(events) if events else events

    def classes(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(name for _, name in self.events))

    def found(self, root: Path) -> list[Item]:
        files = sorted(root.glob(f"sub-*/{self.pattern}"))
        matches = [(m, f) for f in files if f.suffix == ".nwb" and (m := _SUBJECT.fullmatch(f.parent.name))]
        return [Item(f.stem, m[1], (f,)) for m, f in matches]

    def open(self, item: Item, folder: Path) -> Session:
        from ..recordings import read

        (file,) = item.files
        session = read(file, subject=item.subject)
        try:
            trials = session.trials
            if self.events:
                trials = classified(trials, dict(self.events), trial_s=self.trial_s, where=str(file))
        except BaseException:
            session.close()
            raise
        return with_trials(session, trials, session_id=item.id)


class DandiSet(NwbFiles):
    """The NWB files of a dandiset, by its number."""

    kind: Literal["dandi"] = "dandi"
    dandiset: str = Field(pattern=r"^\d{6}$", description="the six digits of the dandiset, e.g. '000128'")
    folders: ClassVar[tuple[str, ...]] = ("dandi",)
    info: ClassVar[DatasetInfo] = DatasetInfo(
        title="A dandiset",
        licence="CC BY 4.0 or CC0, as the page of the dandiset says",
        citation="as the page of the dandiset says; Neural Latents: Pei et al. 2021, NeurIPS Datasets and Benchmarks",
        url="https://dandiarchive.org/",
        note=(
            "Subjects, rates and channels differ between dandisets; one subject may have several files. The sets of "
            "Neural Latents have names of their own: see 'neural_latents'."
        ),
        files="sub-SUBJECT/sub-SUBJECT_....nwb",
    )

    def places(self) -> tuple[str, ...]:
        return (f"dandi/{self.dandiset}", self.dandiset)

    def origin(self) -> Source | None:
        return Dandi(self.dandiset, self.version)
