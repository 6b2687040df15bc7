"""The watch on real recordings that nobody disturbed; the figures are those of benchmarks/drift.py."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from neural_foundation.core.specs import SignalSpec, TargetSpec
from neural_foundation.core.stream import Chunk
from neural_foundation.realtime.watch import Alarm, Watch
from neural_foundation.recordings import read

FACTS: Any = SimpleNamespace(target=TargetSpec(classes=("a", "b")), trained={})


def alarms(values: np.ndarray, signal: SignalSpec) -> list[Alarm]:
    watch, out = Watch(FACTS, signal), []
    for a in range(0, values.shape[1], 128):
        out += watch.block(Chunk.of(values[:, a : a + 128], a))
    return out


def test_real_eeg_raises_no_more_alarms_than_stated(data_root: Path) -> None:
    files = sorted((data_root / "ssvep-exo").glob("subject*/*_raw.fif*"))
    if not files:
        pytest.skip("ssvep-exo is not in NEURAL_FOUNDATION_DATA")
    found, watched_s = [], 0.0
    for path in files:
        with read(path) as session:
            signal = session.signal
            found += alarms(signal.read(), signal.spec)
            watched_s += signal.n_times / signal.spec.sfreq - 60
    most = watched_s / 3600 + 2 * np.sqrt(watched_s / 3600)
    for kind in ("input", "quality"):
        assert sum(a.kind == kind for a in found) <= most


def test_real_eeg_through_other_gains_is_noticed(data_root: Path) -> None:
    (path,) = (data_root / "ssvep-exo" / "subject08").glob("*16.35.05*_raw.fif")
    with read(path) as session:
        values, signal = session.signal.read(), session.signal.spec
    values[2, round(150 * signal.sfreq) :] *= 2
    first = next(a for a in alarms(values, signal) if a.kind == "input")
    assert 150 < first.at_s < 170
    assert first.what.startswith(signal.ch_names[2])


def test_real_place_cells_that_fall_silent_are_noticed(data_root: Path) -> None:
    path = data_root / "ratgps" / "2D" / "data" / "R2192_1x200_at5_step200_bin100-RAW_feat.dat"
    if not path.exists():
        pytest.skip("ratgps is not in NEURAL_FOUNDATION_DATA")
    counts = np.loadtxt(path).T.astype(np.float32)
    signal = SignalSpec(sfreq=5.0, ch_names=tuple(f"u{k}" for k in range(len(counts))), units=("",) * len(counts))
    counts[::2, 5 * 500 :] = 0
    assert any(a.kind == "input" and a.at_s > 500 for a in alarms(counts, signal))
