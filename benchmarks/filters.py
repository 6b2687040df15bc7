"""Signal operations against scipy and MNE, in pairs; and the price of one sample through a live chain.

    python benchmarks/filters.py

Each pair runs alternately in this process, one thread, CPU time; the ratio is the median over the repeats, so it
holds on a noisy machine. Values = channels x samples.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from collections.abc import Callable  # noqa: E402 - the thread count must be set before numpy loads
from statistics import median  # noqa: E402
from time import perf_counter, process_time  # noqa: E402
from typing import Any  # noqa: E402

import mne  # noqa: E402
import numpy as np  # noqa: E402
from scipy import signal as ss  # noqa: E402

from neural_foundation.core.specs import SignalSpec  # noqa: E402
from neural_foundation.core.stream import Chunk, Transducer  # noqa: E402
from neural_foundation.signals import SIGNALS, chain  # noqa: E402

FS, N_CHANS, N_TIMES, REPEATS = 1000.0, 64, 60_000, 7
SIGNAL = SignalSpec(sfreq=FS, ch_names=tuple(f"EEG{i}" for i in range(N_CHANS)))
VALUES = (np.random.default_rng(0).standard_normal((N_CHANS, N_TIMES)) * 1e-5).astype(np.float32)
BAND: dict[str, Any] = {"kind": "bandpass", "low_hz": 1, "high_hz": 40}
LIVE = [{"kind": "notch", "harmonics": 3}, BAND, *({"kind": k} for k in ("reference", "clip", "normalise"))]


def bound(*specs: dict[str, Any]) -> Transducer:
    return chain([SIGNALS.parse(s) for s in specs], SIGNAL)  # type: ignore[misc]


def blocks(transducer: Transducer, block: int, n_times: int = N_TIMES) -> Callable[[], None]:
    def work() -> None:
        state = transducer.start()
        for start in range(0, n_times, block):
            _, state = transducer.step(Chunk.of(VALUES[:, start : start + block], start), state)

    return work


def samples(transducer: Transducer, n_times: int) -> Callable[[], None]:
    """Return the work of stepping through chunks of one sample, each as a source hands it over: an array of its own."""
    chunks = [Chunk.of(np.ascontiguousarray(VALUES[:, i : i + 1]), i) for i in range(n_times)]

    def work() -> None:
        state = transducer.start()
        for chunk in chunks:
            _, state = transducer.step(chunk, state)

    return work


def scipy_blocks(sos: np.ndarray, block: int, n_times: int = N_TIMES) -> Callable[[], None]:
    def work() -> None:
        z = np.zeros((len(sos), N_CHANS, 2))
        for start in range(0, n_times, block):
            _, z = ss.sosfilt(sos, VALUES[:, start : start + block], zi=z)

    return work


def mne_iir() -> None:
    params = {"order": 4, "ftype": "butter", "output": "sos"}
    mne.filter.filter_data(
        VALUES.astype(np.float64), FS, 1, 40, method="iir", iir_params=params, phase="forward", verbose="error"
    )


def seconds(work: Callable[[], None]) -> float:
    begun = process_time()
    work()
    return process_time() - begun


def paired(ours: Callable[[], None], theirs: Callable[[], None]) -> tuple[float, float, float]:
    """Return the median seconds of both, and the median of their ratio (above 1: ours is faster)."""
    ours(), theirs()
    times = [(seconds(ours), seconds(theirs)) for _ in range(REPEATS)]
    return median(a for a, _ in times), median(b for _, b in times), median(b / a for a, b in times)


def main() -> None:
    sos = ss.butter(4, [1, 40], "bandpass", fs=FS, output="sos")
    band, short = bound(BAND), 3000
    four = bound({"kind": "notch", "harmonics": 1}, BAND, {"kind": "reference"}, {"kind": "normalise"})
    rows = [
        ("band-pass, blocks of 1000 / scipy sosfilt", paired(blocks(band, 1000), scipy_blocks(sos, 1000)), N_TIMES),
        ("band-pass, whole / MNE IIR", paired(blocks(band, N_TIMES), mne_iir), N_TIMES),
        ("notch, band-pass, reference, normalise / MNE IIR", paired(blocks(four, 1000), mne_iir), N_TIMES),
        ("band-pass, single samples / scipy", paired(blocks(band, 1, short), scipy_blocks(sos, 1, short)), short),
    ]
    print(f"{N_CHANS} channels at {FS:g} Hz, one thread, median of {REPEATS}")
    print(f"{'pair':49s} {'ours':>10s} {'theirs':>10s}  times faster   (Mvalues/s)")
    for name, (ours, theirs, ratio), n in rows:
        speeds = [N_CHANS * n / s / 1e6 for s in (ours, theirs)]
        print(f"{name:49s} {speeds[0]:10.1f} {speeds[1]:10.1f}  {ratio:8.2f}")
    live = bound(*LIVE)
    per_block = median(seconds(blocks(live, 1000)) for _ in range(REPEATS))
    per_sample = median(seconds(samples(live, short)) for _ in range(REPEATS))
    print("\nnotch x 3, band-pass, reference, clip, normalise:")
    print(f"{N_CHANS * N_TIMES / per_block / 1e6:.1f} Mvalues/s in blocks of 1000")
    print(f"{per_sample / short * 1e6:.1f} us a step, one sample at a time")
    on_device(live)


def on_device(live: Transducer) -> None:
    """Print the chain's speed in torch on a GPU, wall time, where there is one."""
    import torch

    from neural_foundation.signals import Chain
    from neural_foundation.signals.on_device import DeviceChain

    if not torch.cuda.is_available():
        print("no GPU here: the chain in torch was not timed")
        return
    assert isinstance(live, Chain)
    moved, times = DeviceChain(live, "cuda:0"), []
    for _ in range(REPEATS + 1):
        state, began = moved.start(), perf_counter()
        moved.process_tensor(Chunk.of(VALUES), state)
        torch.cuda.synchronize()
        times.append(perf_counter() - began)
    print(
        f"{N_CHANS * N_TIMES / median(times[1:]) / 1e6:.1f} Mvalues/s on {torch.cuda.get_device_name()}, copy included"
    )


if __name__ == "__main__":
    main()
