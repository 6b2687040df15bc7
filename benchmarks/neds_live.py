"""Spikes decoded live: a step of a causal `neds` by its exported graph, beside the same step in torch and the bin.

    python benchmarks/neds_live.py

600 units, bins of 20 ms, three behaviours and two classes, 100 bins of context, batch 1, one thread; weights at their
start, which cost the same. Graph and torch are timed in turn in the same run. A model that sees its window whole, 100
bins long, is timed a window.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

BIN_S, UNITS, BINS = 0.02, 600, 100
MODELS: dict[str, dict[str, Any]] = {
    "64 x 2, causal": {"size": "tiny", "causal": True},
    "128 x 3, causal": {"width": 128, "layers": 3, "heads": 4, "causal": True},
    "256 x 5, causal": {"size": "small", "causal": True},
    "64 x 2, whole window": {"size": "tiny"},
    "256 x 5, whole window": {"size": "small"},
}
STEPS, WARM = {True: 400, False: 30}, {True: 120, False: 3}


def package(folder: Path, fields: dict[str, Any]) -> int:
    """Write an untrained package with its graph; return its number of parameters."""
    from neural_foundation.core.modalities import BinnedSessionSpec, BinnedSpec, ModalitySpec
    from neural_foundation.core.store import write_json
    from neural_foundation.export.binned_facts import EXPORT, STEP, WINDOW, BinnedExport
    from neural_foundation.export.binned_graph import export_decoding
    from neural_foundation.models.binned_package import BinnedFacts, save_binned
    from neural_foundation.models.neds import Neds
    from neural_foundation.models.packed import tensors

    behaviours = ("wheel_speed", "left_motion_energy", "right_motion_energy")
    modalities = (
        ModalitySpec(name="spikes", kind="counts"),
        *(ModalitySpec(name=n, kind="continuous") for n in behaviours),
        ModalitySpec(name="choice", kind="classes", classes=("left", "right")),
        ModalitySpec(name="block", kind="classes", classes=("0.2", "0.5", "0.8")),
    )
    channels = tuple(f"u{i}" for i in range(UNITS)), *((n,) for n in (*behaviours, "choice", "block"))
    session = BinnedSessionSpec(name="bench", subject="bench", channels=channels)
    binned = BinnedSpec(bin_s=BIN_S, n_bins=BINS, modalities=modalities, sessions=(session,))
    model = Neds(**fields)
    network = model.build(binned)
    save_binned(folder, BinnedFacts(model=model, binned=binned), tensors(network.state_dict()))
    graph = export_decoding(network, folder / (STEP if model.causal else WINDOW))
    facts = BinnedExport(graph=graph.path.name, session="bench", outputs=(), n_nodes=graph.n_nodes)
    write_json(folder / EXPORT, facts.model_dump(mode="json"))
    return network.n_parameters()


def timed(folder: Path, *, causal: bool) -> dict[str, np.ndarray]:
    """Return the seconds of each output, by graph and by torch, in turn; a window's context is full by then."""
    from neural_foundation.core.stream import Chunk
    from neural_foundation.realtime.binned_decoder import BinnedDecoder

    decoders = {name: BinnedDecoder.open(folder, graph=name == "graph") for name in ("graph", "torch")}
    states = {name: d.start() for name, d in decoders.items()}
    counts = np.random.default_rng(0).poisson(0.1, (UNITS, 1000)).astype(np.float32)
    took: dict[str, list[float]] = {name: [] for name in decoders}
    hop, at = (1, 0) if causal else (decoders["graph"].hop, BINS)
    for name, decoder in decoders.items():
        if not causal:
            _, states[name] = decoder.step(Chunk.of(counts[:, :BINS]), states[name])
    for i in range(-WARM[causal], STEPS[causal]):
        chunk = Chunk.of(counts[:, at % 1000 : at % 1000 + hop], at)
        at += hop
        for name, decoder in decoders.items():
            began = time.perf_counter()
            _, states[name] = decoder.step(chunk, states[name])
            if i >= 0:
                took[name].append(time.perf_counter() - began)
    return {name: np.array(seconds) for name, seconds in took.items()}


def main() -> None:
    import torch

    torch.set_num_threads(1)
    print(f"{UNITS} units, bins of {BIN_S * 1e3:g} ms, one thread; a step is one bin, or one whole window")
    for title, fields in MODELS.items():
        with tempfile.TemporaryDirectory() as folder:
            count = package(Path(folder), fields)
            took = timed(Path(folder), causal="causal" in fields)
        for name, seconds in took.items():
            p50, p99 = np.percentile(seconds, [50, 99]) * 1e3
            print(
                f"{title:<22} {count / 1e6:5.2f} M  {name}  median {p50:7.3f} ms  p99 {p99:7.3f} ms  "
                f"of a bin {p50 / BIN_S / 1e3:5.1%}"
            )
        print(f"{title:<22} torch over graph, medians: {np.median(took['torch']) / np.median(took['graph']):.2f}")


if __name__ == "__main__":
    main()
