"""Which parameter is moved how far: groups of AdamW, the schedule of the learning rate, weights averaged over steps."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from ..core.errors import SpecError, one_of
from .weights import under

if TYPE_CHECKING:
    from .gradient import Gradient

UNDECAYED = ("bias", "norm", "decay", "lambda", "log_")  # and all vectors


def freeze(network: nn.Module, prefixes: tuple[str, ...]) -> None:
    """Stop the parameters whose names begin with one of `prefixes`; SpecError where one names nothing."""
    names = [name for name, _ in network.named_parameters()]
    for prefix in prefixes:
        if not any(under(name, (prefix,)) for name in names):
            tops = sorted({name.partition(".")[0] for name in names})
            raise SpecError(f"freeze: no parameter begins with '{prefix}'", allowed=one_of(tops))
    for name, parameter in network.named_parameters():
        if under(name, prefixes):
            parameter.requires_grad_(False)
    if not any(p.requires_grad for p in network.parameters()):
        raise SpecError(f"freeze: {one_of(prefixes)} leaves nothing to train", remedy="Freeze less")


def adamw(network: nn.Module, loss: nn.Module, learner: Gradient, front_end: tuple[str, ...]) -> torch.optim.AdamW:
    """Return AdamW over all trainable parameters of network and loss.

    Four groups at most: front end or not, decayed or not. Each has a `factor` on the learning rate.
    """
    groups: dict[tuple[bool, bool], list[Tensor]] = {}
    for name, parameter in _trainable(network, loss):
        front = under(name, front_end)
        groups.setdefault((front, _decayed(name, parameter)), []).append(parameter)
    options: list[dict[str, Any]] = [
        {
            "params": groups[key],
            "factor": learner.front_end_lr if key[0] else 1.0,
            "weight_decay": learner.weight_decay if key[1] else 0.0,
        }
        for key in sorted(groups)
    ]
    # foreach: one call for all tensors of a group, 2-3 times faster than a loop for many small ones
    return torch.optim.AdamW(options, lr=learner.lr, betas=learner.betas, foreach=True)


def rate(learner: Gradient, step: int, total: int) -> float:
    """Return the factor on the learning rate at a step: linear from 0, then a half cosine down to `final_lr`."""
    rising = round(learner.warmup * total)
    if step < rising:
        return (step + 1) / rising
    place = (step - rising) / max(total - rising - 1, 1)
    return learner.final_lr + (1 - learner.final_lr) * 0.5 * (1 + math.cos(math.pi * min(place, 1.0)))


def averaged(network: nn.Module, learner: Gradient) -> AveragedModel | None:
    """Return the average of the network's weights over steps, or None.

    ema : exponential; short at first, so that the random start is soon forgotten. swa : the plain mean.
    """
    if learner.averaging == "none":
        return None
    decay = learner.ema_decay

    def ema(average: Tensor, current: Tensor, seen: Tensor | int) -> Tensor:
        return average + (1 - min(decay, (1 + int(seen)) / (10 + int(seen)))) * (current - average)

    made: AveragedModel = AveragedModel(network, avg_fn=ema if learner.averaging == "ema" else None)
    return made


def averages_at(learner: Gradient, step: int, total: int) -> bool:
    """Return whether the weights after `step` enter the average."""
    return learner.averaging == "ema" or step >= learner.swa_from * total


def _trainable(network: nn.Module, loss: nn.Module) -> list[tuple[str, nn.Parameter]]:
    mine = [(f"loss.{n}", p) for n, p in loss.named_parameters() if p.requires_grad]
    return [(n, p) for n, p in network.named_parameters() if p.requires_grad] + mine


def _decayed(name: str, parameter: Tensor) -> bool:
    return parameter.ndim > 1 and not any(word in name.lower() for word in UNDECAYED)
