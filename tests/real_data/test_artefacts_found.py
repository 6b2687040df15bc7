"""Artefacts and quality on real EEG; the figures over all recordings are those of benchmarks/artefacts.py."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from neural_foundation.core.stream import run
from neural_foundation.recordings import read
from neural_foundation.signals.artefacts import Artefacts
from neural_foundation.signals.bad_channels import BadChannels
from neural_foundation.signals.quality import quality


def test_a_real_recording_is_usable_and_its_line_is_told(data_root: Path) -> None:
    filtered = quality(data_root / "eegmat" / "Subject06_1.edf")
    assert filtered.usable > 0.95
    assert filtered.bad_channels == {}
    assert all(c.line_db["50"] is not None and c.line_db["50"] < -5 for c in filtered.channels)
    (raw,) = (data_root / "ssvep-exo" / "subject08").glob("*16.35.05*_raw.fif")
    assert max(c.line_db["50"] or 0 for c in quality(raw).channels) > 15


@pytest.mark.parametrize("subject", ["Subject03", "Subject09"])
def test_faults_in_a_real_recording_are_found(data_root: Path, subject: str) -> None:
    with read(data_root / "eegmat" / f"{subject}_1.edf") as session:
        spec, values = session.signal.spec, session.signal.read()
    values[4, 5000:] = values[4, 5000]
    values[:2, 7000:7150] += (2e-4 * np.hanning(150)).astype(np.float32)
    bad = run(BadChannels(output="reasons", repair="none").bind(spec), values)
    assert (bad.values[4, 5500:].astype(int) & 1).all()
    assert not bad.values[0].any()
    assert not run(Artefacts().bind(spec), values).valid[7040:7110].any()
