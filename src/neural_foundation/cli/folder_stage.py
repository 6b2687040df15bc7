"""What `data prepare` does to one recording of a folder, good or bad, as a stage of the pipeline.

`folder.prepare_folder` runs it, so it goes on where it stopped, in parallel, and every output has its manifest. A bad
file is an outcome of its item, not an error of the run; the item is made again in each run, as the file may have been
replaced or may have become readable.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from ..core.errors import DataError, one_of
from ..core.kinds import of
from ..core.progress import Progress
from ..core.store import write_json
from ..datasets.base import Item as Recording
from ..pipeline.stage import Job
from ..pipeline.stages.prepare import Prepare, cleaned, dumped
from ..signals.base import SignalOp
from ..signals.chain import chain
from ..signals.table import SIGNALS
from .folder_data import Folder
from .folder_kept import kept, left_out, span_of
from .folder_quality import QualityReport, as_json, digest, judged, unfit

if TYPE_CHECKING:
    from ..core.stream import Transducer
    from ..recordings import Intervals, Session, Signal

FACTS, QUALITY, WINDOWS = "facts.json", "quality.json", "windows"
MOST_WINDOWS = 5_000_000  # of one recording: times of events may say anything


class PrepareFolder(Prepare):
    """`prepare` for a folder of anybody's recordings: `session.h5` holds all modalities, and Interval `windows`.

    The chain `signals` is for the primary signal, a chain of `others` for the signal of its name; what has no chain is
    kept as it is. With `events`, windows lie in the trials, labelled with the class; without, over the whole of the
    primary signal, or, where there is none, from the first to the last event. A window that holds a sample of the
    primary signal which is not valid is left out. A file that cannot be prepared gives `quarantined.json` instead.
    With `quality`, `quality.json` tells that of the raw primary signal, where it is EEG at a sufficient rate.
    """

    dataset: Folder
    others: dict[str, tuple[of(SIGNALS, SignalOp), ...]] = Field({}, description="chains by the name of a signal")  # type: ignore[valid-type]
    quarantine: bool = Field(True, description="go on without recordings that cannot serve, and say which")
    quality: QualityReport | None = Field(QualityReport(), description="write `quality.json`; None: do not")
    version: ClassVar[int] = 5

    def _prepare(self, job: Job) -> None:
        from ..recordings.isolated import rehearse

        rehearse(self.recording(job.item).files[0])
        super()._prepare(job)
        self._say_what_is_kept(job)

    def _say_what_is_kept(self, job: Job) -> None:
        from ..recordings import read

        recording = self.recording(job.item)
        with read(job.folder / "session.h5") as session, read(recording.files[0], subject=recording.subject) as source:
            said = {"left_out": left_out(source), "quality": self._quality(job, recording, source)}
            write_json(job.folder / FACTS, kept(session, WINDOWS) | said)

    def _quality(self, job: Job, recording: Recording, source: Session) -> dict[str, Any] | None:
        """Write the quality of a raw session; return what the facts say of it: None where it is not asked for."""
        from ..recordings import Session

        if self.quality is None:
            return None
        if error := unfit(source):
            return {"not_judged": f"{error.given}. Allowed: {error.allowed}" if error.allowed else error.given}
        raw = Session(recording.id, recording.subject, source.signals)
        found = judged(raw, self.quality.mains_hz, job.progress, f"quality of {recording.id}")
        write_json(job.folder / QUALITY, as_json(found, raw, self.quality.mains_hz))
        return digest(found)

    def _stops(self, error: DataError) -> bool:
        return False  # bad files are tried again in each run

    def _reason(self, error: DataError, recording: Recording, job: Job) -> str:
        said = str(error).removeprefix(f"{recording.files[0]}: ")
        return said.replace(f"{self.dataset.base()}{os.sep}", "")

    def _check(self, session: Session) -> None:
        """Take recordings without events: their windows lie over all of them."""
        if WINDOWS in session.intervals:
            remedy = "Prepare what it was made from, or give them another name in it"
            raise DataError(f"It has intervals '{WINDOWS}' already", remedy=remedy)

    def _left_out(self, recording: Recording, path: Path) -> dict[str, Any]:
        return {}  # its windows lie over all of a recording, which may have no trials, and no signal

    def _write(self, path: Path, session: Session, progress: Progress) -> dict[str, Any]:
        """Write every modality and the windows; return what is known of the primary signal before and after."""
        from ..recordings import write_whole_session

        main = next(iter(session.signals), None)
        before = None if main is None else session.signal.spec
        with ExitStack() as stack:
            cut = _with(session, dict(self._signals(session, path, progress, stack)), {})
            write_whole_session(
                path, _with(session, cut.signals, {WINDOWS: self._windows(cut)}), step=self.step, progress=progress
            )
            after = None if main is None else cut.signal.spec
        ops = {name: dumped(ops) for name, ops in self._chains(session).items()}
        return {
            "raw": None if before is None else before.model_dump(mode="json"),
            "signal": None if after is None else after.model_dump(mode="json"),
            "chain": ops.pop(main, []) if main is not None else [],
            **({"chains": ops} if ops else {}),
        }

    def _chains(self, session: Session) -> dict[str, tuple[SignalOp, ...]]:
        """Return the chain of each signal that has one; DataError for a chain whose signal is not there."""
        if unknown := [name for name in self.others if name not in session.signals]:
            names = one_of(session.signals) if session.signals else "none, as it has no signal"
            raise DataError(f"It has no signal {one_of(unknown)}, which `signals` names", allowed=names)
        main = next(iter(session.signals), None)
        return {**({main: self.signals} if main is not None and self.signals else {}), **self.others}

    def _signals(
        self, session: Session, path: Path, progress: Progress, stack: ExitStack
    ) -> Iterator[tuple[str, Signal]]:
        """Yield the signals by name: what its chain makes of one that has a chain, the others as they are."""
        from ..recordings.hdf5_write import spooled

        chains = self._chains(session)
        bound: dict[str, Transducer] = {n: chain(ops, session[n].spec) for n, ops in chains.items()}
        for name, signal in session.signals.items():
            if name in bound:
                chunks = cleaned(bound[name], signal, progress, name)
                signal = stack.enter_context(spooled(path, bound[name].output, chunks, signal.start_s))
            yield name, signal

    def _windows(self, session: Session) -> Intervals:
        """Return the windows of a prepared session."""
        from ..recordings import Intervals

        start_s, end_s = span_of(session)
        stretches = session.trials if self.dataset.events else [(start_s, end_s, "")]
        hop = self.windows.hop_s if self.dataset.events else self.windows.hop_s or self.windows.length_s
        windows = self.windows.model_copy(update={"hop_s": hop})
        spans = [(onset_s, min(stop_s, end_s), label) for onset_s, stop_s, label in stretches]
        if hop and (n := sum(max(0.0, stop_s - onset_s) for onset_s, stop_s, _ in spans) / hop) > MOST_WINDOWS:
            raise DataError(f"It would have {n:.3g} windows", allowed=f"up to {MOST_WINDOWS:,}", remedy="Set `hop_s`")
        found = (
            (first_s, first_s + windows.length_s, label)
            for onset_s, stop_s, label in spans
            for first_s in windows.starts(onset_s, stop_s)
        )
        return Intervals.of(row for row in found if self._holds(session, row[0]))

    def _holds(self, session: Session, start_s: float) -> bool:
        """Return whether the primary signal is there and valid throughout a window; True where there is none."""
        if not session.signals:
            return True
        signal = session.signal
        n, first = (round(t * signal.spec.sfreq) for t in (self.windows.length_s, start_s - signal.start_s))
        return bool(n and 0 <= first <= signal.n_times - n and signal.valid(first, first + n).all())


def _with(session: Session, signals: Mapping[str, Signal], intervals: Mapping[str, Intervals]) -> Session:
    """Return a session with other signals and more intervals, all else as it is; it closes nothing."""
    from ..recordings import Session

    return Session(
        session.session_id,
        session.subject,
        signals,
        session.trials,
        spikes={name: partial(session.spikes.__getitem__, name) for name in session.spikes},
        series={name: partial(session.series.__getitem__, name) for name in session.series},
        intervals={name: partial(session.intervals.__getitem__, name) for name in session.intervals} | dict(intervals),
    )
