"""Real recordings as ours: the copy is the recording, in every modality and bit for bit."""

from __future__ import annotations

from pathlib import Path

import pytest

from neural_foundation.recordings import read
from neural_foundation.recordings.convert import convert, differences

FILES = ("eegmat/*1.edf", "eegmmidb-s001/**/*.edf", "ssvep-exo/**/*raw.fif", "format-samples/**/test.bdf")


@pytest.mark.parametrize("pattern", FILES)
def test_a_copy_is_the_recording(data_root: Path, tmp_path: Path, pattern: str) -> None:
    found = sorted(data_root.glob(pattern)) or sorted(data_root.glob(pattern.replace("/", "/**/", 1)))
    if not found:
        pytest.skip(f"{pattern} is not in NEURAL_FOUNDATION_DATA")
    target = convert(found[0], tmp_path / "copy.h5")
    with read(found[0]) as source, read(target) as copy:
        assert list(differences(source, copy)) == []
        assert len(copy.trials) == len(source.trials)
