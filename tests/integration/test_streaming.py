"""Streaming over DataLoader's workers, and kill -9 in the middle of an epoch: the batches are those of one process."""

from __future__ import annotations

import gc
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import stream_child
import torch
from make_prepared import prepared, several, spec_of, spiking
from torch.utils.data import DataLoader

from neural_foundation.core.errors import RecordingError
from neural_foundation.core.specs import TargetSpec
from neural_foundation.models.multiscale import Multiscale
from neural_foundation.recordings import read
from neural_foundation.recordings.montage import standard_1005
from neural_foundation.sampling import slots
from neural_foundation.sampling.montages import by_montage
from neural_foundation.sampling.random_windows import RandomWindows
from neural_foundation.sampling.spike_windows import SpikeWindows
from neural_foundation.sampling.streaming import StreamingNeuralDataset, carried
from neural_foundation.sampling.windows import continuous

HEAD = spec_of(names=("C3", "Cz", "C4")).replace(positions=tuple(standard_1005()[n] for n in ("C3", "Cz", "C4")))
KINDS, KILLS = ("ordered", "random"), 2


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("sessions")
    several(made, (1000, 350, 720, 90, 510, 2000, 640))
    return made


def digests(batches: Any) -> list[tuple[int, int, str]]:
    return [(b.epoch, b.step, stream_child.digest_of(b)) for b in batches]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("persistent", [False, True])
def test_workers_change_nothing(folder: Path, kind: str, workers: int, persistent: bool) -> None:
    here, there = stream_child.data_of(kind, folder), stream_child.data_of(kind, folder)
    loader = there.loader(num_workers=workers, persistent_workers=persistent, prefetch_factor=3)
    for _ in range(2):
        assert digests(loader) == digests(here)
    for _ in zip(range(4), loader, strict=False):
        pass
    assert (there.epoch, there.step) == (2, 4)
    assert digests(loader) == digests(here)[4:]


@pytest.mark.parametrize("workers", [1, 2])
def test_a_plain_loader_gives_the_same(folder: Path, workers: int) -> None:
    data = stream_child.data_of("ordered", folder)
    assert digests(DataLoader(data, batch_size=None, num_workers=workers)) == digests(
        stream_child.data_of("ordered", folder)
    )


def test_spawned_workers_give_the_same(folder: Path) -> None:
    data = stream_child.data_of("ordered", folder)
    loader = data.loader(num_workers=1, multiprocessing_context="spawn")
    assert digests(loader) == digests(stream_child.data_of("ordered", folder))


def test_spikes_over_workers(tmp_path: Path) -> None:
    paths = [spiking(tmp_path / f"{i}.h5", i, seconds=60.0) for i in range(2)]
    here, there = (SpikeWindows(paths, window_s=1.0, bin_s=0.1, batch_size=2) for _ in range(2))
    got = list(there.loader(num_workers=2))
    assert all(torch.equal(a.counts, b.counts) for a, b in zip(got, here, strict=True))


@pytest.mark.parametrize("workers", [0, 2])
def test_memory_of_large_batches_is_used_again_and_never_while_in_use(tmp_path: Path, workers: int) -> None:
    path = prepared(tmp_path / "a.h5", 60_000, spec=spec_of(32))
    data = StreamingNeuralDataset([path], window_s=20.0, lanes=5, stretch_s=20.0, seed=1)
    assert data.batch_bytes > slots.SMALL
    want = digests(data)
    loader = data.loader(num_workers=workers, persistent_workers=workers > 0)
    places, kept = set(), []
    for batch in loader:
        places.add(batch.signal.data_ptr())
        assert stream_child.digest_of(batch) == digests([data.at(batch.epoch, batch.step)])[0][2]
    assert len(places) <= workers * 2 + 4
    del batch
    gc.collect()
    for n, batch in enumerate(loader):  # left in the middle, with batches on their way
        kept.append(batch)
        if n == 2:
            break
    data.set_epoch(0)
    kept.extend(loader)
    assert digests(kept[3:]) == want
    again = [data.at(2, step) for step in range(3)]
    assert digests(kept[:3]) == digests(again)


def test_an_error_in_a_worker_says_what_was_wrong(tmp_path: Path) -> None:
    paths = several(tmp_path, (500, 500))
    data = StreamingNeuralDataset(paths, window_s=1.0, lanes=2)
    os.truncate(paths[0], paths[0].stat().st_size - 100)
    with pytest.raises(RecordingError, match="it changed since it was opened"):
        list(data.loader(num_workers=1))


@pytest.fixture
def heads(tmp_path: Path) -> list[Path]:
    """Three recordings of one montage with known positions."""
    make, paths = np.random.default_rng(0), []
    for i, n in enumerate((900, 500, 700)):
        values = 1e-5 * make.standard_normal((3, n)).astype(np.float32)
        paths.append(prepared(tmp_path / f"{i}.h5", n, spec=HEAD, values=values))
    return paths


def network_of(path: Path) -> Any:
    model = Multiscale(d_model=16, n_heads=2, n_layers=1, virtual_channels=2, resonators=(2, 2, 4, 4))
    network = model.build(HEAD, TargetSpec(classes=("left", "right")), seed=3)
    network.calibrate([torch.from_numpy(continuous([path], 2.0, 2.0).load())])
    return network


def test_a_network_that_carries_its_state_hears_whole_recordings(heads: list[Path]) -> None:
    network = network_of(heads[0]).eval()
    data = StreamingNeuralDataset(heads, window_s=1.0, lanes=2)
    got: dict[int, list[torch.Tensor]] = {0: [], 1: [], 2: []}
    with torch.no_grad():
        state = start = network.start(2)
        for batch in data.loader(num_workers=1):
            state = carried(state, start, batch.begin)
            output, state = network.stream(batch.signal, state)
            for lane in range(2):
                if batch.active[lane]:
                    got[int(batch.recording[lane])].append(output.logits[lane])
        for i, path in enumerate(heads):
            with read(path) as session:
                whole = network(torch.from_numpy(session.signal.read()[None])).logits[0]
            torch.testing.assert_close(torch.cat(got[i]), whole, rtol=1e-4, atol=1e-5)


def train(paths: list[Path], network: Any, loss: Any, checkpoint: Path) -> None:
    """Train for an epoch, state carried from window to window; go on from the checkpoint where there is one."""
    data = StreamingNeuralDataset(paths, window_s=1.0, lanes=2, seed=0)
    optimiser = torch.optim.AdamW(network.parameters())
    state = start = network.start(2)
    if checkpoint.exists():
        saved = torch.load(checkpoint, weights_only=True)
        data.load_state_dict(saved["data"])
        network.load_state_dict(saved["network"])
        optimiser.load_state_dict(saved["optimiser"])
        state = saved["state"]
    for batch in data.loader(num_workers=2, prefetch_factor=4):
        torch.manual_seed(batch.step)  # dropout is then a function of the step, too
        state = carried(state, start, batch.begin)
        output, state = network.stream(batch.signal, state)
        loss(output, batch).backward()
        optimiser.step()
        optimiser.zero_grad()
        state = {name: value.detach() for name, value in state.items()}
        parts = {"data": data, "network": network, "optimiser": optimiser}
        torch.save({name: part.state_dict() for name, part in parts.items()} | {"state": state}, checkpoint)


def test_training_goes_on_to_the_same_weights(heads: list[Path], tmp_path: Path) -> None:
    calls = 0

    def loss(output: Any, batch: Any) -> torch.Tensor:
        nonlocal calls
        calls += 1
        if calls == 5:
            raise KeyboardInterrupt
        return torch.nn.functional.cross_entropy(output.logits[:, -1], batch.recording.clamp(0) % 2)

    network = network_of(heads[0])
    with pytest.raises(KeyboardInterrupt):
        train(heads, network, loss, tmp_path / "checkpoint.pt")
    train(heads, network_of(heads[0]), loss, tmp_path / "checkpoint.pt")
    undisturbed = network_of(heads[0])
    train(heads, undisturbed, loss, tmp_path / "other.pt")
    assert calls == 5 + (12 - 4) + 12
    saved = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert saved["data"]["epoch"] == 1
    assert all(torch.equal(value, saved["network"][name]) for name, value in undisturbed.state_dict().items())


def by_montages(paths: list[Path]) -> RandomWindows:
    """Return random windows of recordings whose channels differ; each batch is of one montage."""
    sets = [continuous(group, 2.0, 1.0) for spec, group in by_montage(paths)]
    return RandomWindows(sets, batch_size=4, balance="subject", seed=0)


def test_a_network_takes_another_montage_a_batch(heads: list[Path], tmp_path: Path) -> None:
    wide = ("Fz", "C3", "Cz", "C4", "Pz")
    spec = spec_of(names=wide).replace(positions=tuple(standard_1005()[n] for n in wide))
    values = 1e-5 * np.random.default_rng(1).standard_normal((5, 600)).astype(np.float32)
    data = by_montages([*heads, prepared(tmp_path / "wide.h5", 600, spec=spec, subject="other", values=values)])
    network = network_of(heads[0]).eval()
    shapes = set()
    for batch in data:
        montage = data.montages[batch.montage]
        network.bind_montage(montage.positions, names=montage.ch_names)
        shapes.add((batch.montage, batch.signal.shape[1], network(batch.signal).logits.shape[1]))
    assert shapes == {(0, 3, 20), (1, 5, 20)}


def command(folder: Path, kind: str, workers: int, log: Path, state: Path, steps: int) -> list[str]:
    return [sys.executable, stream_child.__file__, str(folder), kind, str(workers), str(steps), str(log), str(state)]


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "workers"), [("ordered", 1), ("ordered", 2), ("random", 2)])
def test_killed_and_resumed_gives_the_same_batches(folder: Path, tmp_path: Path, kind: str, workers: int) -> None:
    data = stream_child.data_of(kind, folder)
    steps, want = 3 * len(data), digests([*data, *data, *data])
    log, state, moments, kills = tmp_path / "log", tmp_path / "state.json", random.Random(workers), 0
    while True:
        process = subprocess.Popen(command(folder, kind, workers, log, state, steps), start_new_session=True)
        before = _lines(log)
        more = moments.randint(1, len(data) // 2)
        while process.poll() is None and (kills == KILLS or len(_lines(log)) < len(before) + more):
            time.sleep(0.002)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            kills += 1
            continue
        assert process.returncode == 0
        break
    assert kills == KILLS
    # the batch whose place was not yet written down when the kill came is made once more, with the same bytes
    assert list(dict.fromkeys(_lines(log))) == [f"{epoch} {step} {digest}" for epoch, step, digest in want]


def _lines(log: Path) -> list[str]:
    return [line for line in log.read_text().splitlines() if line.count(" ") == 2] if log.exists() else []
