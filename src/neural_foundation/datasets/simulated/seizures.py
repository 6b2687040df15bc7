"""Simulated long recordings with seizures of known onset, what comes before them, and what only looks alike.

Before a seizure the focus (one temporal lobe, another side in other people) changes little by little: more spikes,
more fast activity, less slow activity. A share of the people has seizures without any warning. What misleads: sleep
and its spindles, restless stretches with muscle and movement, electrode pops, and build-ups that end in nothing.

Labels: `baseline` and `preictal` (the last `preictal_min` minutes before an onset) are classes; `seizure` and
`postictal` are in the file and in no class.

Deliberate simplifications: one kind of seizure, one focus a person, no medication, no clusters. That a change before
a seizure exists at all, and how strong it is, is an assumption here and an open question in people.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, model_validator

from ..base import DatasetInfo
from .made import CITATION, LICENCE, NOTE, Generated, Made

CLASSES = ("baseline", "preictal")


class SimulatedSeizures(Generated):
    """Hours of eight channels around temporal seizures of simulated people."""

    kind: Literal["simulated_seizures"] = "simulated_seizures"
    hours: float = Field(3.0, ge=0.5, le=48.0, description="length of a recording")
    seizures: int = Field(3, ge=1, le=24, description="seizures in a recording, apart by chance")
    preictal_min: float = Field(10.0, ge=1.0, le=60.0, description="minutes before an onset in which the focus changes")
    warning: float = Field(1.0, ge=0.0, le=3.0, description="strength of that change; 0: there is none")
    without_warning: float = Field(0.25, ge=0.0, le=1.0, description="share of people who have no such change")
    distractors: bool = Field(True, description="restless stretches, pops, build-ups that end in nothing")
    sfreq: int = Field(100, ge=100, le=500, description="samples per second")

    info: ClassVar[DatasetInfo] = DatasetInfo(
        title="Simulated seizures",
        licence=LICENCE,
        citation=CITATION,
        sfreq=100.0,
        n_chans=8,
        note=f"{NOTE} Whether seizures announce themselves is assumed here, not shown.",
    )

    @model_validator(mode="after")
    def _room(self) -> SimulatedSeizures:
        needed = self.seizures * (self.preictal_min + 10.0)
        if needed > self.hours * 60:
            raise ValueError(f"{self.seizures} seizures need {needed:g} minutes, hours gives {self.hours * 60:g}")
        return self

    def classes(self) -> tuple[str, ...]:
        return CLASSES

    def simulate(self, subject: str) -> Made:
        """Return one recording; `known` holds `onset_s`, `end_s`, `focus`, `warns`, `asleep_s`, `restless_s`, ..."""
        from .seizures_signal import recording

        return recording(self, subject)
