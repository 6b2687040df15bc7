"""What needs a GPU: the same decisions as on the CPU, live too, and training that can be repeated to the byte."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from neural_foundation.core.device import resolve
from neural_foundation.core.seeds import generator
from neural_foundation.core.specs import SignalSpec, TargetSpec
from neural_foundation.core.stream import Chunk, run
from neural_foundation.learning.fit import fit
from neural_foundation.learning.table import LEARNERS
from neural_foundation.models.layers.spatial import canonical_sites
from neural_foundation.models.multiscale import Multiscale
from neural_foundation.models.package import Package
from neural_foundation.realtime.graph_engine import GraphEngine
from neural_foundation.realtime.live_model import LiveModel
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


def live_network(**fields: Any) -> Any:
    """A network whose blocks have a say in the decision."""
    network = MODEL.model_copy(update=fields).build(SIGNAL, TARGET, seed=3).eval()
    rng = torch.Generator().manual_seed(0)
    network.calibrate([1e-5 * torch.randn(3, 6, 400, generator=rng)])
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=rng))
    return network


def stepped(engine: GraphEngine, tokens: range) -> np.ndarray:
    noise = 1e-5 * np.random.default_rng(1).standard_normal((100, *engine.signal.shape))
    out = []
    for token in tokens:
        engine.signal[:] = noise[token]
        out.append(engine.step().copy())
    return np.array(out)


@pytest.mark.parametrize("fields", [{}, {"align_s": 0.5}, {"relations": ((8.0, 12.0),), "relation_sites": 3}], ids=str)
def test_a_live_step_decides_as_on_the_cpu(fields: dict[str, Any]) -> None:
    network = live_network(**fields)
    wanted = stepped(GraphEngine(network, "cpu", "float32"), range(60))
    whole, half = GraphEngine(network, "cuda", "float32"), GraphEngine(network, "cuda", "bfloat16")
    assert whole.session.captures == ("relations" not in fields)
    spread = np.abs(wanted).max()
    np.testing.assert_allclose(stepped(whole, range(60)), wanted, atol=1e-3 * spread)
    np.testing.assert_allclose(stepped(half, range(60)), wanted, atol=0.05 * spread)
    again = GraphEngine(whole.session)
    np.testing.assert_array_equal(stepped(again, range(60)), stepped(again.session.engine(), range(60)))


def test_a_live_state_moves_between_cpu_and_gpu() -> None:
    network = live_network()
    here, there = GraphEngine(network, "cpu", "float32"), GraphEngine(network, "cuda", "float32")
    wanted = stepped(GraphEngine(network, "cpu", "float32"), range(60))
    parts = [stepped(here, range(20))]
    there.restore(here.state())
    parts.append(stepped(there, range(20, 40)))
    here.restore(there.state())
    parts.append(stepped(here, range(40, 60)))
    np.testing.assert_allclose(np.concatenate(parts), wanted, atol=1e-3 * np.abs(wanted).max())
    there.reset()
    assert not any(a.any() for a in there.live.values())


def test_live_steps_allocate_nothing_on_the_device() -> None:
    engine = GraphEngine(live_network(), "cuda")
    stepped(engine, range(5))
    before = torch.cuda.memory_stats()["allocation.all.allocated"]
    stepped(engine, range(5, 100))
    assert torch.cuda.memory_stats()["allocation.all.allocated"] == before


def test_a_package_decodes_live_on_the_gpu(exported_package: Package) -> None:
    from small_package import signal

    chunk = Chunk.of(signal(400))
    said = []
    for device in ("cpu", "cuda"):
        model = LiveModel.open(exported_package.folder, device=device)
        decoder = model.decoder()
        said.append(decoder.step(chunk, decoder.start())[0].values)
        assert model.device.startswith(device)
    np.testing.assert_allclose(said[1], said[0], atol=1e-3)
