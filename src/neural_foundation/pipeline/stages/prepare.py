"""prepare: each recording read, streamed through the chain once, and written whole; windows are cut from it later."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field

from ...core.errors import DataError
from ...core.kinds import of
from ...core.lineage import Output
from ...core.progress import Progress
from ...core.specs import SignalSpec
from ...core.store import read_json, write_json
from ...core.stream import Chunk, Transducer
from ...datasets.base import Dataset
from ...datasets.base import Item as Recording
from ...datasets.table import DATASETS
from ...recordings import Session, read, write_session
from ...sampling.windows import Windows
from ...signals.base import SignalOp
from ...signals.chain import chain
from ...signals.table import SIGNALS
from ..stage import Item, Job, Stage

BLOCK_S = 10.0
SOURCE = "source.json"  # a path: where the raw file lies on this machine, so it has no checksum


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
        facts = {
            "recording": recording.id,
            "subject": recording.subject,
            "classes": list(self.dataset.classes()),
            "raw": before.model_dump(mode="json"),
            "signal": transducer.output.model_dump(mode="json"),
            "chain": [op.model_dump(mode="json", serialize_as_any=True) for op in self.signals],
            "windows": self.windows.model_dump(mode="json"),
            "dataset": {"kind": self.dataset.kind, **asdict(self.dataset.info)},
        }
        write_json(job.folder / "prepared.json", facts)
        write_json(job.folder / SOURCE, {"source": self._source(recording, job.folder)})
        job.measured.append(SOURCE)

    def _recording(self, item: Item) -> Recording:
        items: list[Recording] = self.dataset.items()
        return next(i for i in items if i.id == item["recording"])

    def _source(self, recording: Recording, folder: Path) -> str:
        """Return where the raw signal lies: a path, or a name in the output's own folder."""
        files = self.dataset.raw_files(recording)
        return (
            str(files[0].resolve()) if files else next(p.name for p in sorted(folder.iterdir()) if p.suffix == ".edf")
        )

    def _check(self, session: Session) -> None:
        if not len(session.trials.start_s):
            raise DataError(
                f"Recording '{session.session_id}' has no events",
                remedy="Add annotations to the file, or map its events in the recipe: dataset.events",
            )


def _cleaned(transducer: Transducer, session: Session, progress: Progress) -> Iterator[Chunk]:
    signal, state = session.signal, transducer.start()
    block = max(1, round(BLOCK_S * signal.spec.sfreq))
    for at in range(0, signal.n_times, block):
        end = min(at + block, signal.n_times)
        out, state = transducer.step(Chunk(signal.read(at, end), signal.valid(at, end), at), state)
        if out.n_times:
            yield out
        progress(end, signal.n_times, f"cleaning {session.session_id}")
    rest = transducer.flush(state)
    if rest.n_times:
        yield rest


@dataclass(frozen=True)
class Prepared:
    """The outputs of a prepare stage, read together."""

    outputs: tuple[Output, ...]
    facts: tuple[dict[str, Any], ...]

    @classmethod
    def of(cls, outputs: Sequence[Output]) -> Prepared:
        """Return what some prepare outputs hold."""
        return cls(tuple(outputs), tuple(read_json(o.path("prepared.json")) for o in outputs))

    @property
    def paths(self) -> list[Path]:
        return [o.path("session.h5") for o in self.outputs]

    @property
    def subjects(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(f["subject"] for f in self.facts))

    @property
    def classes(self) -> tuple[str, ...]:
        return tuple(self.facts[0]["classes"])

    @property
    def windows(self) -> Windows:
        return Windows.model_validate(self.facts[0]["windows"])

    @property
    def raw(self) -> SignalSpec:
        return SignalSpec.model_validate(self.facts[0]["raw"]).replace(subject=None)

    @property
    def dataset(self) -> dict[str, Any]:
        return dict(self.facts[0]["dataset"])

    @cached_property
    def chain(self) -> tuple[SignalOp, ...]:
        return tuple(SIGNALS.parse(op) for op in self.facts[0]["chain"])  # type: ignore[misc]

    def paths_of(self, subjects: Sequence[str]) -> list[Path]:
        """Return the prepared recordings of some subjects."""
        return [p for p, f in zip(self.paths, self.facts, strict=True) if f["subject"] in subjects]

    def of_subject(self, subject: str) -> list[tuple[Output, dict[str, Any]]]:
        """Return outputs and facts of one subject's recordings."""
        return [(o, f) for o, f in zip(self.outputs, self.facts, strict=True) if f["subject"] == subject]


def raw_session(output: Output, facts: dict[str, Any]) -> Session:
    """Open the raw recording that a prepared one was made from; RecordingError where it is gone."""
    source = Path(read_json(output.path(SOURCE))["source"])
    return read(source if source.is_absolute() else output.path(str(source)), subject=facts["subject"])
