"""Simulated nights: six channels, a Markov hypnogram, five stages scored in epochs of 30 s.

What changes with the stage (AASM manual, Berry et al. 2012, in words): posterior alpha, blinks and muscle tone awake;
slow rolling eyes and theta in N1; spindles and K-complexes in N2; slow waves of high amplitude in N3; rapid eyes and
no muscle tone in REM. The body changes stage at any 10 s; an epoch's label is the stage it holds most of, so that
epochs at a change are mixed, as they are for a human scorer. People differ in every amplitude; some have hardly any
alpha.

Deliberate simplifications: no respiration, no heart, no disorders, no scorer who errs; events of Gaussian noise.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from ..base import DatasetInfo
from .made import CITATION, LICENCE, NOTE, Generated, Made

STAGES = ("W", "N1", "N2", "N3", "R")


class SimulatedSleep(Generated):
    """Wake, N1, N2, N3 and REM of simulated nights; F4, C4, O2, two eyes and the chin."""

    kind: Literal["simulated_sleep"] = "simulated_sleep"
    hours: float = Field(5.0, ge=0.25, le=12.0, description="length of a night, rounded to epochs of 30 s")
    cycle_min: float = Field(90.0, ge=5.0, le=180.0, description="minutes of a cycle from light to deep to REM")
    sfreq: int = Field(100, ge=100, le=500, description="samples per second")
    wander: float = Field(
        0.3, ge=0.0, le=1.0, description="how much rhythms wax and wane within a stage (sd of their logarithm)"
    )

    info: ClassVar[DatasetInfo] = DatasetInfo(
        title="Simulated nights", licence=LICENCE, citation=CITATION, sfreq=100.0, n_chans=6, note=NOTE
    )

    def classes(self) -> tuple[str, ...]:
        return STAGES

    def simulate(self, subject: str) -> Made:
        """Return one night; `known` holds `stage` (n,) in steps of 10 s, `spindle_s`, `k_complex_s`, `arousal_s`."""
        from .sleep_signal import night

        return night(self, subject)
