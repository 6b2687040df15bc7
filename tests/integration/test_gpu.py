"""What needs a GPU: the same decisions as on the CPU, and training that can be repeated to the byte."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from neural_foundation.core.device import resolve
from neural_foundation.core.seeds import generator
from neural_foundation.core.specs import SignalSpec, TargetSpec
from neural_foundation.core.stream import run
from neural_foundation.learning.fit import fit
from neural_foundation.learning.table import LEARNERS
from neural_foundation.models.layers.spatial import canonical_sites
from neural_foundation.models.multiscale import Multiscale
from neural_foundation.recordings import Intervals, write_session
from neural_foundation.recordings.session import ArraySignal
from neural_foundation.sampling.windows import Windows, WindowSet, labelled
from neural_foundation.signals import SIGNALS, chain
from neural_foundation.signals.on_device import DeviceChain

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here"),
]
PLACES = tuple(tuple(map(float, 0.09 * p)) for p in canonical_sites(6))
SIGNAL = SignalSpec(sfreq=100.0, ch_names=tuple("abcdef"), positions=PLACES)
TARGET = TargetSpec(classes=("left", "right"))
MODEL = Multiscale(d_model=16, n_layers=1, n_heads=2, virtual_channels=4, scales_s=(0.1, 1.0), resonators=(4, 5))


@pytest.fixture(scope="module")
def windows(tmp_path_factory: pytest.TempPathFactory) -> WindowSet:
    """48 windows of 2 s of two people; the classes differ in the power of one channel."""
    folder, rng, onset = tmp_path_factory.mktemp("gpu"), np.random.default_rng(0), 2.0 * np.arange(24)
    for name in ("s1", "s2"):
        values = rng.normal(0, 1e-5, (6, 4800)).astype(np.float32)
        labels = tuple("left" if k % 2 else "right" for k in range(24))
        for k in range(1, 24, 2):
            values[2, 200 * k : 200 * k + 200] *= 3
        chunks = ArraySignal(values, SIGNAL).chunks(1000)
        trials = Intervals(onset, onset + 2.0, labels)
        path = folder / f"{name}.h5"
        write_session(path, session_id=name, subject=name, spec=SIGNAL, chunks=chunks, trials=trials)
    return labelled(sorted(folder.glob("*.h5")), Windows(length_s=2.0), TARGET.classes)


def trained(windows: WindowSet, folder: Path, device: str, **fields: Any) -> Any:
    learner = LEARNERS.parse({"kind": "gradient", "objective": "classify", "max_epochs": 4, "batch_size": 16, **fields})
    asked = {"signal": SIGNAL, "target": TARGET, "subjects": ["s1", "s2"], "folder": folder, "seed": 1}
    return fit(MODEL, learner, windows, None, device=device, **asked)


def test_auto_finds_it() -> None:
    assert resolve("auto") == "cuda:0"


def test_the_network_decides_as_on_the_cpu(windows: WindowSet) -> None:
    network = MODEL.build(SIGNAL, TARGET, seed=3).eval()
    signal = torch.from_numpy(windows.load())
    network.calibrate([signal])
    with torch.inference_mode():
        wanted = network(signal).logits
        given = network.to("cuda:0")(signal.to("cuda:0")).logits.cpu()
    assert (given - wanted).abs().max() < 1e-3 * wanted.square().mean().sqrt()


def test_the_same_seed_gives_the_same_bytes(windows: WindowSet, tmp_path: Path) -> None:
    first, second = (trained(windows, tmp_path / n, "cuda:0").model.state_dict() for n in "ab")
    assert all(torch.equal(first[n], second[n]) for n in first)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_training_lowers_the_loss(windows: WindowSet, tmp_path: Path, precision: str) -> None:
    history = trained(windows, tmp_path, "cuda:0", max_epochs=15, lr=0.01, precision=precision).history
    losses = [row["train_loss"] for row in history]
    assert np.isfinite(losses).all()
    assert losses[-1] < losses[0]


def test_a_chain_on_the_device_cleans_as_on_the_cpu() -> None:
    filters = [{"kind": "notch", "hz": 25}, {"kind": "bandpass", "low_hz": 1, "high_hz": 40}]
    specs = [*filters, *({"kind": k} for k in ("reference", "clip", "normalise"))]
    compiled = chain([SIGNALS.parse(s) for s in specs], SIGNAL)  # type: ignore[misc]
    noise = generator(0, "chain").standard_normal((SIGNAL.n_chans, 20_000)).astype(np.float32) * np.float32(1e-5)
    wanted = run(compiled, noise, block=20_000)
    given = run(DeviceChain(compiled, "cuda:0"), noise, block=7000)
    np.testing.assert_array_equal(given.valid, wanted.valid)
    np.testing.assert_allclose(given.values, wanted.values, atol=2e-5)
