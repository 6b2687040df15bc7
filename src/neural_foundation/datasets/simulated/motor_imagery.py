"""Simulated motor imagery: many subjects, two classes, and the truth beside the recordings.

Each subject has two mu sources under the hand areas, a posterior alpha, a 1/f background, and artefacts. Imagining
the left hand takes power from the right-hemisphere source from about 0.5 s after the cue on, and the right hand from
the left one. What the sources really did is written beside each recording (`truth`), so a decoder can be compared
with the best that the sources allow (`ceiling`).

Deliberate simplifications: a spherical head, rhythms with Gaussian envelopes, a harmonic that follows its mu exactly
(so beta tells a decoder nothing that mu does not), no rebound after the movement, no learning over trials.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from ...core.errors import DataError, did_you_mean
from ..base import DatasetInfo, Item
from .generate import simulate
from .ground_truth import CLASSES, save_truth
from .made import LICENCE, NOTE, Simulated

if TYPE_CHECKING:
    from ...recordings import Session


class SimulatedMotorImagery(Simulated):
    """Left and right hand imagery of simulated subjects; deterministic per (seed, subject)."""

    kind: Literal["simulated_motor_imagery"] = "simulated_motor_imagery"
    subjects: int = Field(12, ge=1, le=999, description="how many people")
    trials: int = Field(60, ge=2, description="trials a subject, the two classes in equal parts")
    trial_s: float = Field(4.0, ge=1.0, le=60.0, description="seconds from the cue to the end of the imagery")
    rest_s: float = Field(2.0, ge=1.0, le=60.0, description="shortest rest between trials, seconds")
    sfreq: int = Field(250, ge=100, le=2000, description="samples per second")
    channels: Literal[8, 16, 19, 22, 32, 64] = Field(32, description="how many electrodes of the 10-10 system")
    snr: float = Field(1.0, gt=0.0, le=20.0, description="factor on the amplitude of the mu sources")
    erd: float = Field(
        0.65, ge=0.0, le=0.95, description="share of the mu power that imagery takes away, mean; 0: no class"
    )
    blinks: bool = Field(True, description="eye blinks, 12-15 a minute")
    muscle: bool = Field(True, description="bursts of temporal muscles, about 3 a minute")
    line_hz: float | None = Field(50.0, gt=0, description="power line; null for none")
    background: int = Field(120, ge=1, le=1000, description="dipoles of the 1/f background")
    seed: int = Field(0, ge=0, description="another seed gives other people")

    info: ClassVar[DatasetInfo] = DatasetInfo(
        title="Simulated motor imagery",
        licence=LICENCE,
        citation="none: generated; sources in the docstrings",
        note=NOTE,
    )

    def items(self) -> list[Item]:
        names = [f"sim{k:03d}" for k in range(1, self.subjects + 1)]
        return [Item(id=name, subject=name) for name in names]

    def classes(self) -> tuple[str, ...]:
        return CLASSES

    def open(self, item: Item, folder: Path) -> Session:
        """Write `<subject>.edf` and `<subject>-truth.npz` into `folder` and return the EDF as the reader sees it."""
        from ...recordings import Intervals, read, write_edf

        known = [i.subject for i in self.items()]
        if item.subject not in known:
            raise DataError(f"No simulated subject '{item.subject}'.{did_you_mean(item.subject, known)}")
        recording = simulate(self, item.subject)
        onsets = recording.truth.onset_s
        labels = tuple(CLASSES[k] for k in recording.truth.label)
        folder.mkdir(parents=True, exist_ok=True)
        save_truth(folder, item.subject, recording.truth)
        path = folder / f"{item.id}.edf"
        trials = Intervals(onsets, onsets + self.trial_s, labels)
        write_edf(path, values=recording.values, spec=recording.spec, annotations=trials, subject=item.subject)
        return read(path, subject=item.subject)
