"""Features on sliding windows: input samples a second of each kind, and beside scipy and MNE where they have it.

    python benchmarks/features.py

19 channels at 250 Hz, windows of 2 s, a column each 0.1 s: every sample lies in 20 windows. One thread, CPU time of
this process; pairs run in turns and their ratio is the median over the repeats, so it holds on a noisy machine. The
others get all windows at once and give spectra only; ours are streamed in blocks of 10 s, bands and names included.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from collections.abc import Callable  # noqa: E402 - the thread count must be set before numpy loads
from itertools import combinations  # noqa: E402
from statistics import median  # noqa: E402
from time import process_time  # noqa: E402
from typing import Any  # noqa: E402

import mne  # noqa: E402
import numpy as np  # noqa: E402
from scipy import signal as ss  # noqa: E402
from scipy import stats  # noqa: E402

from neural_foundation.core.specs import SignalSpec  # noqa: E402
from neural_foundation.core.stream import Chunk, Transducer  # noqa: E402
from neural_foundation.signals import SIGNALS, chain  # noqa: E402

FS, N_CHANS, N_TIMES, WINDOW, HOP, REPEATS = 250, 19, 15_000, 500, 25, 5
SIGNAL = SignalSpec(sfreq=FS, ch_names=tuple(f"EEG{i}" for i in range(N_CHANS)))
VALUES = (np.random.default_rng(0).standard_normal((N_CHANS, N_TIMES)) * 1e-5).astype(np.float32)
FREQUENCIES = [float(f) for f in range(4, 44, 2)]
ALL = ["coherence", "imaginary_coherence", "plv", "pli", "wpli"]


def ours(kind: str, block: int = 2500, **fields: Any) -> Callable[[], None]:
    window = {} if kind == "wavelet" else {"window_s": WINDOW / FS}
    spec: Any = SIGNALS.parse({"kind": kind, "hop_s": HOP / FS, **window, **fields})
    transducer: Transducer = chain([spec], SIGNAL)

    def work() -> None:
        state = transducer.start()
        for start in range(0, N_TIMES, block):
            _, state = transducer.step(Chunk.of(VALUES[:, start : start + block], start), state)

    return work


def windows() -> np.ndarray:
    """Return all windows (n, n_chans, WINDOW) in float64, copied: what the others are given."""
    every = np.lib.stride_tricks.sliding_window_view(VALUES, WINDOW, axis=1)[:, ::HOP]
    return np.ascontiguousarray(every.transpose(1, 0, 2), np.float64)


def scipy_welch() -> None:
    ss.welch(windows(), FS, nperseg=WINDOW // 2)


def mne_multitaper() -> None:
    mne.time_frequency.psd_array_multitaper(windows(), FS, adaptive=False, verbose="error")


def scipy_spectrogram() -> None:
    ss.spectrogram(VALUES.astype(np.float64), FS, window="hann", nperseg=WINDOW, noverlap=WINDOW - HOP)


def scipy_coherence() -> None:
    x = windows()
    for a, b in combinations(range(N_CHANS), 2):
        ss.coherence(x[:, a], x[:, b], FS, nperseg=WINDOW // 4)


def mne_morlet() -> None:
    mne.time_frequency.tfr_array_morlet(
        VALUES[None].astype(np.float64), FS, np.array(FREQUENCIES), 7.0, output="power", decim=HOP, verbose="error"
    )


def scipy_moments() -> None:
    x = windows()
    x.mean(-1), x.var(-1), stats.skew(x, axis=-1), stats.kurtosis(x, axis=-1), np.ptp(x, axis=-1)


def seconds(work: Callable[[], None]) -> float:
    begun = process_time()
    work()
    return process_time() - begun


def timed(mine: Callable[[], None], theirs: Callable[[], None] | None, repeats: int) -> list[float]:
    """Return the median seconds of ours, of theirs, and the median of their ratio (above 1: ours is faster)."""
    works = [w for w in (mine, theirs) if w]
    for work in works:
        work()
    times = [[seconds(w) for w in works] for _ in range(repeats)]
    ratio = [median(b / a for a, b in times)] if theirs else []
    return [*(median(column) for column in zip(*times, strict=True)), *ratio]


def main() -> None:
    rows: list[tuple[str, Callable[[], None], str, Callable[[], None] | None]] = [
        ("band_powers, welch", ours("band_powers"), "scipy welch", scipy_welch),
        ("band_powers, multitaper", ours("band_powers", method="multitaper"), "MNE multitaper", mne_multitaper),
        ("spectral, all seven", ours("spectral"), "", None),
        ("spectrogram, stft", ours("spectrogram"), "scipy spectrogram", scipy_spectrogram),
        ("spectrogram, mel", ours("spectrogram", method="mel"), "", None),
        ("wavelet, 20 frequencies", ours("wavelet", frequencies=FREQUENCIES), "MNE tfr_array_morlet", mne_morlet),
        ("connectivity, coherence, 171 pairs", ours("connectivity"), "scipy coherence", scipy_coherence),
        ("connectivity, all five", ours("connectivity", measures=ALL), "", None),
        ("statistics", ours("statistics"), "numpy and scipy.stats", scipy_moments),
        ("hjorth", ours("hjorth"), "", None),
        ("line_length", ours("line_length"), "", None),
        ("entropy, permutation", ours("entropy", measures=["permutation"]), "", None),
        ("entropy, sample", ours("entropy"), "", None),
        ("entropy, approximate", ours("entropy", measures=["approximate"]), "", None),
        ("band_powers, welch, blocks of a hop", ours("band_powers", HOP), "", None),
    ]
    print(f"{N_CHANS} channels at {FS} Hz, window {WINDOW / FS:g} s, hop {HOP / FS:g} s; Msamples/s (input)")
    print(f"{'kind':38s} {'ours':>8s}  {'beside':22s} {'theirs':>8s}  times faster")
    for name, mine, beside, theirs in rows:
        times = timed(mine, theirs, 2 if "coherence" in beside else REPEATS)
        speeds = [f"{N_CHANS * N_TIMES / s / 1e6:8.2f}" for s in times[:2]]
        rest = f"{beside:22s} {speeds[1]}  {times[2]:8.2f}" if theirs else ""
        print(f"{name:38s} {speeds[0]}  {rest}".rstrip(), flush=True)


if __name__ == "__main__":
    main()
