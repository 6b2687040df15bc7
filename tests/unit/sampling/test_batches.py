"""Batches: signals, indices of subjects, and draws that depend on the window alone."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from neural_foundation.core.specs import SignalSpec
from neural_foundation.sampling.batches import Source


def _windows() -> Any:
    signal = np.arange(4 * 2 * 5, dtype=np.float32).reshape(4, 2, 5)
    loads: list[int] = []

    def load(indices: Any) -> Any:
        loads.append(len(indices))
        return signal[np.asarray(indices)]

    class Fake(SimpleNamespace):
        def __len__(self) -> int:
            return 4

    spec = SignalSpec(sfreq=100.0, ch_names=("a", "b"))
    subject, target = np.asarray(["x", "y", "x", "new"]), np.asarray([0, 1, -1, 1])
    return Fake(spec=spec, n_times=5, subject=subject, target=target, load=load, signal=signal, loads=loads)


@pytest.mark.parametrize("memory_bytes", [0, 10**6])
def test_a_batch_holds_what_was_asked_for(memory_bytes: int) -> None:
    windows = _windows()
    batch = Source(windows, ["y", "x"], memory_bytes=memory_bytes).batch(np.asarray([3, 0]), seed=0)
    assert batch.signal.dtype == torch.float32
    assert np.array_equal(batch.signal.numpy(), windows.signal[[3, 0]])
    assert batch.target.tolist() == [1, 0]
    assert batch.subject.tolist() == batch.identity.tolist() == [0, 2]
    assert windows.loads == ([4] if memory_bytes else [2])


def test_the_population_hides_the_subject_but_not_the_identity() -> None:
    batch = Source(_windows(), ["x", "y"]).batch(np.asarray([0, 1]), seed=0, population=True)
    assert batch.subject.tolist() == [0, 0]
    assert batch.identity.tolist() == [1, 2]


def test_draws_depend_on_seed_purpose_step_and_item_not_on_the_batch() -> None:
    source = Source(_windows(), ["x", "y"])

    def draw(items: list[int], purpose: str = "mask", seed: int = 0, step: int = 3) -> list[float]:
        batch = source.batch(np.asarray(items), seed=seed, epoch=1, step=step)
        return [g.random() for g in batch.draws(purpose)]

    assert draw([0, 1, 2])[2] == draw([2])[0]
    assert len({draw([2])[0], draw([2], "gain")[0], draw([2], seed=1)[0], draw([2], step=4)[0], draw([1])[0]}) == 5


def test_memory_is_torchs_own() -> None:
    windows = _windows()
    batch = Source(windows, []).batch(np.arange(4), seed=0)
    batch.signal.zero_()
    assert windows.signal.any()


def test_votes_come_with_their_windows() -> None:
    windows = _windows()
    windows.votes = np.arange(12).reshape(4, 3)
    batch = Source(windows, ["x", "y"]).batch(np.asarray([2, 0]), seed=0).to("cpu")
    assert batch.votes is not None
    assert batch.votes.dtype == torch.float32
    assert batch.votes.tolist() == [[6, 7, 8], [0, 1, 2]]
    assert Source(_windows(), ["x", "y"]).batch(np.asarray([0]), seed=0).votes is None
