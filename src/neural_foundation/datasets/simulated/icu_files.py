"""The files of simulated EEGs, as the competition names and fills them: `train.csv`, EEGs, spectrograms; the truth."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...core.errors import MissingExtraError
from ...core.store import atomic, save_arrays, write_bytes
from ..hms import CHANNELS, TRAIN
from ..hms_table import CONSENSUS, VOTES
from .icu_plan import Plan, eeg_ids, patient_id, plan
from .icu_truth import cast, consensus, known, truth_file

if TYPE_CHECKING:
    from .icu import SimulatedHMS

HEADER = (
    *("eeg_id", "eeg_sub_id", "eeg_label_offset_seconds"),
    *("spectrogram_id", "spectrogram_sub_id", "spectrogram_label_offset_seconds"),
    *("label_id", "patient_id", CONSENSUS, *VOTES),
)


def eeg_values(spec: SimulatedHMS, plan: Plan) -> NDArray[np.float32]:
    """Return one EEG (20, n) at 200 Hz in microvolts, in hundredths as published; NaN where samples are missing."""
    from .icu_artefacts import HZ, add_artefacts, add_heart, heart, lose_samples
    from .icu_brain import brain

    times = np.arange(round(plan.length_s * HZ)) / HZ
    scalp = brain(spec, plan, times, HZ, "eeg")
    beats = heart(spec, plan)
    add_heart(scalp, beats, spec, plan)
    add_artefacts(scalp, spec, plan)
    values = np.round(np.concatenate([scalp, beats[None]]), 2)
    lose_samples(values, spec, plan)
    return values


def rows_of(spec: SimulatedHMS, plan: Plan) -> list[str]:
    """Return the lines of `train.csv` that are of one EEG."""
    votes, lines = cast(spec, plan), []
    for k, (offset, word) in enumerate(zip(plan.offsets.tolist(), consensus(votes), strict=True)):
        places = [plan.eeg, k, offset, plan.spectrogram, k, offset, plan.label_ids[k], patient_id(plan.patient.number)]
        lines.append(",".join(map(str, [*places, word, *votes[k].tolist()])))
    return lines


def write_eeg(spec: SimulatedHMS, eeg: int, folder: Path) -> None:
    """Write the files of one EEG, a `train.csv` of its rows and its truth."""
    made = plan(spec, eeg)
    _write_signals(spec, made, folder, spectrogram=spec.spectrogram)
    write_table(folder, rows_of(spec, made))


def write_layout(spec: SimulatedHMS, folder: Path, progress: Callable[[int, int], None] | None = None) -> None:
    """Write a whole set into `folder`, `train.csv` last; `progress(done, of)` is called after each EEG.

    Spectrograms are written whatever the setting says: the layout has them. MissingExtraError without pyarrow.
    """
    plans = [plan(spec, eeg) for k in range(1, spec.patients + 1) for eeg in eeg_ids(spec, k)]
    for done, made in enumerate(plans, 1):
        _write_signals(spec, made, folder, spectrogram=True)
        if progress is not None:
            progress(done, len(plans))
    write_table(folder, [line for made in plans for line in rows_of(spec, made)])


def write_table(folder: Path, lines: Sequence[str]) -> None:
    """Write `train.csv` of the given lines."""
    write_bytes(folder / TRAIN, ("\n".join((",".join(HEADER), *lines)) + "\n").encode())


def _write_signals(spec: SimulatedHMS, made: Plan, folder: Path, *, spectrogram: bool) -> None:
    values = eeg_values(spec, made)
    _write_columns(folder / "train_eegs" / f"{made.eeg}.parquet", dict(zip(CHANNELS, values, strict=True)))
    save_arrays(truth_file(folder, made.eeg), known(spec, made))
    if not spectrogram:
        return
    from .icu_spectrogram import spectrogram_columns

    path = folder / "train_spectrograms" / f"{made.spectrogram}.parquet"
    _write_columns(path, spectrogram_columns(spec, made, values))


def _write_columns(path: Path, columns: dict[str, NDArray[Any]]) -> None:
    """Write a Parquet file of plain columns; NaN stays NaN."""
    try:
        import pyarrow
        import pyarrow.parquet as parquet
    except ImportError:
        raise MissingExtraError("pyarrow", "tables") from None
    table = pyarrow.table({name: pyarrow.array(column) for name, column in columns.items()})
    with atomic(path) as temporary:
        parquet.write_table(table, temporary, use_dictionary=False, write_statistics=False)
