"""Sessions whose length nobody knows beforehand: each sample goes to the disk once, and the bytes do not tell."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neural_foundation.core.specs import SignalSpec
from neural_foundation.core.stream import Chunk
from neural_foundation.recordings import Intervals, hdf5_write, read, write_session

SPEC = SignalSpec(sfreq=100.0, ch_names=("C3", "Cz", "C4"))
TRIALS = Intervals.of([(float(i), i + 1.0, "left") for i in range(40)])


def written(path: Path, n_times: int, share: float = 0.1, **settings: Any) -> np.ndarray:
    make = np.random.default_rng(n_times)
    values = (1e-5 * make.standard_normal((3, n_times))).astype(np.float32)
    valid = make.random(n_times) >= share
    cuts = [Chunk(values[:, a : a + 999], valid[a : a + 999], a) for a in range(0, n_times, 999)]
    write_session(path, session_id="s", subject="p", spec=SPEC, chunks=cuts, trials=TRIALS, **settings)
    return values


@pytest.mark.parametrize("step", [None, 1e-8])
@pytest.mark.parametrize("n_times", [0, 1, 2, 100, 400, 6000, 20_000])
def test_wherever_hdf5_puts_the_samples_they_are_there(
    n_times: int, step: float | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = written(tmp_path / "a.h5", n_times, step=step)
    monkeypatch.setattr(hdf5_write, "USUAL_BYTES", 1)  # what is large lies elsewhere
    written(tmp_path / "b.h5", n_times, step=step)
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()
    want = values if step is None else (np.rint(values.astype(float) / step) * step).astype(np.float32)
    with read(tmp_path / "a.h5") as session:
        np.testing.assert_array_equal(session.signal.read(), want)
        assert session.trials == TRIALS
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.h5", "b.h5"]


def test_each_sample_is_written_once(tmp_path: Path) -> None:
    io = Path("/proc/self/io")
    if not io.exists():
        pytest.skip("this system does not count what a process writes")

    def count() -> int:
        return int(dict(line.split(": ") for line in io.read_text().splitlines())["wchar"])

    before = count()
    written(tmp_path / "a.h5", 300_000, share=0.0)
    size = (tmp_path / "a.h5").stat().st_size
    assert 3_600_000 < size <= count() - before < 1.1 * size
