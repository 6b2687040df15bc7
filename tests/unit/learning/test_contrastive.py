"""The contrastive objective against InfoNCE written out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from learning_fakes import SIGNAL, SUBJECTS, SmallModel, windows

from neural_foundation.learning.base import Bound
from neural_foundation.learning.objectives.contrastive import Contrastive
from neural_foundation.sampling.batches import Source

STILL = {"channel_dropout": 0.0, "gain": 0.0, "channel_gain": 0.0, "noise": 0.0, "shift_s": 0.0}


def _loss(**fields: Any) -> tuple[Any, Any, Any]:
    network = SmallModel().build(SIGNAL, None, subjects=3, seed=0).eval()
    bound = Bound(network, SIGNAL, None, SUBJECTS, Source(windows(9), SUBJECTS), 0)
    torch.manual_seed(0)
    return Contrastive(**fields).bind(bound), network, bound.source.batch(np.arange(9), seed=0, step=0)


def _embedded(loss: Any, network: Any, signal: torch.Tensor, subject: torch.Tensor) -> torch.Tensor:
    features = network(signal, subject).features
    z = loss.project(features[:, features.shape[1] // 2 :].mean(1))
    return z / z.norm(dim=1, keepdim=True)


def test_equal_views_give_the_closed_form() -> None:
    loss, network, batch = _loss(views=STILL, within_subject=False, temperature=0.5)
    z = _embedded(loss, network, batch.signal, batch.subject)
    similar = z @ z.T / 0.5
    expected = torch.logsumexp(similar, 1) - similar.diagonal()
    assert torch.allclose(loss(network, batch), expected, atol=1e-5)


def test_within_a_subject_only_its_windows_are_told_apart() -> None:
    loss, network, batch = _loss(views=STILL)
    z = _embedded(loss, network, batch.signal, batch.subject)
    same = batch.identity[:, None] == batch.identity[None]
    similar = (z @ z.T / 0.1).masked_fill(~same, -torch.inf)
    assert torch.allclose(loss(network, batch), torch.logsumexp(similar, 1) - similar.diagonal(), atol=1e-5)


def test_neighbours_are_the_two_halves() -> None:
    loss, network, batch = _loss(views=STILL, positives="neighbour", within_subject=False)
    a, b = (_embedded(loss, network, half, batch.subject) for half in batch.signal.split(100, dim=2))
    similar = a @ b.T / 0.1
    there = torch.logsumexp(similar, 1) - similar.diagonal()
    back = torch.logsumexp(similar, 0) - similar.diagonal()
    assert torch.allclose(loss(network, batch), (there + back) / 2, atol=1e-5)


def test_views_differ_and_are_the_same_again() -> None:
    loss, network, batch = _loss()
    assert torch.equal(loss(network, batch), loss(network, batch))
    changed = loss(network, batch) - _loss(views=STILL)[0](network, batch)
    assert (changed.abs() > 1e-4).all()


def test_it_couples_samples_and_learning_lowers_it() -> None:
    loss, network, batch = _loss()
    assert Contrastive.couples_samples
    optimiser = torch.optim.Adam([*network.parameters(), *loss.parameters()], lr=0.01)
    values = []
    for _ in range(30):
        optimiser.zero_grad()
        mean = loss(network, batch).mean()
        mean.backward()
        optimiser.step()
        values.append(mean.item())
    assert values[-1] < 0.8 * values[0]
    assert values[0] == pytest.approx(np.log(3), abs=1.5)
