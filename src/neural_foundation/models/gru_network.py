"""The network of the GRU decoder, and its training.

Shapes: input (n, T, C) standardised counts; y (n, T, K) standardised, nan where not known; classes (n, M), -1 where
not known; logits (n, sum of the numbers of classes).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

if TYPE_CHECKING:
    from .gru_decoder import GRU

Array = NDArray[Any]
Part = tuple[Array, Array, Array]
WHOLE = 64  # windows at once where nothing is learned


class GRUNetwork(nn.Module):
    """Counts to a state a bin; continuous channels from each state, classes from their mean."""

    def __init__(self, n_units: int, n_continuous: int, classes: tuple[int, ...], model: GRU, seed: int) -> None:
        super().__init__()
        self.classes = classes
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.dropout = nn.Dropout(model.dropout)
            self.inward = nn.Linear(n_units, model.hidden)
            self.gru = nn.GRU(model.hidden, model.hidden, batch_first=True, bidirectional=model.bidirectional)
            width = model.hidden * (2 if model.bidirectional else 1)
            self.continuous = nn.Linear(width, n_continuous) if n_continuous else None
            self.labels = nn.Linear(width, sum(classes)) if classes else None

    def forward(self, counts: Tensor) -> tuple[Tensor, Tensor]:
        """Return y (n, T, K) and logits of all classes (n, sum), either of no width where there is nothing."""
        states = self.dropout(self.gru(self.inward(self.dropout(counts)))[0])
        none = states[..., :0]
        y = none if self.continuous is None else self.continuous(states)
        return y, none[:, 0] if self.labels is None else self.labels(states.mean(1))

    def loss(self, counts: Tensor, y: Tensor, classes: Tensor) -> Tensor:
        """Return the squared error of what is known plus the mean cross-entropy of the modalities of classes."""
        said, logits = self(counts)
        known = ~torch.isnan(y)
        total = functional.mse_loss(said[known], y[known]) if known.any() else said.sum() * 0
        for i, part in enumerate(logits.split(self.classes, dim=-1) if self.classes else ()):
            seen = classes[:, i] >= 0
            if seen.any():
                total = total + functional.cross_entropy(part[seen], classes[seen, i])
        return total


def train_network(network: GRUNetwork, train: Part, validation: Part, model: GRU, seed: int) -> dict[str, Array]:
    """Return the weights of the epoch of least validation loss, as arrays. A function of the parts and the seed."""
    train_part, apart = ([torch.from_numpy(np.ascontiguousarray(v)) for v in part] for part in (train, validation))
    n = len(train_part[0])
    optimiser = torch.optim.AdamW(network.parameters(), lr=model.learning_rate, weight_decay=model.weight_decay)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, model.max_epochs)
    best, least, since = _weights(network), np.inf, 0
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for _ in range(model.max_epochs):
            network.train()
            for items in torch.split(torch.randperm(n), model.batch):
                optimiser.zero_grad()
                network.loss(*(v[items] for v in train_part)).backward()  # type: ignore[no-untyped-call]
                nn.utils.clip_grad_norm_(network.parameters(), 1.0)
                optimiser.step()
            schedule.step()
            loss = _mean_loss(network, apart)
            best, least, since = (_weights(network), loss, 0) if loss < least else (best, least, since + 1)
            if since >= model.patience:
                break
    return best


def apply_network(network: GRUNetwork, weights: Mapping[str, Array], counts: Array) -> tuple[Array, Array]:
    """Return y (n, T, K) and logits (n, sum) that a network of these weights makes of counts."""
    network.load_state_dict({name: torch.from_numpy(np.array(value)) for name, value in weights.items()})
    network.eval()
    with torch.inference_mode():
        made = [network(torch.from_numpy(counts[i : i + WHOLE])) for i in range(0, len(counts), WHOLE)]
    y, logits = (torch.cat(side).numpy().astype(np.float64) for side in zip(*made, strict=True))
    return y, logits


def _weights(network: GRUNetwork) -> dict[str, Array]:
    return {name: value.detach().numpy().copy() for name, value in network.state_dict().items()}


def _mean_loss(network: GRUNetwork, part: list[Tensor]) -> float:
    network.eval()
    with torch.inference_mode():
        rows = torch.split(torch.arange(len(part[0])), WHOLE)
        return float(np.average([float(network.loss(*(v[r] for v in part))) for r in rows], weights=[*map(len, rows)]))
