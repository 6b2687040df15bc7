"""Groups, schedule and averages of the optimiser against their closed forms."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import nn

from neural_foundation.learning.gradient import Gradient
from neural_foundation.learning.optimiser import adamw, averaged, averages_at, freeze, rate


def _learner(**fields: Any) -> Gradient:
    return Gradient(objective={"kind": "classify"}, **fields)


def _network() -> nn.Module:
    return nn.ModuleDict({"spatial": nn.Linear(2, 2), "norm": nn.LayerNorm(2), "log_tau": nn.Linear(3, 3, bias=False)})


def test_norms_biases_and_decay_coefficients_are_not_decayed() -> None:
    network, loss = _network(), nn.Linear(4, 4)
    optimiser = adamw(network, loss, _learner(weight_decay=0.3, front_end_lr=0.1), ("spatial",))
    found = {id(p): (g["weight_decay"], g["factor"]) for g in optimiser.param_groups for p in g["params"]}
    expected = {
        "spatial.weight": (0.3, 0.1),
        "spatial.bias": (0.0, 0.1),
        "norm.weight": (0.0, 1.0),
        "norm.bias": (0.0, 1.0),
        "log_tau.weight": (0.0, 1.0),
    }
    assert {n: found[id(p)] for n, p in network.named_parameters()} == expected
    assert found[id(loss.weight)] == (0.3, 1.0)


def test_the_rate_rises_and_falls_as_half_a_cosine() -> None:
    learner = _learner(warmup=0.1, final_lr=0.2)
    rates = [rate(learner, step, 101) for step in range(101)]
    assert rates[:10] == pytest.approx([(k + 1) / 10 for k in range(10)])
    assert rates[10] == 1.0
    assert rates[55] == pytest.approx(0.2 + 0.8 * 0.5 * (1 + math.cos(math.pi * 0.5)))
    assert rates[-1] == pytest.approx(0.2)


def test_rates_without_warm_up_and_with_one_step() -> None:
    assert rate(_learner(warmup=0), 0, 1) == 1.0
    assert rate(_learner(warmup=1), 4, 5) == 1.0


def test_swa_is_the_mean_and_ema_forgets_the_start() -> None:
    network = nn.Linear(1, 1, bias=False)
    seen = {"swa": averaged(network, _learner(averaging="swa")), "ema": averaged(network, _learner(averaging="ema"))}
    for value in range(1, 101):
        network.weight.data.fill_(value)
        for average in seen.values():
            assert average is not None
            average.update_parameters(network)
    weights = {k: a.module.weight.item() for k, a in seen.items() if a is not None}
    assert weights["swa"] == pytest.approx(50.5, rel=1e-5)
    assert 85 < weights["ema"] < 95
    assert averaged(network, _learner()) is None


def test_swa_waits_for_its_share_of_the_steps() -> None:
    learner = _learner(averaging="swa", swa_from=0.5)
    assert [averages_at(learner, step, 10) for step in range(10)] == [False] * 5 + [True] * 5


def test_freezing_takes_whole_words_of_a_name() -> None:
    network = _network()
    freeze(network, ("norm", "spatial.weight"))
    assert [n for n, p in network.named_parameters() if p.requires_grad] == ["spatial.bias", "log_tau.weight"]
    with pytest.raises(Exception, match="no parameter begins with 'spat'"):
        freeze(network, ("spat",))
    with pytest.raises(Exception, match="leaves nothing to train"):
        freeze(network, ("spatial", "norm", "log_tau"))
    assert isinstance(network["norm"].weight, torch.Tensor)
