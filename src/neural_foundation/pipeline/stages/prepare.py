"""prepare: each recording read, streamed through the chain once, and written whole; windows are cut from it later."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
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
from ...datasets.base import Item as Recording
from ...recordings import Session, Signal, read, write_session
from ...sampling.windows import Windows
from ...signals.base import SignalOp
from ...signals.chain import chain
from ...signals.source import begun
from ...signals.table import SIGNALS
from ..stage import Job
from .listed import OfRecordings

BLOCK_S = 10.0
PIECE_VALUES = 1 << 17  # that a chain is given at once, so that they stay in the cache from part to part
SOURCE = "source.json"  # a path: where the raw file lies on this machine, so it has no checksum


class Prepare(OfRecordings):
    """One item a recording: `session.h5`, cleaned and continuous, and `prepared.json`, the facts of it."""

    kind: Literal["prepare"] = "prepare"
    signals: tuple[of(SIGNALS, SignalOp), ...] = Field((), description="the cleaning chain, in order")  # type: ignore[valid-type]
    windows: Windows = Windows()
    step: float | None = Field(
        None, gt=0, description="keep samples as int16, whole multiples of this in the chain's unit; None: float32"
    )

    version: ClassVar[int] = 2
    gives: ClassVar[str] = "Prepared"

    def run(self, job: Job) -> None:
        recording = self.recording(job.item)
        with self.dataset.open(recording, job.folder) as opened:
            session = begun(opened, self.signals)
            self._check(session)
            made = self._write(job.folder / "session.h5", session, job.progress)
        job.subjects.add(recording.subject)
        cut = {"classes": list(self.dataset.classes()), "windows": self.windows.model_dump(mode="json")}
        write_json(job.folder / "prepared.json", self.facts_of(recording) | cut | made)
        write_json(job.folder / SOURCE, {"source": self._source(recording, job.folder)})
        job.measured.append(SOURCE)

    def _write(self, path: Path, session: Session, progress: Progress) -> dict[str, Any]:
        """Write the primary signal, cleaned, and the trials; return the facts of the signal before and after."""
        before = session.signal.spec
        transducer = chain(self.signals, before)
        write_session(
            path,
            session_id=session.session_id,
            subject=session.subject,
            spec=transducer.output,
            chunks=cleaned(transducer, session.signal, progress, session.session_id),
            trials=session.trials,
            start_s=session.signal.start_s,
            step=self.step,
        )
        return {
            "raw": before.model_dump(mode="json"),
            "signal": transducer.output.model_dump(mode="json"),
            "chain": dumped(self.signals),
        }

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


def cleaned(transducer: Transducer, signal: Signal, progress: Progress, name: str) -> Iterator[Chunk]:
    """Yield what a bound chain makes of a signal, read 10 s at a time; `name` is what the progress calls it."""
    state = transducer.start()
    block = max(1, round(BLOCK_S * signal.spec.sfreq))
    piece = max(1, PIECE_VALUES // signal.spec.n_chans)
    for at in range(0, signal.n_times, block):
        end = min(at + block, signal.n_times)
        values, valid = signal.read(at, end), signal.valid(at, end)
        for first in range(0, end - at, piece):
            cut = slice(first, first + piece)
            out, state = transducer.step(Chunk(values[:, cut], valid[cut], at + first), state)
            if out.n_times:
                yield out
        progress(end, signal.n_times, f"cleaning {name}")
    rest = transducer.flush(state)
    if rest.n_times:
        yield rest


def dumped(ops: Sequence[SignalOp]) -> list[dict[str, Any]]:
    """Return the JSON value of a chain."""
    return [op.model_dump(mode="json", serialize_as_any=True) for op in ops]


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
    session = read(source if source.is_absolute() else output.path(str(source)), subject=facts["subject"])
    return begun(session, [SIGNALS.parse(op) for op in facts["chain"]])  # type: ignore[misc]
