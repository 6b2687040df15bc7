"""A folder of recordings as a dataset and a stage: what is done to one file, good or bad.

`folder.prepare_folder` runs these with the pipeline, so it goes on where it stopped, in parallel, and every output has
its manifest. A bad file is an outcome of its item, not an error of the run; the item is made again in each run, as the
file may have been replaced or may have become readable.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import field_validator

from ..core.errors import DataError
from ..core.specs import off_key
from ..core.store import write_json, writing
from ..datasets.base import Item as Recording
from ..datasets.recordings_folder import Events, Recordings
from ..pipeline.stage import Item, Job
from ..pipeline.stages.prepare import Prepare

if TYPE_CHECKING:
    from ..recordings import Session

QUARANTINED, FACTS = "quarantined.json", "facts.json"


class Folder(Recordings):
    """Recordings whose labels need not be classes: without `events`, all labels are kept as they are."""

    kind: Literal["recordings"] = "recordings"
    events: Events = ()
    skip: Path | None = off_key(None, description="a folder under `path` whose files are no recordings of it")
    call: str = off_key("", description="the call that lists the files: within one, they are listed once")

    @field_validator("events")
    @classmethod
    def _two_classes(cls, events: Events) -> Events:
        return super()._two_classes(events) if events else events

    def found(self, root: Path) -> list[Recording]:
        skip = None if self.skip is None else self.skip.resolve()
        items = super().found(root)
        return [i for i in items if skip is None or not i.files[0].resolve().is_relative_to(skip)]

    def open(self, item: Recording, folder: Path) -> Session:
        from ..datasets.labels import with_trials
        from ..recordings import read

        if self.events:
            return super().open(item, folder)
        session = read(item.files[0], subject=item.subject)
        return with_trials(session, session.trials, session_id=item.id)


@lru_cache(maxsize=4)
def _listed(dataset: Folder) -> dict[str, Recording]:
    return {item.id: item for item in dataset.items()}


class PrepareFolder(Prepare):
    """`prepare` for a folder of anybody's recordings; `session.h5` also holds the windows, as Interval `windows`.

    With `events`, windows lie in the trials, labelled with the class; without, over the whole recording. A window
    without a valid sample throughout is left out. A file that cannot be prepared gives `quarantined.json` instead.
    """

    dataset: Folder
    version: ClassVar[int] = 2

    def own_values(self) -> list[str]:
        return list(_listed(self.dataset))

    def raw_files(self, item: Item) -> Sequence[Path]:
        # what may not be read has no content for a key; `run` says so
        return [f for f in _listed(self.dataset)[item["recording"]].files if os.access(f, os.R_OK)]

    def run(self, job: Job) -> None:
        from ..recordings.isolated import rehearse

        try:
            rehearse(self.recording(job.item).files[0])
            super().run(job)
            self._add_windows(job.folder / "session.h5", job)
        except DataError as error:
            recording = self.recording(job.item)
            for made in job.folder.iterdir():
                made.unlink()
            job.subjects.add(recording.subject)
            job.measured.clear()
            write_json(
                job.folder / QUARANTINED, {"error": type(error).__name__, "reason": self._reason(error, recording)}
            )

    def recording(self, item: Item) -> Recording:
        """Return the recording of an item; the folder is listed once a process."""
        return _listed(self.dataset)[item["recording"]]

    def _recording(self, item: Item) -> Recording:
        return self.recording(item)

    def _reason(self, error: DataError, recording: Recording) -> str:
        root = self.dataset.root()
        base = root if root.is_dir() else root.parent
        return str(error).removeprefix(f"{recording.files[0]}: ").replace(f"{base}{os.sep}", "")

    def _check(self, session: Session) -> None:
        """Take recordings without events: their windows lie over all of them."""

    def _add_windows(self, path: Path, job: Job) -> None:
        from ..evaluation.inspection.quality import valid_share
        from ..recordings import read

        with read(path) as session:
            rows, hours = self._windows(session), session.signal.duration_s / 3600
            facts = {"hours": hours, "trials": len(session.trials), "valid": round(valid_share(session.signal), 6)}
        put_windows(path, rows)
        with read(self.recording(job.item).files[0]) as raw:
            others = [*list(raw.signals)[1:], *raw.spikes, *raw.series, *raw.intervals]
        write_json(job.folder / FACTS, {**facts, "windows": len(rows), "left_out": others})

    def _windows(self, session: Session) -> list[tuple[float, float, str]]:
        """Return the windows (start_s, end_s, label) of a prepared session."""
        signal = session.signal
        stretches = (
            session.trials if self.dataset.events else [(signal.start_s, signal.start_s + signal.duration_s, "")]
        )
        hop = self.windows.hop_s if self.dataset.events else self.windows.hop_s or self.windows.length_s
        windows = self.windows.model_copy(update={"hop_s": hop})
        n = round(windows.length_s * signal.spec.sfreq)
        rows = []
        for onset_s, end_s, label in stretches:
            for start_s in windows.starts(onset_s, end_s):
                first = round((start_s - signal.start_s) * signal.spec.sfreq)
                if n and 0 <= first <= signal.n_times - n and signal.valid(first, first + n).all():
                    rows.append((start_s, start_s + windows.length_s, label))
        return rows


def put_windows(path: Path, rows: Sequence[tuple[float, float, str]]) -> None:
    """Add the windows (start_s, end_s, label) to a session file in temporaldata's layout, as its Interval `windows`."""
    import h5py

    from ..recordings import Intervals
    from ..recordings.hdf5_tables import put_intervals

    with writing(path), h5py.File(path, "r+", libver=("v110", "v110")) as file:
        made = put_intervals(file, "windows", Intervals.of(rows))
        made.attrs["modality"], made.attrs["order"] = "intervals", 0
