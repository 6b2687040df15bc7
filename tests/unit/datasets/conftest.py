"""Small recordings to build folders from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from neural_foundation.core.kinds import Row as KindRow
from neural_foundation.core.specs import SignalSpec
from neural_foundation.recordings import READERS, Intervals, write_edf

Row = tuple[float, float, str]
WriteEdf = Callable[..., Path]


@pytest.fixture
def edf() -> WriteEdf:
    """Return a function that writes a short EDF+ with the given labels."""

    def write(
        path: Path,
        rows: Sequence[Row] = (),
        *,
        seconds: int = 10,
        sfreq: float = 100.0,
        names: Sequence[str] = ("C3", "C4"),
    ) -> Path:
        values = np.random.default_rng(0).normal(size=(len(names), int(seconds * sfreq))) * 1e-5
        path.parent.mkdir(parents=True, exist_ok=True)
        spec = SignalSpec(sfreq=sfreq, ch_names=tuple(names), ch_types=("eeg",) * len(names))
        write_edf(path, values=values, spec=spec, annotations=Intervals.of(rows))
        return path

    return write


@pytest.fixture
def nwb_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make sure that `read` knows NWB."""
    if "nwb" not in READERS.rows:
        monkeypatch.setitem(READERS.rows, "nwb", KindRow("neural_foundation.recordings.nwb:Nwb", "NWB"))


@pytest.fixture
def gdf_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make sure that `read` knows GDF."""
    if "gdf" not in READERS.rows:
        monkeypatch.setitem(READERS.rows, "gdf", KindRow("neural_foundation.recordings.gdf:Gdf", "GDF"))
