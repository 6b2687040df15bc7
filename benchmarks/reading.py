"""Opening recordings and reading random windows, beside MNE on the same files.

    python benchmarks/reading.py [FILES]

Writes FILES (100) EDF+ files of 32 channels, 250 Hz, 60 s; opens each and reads 10 windows of 4 s at random places. The
rounds of the two alternate; printed are medians of five and their ratio, and the largest difference of the values.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

SFREQ, SECONDS, N_CHANS, WINDOWS, LENGTH, ROUNDS = 250.0, 60, 32, 10, 1000, 5


def main() -> None:
    n_files = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    with tempfile.TemporaryDirectory() as folder:
        paths = written(Path(folder), n_files)
        starts = np.random.default_rng(1).integers(0, round(SECONDS * SFREQ) - LENGTH, (n_files, WINDOWS))
        ours(paths[:2], starts), mne(paths[:2], starts)  # imports
        seconds: dict[str, list[float]] = {"ours": [], "mne": []}
        for _ in range(ROUNDS):
            for name, reader in (("ours", ours), ("mne", mne)):
                seconds[name].append(timed(reader, paths, starts))
        apart = np.abs(ours(paths[:5], starts) - mne(paths[:5], starts)).max()
    a, b = (float(np.median(seconds[n])) for n in ("ours", "mne"))
    print(f"{n_files} EDF files, {WINDOWS} windows of {LENGTH / SFREQ:g} s from each, median of {ROUNDS}")
    print(f"ours {a:.3f} s, MNE {b:.3f} s: {b / a:.1f} times as fast; largest difference {apart:.1e} V")


def written(folder: Path, n_files: int) -> list[Path]:
    """Return the paths of files of noise."""
    from neural_foundation.core.specs import SignalSpec
    from neural_foundation.recordings import Intervals, write_edf

    spec = SignalSpec(sfreq=SFREQ, ch_names=tuple(f"E{i}" for i in range(N_CHANS)), ch_types=("eeg",) * N_CHANS)
    rng = np.random.default_rng(0)
    for i in range(n_files):
        values = 2e-5 * rng.standard_normal((N_CHANS, round(SFREQ * SECONDS))).astype(np.float32)
        write_edf(folder / f"{i:03d}.edf", values=values, spec=spec, annotations=Intervals.of([(1.0, 2.0, "go")]))
    return sorted(folder.glob("*.edf"))


def ours(paths: list[Path], starts: np.ndarray) -> np.ndarray:
    from neural_foundation.recordings import read

    made = []
    for path, row in zip(paths, starts, strict=False):
        with read(path) as session:
            made.append([session.signal.read(s, s + LENGTH) for s in row])
    return np.array(made)


def mne(paths: list[Path], starts: np.ndarray) -> np.ndarray:
    from mne.io import read_raw_edf

    made = []
    for path, row in zip(paths, starts, strict=False):
        raw = read_raw_edf(path, preload=False, verbose="ERROR")
        made.append([raw.get_data(start=s, stop=s + LENGTH) for s in row])
    return np.array(made)


def timed(reader: Callable[[list[Path], np.ndarray], np.ndarray], paths: list[Path], starts: np.ndarray) -> float:
    began = time.perf_counter()
    reader(paths, starts)
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
