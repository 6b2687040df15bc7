"""What the two motor imagery sets of BCI Competition IV share: events in GDF, labels of the evaluation in MAT.

Event types (Brunner et al. 2008, Leeb et al. 2008): 768 start of a trial, 769 to 772 the cue and its class, 783 a cue
whose class is hidden, 1023 a trial that an expert rejected (at its start).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from ..core.errors import RecordingError
from .base import Files, Item
from .labels import with_trials

if TYPE_CHECKING:
    from ..recordings import Intervals, Session

TRIAL_S = 4.0
_START, _HIDDEN, _REJECTED = "768", "783", "1023"
_LONGEST_S = 5.0  # from the start of a trial to its cue
_MAX_LABELS = 1 << 20  # bytes of a label file


class BCICompetitionIV(Files):
    """Base of both sets: a trial is the 4 s from the cue on; the class of a hidden cue is read from a label file."""

    sessions: Literal["all", "training", "evaluation"] = Field(
        "all", description="which recordings; those of the evaluation (..E.gdf) need their label files (..E.mat)"
    )
    rejected: Literal["drop", "keep"] = Field("drop", description="trials that the authors' expert rejected")
    names: ClassVar[re.Pattern[str]]
    events: ClassVar[Mapping[str, str]]

    def classes(self) -> tuple[str, ...]:
        return tuple(self.events.values())

    def found(self, root: Path) -> list[Item]:
        files = sorted(root.rglob("*.gdf"), key=lambda f: f.name)
        matches = [(m, f) for f in files if (m := self.names.fullmatch(f.name))]
        wanted = {"all": "TE", "training": "T", "evaluation": "E"}[self.sessions]
        return [Item(f.stem, m[1], (f, *_labels(root, f))) for m, f in matches if f.stem[-1] in wanted]

    def open(self, item: Item, folder: Path) -> Session:
        from ..recordings import read

        gdf, *labels = item.files
        session = read(gdf, subject=item.subject)
        try:
            self.name_channels(session, gdf)
            trials = self._trials(session.trials, gdf, labels[0] if labels else None)
        except BaseException:
            session.close()
            raise
        return with_trials(session, trials, session_id=item.id)

    def name_channels(self, session: Session, gdf: Path) -> None:
        """Give the channels the names that the authors publish, where the file lacks them."""

    def _trials(self, found: Intervals, gdf: Path, labels: Path | None) -> Intervals:
        from ..recordings import Intervals

        cues = found.only(*self.events, _HIDDEN)
        hidden = cues.label.count(_HIDDEN)
        if not len(cues) or hidden not in (0, len(cues)):
            given = f"{hidden} of its {len(cues)} cues hide their class"
            raise RecordingError(gdf, given, allowed="all of one or more cues, or none")
        if hidden and labels is None:
            remedy = f"Put {gdf.stem}.mat of the competition's true_labels.zip beside it, or choose sessions: training"
            raise RecordingError(gdf, "it hides the classes of its trials", remedy=remedy)
        words = _true_labels(labels, len(cues), list(self.events)) if hidden and labels else list(cues.label)
        begun = [_start_of(found, cue_s, gdf) for cue_s in cues.start_s.tolist()]
        bad = found.only(_REJECTED).start_s
        rows = [
            (cue_s, cue_s + TRIAL_S, self.events[word])
            for cue_s, start_s, word in zip(cues.start_s.tolist(), begun, words, strict=True)
            if self.rejected == "keep" or not ((bad > start_s - 0.1) & (bad <= cue_s)).any()
        ]
        return Intervals.of(rows)


def _labels(root: Path, gdf: Path) -> tuple[Path, ...]:
    """Return the label file of a recording of the evaluation, where it is there."""
    places = (gdf.parent, gdf.parent / "true_labels", root / "true_labels", root.parent / "true_labels")
    if gdf.stem.endswith("T"):
        return ()
    return next(((p / f"{gdf.stem}.mat",) for p in places if (p / f"{gdf.stem}.mat").is_file()), ())


def _start_of(found: Intervals, cue_s: float, gdf: Path) -> float:
    starts = found.only(_START).start_s
    before = starts[(starts <= cue_s) & (starts > cue_s - _LONGEST_S)]
    if not len(before):
        raise RecordingError(gdf, f"no trial (768) starts before the cue at {cue_s:g} s", allowed="one start a cue")
    return float(before[-1])


def _true_labels(path: Path, n_cues: int, codes: list[str]) -> list[str]:
    """Return the event type of each trial, from the variable `classlabel` (n_trials, 1), 1 the first class."""
    import numpy as np

    values = np.asarray(_classlabel(path)).reshape(-1)
    if len(values) != n_cues:
        raise RecordingError(path, f"it has {len(values)} labels", allowed=f"{n_cues}, one a trial")
    if values.dtype.kind not in "fiu" or not np.isin(values, np.arange(1, len(codes) + 1)).all():
        raise RecordingError(path, "a label is no class", allowed=f"1 to {len(codes)}")
    return [codes[int(value) - 1] for value in values]


def _classlabel(path: Path) -> object:
    import struct
    import zlib

    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    try:
        if path.stat().st_size > _MAX_LABELS:
            raise ValueError("it is too large for a list of labels")
        return loadmat(path, variable_names=["classlabel"])["classlabel"]
    except (OSError, ValueError, TypeError, KeyError, IndexError, NotImplementedError, OverflowError) as error:
        why = f"{type(error).__name__}: {error}"
    except (MatReadError, EOFError, struct.error, zlib.error, MemoryError) as error:
        why = f"{type(error).__name__}: {error}"
    raise RecordingError(path, f"its `classlabel` cannot be read ({why})", remedy="Take it from true_labels.zip again")
