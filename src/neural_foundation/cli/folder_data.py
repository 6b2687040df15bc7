"""A folder of anybody's recordings as a dataset: files and folders of sorted spikes, whatever their labels say."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import field_validator

from ..core.errors import RecordingError
from ..core.specs import off_key
from ..datasets.base import Item as Recording
from ..datasets.recordings_folder import Events, Recordings, recording_files
from ..recordings.beside import parts

if TYPE_CHECKING:
    from ..recordings import Session


class Folder(Recordings):
    """Recordings whose labels need not be classes: without `events`, all labels are kept as they are.

    A folder that Kilosort or phy left is one recording, under the name of the folder.
    """

    kind: Literal["recordings"] = "recordings"
    events: Events = ()
    skip: Path | None = off_key(None, description="a folder under `path` whose files are no recordings of it")

    @field_validator("events")
    @classmethod
    def _two_classes(cls, events: Events) -> Events:
        return super()._two_classes(events) if events else events

    def base(self) -> Path:
        """Return the folder that the names of recordings are relative to."""
        from ..recordings.phy import is_phy

        root = self.root()
        return root.parent if root.is_file() or is_phy(root) else root

    def name_of(self, recording: Recording) -> str:
        """Return the path of a recording, relative to `base`."""
        return recording.files[0].relative_to(self.base()).as_posix()

    def found(self, root: Path) -> list[Recording]:
        folders = [self._sorting(f) for f in self._phy_folders(root)]
        items = folders if folders and not recording_files(root, self.pattern) else [*super().found(root), *folders]
        first: dict[str, Recording] = {}
        for item in items:
            if (other := first.setdefault(item.id, item)) is not item:
                given = f"it and {other.files[0]} would both be named '{item.id}'"
                raise RecordingError(item.files[0], given, remedy="Choose by `pattern`")
        skip = None if self.skip is None else self.skip.resolve()
        kept = [i for i in items if skip is None or not i.files[0].resolve().is_relative_to(skip)]
        return sorted(kept, key=lambda item: item.files[0])

    def _phy_folders(self, root: Path) -> list[Path]:
        from ..recordings.phy import is_phy

        if root.is_file() or is_phy(root):
            return [root] if root.is_dir() else []
        given = root.glob(self.pattern) if self.pattern else (p.parent for p in root.glob("**/params.py"))
        return [p for p in given if p.is_dir() and is_phy(p) and not _hidden(p.relative_to(root))]

    def _sorting(self, folder: Path) -> Recording:
        name = folder.relative_to(self.base())
        return Recording("-".join(name.parts), self._subject(name), (folder,))

    def raw_files(self, item: Recording) -> tuple[Path, ...]:
        return tuple(part for file in item.files for part in parts(file))

    def open(self, item: Recording, folder: Path) -> Session:
        from ..datasets.labels import with_trials
        from ..recordings import read

        if self.events:
            return super().open(item, folder)
        session = read(item.files[0], subject=item.subject)
        return with_trials(session, session.trials, session_id=item.id)


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)
