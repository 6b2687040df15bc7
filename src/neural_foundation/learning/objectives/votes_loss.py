"""The loss of `votes`. Shapes: B batch, C channels, M tokens, K classes."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ...core.errors import DataError, SpecError
from ...sampling.batches import Batch
from ..base import Bound
from .tokens import outputs, token_weights, tokens_before
from .votes_sides import flip_of

if TYPE_CHECKING:
    from .votes import Votes


class VotesLoss(nn.Module):
    """`forward(network, batch) -> (B,)`; `figures` judges the last token alone, as an evaluation would.

    In training windows are flipped, then mixed; their loss is weighed so that the mean weight of a training window
    is 1.
    """

    def __init__(self, spec: Votes, bound: Bound) -> None:
        super().__init__()
        assert bound.target is not None
        self.spec = spec
        self.first = tokens_before(spec.from_s, int(bound.network.hop), bound.signal.sfreq)  # type: ignore[arg-type]
        counts = _counts(bound.source.windows, bound.target.n_outputs).sum(1)
        self.scale = 1 / float(np.mean(self._weights(torch.from_numpy(counts)).numpy()))
        self.index, self.sign = flip_of(bound.signal) if spec.flips else ((), ())

    def forward(self, network: nn.Module, batch: Batch) -> Tensor:
        votes = _of(batch)
        shares, weight = votes / votes.sum(1, keepdim=True), self._weights(votes.sum(1)) * self.scale
        if self.training and self.spec.flips:
            batch = replace(batch, signal=self._flipped(batch))
        if self.training and self.spec.mixup and len(batch) > 1:
            batch, shares, weight = self._mixed(batch, shares, weight)
        shares = (1 - self.spec.label_smoothing) * shares + self.spec.label_smoothing / shares.shape[1]
        logits = outputs(network, batch).logits.float()
        tokens = token_weights(logits.shape[1], self.first, self.spec.rise).to(logits.device)
        counting = tokens > 0
        losses = divergence(shares[:, None].expand_as(logits[:, counting]), logits[:, counting])
        return (losses * tokens[counting]).sum(1) * weight.float()

    def figures(self, network: nn.Module, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the plain KL divergence (B,) at the last token, and what a validation shows beside it.

        accuracy : 1 where the class chosen has the most votes; where several have, each of them is right. The
        balanced accuracy is that of the label, which of several such classes names one.
        """
        from ..loop import CHOSEN, TRUE

        votes = _of(batch)
        logits = outputs(network, batch).logits[:, -1].float()
        chosen = logits.argmax(-1)
        right = votes.gather(1, chosen[:, None])[:, 0] == votes.amax(1)
        kl = divergence(votes / votes.sum(1, keepdim=True), logits)
        return kl, {"kl": kl, "accuracy": right.float(), CHOSEN: chosen, TRUE: batch.target}

    def _weights(self, counts: Tensor) -> Tensor:
        ways: dict[str, Tensor] = {"votes": counts, "sqrt": counts.sqrt(), "none": torch.ones_like(counts)}
        return ways[self.spec.weigh]

    def _flipped(self, batch: Batch) -> Tensor:
        """Return signals (B, C, T), some of them with left and right exchanged."""
        signal = batch.signal
        turned = [bool(draw.random() < self.spec.flips) for draw in batch.draws("flip")]
        sign = torch.tensor(self.sign, dtype=signal.dtype, device=signal.device)[:, None]
        which = torch.tensor(turned, device=signal.device)[:, None, None]
        return torch.where(which, signal[:, list(self.index)] * sign, signal)

    def _mixed(self, batch: Batch, shares: Tensor, weight: Tensor) -> tuple[Batch, Tensor, Tensor]:
        """Return signals, shares and weights, each mixed with those of another window of the batch."""
        n, alpha, device = len(batch), self.spec.mixup, batch.signal.device
        drawn = [(float(d.beta(alpha, alpha)), int(d.integers(1, n))) for d in batch.draws("mixup")]
        part = torch.tensor([max(b, 1 - b) for b, _ in drawn], dtype=batch.signal.dtype, device=device)
        other = torch.tensor([(i + step) % n for i, (_, step) in enumerate(drawn)], device=device)

        def mixed(values: Tensor) -> Tensor:
            own = part.view(-1, *[1] * (values.ndim - 1)).to(values.dtype)
            return own * values + (1 - own) * values[other]

        return replace(batch, signal=mixed(batch.signal)), mixed(shares), mixed(weight)


def divergence(shares: Tensor, logits: Tensor) -> Tensor:
    """Return KL(shares || softmax(logits)) over the last axis, in nats; a class with the share 0 counts 0."""
    own: Tensor = torch.special.xlogy(shares, shares).sum(-1)
    return own - (shares * torch.log_softmax(logits, -1)).sum(-1)


def _of(batch: Batch) -> Tensor:
    if batch.votes is None:
        raise _without()
    return batch.votes


def _counts(windows: Any, n_classes: int) -> NDArray[np.float64]:
    """Return the votes (n, K) of the training windows, checked."""
    votes = getattr(windows, "votes", None)
    if votes is None:
        raise _without()
    votes = np.asarray(votes, np.float64)
    if votes.ndim != 2 or votes.shape[1] != n_classes:
        raise DataError(f"Votes have shape {votes.shape}", allowed=f"(n, {n_classes}), one column a class")
    empty = ~(votes.sum(1) > 0)
    if empty.any():
        given = f"Nobody voted on {int(empty.sum())} of {len(votes)} training windows, the first is {np.argmax(empty)}"
        raise DataError(given, remedy="Leave them out: without a vote there is nothing to learn from")
    return votes


def _without() -> SpecError:
    return SpecError(
        "Objective 'votes' learns from the votes of experts, and these windows have none",
        remedy="Use a dataset with votes and prepare it again, or learn the labels with objective 'classify'",
    )
