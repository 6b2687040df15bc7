"""Windows of prepared recordings and of spikes, in pairs beside the raw memory map, h5py and other ways to read.

    python benchmarks/streaming.py [MINUTES]

Writes a generated recording of MINUTES (20) of 64 channels at 1 kHz as float32, int16 with gains and packed float32,
and reads random windows of 10 s as float32 (n_chans, n_times). Each pair runs alternately in this process, one thread;
printed are medians of the rounds and of the ratios of pairs. What each side does:

- memory map: numpy.memmap of the same file's samples, time first, and numpy's own transposition to the same output.
- memory map, turned before: numpy.memmap of a raw file that already lies channel by channel, copied: no transposition.
  The floor, which no file in time order can reach.
- h5py: `dataset[start:stop].T`, contiguous in memory, from the same file.
- workers: RandomWindows, batches of 8, over DataLoader workers; MB are those of the float32 windows.
- spikes: 100 units of 10 Hz, windows of 1 s in bins of 0.1 s, batch 16; torch_brain 0.1 gave 1,009 a second.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import sys  # noqa: E402 - the thread count must be set before numpy loads
import tempfile  # noqa: E402
from collections.abc import Callable  # noqa: E402
from pathlib import Path  # noqa: E402
from statistics import median  # noqa: E402
from time import perf_counter  # noqa: E402
from typing import Any  # noqa: E402

import h5py  # noqa: E402
import numpy as np  # noqa: E402

from neural_foundation.core.specs import SignalSpec  # noqa: E402
from neural_foundation.core.stream import Chunk  # noqa: E402
from neural_foundation.recordings import Session, Spikes, read, write_session, write_whole_session  # noqa: E402
from neural_foundation.sampling.random_windows import RandomWindows  # noqa: E402
from neural_foundation.sampling.spike_windows import SpikeWindows  # noqa: E402
from neural_foundation.sampling.store import WindowStore  # noqa: E402
from neural_foundation.sampling.windows import continuous  # noqa: E402

SFREQ, N_CHANS, LENGTH, ROUNDS = 1000, 64, 10_000, 60
ZERO = np.zeros(1, np.int64)
TORCH_BRAIN = 1009
Read = Callable[[int], Any]


def main() -> None:
    minutes = float(sys.argv[1]) if len(sys.argv) > 1 else 20.0
    with tempfile.TemporaryDirectory() as folder:
        files = written(Path(folder), round(60 * minutes * SFREQ))
        print(f"random windows of {LENGTH / SFREQ:g} s, {N_CHANS} channels at {SFREQ} Hz, of {minutes:g} min")
        windows(files)
        workers(files["float32"], "contiguous float32", 2.0)
        workers(files["packed"], "gzip", 7.5)
        spikes(Path(folder))


def written(folder: Path, n_times: int) -> dict[str, Path]:
    """Return the same recording in each form; non-zero noise."""
    spec = SignalSpec(sfreq=SFREQ, ch_names=tuple(f"E{i}" for i in range(N_CHANS)), ch_types=("eeg",) * N_CHANS)
    make = np.random.default_rng(0)
    samples = make.integers(1, 3000, (n_times, N_CHANS)).astype("<i2")
    gain = make.uniform(1e-8, 1e-7, N_CHANS)
    files = {name: folder / f"{name}.h5" for name in ("float32", "int16", "packed")}
    for name, path in files.items():
        chunks = (Chunk.of((samples[a : a + 60_000] * gain).T.astype("f4"), a) for a in range(0, n_times, 60_000))
        step = 1e-6 if name == "int16" else None
        write_session(path, session_id=name, subject="s", spec=spec, chunks=chunks, step=step)
    turned = np.ascontiguousarray((samples * gain).T.astype("f4"))
    turned.tofile(files.setdefault("turned", folder / "turned.bin"))
    replace(files["int16"], samples, gain)
    replace(files["packed"], turned.T, None, chunks=(LENGTH, N_CHANS), compression="gzip", compression_opts=1)
    return files


def replace(path: Path, samples: np.ndarray, gain: np.ndarray | None, **how: Any) -> None:
    with h5py.File(path, "r+", libver=("v110", "v110")) as file:
        del file["eeg/signal"]
        file["eeg"].create_dataset("signal", data=samples, **how)
        if gain is not None:
            file["channels/gain"][...] = gain


def windows(files: dict[str, Path]) -> None:
    ours = {name: store_of(files[name]) for name in ("float32", "int16", "packed")}
    with h5py.File(files["float32"]) as f4, h5py.File(files["int16"]) as i2, read(files["float32"]) as session:
        samples, numbers, gain = f4["eeg/signal"], i2["eeg/signal"], i2["channels/gain"][()]
        n = samples.shape[0]
        mapped = np.memmap(files["float32"], "<f4", "r", samples.id.get_offset(), samples.shape)
        mapped_i2 = np.memmap(files["int16"], "<i2", "r", numbers.id.get_offset(), numbers.shape)
        turned = np.memmap(files["turned"], "<f4", "r", 0, (N_CHANS, n))
        same(ours["float32"](7), np.ascontiguousarray(mapped[7 : 7 + LENGTH].T))
        same(ours["int16"](7), (mapped_i2[7 : 7 + LENGTH] * gain).T.astype("f4"))
        pairs: list[tuple[str, Read, str, Read]] = [
            ("float32", ours["float32"], "memory map", lambda s: np.ascontiguousarray(mapped[s : s + LENGTH].T)),
            ("float32", ours["float32"], "memory map, turned before", lambda s: np.array(turned[:, s : s + LENGTH])),
            ("float32", ours["float32"], "h5py", lambda s: np.ascontiguousarray(samples[s : s + LENGTH].T)),
            ("float32", ours["float32"], "session.signal.read", lambda s: session.signal.read(s, s + LENGTH)),
            (
                "int16",
                ours["int16"],
                "memory map of float32",
                lambda s: np.ascontiguousarray(mapped[s : s + LENGTH].T),
            ),
            (
                "int16",
                ours["int16"],
                "memory map of int16, times gain",
                lambda s: (mapped_i2[s : s + LENGTH] * gain).T.astype("f4", order="C"),
            ),
            ("gzip", ours["packed"], "memory map", lambda s: np.ascontiguousarray(mapped[s : s + LENGTH].T)),
        ]
        for name, mine, other, theirs in pairs:
            a, b, ratio = paired(mine, theirs, n)
            print(f"  {name:8} {1e3 * a:7.3f} ms   {other:32} {1e3 * b:7.3f} ms   time ratio {ratio:5.2f}")


def store_of(path: Path) -> Read:
    store = WindowStore([path])
    return lambda start: store.load(ZERO, ZERO + start, LENGTH)[0]


def same(a: np.ndarray, b: np.ndarray) -> None:
    assert a.shape == b.shape
    assert a.dtype == b.dtype
    assert (a == b).all()


def paired(mine: Read, theirs: Read, n: int) -> tuple[float, float, float]:
    """Return the median times of the two, and the median of their ratios."""
    rows = []
    starts = np.random.default_rng(1).integers(0, n - LENGTH, ROUNDS + 5).tolist()
    for start, other in zip(starts, reversed(starts), strict=True):
        rows.append((timed(mine, start), timed(theirs, other)))
    kept = rows[5:]
    return median(a for a, _ in kept), median(b for _, b in kept), median(a / b for a, b in kept)


def timed(work: Read, start: int) -> float:
    began = perf_counter()
    kept = work(start)
    seconds = perf_counter() - began
    del kept
    return seconds


def workers(path: Path, what: str, hop_s: float) -> None:
    data = RandomWindows(continuous([path], LENGTH / SFREQ, hop_s), batch_size=8)
    rates = rounds({f"{n} workers": data.loader(num_workers=n, persistent_workers=n > 0) for n in (0, 1, 2)})
    print(f"batches of 8 of these windows, {what}, {len(data)} an epoch")
    report(rates, 4e-6 * N_CHANS * LENGTH, "MB/s")


def spikes(folder: Path) -> None:
    make = np.random.default_rng(2)
    n, seconds = 2_000_000, 2000.0
    trains = Spikes(np.sort(make.uniform(0, seconds, n)), make.integers(0, 100, n), tuple(map(str, range(100))))
    write_whole_session(folder / "spikes.h5", Session("spikes", "s", {}, spikes={"spikes": trains}))
    data = SpikeWindows([folder / "spikes.h5"], window_s=1.0, bin_s=0.1, hop_s=0.25, batch_size=16)
    print(f"spike windows: 1 s, 100 units of 10 Hz in bins of 0.1 s, batch 16, {len(data)} batches an epoch")
    rates = rounds({f"{n} workers": data.loader(num_workers=n, persistent_workers=n > 0) for n in (0, 1, 2)})
    report(rates, 1 / TORCH_BRAIN, f"times torch_brain's {TORCH_BRAIN:,} a second")


def rounds(loaders: dict[str, Any]) -> dict[str, list[float]]:
    """Return the windows a second of each loader in rounds that alternate, after one that is not counted."""
    rates: dict[str, list[float]] = {name: [] for name in loaders}
    for turn in range(6):
        for name, loader in loaders.items():
            began, n = perf_counter(), 0
            for batch in loader:
                n += len(batch)
            if turn:
                rates[name].append(n / (perf_counter() - began))
    return rates


def report(rates: dict[str, list[float]], factor: float, unit: str) -> None:
    for name, found in rates.items():
        print(f"  {name}: {median(found):9,.0f} windows a second, {factor * median(found):,.1f} {unit}")
    ratio = median(b / a for a, b in zip(rates["1 workers"], rates["2 workers"], strict=True))
    print(f"  two workers are {ratio:.2f} times one ({os.cpu_count()} cores, load {os.getloadavg()[0]:.1f})")


if __name__ == "__main__":
    main()
