"""What every streaming network gives: one code path for training, evaluation and a live step.

Shapes: B batch, C channels, P samples a hop, M tokens, D width.
"""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ..core.errors import DataError, SignalMismatchError
from ..core.stream import State as ArrayState

State = dict[str, Tensor]


class NetworkOutput(NamedTuple):
    """What a network gives for M tokens.

    logits : (B, M, n_outputs), None without a target. A window's decision is that of its last token.
    features : (B, M, D), what the decision is read from.
    tokens : (B, M, F), the standardised front-end features, detached: the target of masked reconstruction.
    subject_logits : (B, subjects), of the adversary behind the gradient reversal; in training only.
    reconstruction : (B, M, F), the guess of `tokens`; of a network built for pre-training only.
    """

    logits: Tensor | None
    features: Tensor
    tokens: Tensor | None = None
    subject_logits: Tensor | None = None
    reconstruction: Tensor | None = None


class Network(nn.Module, ABC):
    """A causal network that streams: what changes is in the state, never in the module.

    hop : P, samples a token. n_chans : C. chunk : tokens that `forward` gives to `stream` at a time.
    """

    hop: int
    n_chans: int
    chunk: int = 16

    @abstractmethod
    def start(self, batch: int = 1) -> State:
        """Return the state before the first sample, named tensors whose first axis is B."""

    @abstractmethod
    def stream(
        self, signal: Tensor, state: State, subject: Tensor | None = None, token_mask: Tensor | None = None
    ) -> tuple[NetworkOutput, State]:
        """Return the output for whole tokens (B, C, M P) and the state after them; `state` itself is not changed."""

    @abstractmethod
    def calibrate(self, batches: Iterable[Tensor]) -> None:
        """Set what must be known of the data before training (scales of features) from batches (B, C, T), once."""

    def origin(self) -> dict[str, str]:
        """Return what a package's facts say of the weights that training began with, where that was left open."""
        return {}

    @contextlib.contextmanager
    def fixed(self) -> Iterator[None]:
        """Compute what depends on the weights alone once, while the context lasts and they do not change."""
        yield

    def forward(
        self,
        signal: Tensor,
        subject: Tensor | None = None,
        token_mask: Tensor | None = None,
        begin: State | None = None,
    ) -> NetworkOutput:
        """Return the output for signals (B, C, T) from the start state; samples after the last whole token are left.

        subject : (B,) int64, 0 the population, or None. token_mask : (B, M) True where a token is hidden.
        begin : what of the start state is otherwise, such as what is known of each person (`people.people`).
        Raises SignalMismatchError for another number of channels, DataError for signals shorter than a token.
        """
        self._check(signal)
        return self.onward(signal, {**self.start(signal.shape[0]), **(begin or {})}, subject, token_mask)[0]

    def onward(
        self, signal: Tensor, state: State, subject: Tensor | None = None, token_mask: Tensor | None = None
    ) -> tuple[NetworkOutput, State]:
        """Return the output for signals (B, C, T) from a state, and the state after the last whole token."""
        tokens = signal.shape[2] // self.hop
        parts = []
        with self.fixed():
            for first in range(0, tokens, self.chunk):
                last = min(first + self.chunk, tokens)
                mask = None if token_mask is None else token_mask[:, first:last]
                part, state = self.stream(signal[:, :, first * self.hop : last * self.hop], state, subject, mask)
                parts.append(part)
        return _join(parts), state

    def _check(self, signal: Tensor) -> None:
        if signal.ndim != 3 or signal.shape[1] != self.n_chans:
            raise SignalMismatchError(
                f"The network was given signals of shape {tuple(signal.shape)}",
                allowed=f"(batch, {self.n_chans}, n_times)",
                remedy="Pick the model's channels, or bind another montage",
            )
        if signal.shape[2] < self.hop:
            raise DataError(
                f"Signals of {signal.shape[2]} samples are shorter than one token",
                allowed=f"{self.hop} samples or more",
                remedy="Cut longer windows, or build the model with a smaller hop_s",
            )

    def n_parameters(self) -> int:
        """Return the number of learned numbers."""
        return sum(p.numel() for p in self.parameters())

    def adopt(self, weights: Mapping[str, Tensor], *, without: Iterable[str] = ()) -> list[str]:
        """Take all weights of the same name and shape, but those whose name starts with one of `without`.

        Returns the names of the network's own entries that were not given: they keep their start.
        """
        own, skip = self.state_dict(), tuple(without)
        taken = {
            n: w
            for n, w in weights.items()
            if n in own and own[n].shape == w.shape and not n.startswith(skip or ("\0",))
        }
        self.load_state_dict(taken, strict=False)
        return [n for n in own if n not in taken]


def _join(parts: list[NetworkOutput]) -> NetworkOutput:
    """Return the outputs of consecutive chunks as one; the adversary's is that of the last."""
    if len(parts) == 1:
        return parts[0]

    def along(name: str) -> Tensor | None:
        pieces = [getattr(p, name) for p in parts]
        return None if pieces[0] is None else torch.cat(pieces, 1)

    features = torch.cat([p.features for p in parts], 1)
    return NetworkOutput(along("logits"), features, along("tokens"), parts[-1].subject_logits, along("reconstruction"))


def to_arrays(state: State) -> ArrayState:
    """Return a state as numpy arrays, for `core.stream.save_state`."""
    return {name: value.detach().cpu().numpy() for name, value in state.items()}


def to_tensors(state: ArrayState, device: torch.device | None = None) -> State:
    """Return the state that `to_arrays` gave as tensors."""
    return {name: torch.from_numpy(value).to(device) for name, value in state.items()}
