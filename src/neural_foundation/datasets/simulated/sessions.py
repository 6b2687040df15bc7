"""Simulated sessions of mice that decide: sorted spikes, a wheel and two cameras, in the shape of IBL's repeated site.

An animal sees a stimulus on the left or the right and turns a wheel. Blocks of trials favour one side, and the animal
knows. Spikes are Poisson; what drives them is known and written beside each session (`session_truth`), so that a
model can be held against the rates that made the spikes, and a decoder against one that knows the tuning. The
equations stand in `sessions_brain`. Names, labels and values are those of the dataset `ibl`: one configuration of
bins serves both.

Deliberate simplifications: no refractory period, no bursts, no noise shared by units beyond arousal and drift; no
trial without a choice; no reward response; blocks of probability 0.5 come back (IBL has one, at the start), so that
every stretch of a session has all of them; behaviours are Gaussian processes through known curves.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from pydantic import Field, field_validator

from ...core.errors import DataError, did_you_mean
from ...core.seeds import generator
from ..base import DatasetInfo, Item
from .made import LICENCE, NOTE, Simulated

if TYPE_CHECKING:
    from ...recordings import Session

_CYCLE = 5  # of so many sessions in a row the first two are of one animal


class SimulatedSessions(Simulated):
    """Mice that decide between left and right; a session is a function of the seed and its number alone.

    Session `session003` is the same whichever others are made. Units of all sessions come from one distribution of
    tuning, which differs between regions; each session has its own number of them, each animal its own behaviour.
    """

    kind: Literal["simulated_sessions"] = "simulated_sessions"
    sessions: int = Field(10, ge=1, le=999, description="how many sessions")
    first: int = Field(0, ge=0, le=99_999, description="number of the first one, e.g. 10 for sessions never seen")
    trials: int = Field(200, ge=4, le=5000, description="trials a session")
    units: int = Field(60, ge=2, le=5000, description="sorted units a session, the mean over sessions")
    spread: float = Field(0.3, ge=0.0, le=0.9, description="sessions have this share more or fewer units, at most")
    probes: int = Field(1, ge=1, le=4, description="probes a session; the units are dealt out in turn")
    regions: tuple[str, ...] = Field(
        ("PPC", "CA1", "DG", "LP", "PO"), min_length=1, description="regions along a probe, top to bottom"
    )
    rate_hz: float = Field(4.0, gt=0, le=100.0, description="median over units of the mean rate")
    tuning: float = Field(1.0, ge=0.0, le=3.0, description="factor on all tuning; 0: spikes tell nothing")
    drift: float = Field(0.1, ge=0.0, le=1.0, description="slow change of each unit's rate, sd of its logarithm")
    block_trials: int = Field(
        25, ge=2, le=1000, description="mean length of a block of one prior, trials; a quarter of the session at most"
    )
    lfp: int = Field(0, ge=0, le=384, description="channels of a local field potential at 250 Hz; 0: none")
    seed: int = Field(0, ge=0, description="another seed gives other animals and units")

    info: ClassVar[DatasetInfo] = DatasetInfo(
        title="Simulated sessions of a decision task",
        licence=LICENCE,
        citation=(
            "none: generated; the task after International Brain Laboratory et al. 2021, Standardized and reproducible "
            "measurement of decision-making in mice, eLife 10:e63711"
        ),
        note=NOTE.replace("people", "animals"),
    )

    @field_validator("regions")
    @classmethod
    def _regions_differ(cls, regions: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(regions)) != len(regions):
            raise ValueError("a region occurs twice")
        return regions

    def items(self) -> list[Item]:
        numbers = range(self.first, self.first + self.sessions)
        return [Item(id=f"session{k:03d}", subject=f"animal{animal_of(k):03d}") for k in numbers]

    def classes(self) -> tuple[str, ...]:
        return ("left", "right")

    def rng(self, of: str, number: int | str, part: str) -> np.random.Generator:
        """Return the generator of one part of a session, animal or region: leaving a part out leaves the others."""
        return generator(self.seed, self.kind, of, number, part)

    def open(self, item: Item, folder: Path) -> Session:
        """Write `<session>-truth.npz` into `folder` and return the session, which lies in memory.

        Spikes by probe (`probe00`), with `region`, `depth_m` and `quality` (1 is good, 0.67 several neurons in one).
        Series `wheel`, `left_motion_energy`, `right_motion_energy`; the signal `lfp` where there is one.
        """
        from .session_truth import save_truth
        from .sessions_brain import simulate
        from .sessions_record import recorded

        names = [i.id for i in self.items()]
        if item.id not in names:
            raise DataError(f"No simulated session '{item.id}'.{did_you_mean(item.id, names)}")
        number = self.first + names.index(item.id)
        made = simulate(self, number, animal_of(number))
        folder.mkdir(parents=True, exist_ok=True)
        save_truth(folder, item.id, made)
        return recorded(made, item.id, item.subject)


def animal_of(number: int) -> int:
    """Return the number of the animal of a session; sessions 0 and 1 are of one animal, then 5 and 6, and so on."""
    cycle, place = divmod(number, _CYCLE)
    return cycle * (_CYCLE - 1) + max(place - 1, 0)
