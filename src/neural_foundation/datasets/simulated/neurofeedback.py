"""Simulated neurofeedback: rest against raised posterior alpha, of people who can raise it and people who cannot.

The recording is one of calibration: blocks of rest and of trying, in turn, by people as they are after some training.
The same brain closes the loop in `neurofeedback_brain`, where it learns from the feedback that it is given.

Deliberate simplifications: one rhythm, no eyes closing, no drowsiness, trying that costs nothing; that alpha can be
learnt by reward is assumed here (`neurofeedback_brain` says how), and argued about in people.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from ..base import DatasetInfo
from .made import CITATION, LICENCE, NOTE, Generated, Made

CLASSES = ("rest", "up")


class SimulatedNeurofeedback(Generated):
    """Blocks of rest and of raised alpha of simulated people; eight channels."""

    kind: Literal["simulated_neurofeedback"] = "simulated_neurofeedback"
    subjects: int = Field(16, ge=1, le=999, description="how many people")
    blocks: int = Field(20, ge=2, description="blocks a person, rest and up in turn")
    block_s: float = Field(20.0, ge=4.0, le=300.0, description="seconds of a block")
    skill: float = Field(
        0.5, ge=0.0, le=3.0, description="what a responder adds to the logarithm of the alpha amplitude, mean; 0: none"
    )
    responders: float = Field(0.7, ge=0.0, le=1.0, description="share of people who can raise their alpha at all")
    sfreq: int = Field(100, ge=100, le=1000, description="samples per second")

    info: ClassVar[DatasetInfo] = DatasetInfo(
        title="Simulated neurofeedback",
        licence=LICENCE,
        citation=CITATION,
        sfreq=100.0,
        n_chans=8,
        note=f"{NOTE} That people learn from feedback is assumed here, not shown.",
    )

    def classes(self) -> tuple[str, ...]:
        return CLASSES

    def simulate(self, subject: str) -> Made:
        """One recording; `known`: `responder`, `skill`, `alpha_hz` and `amplitude` of alpha, (n_blocks,)."""
        from .neurofeedback_brain import calibration

        return calibration(self, subject)
