"""The live step: 64 channels at 1 kHz, a model under 1M parameters, one thread; beside the bare ONNX Runtime step.

    python benchmarks/live_step.py

A step is one block of 100 ms (one token): chain, ring buffer, step graph, softmax. The bare step is the same graph
alone on the same buffers, timed in turn with it in the same run. Also: one sample at a time, where 99 of 100 samples
only pass the chain.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import numpy as np

SFREQ, STEPS, WARM = 1000, 1500, 200


def package(folder: Path) -> tuple[object, int]:
    """Return an exported, untrained package at 64 channels and 1 kHz, and its number of parameters."""
    import torch

    from neural_foundation.core.specs import SignalSpec, TargetSpec
    from neural_foundation.datasets.simulated.head import MONTAGES
    from neural_foundation.export.step_graph import export_step
    from neural_foundation.models.multiscale import Multiscale
    from neural_foundation.models.package import GRAPH, Facts, save
    from neural_foundation.models.packed import tensors
    from neural_foundation.recordings.montage import standard_1005
    from neural_foundation.sampling.windows import Windows
    from neural_foundation.signals.table import SIGNALS

    torch.set_num_threads(1)
    names = tuple(MONTAGES[64])
    table = standard_1005()
    raw = SignalSpec(sfreq=SFREQ, ch_names=names, ch_types=("eeg",) * 64, positions=tuple(table[n] for n in names))
    ops = [
        {"kind": "notch", "hz": 50},
        {"kind": "bandpass", "low_hz": 4, "high_hz": 40},
        {"kind": "reference"},
        {"kind": "clip"},
        {"kind": "normalise", "mode": "global"},
    ]
    target, model = TargetSpec(classes=("left", "right")), Multiscale()
    network = model.build(raw, target)
    facts = Facts(
        model=model,
        chain=tuple(SIGNALS.parse(o) for o in ops),
        raw=raw,
        signal=raw,
        target=target,
        windows=Windows(),
        task="bench",
    )
    made = save(folder, facts, tensors(network.state_dict()))
    export_step(network, folder / GRAPH, tokens="one")
    return made, network.n_parameters()


def main() -> None:
    from neural_foundation.core.stream import Chunk
    from neural_foundation.models.package import Package
    from neural_foundation.realtime.decoder import StreamDecoder
    from neural_foundation.realtime.engine import StepEngine

    with tempfile.TemporaryDirectory() as folder:
        made, count = package(Path(folder))
        assert isinstance(made, Package)
        decoder, bare = StreamDecoder(made), StepEngine(made.graph)
    hop, rng = decoder.hop, np.random.default_rng(0)
    noise = (1e-5 * rng.standard_normal((64, hop * 50))).astype(np.float32)
    state, whole, alone = decoder.start(), np.zeros(STEPS), np.zeros(STEPS)
    for i in range(-WARM, STEPS):
        at = (i % 50) * hop
        chunk = Chunk.of(noise[:, at : at + hop], (i + WARM) * hop)
        began = time.perf_counter()
        _, state = decoder.step(chunk, state)
        middle = time.perf_counter()
        bare.step()
        whole[max(i, 0)], alone[max(i, 0)] = middle - began, time.perf_counter() - middle
    samples = single_samples(decoder, noise)
    print(f"{count:,} parameters, 64 channels at {SFREQ} Hz, token of {hop} samples, one thread, {STEPS} steps")
    for name, seconds in (
        ("chain + graph, a token", whole),
        ("bare graph, a token", alone),
        ("chain + graph, a sample", samples),
    ):
        p50, p95, p99 = np.percentile(seconds, [50, 95, 99]) * 1e3
        print(f"{name:<26} p50 {p50:.3f} ms   p95 {p95:.3f} ms   p99 {p99:.3f} ms")
    print(f"chain + graph over bare graph, medians: {np.median(whole) / np.median(alone):.2f}")


def single_samples(decoder: object, noise: np.ndarray) -> np.ndarray:
    """Return the seconds of each step when samples come one at a time."""
    from neural_foundation.core.stream import Chunk
    from neural_foundation.realtime.decoder import StreamDecoder

    assert isinstance(decoder, StreamDecoder)
    state, seconds = decoder.start(), np.zeros(noise.shape[1])
    for i in range(noise.shape[1]):
        chunk = Chunk.of(noise[:, i : i + 1], i)
        began = time.perf_counter()
        _, state = decoder.step(chunk, state)
        seconds[i] = time.perf_counter() - began
    return seconds[200:]


if __name__ == "__main__":
    main()
