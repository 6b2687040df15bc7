"""The report of a run: one HTML file that reads on a phone, in print and in the dark, and needs nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from neural_foundation.core.store import write_bytes

from .content import (
    Alarms,
    Calibration,
    Certainty,
    Confusion,
    DataSource,
    DecisionTrace,
    Estimate,
    HeldOutScores,
    Latency,
    LearningCurve,
    LearningCurves,
    ModelScores,
    PairedDifference,
    PretrainingGain,
    Provenance,
    ReportContent,
    ScalpMap,
    ScalpMaps,
    TemporalCoherence,
    TrainingBudget,
    Trial,
)

if TYPE_CHECKING:
    from rich.table import Table

__all__ = [
    "Alarms",
    "Calibration",
    "Certainty",
    "Confusion",
    "DataSource",
    "DecisionTrace",
    "Estimate",
    "HeldOutScores",
    "Latency",
    "LearningCurve",
    "LearningCurves",
    "ModelScores",
    "PairedDifference",
    "PretrainingGain",
    "Provenance",
    "ReportContent",
    "ScalpMap",
    "ScalpMaps",
    "TemporalCoherence",
    "TrainingBudget",
    "Trial",
    "terminal_table",
    "verdict",
    "write_report",
]


def write_report(path: Path | str, content: ReportContent) -> None:
    """Write the report as one HTML file, atomically; equal content gives equal bytes. Raises StoreError."""
    from .page import page

    write_bytes(path, page(content).encode())


def verdict(content: ReportContent) -> str:
    """Return the report in one sentence, computed from its scores; empty where there are none."""
    from .reading import verdict as sentence

    return sentence(content)


def terminal_table(scores: HeldOutScores) -> Table:
    """Return the scores as a rich table: model, mean, 95 % interval, chance, worst to best subject."""
    from .terminal import terminal_table as build

    return build(scores)
