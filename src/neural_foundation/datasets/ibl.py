"""Sessions of the International Brain Laboratory: Neuropixels probes in mice that decide (ONE's cache, ALF layout)."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema

from ..core.errors import DataError, RecordingError, did_you_mean
from .alf import CLUSTERS, SPIKES, Chosen, choose, revisions
from .base import DATA_FOLDER, DatasetInfo, Files, Item
from .one_client import SESSIONS, One, eids_of, sessions
from .sources import Source

if TYPE_CHECKING:
    from ..recordings import Series, Session, Spikes

_SERIES = {
    "wheel": ("_ibl_wheel.timestamps.npy", "_ibl_wheel.position.npy", "position", "rad"),
    "left_motion_energy": ("_ibl_leftCamera.times.npy", "leftCamera.ROIMotionEnergy.npy", "motion_energy", ""),
    "right_motion_energy": ("_ibl_rightCamera.times.npy", "rightCamera.ROIMotionEnergy.npy", "motion_energy", ""),
}
_DAY = "[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]"


def _listed(value: Any) -> Any:
    """Return the ids in a file, one a line, so that its content is in the key; a path may be of the data folder."""
    if not isinstance(value, (str, Path)):
        return value
    places = [Path(value), *([Path(base) / value] if (base := os.environ.get(DATA_FOLDER)) else [])]
    for path in places:
        if path.is_file():
            return eids_of(path)
    raise DataError(f"There is no list of sessions {places[-1]}", allowed="ids, or a file with one a line")


Eids = Annotated[
    tuple[str, ...],
    BeforeValidator(_listed),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]}),
]


class IBL(Files):
    """The choice, left or right, in each trial: `LAB/Subjects/SUBJECT/DATE/NUMBER/alf/...`. A session counts where
    one of its probes has sorted spikes.

    Spikes: one stream a probe, all its clusters, with `region` (acronym), `region_id`, `depth_m`, `channel`, `quality`
    (IBL's label, 1 is good) and `uuid` where the files say so. Series: `wheel` (rad), `left_motion_energy`,
    `right_motion_energy`, each on its own times. Trials last from start to end of IBL's intervals; their facts hold all
    columns of the trial table (stimOn_times, choice, probabilityLeft, feedbackType ...), and `contrast`, negative
    where the stimulus was on the left. IBL's choice 1 is left, -1 right; trials without one are intervals
    `no_choice`. A file that is absent leaves its series out; `revisions` names the revisions that are read.
    """

    kind: Literal["ibl"] = "ibl"
    eids: Eids | None = Field(
        None,
        min_length=1,
        description=f"only these sessions, or a file that lists them; needs the {SESSIONS} that 'data fetch' keeps",
    )
    sorter: str | None = Field(
        None, description="folder of the sorter; default: iblsorter, else pykilosort, else the probe's own"
    )
    revision: str | None = Field(None, min_length=1, description="nothing newer than this, e.g. '2024-05-06'")
    folders: ClassVar[tuple[str, ...]] = (
        "ibl",
        "openalyx.internationalbrainlab.org",
        "ONE/openalyx.internationalbrainlab.org",
    )
    source: ClassVar[Source | None] = One()
    published: ClassVar[re.Pattern[str] | None] = re.compile(
        r"[^/]+/Subjects/(?P<subject>[^/]+)/\d{4}-\d\d-\d\d/\d{3}/alf/.+\.(npy|pqt|csv)"
    )
    info: ClassVar[DatasetInfo] = DatasetInfo(
        title="International Brain Laboratory, public sessions",
        licence="CC BY 4.0",
        citation=(
            "International Brain Laboratory et al. 2025, A brain-wide map of neural activity during complex behaviour, "
            "Nature 645:177; repeated site: International Brain Laboratory et al. 2025, Reproducibility of in vivo "
            "electrophysiological measurements in mice, eLife 13:RP100840"
        ),
        url="https://www.internationalbrainlab.com/data",
        n_subjects=139,
        note=(
            "459 sessions of the brain-wide map; probes and clusters differ between them, and most clusters are no "
            "good units (`quality` under 1). There is no regular signal: wheel and cameras are uneven series. "
            "Fetched by session id: 'data fetch ibl:EID', or all of neds-eids/eids.txt. ONE checks IBL's checksums; "
            "SHA-256 of what came are kept. Trial table and metrics need the extra 'tables' (pyarrow)."
        ),
        files="LAB/Subjects/SUBJECT/DATE/NUMBER/alf/... as ONE caches them",
    )

    def classes(self) -> tuple[str, ...]:
        return ("left", "right")

    def found(self, root: Path) -> list[Item]:
        homes = sorted(root.glob(f"*/Subjects/*/{_DAY}/[0-9][0-9][0-9]"))
        if self.eids is not None:
            homes = self._of_eids(root, homes)
        return [_item(home, at) for home in homes if (at := self.chosen(_under(home)))]

    def chosen(self, paths: list[str]) -> list[str]:
        """Return which files of a session are read, of all its paths ('alf/probe00/spikes.times.npy')."""
        return sorted(choose(paths, sorter=self.sorter, revision=self.revision).values())

    def revisions(self, item: Item) -> dict[str, str]:
        """Return name -> revision of the files of an item that lie in a revision's folder."""
        return revisions(self._files(item)[1])

    def open(self, item: Item, folder: Path) -> Session:
        from ..recordings import Session
        from .ibl_files import read_trials

        self.raw_files(item)
        home, at = self._files(item)
        trials, idle = read_trials(home, at)
        probes = sorted({probe for probe, _ in at if probe})
        return Session(
            item.id,
            item.subject,
            {},
            trials,
            spikes={probe: _spikes(home, at, probe) for probe in probes},
            series={name: read for name in _SERIES if (read := _series(home, at, name))},
            intervals={"no_choice": idle},
        )

    def _files(self, item: Item) -> tuple[Path, Chosen]:
        first = item.files[0]
        home = first.parents[first.parts[::-1].index("alf")]
        return home, choose(
            [f.relative_to(home).as_posix() for f in item.files], sorter=self.sorter, revision=self.revision
        )

    def _of_eids(self, root: Path, homes: list[Path]) -> list[Path]:
        known = sessions(root)
        for eid in self.eids or ():
            if eid not in known:
                given = f"Session {eid} was not fetched into {root}.{did_you_mean(eid, known)}"
                raise DataError(given, remedy=f"Run: neural-foundation data fetch ibl:{eid}")
        wanted = {root / known[eid]["path"] for eid in self.eids or ()}
        if lost := sorted(wanted - set(homes)):
            raise DataError(f"{lost[0]} is gone", remedy=f"Fetch its session again, or remove {root / SESSIONS}")
        return [home for home in homes if home in wanted]


def _under(home: Path) -> list[str]:
    return [p.relative_to(home).as_posix() for p in (home / "alf").rglob("*") if p.is_file()]


def _item(home: Path, names: list[str]) -> Item:
    lab, _, subject, date, number = home.parts[-5:]
    return Item(f"{lab}_{subject}_{date}_{number}", subject, tuple(home / name for name in names))


def _spikes(home: Path, at: Chosen, probe: str) -> Callable[[], Spikes]:
    from .ibl_files import read_spikes

    if (probe, CLUSTERS) not in at:
        file = home / at[probe, SPIKES]
        raise RecordingError(file, f"there is no {CLUSTERS} of its sorting", remedy="Fetch the session again")
    return partial(read_spikes, home, at, probe)


def _series(home: Path, at: Chosen, name: str) -> Callable[[], Series] | None:
    """Return what reads a series; None where the session has neither of its files."""
    from .ibl_files import read_series

    times, values, column, unit = _SERIES[name]
    there = [("", n) in at for n in (times, values)]
    if not any(there):
        return None
    if not all(there):
        lost, other = (values, times) if there[0] else (times, values)
        file = home / at["", other]
        raise RecordingError(file, f"there is no {lost} beside it", remedy="Fetch the session again")
    return partial(read_series, home / at["", times], home / at["", values], column, unit)
