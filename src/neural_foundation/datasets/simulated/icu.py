"""Simulated EEG of intensive care: six classes of harmful activity, many experts who disagree, the layout of `hms`.

A pattern is a point in a continuous space: how strong it is, how sharp, how lateralised, how much it evolves. The
signal is made from that point, and so are the votes: where a point lies between two classes, or the pattern hardly
shows in the 10 s that are judged, experts disagree. What each expert thinks is known, so that the best score that
anybody can reach is known too (`icu_truth`). What misleads: slowing and asymmetry of the background, burst
suppression, blinks, muscle, heartbeats in the EEG, electrodes that pop, move, lie flat or are missing.

Deliberate simplifications: one pattern an EEG; one EEG a spectrogram; sources on a sphere; experts who err
independently of each other; the wording of the classes only, after Hirsch et al. 2021, American Clinical
Neurophysiology Society's Standardized Critical Care EEG Terminology, J Clin Neurophysiol 38(1):1-29.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator

from ...core.errors import DataError, RecordingError, did_you_mean
from ...core.seeds import generator
from ..base import DatasetInfo, Item
from ..hms_table import CLASSES, VOTES
from .made import LICENCE, NOTE, Simulated

if TYPE_CHECKING:
    from ...recordings import Session


class SimulatedHMS(Simulated):
    """Patients of intensive care in the competition's layout; a patient is a function of the seed and his number.

    An item is one EEG, its subject the patient. Opened, it is what the dataset `hms` gives for such files.
    """

    kind: Literal["simulated_hms"] = "simulated_hms"
    patients: int = Field(120, ge=1, le=9999, description="how many patients")
    eegs: int = Field(3, ge=1, le=9, description="EEGs of a patient, at most; each has from one to that many")
    rows: int = Field(3, ge=1, le=20, description="labelled windows of an EEG, at most, 2 to 8 s apart")
    least_experts: int = Field(3, ge=1, le=28, description="fewest votes on a window")
    most_experts: int = Field(20, ge=1, le=28, description="most votes on a window")
    disagreement: float = Field(1.0, ge=0.0, le=3.0, description="how far experts differ; 0: only the pattern decides")
    snr: float = Field(1.0, gt=0.0, le=10.0, description="factor on the amplitude of the patterns, not of the rest")
    artefacts: float = Field(1.0, ge=0.0, le=5.0, description="factor on how often artefacts come; 0: none")
    nan_share: float = Field(0.1, ge=0.0, le=1.0, description="share of the EEGs in which samples are missing")
    spectrogram: bool = Field(True, description="make and give the spectrogram beside the EEG")
    ekg: bool = Field(False, description="give the EKG, too, which the files always hold")
    seed: int = Field(0, ge=0, description="another seed gives other patients and experts")

    info: ClassVar[DatasetInfo] = DatasetInfo(
        title="Simulated harmful brain activity",
        licence=LICENCE,
        citation=(
            "none: generated; layout and classes after Jing et al. 2024, HMS - Harmful Brain Activity Classification, "
            "Kaggle"
        ),
        sfreq=200.0,
        n_chans=20,
        note=NOTE,
        files="train.csv, train_eegs/EEG_ID.parquet, train_spectrograms/SPECTROGRAM_ID.parquet, EEG_ID-truth.npz",
    )

    @model_validator(mode="after")
    def _some_experts(self) -> SimulatedHMS:
        if self.least_experts > self.most_experts:
            raise ValueError(f"least_experts is {self.least_experts}, most_experts only {self.most_experts}")
        return self

    def classes(self) -> tuple[str, ...]:
        return CLASSES

    def votes(self) -> tuple[str, ...]:
        return VOTES

    def items(self) -> list[Item]:
        from .icu_plan import eeg_ids, patient_id

        numbers = range(1, self.patients + 1)
        return [Item(id=str(eeg), subject=str(patient_id(k))) for k in numbers for eeg in eeg_ids(self, k)]

    def rng(self, *names: str | int) -> np.random.Generator:
        """Return the generator of one part of one patient or EEG: leaving a part out leaves the others."""
        return generator(self.seed, self.kind, *names)

    def open(self, item: Item, folder: Path) -> Session:
        """Write the files of one EEG into `folder`, with a `train.csv` of its rows, and return them as `hms` does.

        `<eeg>-truth.npz` beside them holds what is known of no real EEG (`icu_truth.truth`).
        """
        from .icu_files import write_eeg

        known = {i.id: i for i in self.items()}
        if known.get(item.id, item).subject != item.subject or item.id not in known:
            given = f"No simulated EEG '{item.id}' of patient '{item.subject}'"
            raise DataError(f"{given}.{did_you_mean(item.id, list(known))}")
        write_eeg(self, int(item.id), folder)
        return self.reopen(item, folder)

    def reopen(self, item: Item, folder: Path) -> Session:
        from ..hms import HMS, TRAIN

        reader = HMS(path=folder, spectrogram=self.spectrogram, ekg=self.ekg)
        written = next((i for i in reader.items() if i.id == item.id), None)
        if written is None:
            raise RecordingError(folder / TRAIN, f"it has no EEG '{item.id}'", remedy="Run again; it will be made anew")
        return reader.open(written, folder)

    def write(self, folder: Path) -> None:
        """Write the whole set as the competition lays it out, spectrograms included, and the truth of each EEG."""
        from .icu_files import write_layout

        write_layout(self, folder)
