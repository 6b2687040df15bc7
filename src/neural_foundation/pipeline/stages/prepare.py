"""prepare: each recording read, streamed through the chain once, and written whole; windows are cut from it later."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from ...core.errors import DataError
from ...core.kinds import of
from ...core.progress import Progress
from ...core.store import write_json
from ...core.stream import Chunk, Transducer
from ...datasets.base import Dataset
from ...datasets.base import Item as Recording
from ...datasets.table import DATASETS
from ...recordings import Session, write_session
from ...sampling.windows import Windows
from ...signals.base import SignalOp
from ...signals.chain import chain
from ...signals.table import SIGNALS
from ..stage import Item, Job, Stage

BLOCK_S = 10.0


class Prepare(Stage):
    """One item a recording: `session.h5`, cleaned and continuous, and `prepared.json`, the facts of it."""

    kind: Literal["prepare"] = "prepare"
    dataset: of(DATASETS, Dataset)  # type: ignore[valid-type]
    signals: tuple[of(SIGNALS, SignalOp), ...] = Field((), description="the cleaning chain, in order")  # type: ignore[valid-type]
    windows: Windows = Windows()

    gives: ClassVar[str] = "Prepared"
    own_axis: ClassVar[str] = "recording"

    def own_values(self) -> list[str]:
        items = self.dataset.items()
        if not items:
            raise DataError(f"Dataset '{self.dataset.kind}' has no recordings", remedy="Check its path")
        return [i.id for i in items]

    def raw_files(self, item: Item) -> Sequence[Path]:
        return list(self.dataset.raw_files(self._recording(item)))

    def subject_of(self, item: Item) -> str:
        return str(self._recording(item).subject)

    def run(self, job: Job) -> None:
        recording = self._recording(job.item)
        with self.dataset.open(recording, job.folder) as session:
            self._check(session)
            before = session.signal.spec
            transducer = chain(self.signals, before)
            write_session(
                job.folder / "session.h5",
                session_id=session.session_id,
                subject=session.subject,
                spec=transducer.output,
                chunks=_cleaned(transducer, session, job.progress),
                trials=session.trials,
                start_s=session.signal.start_s,
            )
        job.subjects.add(recording.subject)
        facts = {"recording": recording.id, "subject": recording.subject, "raw": before.model_dump(mode="json"), "signal": transducer.output.model_dump(mode="json"), "raw_files": [str(p) for p in self.dataset.raw_files(recording)]}
        write_json(job.folder / "prepared.json", facts)

    def _recording(self, item: Item) -> Recording:
        return next(i for i in self.dataset.items() if i.id == item["recording"])

    def _check(self, session: Session) -> None:
        if not len(session.trials.start_s):
            raise DataError(f"Recording '{session.session_id}' has no events", remedy="Add annotations to the file, or map its events in the recipe: dataset.events")


def _cleaned(transducer: Transducer, session: Session, progress: Progress) -> Iterator[Chunk]:
    signal, state = session.signal, transducer.start()
    block = max(1, round(BLOCK_S * signal.spec.sfreq))
    for at in range(0, signal.n_times, block):
        end = min(at + block, signal.n_times)
        out, state = transducer.step(Chunk(signal.read(at, end), signal.valid(at, end), at), state)
        yield out
        progress(end, signal.n_times, f"cleaning {session.session_id}")
    yield transducer.flush(state)
