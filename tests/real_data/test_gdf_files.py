"""The GDF reader on a real recording, sample by sample against MNE."""

from __future__ import annotations

import warnings
from pathlib import Path

import mne
import numpy as np
import pytest

from neural_foundation.core.errors import RecordingError
from neural_foundation.recordings.gdf import Gdf


@pytest.fixture
def recording(data_root: Path) -> Path:
    path = data_root / "format-samples/ssvep_subject03.gdf"
    if not path.is_file():
        pytest.skip("format-samples/ssvep_subject03.gdf is not in NEURAL_FOUNDATION_DATA")
    return path


def test_equal_to_mne(recording: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        raw = mne.io.read_raw_gdf(recording, verbose="ERROR")
    theirs = raw.get_data()
    with Gdf().open(recording) as session:
        signal = session.signal
        assert (np.abs(signal.read() - theirs) <= 1e-6 * np.abs(theirs) + 1e-15).all()
        assert np.array_equal(signal.read(1000, 3000), signal.read()[:, 1000:3000])
        assert signal.spec.ch_names == tuple(raw.ch_names)
        assert set(signal.spec.ch_types) == {"eeg"}
        assert None not in signal.spec.positions
        assert (signal.spec.sfreq, signal.n_times) == (raw.info["sfreq"], raw.n_times)
        assert signal.valid().all()
        assert session.trials.label == tuple(raw.annotations.description)
        np.testing.assert_allclose(session.trials.start_s, raw.annotations.onset, atol=1e-9)
        # the table has no durations: MNE gives each event one sample
        assert np.array_equal(session.trials.start_s, session.trials.end_s)
        np.testing.assert_allclose(raw.annotations.duration, 1 / 256)


def test_line_ending_damage_is_named(recording: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "x.gdf"
    damaged.write_bytes(recording.read_bytes().replace(b"\n", b"\r\n"))
    with pytest.raises(RecordingError, match="line-ending conversion"):
        Gdf().open(damaged)
