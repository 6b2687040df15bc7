"""Real recordings in words and as a picture: what is known of these files is what is said of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from neural_foundation.evaluation.inspection import Inspection, draw, inspect_session
from neural_foundation.recordings import read


def inspected(path: Path, picture: Path) -> Inspection:
    with read(path) as session:
        found = inspect_session(session)
        draw(picture, session, found)
    assert picture.read_bytes().startswith(b"\x89PNG")
    return found


def test_eegmat_was_filtered_at_the_mains(data_root: Path, tmp_path: Path) -> None:
    (signal,) = inspected(data_root / "eegmat" / "Subject00_1.edf", tmp_path / "a.png").signals
    assert signal.types == {"eeg": 19, "misc": 1, "ecg": 1}
    assert (signal.quality.line[50.0] < 0.01).all()
    assert not any(signal.remarks)


def test_the_biosemi_sample_has_mains_noise(data_root: Path, tmp_path: Path) -> None:
    (signal,) = inspected(data_root / "format-samples" / "test.edf", tmp_path / "a.png").signals
    assert sum("50 Hz" in words for words in signal.remarks) > 50
    assert "loud" in signal.remarks[signal.spec.ch_names.index("Ergo-Right")]


@pytest.mark.parametrize("name", ["test.bdf", "test_uneven_samp.edf", "test_ctf_comp_raw.fif"])
def test_other_samples(name: str, data_root: Path, tmp_path: Path) -> None:
    found = inspected(data_root / "format-samples" / name, tmp_path / "a.png")
    assert all(len(s.remarks) == s.spec.n_chans and s.valid == 1 for s in found.signals)
