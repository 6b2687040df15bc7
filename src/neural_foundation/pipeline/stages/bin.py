"""bin: spikes, behaviour and classes of each recording, in equal bins of its trials."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from ...core.lineage import Output
from ...core.store import read_json, remove
from ...sampling.behaviours import Dynamic, Dynamics, Neural, Static, Statics
from ...sampling.binned import FACTS, BinnedSession
from ..stage import Job
from .listed import OfRecordings

SPIKES, LFP = "spikes", "lfp"
CHAINS = "chains"  # what the chains of signals make; gone when they are binned
NO_TRIALS = "none"
# the behaviours of the task of the International Brain Laboratory, in the words of its files
IBL_DYNAMIC = (
    ("wheel_speed", Dynamic(source="wheel", measure="speed", sampled="change")),
    ("left_motion_energy", Dynamic()),
    ("right_motion_energy", Dynamic()),
)
IBL_STATIC = (
    ("choice", Static(classes=(("left", 1.0), ("right", -1.0)))),
    ("block", Static(source="probabilityLeft", classes=(("0.2", 0.2), ("0.5", 0.5), ("0.8", 0.8)))),
)


class Bin(OfRecordings):
    """One item a recording: its trials in bins, and the facts of what was left out (see `sampling.binned`).

    Bins of a trial begin at its onset (`align` + `start_s`). What is left out, and why, stands in the facts of
    `binned.json`: units that are silent or below a threshold, trials without an onset or outside the recording.
    """

    kind: Literal["bin"] = "bin"
    bin_s: float = Field(0.02, gt=0, description="length of a bin")
    align: str = Field(
        "stimOn_times", description="time column of the trials; '': their start; 'none': the whole recording, no trials"
    )
    start_s: float = Field(-0.5, description="where a trial's first bin begins, after its onset")
    length_s: float = Field(2.0, gt=0, description="how long a trial is")
    spikes: tuple[str, ...] = Field(
        (), description="names of the spikes, or of one signal of counts; (): all there are"
    )
    min_rate_hz: float = Field(0.5, ge=0, description="units with fewer spikes a second in the bins are left out")
    max_rate_hz: float | None = Field(None, gt=0, description="units with more spikes a second are left out")
    min_quality: float | None = Field(None, description="least `quality` of a unit where the files say it; None: all")
    lfp: Neural | None = Field(
        None, description="signal that becomes the modality 'lfp'; neural, unless it says `role`"
    )
    dynamic: Dynamics = Field(IBL_DYNAMIC, description="behaviours over time: name -> where from and what of it")
    static: Statics = Field(IBL_STATIC, description="classes of a trial: name -> column and classes")
    on_missing: Literal["raise", "allow"] = Field("raise", description="when a recording lacks a behaviour or a class")
    on_gap: Literal["mask", "drop_trial"] = Field("mask", description="when a behaviour has gaps in a trial")
    on_no_class: Literal["keep", "drop_trial"] = Field("keep", description="when a trial has none of the classes")

    gives: ClassVar[str] = "Binned"

    @model_validator(mode="after")
    def _fits(self) -> Bin:
        names = [SPIKES, *([LFP] if self.lfp else []), *(n for n, _ in (*self.dynamic, *self.static))]
        if twice := sorted({n for n in names if names.count(n) > 1}):
            raise ValueError(f"two modalities are named '{twice[0]}'")
        if self.max_rate_hz is not None and self.max_rate_hz < self.min_rate_hz:
            raise ValueError(f"max_rate_hz {self.max_rate_hz:g} is below min_rate_hz {self.min_rate_hz:g}")
        if self.align == NO_TRIALS:
            if self.static:
                raise ValueError("with 'align: none' there are no trials, so no classes of them: give 'static: {}'")
            if self.on_gap == "drop_trial":
                raise ValueError("with 'align: none' there is no trial to drop: on_gap must be 'mask'")
        elif abs(self.length_s / self.bin_s - round(self.length_s / self.bin_s)) > 1e-6:
            raise ValueError(f"length_s {self.length_s:g} is no whole number of bins of {self.bin_s:g} s")
        return self

    @property
    def continuous(self) -> tuple[tuple[str, Dynamic], ...]:
        """The modalities over time beside the spikes, in order."""
        return (*(((LFP, self.lfp),) if self.lfp else ()), *self.dynamic)

    @property
    def classes(self) -> tuple[tuple[str, Static], ...]:
        """The modalities that are one class a trial, in order."""
        return self.static

    def run(self, job: Job) -> None:
        from .bin_session import binned

        recording = self.recording(job.item)
        chains = job.folder / CHAINS
        try:
            with self.dataset.open(recording, job.folder) as session:
                made, facts = binned(self, recording, session, chains, job.progress)
        finally:
            remove(chains)
        job.subjects.add(recording.subject)
        window = {"window_s": float(getattr(self.dataset, "window_s", 0.0))}
        made.write(job.folder, facts | self.facts_of(recording) | window)


@dataclass(frozen=True)
class Binned:
    """The outputs of a bin stage, read together, in the order of the sessions' names. facts : of each session."""

    outputs: tuple[Output, ...]
    sessions: tuple[BinnedSession, ...]
    facts: tuple[dict[str, Any], ...]

    @classmethod
    def of(cls, outputs: Sequence[Output]) -> Binned:
        """Return what some outputs of a bin stage hold."""
        read = [(o, BinnedSession.read(o.folder), dict(read_json(o.path(FACTS))["facts"])) for o in outputs]
        read.sort(key=lambda r: r[1].spec.name)
        return cls(tuple(r[0] for r in read), tuple(r[1] for r in read), tuple(r[2] for r in read))

    @property
    def folders(self) -> tuple[Path, ...]:
        """Where each session lies."""
        return tuple(o.folder for o in self.outputs)

    @property
    def subjects(self) -> tuple[str, ...]:
        """Who they are of, each once."""
        return tuple(dict.fromkeys(s.spec.subject for s in self.sessions))

    @property
    def dataset(self) -> dict[str, Any]:
        """The facts of the dataset: kind, title, licence, citation, url, note."""
        return dict(self.facts[0]["dataset"])
