"""What every objective owes: a loss a sample, deterministic, coupled only if it says so, that training lowers.

A kind added to the table is tested here without a change, given a target of its task.
"""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from binned import made_session, made_set
from binned_model import SmallBinned

from neural_foundation.core.specs import SignalSpec, TargetSpec
from neural_foundation.learning.base import Bound, Objective
from neural_foundation.learning.fit import fit
from neural_foundation.learning.table import LEARNERS, OBJECTIVES
from neural_foundation.models.multiscale import Multiscale
from neural_foundation.sampling.batches import Source

SIGNAL = SignalSpec(sfreq=64.0, ch_names=("a", "b", "c"))
SUBJECTS = ("s1", "s2")
TARGETS = {
    "classification": TargetSpec(classes=("left", "right")),
    "regression": TargetSpec(task="regression", names=("x",)),
}
MODEL = Multiscale(
    d_model=16, n_layers=1, n_heads=2, virtual_channels=3, scales_s=(0.1, 1.0), resonators=(2, 4), high_hz=25.0
)


class _Windows(SimpleNamespace):
    def __len__(self) -> int:
        return len(self.signal)

    def load(self, indices: Any) -> Any:
        return self.signal[np.asarray(indices)]

    def select(self, indices: Any) -> _Windows:
        names = ("signal", "target", "subject", "votes")
        return _Windows(spec=SIGNAL, n_times=self.n_times, **{n: getattr(self, n)[indices] for n in names})


def _windows(task: str, n: int = 12) -> Any:
    rng = np.random.default_rng(0)
    target = np.arange(n) // 2 % 2
    signal = rng.standard_normal((n, 3, 128)).astype(np.float32) * 1e-5
    signal[target == 1, 1] *= 3
    values = target if task == "classification" else target.astype(np.float32)
    subject, votes = np.asarray(SUBJECTS * (n // 2)), 1 + 3 * np.eye(2, dtype=np.float32)[target]
    return _Windows(spec=SIGNAL, n_times=128, signal=signal, target=values, subject=subject, votes=votes)


def _bound(kind: str) -> tuple[Objective, Bound]:
    objective: Any = OBJECTIVES.parse(kind)
    if objective.data == "binned":
        return objective, _of_sessions()
    task = objective.tasks[0] if objective.supervised else "classification"
    target = TARGETS[task] if objective.supervised else None
    network = MODEL.build(SIGNAL, target, subjects=2, seed=0)
    source = Source(_windows(task), SUBJECTS)
    network.calibrate([source.batch(np.arange(12), seed=0).signal])
    torch.manual_seed(0)
    return objective, Bound(network.eval(), SIGNAL, target, SUBJECTS, source, 0)


def _of_sessions() -> Any:
    """Return what an objective of binned sessions is bound to: the signal is that of its windows."""
    windows: Any = made_set([made_session(name, seed, units=4, trials=6) for seed, name in enumerate("ab")])
    network: Any = SmallBinned(width=32).build(windows.spec, None, seed=0)
    network.calibrate_sets(windows)
    return Bound(network.eval(), windows.spec, None, SUBJECTS, windows.source(SUBJECTS, 2**30), 0)


@pytest.fixture(params=sorted(OBJECTIVES))
def kind(request: Any) -> str:
    return str(request.param)


def test_a_finite_loss_a_sample_with_gradients(kind: str) -> None:
    objective, bound = _bound(kind)
    losses = objective.bind(bound)(bound.network, bound.source.batch(np.arange(6), seed=0, step=0))
    assert losses.shape == (6,)
    assert torch.isfinite(losses).all()
    losses.sum().backward()
    moved = [p.grad for p in bound.network.parameters() if p.grad is not None]
    assert any(g.abs().sum() > 0 for g in moved)


def test_the_same_step_gives_the_same_loss(kind: str) -> None:
    objective, bound = _bound(kind)
    loss, batch = objective.bind(bound), bound.source.batch(np.arange(6), seed=0, step=3)
    assert torch.equal(loss(bound.network, batch), loss(bound.network, batch))


def test_samples_are_coupled_only_where_it_is_said(kind: str) -> None:
    objective, bound = _bound(kind)
    loss = objective.bind(bound)
    first = loss(bound.network, bound.source.batch(np.arange(6), seed=0, step=0))[:2]
    others = loss(bound.network, bound.source.batch(np.asarray([0, 1, 6, 7, 8, 9]), seed=0, step=0))[:2]
    assert torch.allclose(first, others, rtol=1e-4, atol=1e-5) is not objective.couples_samples


def test_gradient_training_lowers_it(kind: str, tmp_path: Path) -> None:
    objective, bound = _bound(kind)
    learner: Any = LEARNERS.parse(
        {"kind": "gradient", "objective": kind, "max_epochs": 12, "batch_size": 12, "lr": 0.003, "balance": "none"}
    )
    history = fit(
        SmallBinned(width=32) if bound.signal is not SIGNAL else MODEL,
        learner,
        bound.source.windows,
        signal=bound.signal,
        target=bound.target,
        subjects=SUBJECTS,
        folder=tmp_path,
        seed=0,
    ).history
    losses = [row["train_loss"] for row in history]
    assert np.mean(losses[-3:]) < 0.97 * np.mean(losses[:3])
