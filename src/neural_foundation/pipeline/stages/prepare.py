"""prepare: each recording read, streamed through the chain once, and written whole; windows are cut from it later."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ...core.errors import DataError, RecordingError, one_of
from ...core.kinds import of
from ...core.lineage import Output
from ...core.progress import Progress
from ...core.specs import SignalSpec
from ...core.store import read_json, remove, save_arrays, write_json
from ...core.stream import Chunk, Transducer
from ...datasets.base import Item as Recording
from ...datasets.table import DATASETS
from ...recordings import Session, Signal, read, write_session
from ...recordings.beside import parts
from ...recordings.interval_table import facts_of
from ...sampling.windows import Windows, WindowSet, labelled, served
from ...signals.base import SignalOp
from ...signals.chain import chain
from ...signals.source import begun
from ...signals.table import SIGNALS
from ..stage import Item, Job
from .listed import OfRecordings
from .quarantine import QUARANTINED, checked, in_quarantine, left_out, passing

BLOCK_S = 10.0
PIECE_VALUES = 1 << 17  # that a chain is given at once, so that they stay in the cache from part to part
VOTES = "votes.npz"
SOURCE = "source.json"  # where the raw files lie on this machine, so it has no checksum


class Prepare(OfRecordings):
    """One item a recording: `session.h5`, cleaned and continuous, and `prepared.json`, the facts of it.

    Where experts voted on the trials, `votes.npz` holds their votes. With `quarantine`, a recording that cannot serve
    gives `quarantined.json`, its error and reason, instead; see `Prepared.of`.
    """

    kind: Literal["prepare"] = "prepare"
    signals: tuple[of(SIGNALS, SignalOp), ...] = Field((), description="the cleaning chain, in order")  # type: ignore[valid-type]
    windows: Windows = Windows()
    step: float | None = Field(
        None, gt=0, description="keep samples as int16, whole multiples of this in the chain's unit; None: float32"
    )

    quarantine: bool = Field(
        False,
        description="go on without recordings that cannot serve (or have labels but no window), by name",
    )

    version: ClassVar[int] = 4
    gives: ClassVar[str] = "Prepared"

    def raw_files(self, item: Item) -> Sequence[Path]:
        if not self.quarantine:
            return super().raw_files(item)
        try:
            files = super().raw_files(item)
        except RecordingError:
            files = [part for file in self.dataset.own_files(self.recording(item)) for part in parts(file)]
        # what is not there, or may not be read, has no content for a key; `run` says so
        return [f for f in files if os.access(f, os.R_OK)]

    def run(self, job: Job) -> None:
        try:
            self._prepare(job)
        except DataError as error:
            if not self.quarantine or self._stops(error):
                raise
            self._put_aside(job, error)

    def _stops(self, error: DataError) -> bool:
        """Return whether an error stops the run all the same: what is put aside waits until its files change."""
        return passing(error)

    def _put_aside(self, job: Job, error: DataError) -> None:
        recording = self.recording(job.item)
        remove(job.folder)
        job.folder.mkdir()
        job.subjects.add(recording.subject)
        job.measured.clear()
        said = {"error": type(error).__name__, "reason": self._reason(error, recording, job)}
        write_json(job.folder / QUARANTINED, {"recording": recording.id, "subject": recording.subject} | said)

    def _reason(self, error: DataError, recording: Recording, job: Job) -> str:
        """Return the reason without the folders that the files lie in on this machine."""
        said = str(error)
        for file in recording.files:
            said = said.replace(str(file), file.name)
        return said.replace(f"{job.folder}{os.sep}", "")

    def _prepare(self, job: Job) -> None:
        recording = self.recording(job.item)
        with self.dataset.open(recording, job.folder) as opened:
            session = begun(opened, self.signals)
            self._check(session)
            votes = votes_of(session, self.dataset.votes(), self.dataset.classes())
            made = self._write(job.folder / "session.h5", session, job.progress)
        job.subjects.add(recording.subject)
        cut = {"classes": list(self.dataset.classes()), "windows": self.windows.model_dump(mode="json")}
        cut |= self._left_out(recording, job.folder / "session.h5")
        if votes is not None:
            cut["votes"] = list(self.dataset.votes())
            save_arrays(job.folder / VOTES, {"votes": votes})
        write_json(job.folder / "prepared.json", self.facts_of(recording) | cut | made)
        write_json(job.folder / SOURCE, self._source(recording))
        job.measured.append(SOURCE)

    def _left_out(self, recording: Recording, path: Path) -> dict[str, Any]:
        """Return how many labelled trials have no window, and what the dataset left out, where there are such.

        DataError where none of them has one and `quarantine` asks for recordings that can serve.
        """
        with read(path) as session:
            trials, having = served(session, self.windows, self.dataset.classes())
        if self.quarantine and trials and not having:
            raise DataError(
                f"None of the {trials} labelled trials of '{recording.id}' has a window",
                allowed="one that lies in the recording, and whose samples are valid as `windows` ask for",
                remedy="Look at the recording with 'data inspect'",
            )
        found = {"without_window": trials - having, "left_out": list(self.dataset.left_out(recording))}
        return {name: value for name, value in found.items() if value}

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

    def _source(self, recording: Recording) -> dict[str, Any]:
        """Return what `raw_session` opens the raw recording by."""
        files = [str(f.resolve()) for f in recording.files]
        dataset = self.dataset.model_dump(mode="json", serialize_as_any=True)
        return {"dataset": dataset, "item": {"id": recording.id, "subject": recording.subject, "files": files}}

    def _check(self, session: Session) -> None:
        if not len(session.trials.start_s):
            raise DataError(
                f"Recording '{session.session_id}' has no events",
                remedy="Add annotations to the file, or map its events in the recipe: dataset.events",
            )


def votes_of(session: Session, names: Sequence[str], classes: Sequence[str]) -> NDArray[np.float32] | None:
    """Return the votes (n_trials, K) in the order of the trials, from the facts of these names; None for no names.

    DataError names the trial whose votes are no counts, and a trial of one of the classes that nobody voted on: it
    would have a label without an expert behind it, and no shares to learn from. It is not left out: whoever keeps the
    table has to say which of the two is wrong. A trial of no class of these may be without votes.
    """
    if not names:
        return None
    facts, _ = facts_of(session.trials)
    if missing := [name for name in names if name not in facts]:
        given = f"The trials of '{session.session_id}' have no {one_of(missing)}"
        raise DataError(given, allowed=f"votes in {one_of(names)}", remedy="Check the recording's table of trials")
    if len(names) != len(classes):
        raise DataError(f"There are {len(names)} columns of votes", allowed=f"one for each of {one_of(classes)}")
    votes = np.array([[_count(v) for v in facts[name]] for name in names]).T.reshape(-1, len(names))
    counts = np.isfinite(votes).all(1) & (votes >= 0).all(1)
    labelled_rows = np.array([label in classes for label in session.trials.label], bool)
    for bad, what in ((~counts, "are no counts"), (labelled_rows & (votes.sum(1) == 0), "are all 0")):
        if bad.any():
            row = int(np.argmax(bad))
            onset, label = session.trials.start_s[row], session.trials.label[row]
            held = ", ".join(f"{n} {v:g}" for n, v in zip(names, votes[row], strict=True))
            raise DataError(
                f"Trial {row} of '{session.session_id}' (at {onset:g} s, labelled '{label}'): its votes {what}: {held}",
                allowed="counts of 0 or more, 1 or more together",
                remedy="Correct the row in its source, or leave its subject out with `exclude`",
            )
    return votes.astype(np.float32)


def _count(value: Any) -> float:
    return float(value) if isinstance(value, (int, float)) else float("nan")


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
    """The outputs of a prepare stage, read together. quarantined : what those say that hold no recording."""

    outputs: tuple[Output, ...]
    facts: tuple[dict[str, Any], ...]
    quarantined: tuple[dict[str, str], ...] = ()

    @classmethod
    def of(cls, outputs: Sequence[Output]) -> Prepared:
        """Return what some prepare outputs hold; DataError where `checked` raises."""
        good, bad = checked(outputs)
        return cls(good, tuple(read_json(o.path("prepared.json")) for o in good), bad)

    @property
    def caveats(self) -> list[str]:
        """What a report has to say of the recordings: the dataset's note, and which are in quarantine."""
        note = [self.dataset["note"]] if self.dataset["note"] else []
        return note + ([in_quarantine(self.quarantined)] if self.quarantined else []) + left_out(self.facts)

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
    def votes(self) -> list[Path] | None:
        """The files of votes, one a recording; None without votes, DataError where only some recordings have any."""
        having = [f.get("votes") for f in self.facts]
        if not any(having):
            return None
        if any(names != having[0] for names in having):
            odd = next(f["recording"] for f, names in zip(self.facts, having, strict=True) if names != having[0])
            given = f"Recording '{odd}' has other votes than '{self.facts[0]['recording']}', or none"
            raise DataError(given, remedy="Prepare datasets with and without votes in recipes of their own")
        return [o.path(VOTES) for o in self.outputs]

    def labelled(self) -> WindowSet:
        """Return the windows of all trials, with their votes where experts voted; raises what `labelled` raises."""
        return labelled(self.paths, self.windows, self.classes, votes=self.votes)

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
    source = read_json(output.path(SOURCE))
    item = source["item"] | {"files": tuple(map(Path, source["item"]["files"]))}
    session = DATASETS.parse(source["dataset"]).reopen(Recording(**item), output.folder)  # type: ignore[attr-defined]
    return begun(session, [SIGNALS.parse(op) for op in facts["chain"]])  # type: ignore[misc]
