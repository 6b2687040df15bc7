"""Small prepared sessions: numbers that say where they are from, int16 with gains, chunked and compressed ones."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np

from neural_foundation.core.specs import SignalSpec
from neural_foundation.core.stream import Chunk
from neural_foundation.recordings import Intervals, Session, Spikes, write_session, write_whole_session

SFREQ = 100.0


def spec_of(n_chans: int = 2, names: Sequence[str] = ()) -> SignalSpec:
    names = tuple(names) or tuple(f"E{i}" for i in range(n_chans))
    return SignalSpec(sfreq=SFREQ, ch_names=names, ch_types=("eeg",) * len(names))


def numbers(recording: int, n_chans: int, n_times: int) -> np.ndarray:
    """Return values (n_chans, n_times) that are all different: recording, channel and sample can be read from them."""
    return (recording * 1e6 + np.arange(n_times)[None] + 1e5 * np.arange(n_chans)[:, None]).astype(np.float32)


def prepared(
    path: Path,
    n_times: int,
    *,
    recording: int = 0,
    subject: str = "s1",
    spec: SignalSpec | None = None,
    valid: np.ndarray | None = None,
    values: np.ndarray | None = None,
    step: float | None = None,
) -> Path:
    spec = spec or spec_of()
    values = numbers(recording, spec.n_chans, n_times) if values is None else values
    mask = np.ones(n_times, bool) if valid is None else valid
    write_session(
        path,
        session_id=path.stem,
        subject=subject,
        spec=spec,
        chunks=[Chunk(values, mask, 0)],
        trials=Intervals.of([(0.0, 1.0, "x"), (1.0, 2.0, "y")]),
        step=step,
    )
    return path


def several(folder: Path, lengths: Sequence[int] = (1000, 350, 720, 90, 510)) -> list[Path]:
    """Return recordings of some lengths, of two subjects in turn."""
    return [prepared(folder / f"r{i}.h5", n, recording=i, subject=f"s{i % 2}") for i, n in enumerate(lengths)]


def stored_anew(path: Path, samples: np.ndarray, gain: np.ndarray | None = None, **how: object) -> Path:
    """Put other samples (n_times, n_chans) in the place of a session's own, and other gains in the place of its gains.

    how : as h5py's create_dataset has it (chunks, compression).
    """
    with h5py.File(path, "r+", libver=("v110", "v110")) as file:
        del file["eeg/signal"]
        file["eeg"].create_dataset("signal", data=samples, **how)
        if gain is not None:
            file["channels/gain"][...] = gain
    return path


def spiking(path: Path, seed: int, *, seconds: float = 30.0, n_units: int = 4, subject: str = "s1") -> Path:
    make = np.random.default_rng(seed)
    n = int(n_units * seconds * 10)
    ids = tuple(f"u{i}" for i in range(n_units))
    spikes = Spikes(np.sort(make.uniform(0, seconds, n)), make.integers(0, n_units, n), ids)
    write_whole_session(path, Session(path.stem, subject, {}, spikes={"spikes": spikes}))
    return path
