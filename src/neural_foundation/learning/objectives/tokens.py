"""What objectives share: the weight of each token, the forward pass.

Shapes: B batch, M tokens.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ...core.errors import SpecError
from ...sampling.batches import Batch
from ..base import Bound


def outputs(network: nn.Module, batch: Batch, token_mask: Tensor | None = None) -> Any:
    """Return the NetworkOutput of a batch."""
    begin = {} if batch.begin is None else {"begin": batch.begin}
    return network(batch.signal, subject=batch.subject, token_mask=token_mask, **begin)


def token_weights(tokens: int, first: int, rise: float) -> Tensor:
    """Return weights (M,) that sum to one: zero before token `first`, then growing to the last as k^rise.

    Raises
    ------
    SpecError : no token is left after `first`.
    """
    if first >= tokens:
        given = f"from_s leaves out all {tokens} tokens of a window"
        raise SpecError(given, remedy="Give longer windows, or a smaller from_s")
    steps = torch.arange(1, tokens - first + 1, dtype=torch.float64) / (tokens - first)
    weights = torch.cat([torch.zeros(first, dtype=torch.float64), steps**rise])
    return (weights / weights.sum()).float()


def tokens_before(seconds: float, hop: int, sfreq: float) -> int:
    """Return how many tokens end before `seconds` of the window have passed."""
    return max(0, int(-(-round(seconds * sfreq) // hop)) - 1)


@torch.no_grad()
def feature_width(bound: Bound) -> int:
    """Return D of the network's features, by one forward pass of one window."""
    mode = bound.network.training
    out = outputs(bound.network.eval(), bound.source.batch(bound.source.first(1), seed=bound.seed))
    bound.network.train(mode)
    return int(out.features.shape[-1])
