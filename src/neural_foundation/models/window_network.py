"""The base of networks that decide on a whole window: their token is the window.

Shapes: B batch, C channels, T samples of a window, M windows one after another, D features, K outputs.

A window is cropped to its middle, scaled by what is known of the training data, embedded as D features and read out.
There is no state: `stream` decides each whole window alone, and `forward`, the package and the live decoder follow
from that. A subclass gives `embed`, and `settle` where it must know more of the data than its scale.
"""

from __future__ import annotations

import contextlib
from abc import abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from ..core.errors import DataError, SignalMismatchError, SpecError
from ..core.seeds import derive
from ..core.specs import SignalSpec, TargetSpec
from .network import Network, NetworkOutput, State
from .window_spec import WindowSpec

LIMIT = 20.0  # robust deviations at which a sample is cut
NORMAL_IQR = 1.349  # of a normal distribution with deviation 1
AT_A_TIME = 16  # windows embedded together where no gradient is kept
SAMPLED = 1 << 16  # samples of a channel type taken from a batch of calibration
KEPT = 16  # windows of a batch of calibration that `settle` sees
SETTLED = 48  # of those, that batch norms start from


@contextlib.contextmanager
def seeded(seed: int, kind: str) -> Iterator[None]:
    """Draw torch's random numbers from a seed of our own and leave the process's generator as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(seed, kind))
        yield


class WindowNetwork(Network):
    """Base of the networks of `WindowSpec`s.

    crop : samples that are looked at. least_times : the shortest signal that `decide` takes; a window or its crop may
        not be shorter.
    any_length : whether `decide` takes signals of other lengths than the window. least_exported : the shortest that a
        graph of any length takes. program_any_length : whether torch.export's program can be of any length.
    front_end_names, head_names, subject_names : name prefixes by role, for learning.

    Raises
    ------
    SpecError : a window or crop shorter than `least_times`.
    """

    input_centre: Tensor
    input_scale: Tensor
    front_end_names: tuple[str, ...] = ("stem",)
    head_names: tuple[str, ...] = ("readout",)
    subject_names: tuple[str, ...] = ()
    least_times: int = 1
    any_length: bool = True
    least_exported: int = 1
    program_any_length: bool = True

    def __init__(self, spec: WindowSpec, signal: SignalSpec, target: TargetSpec | None) -> None:
        super().__init__()
        self.spec: WindowSpec = spec
        self.signal, self.target = signal, target
        self.n_chans, self.checkpointing = signal.n_chans, spec.checkpointing
        self.hop = max(1, round(spec.window_s * signal.sfreq))
        self.crop = self.hop if spec.crop_s is None else max(1, round(spec.crop_s * signal.sfreq))
        self.register_buffer("input_centre", torch.zeros(self.n_chans))
        self.register_buffer("input_scale", torch.full((self.n_chans,), 1e-5))
        width = self.make()
        if self.crop < self.least_times:
            raise SpecError(
                f"{type(self).__name__} was given {self.crop / signal.sfreq:g} s, {self.crop} samples, to look at",
                allowed=f"{self.least_times} samples or more",
                remedy="Set a longer window_s or crop_s, or smaller steps in the model",
            )
        self.least_exported = max(self.least_exported, self.least_times, self.crop if spec.crop_s is not None else 1)
        self.dropout = nn.Dropout(float(getattr(spec, "dropout", 0.0)))
        self.readout = None if target is None else nn.Linear(width, target.n_outputs)
        if self.readout is not None:
            nn.init.normal_(self.readout.weight, std=0.02)
            nn.init.zeros_(self.readout.bias)

    # ---- what a subclass gives -----------------------------------------------------------------------------------

    @abstractmethod
    def make(self) -> int:
        """Set the layers, and `least_times`; return D, the number of features."""

    @abstractmethod
    def embed(self, signal: Tensor) -> Tensor:
        """Return features (B, D) of scaled signals (B, C, T), T being `least_times` or more."""

    def settle(self, batches: list[Tensor]) -> None:  # noqa: B027 - most need nothing
        """Set what must be known of the data besides its scale, from scaled signals (B, C, T)."""

    # ---- deciding ------------------------------------------------------------------------------------------------

    def start(self, batch: int = 1) -> State:
        """Return the state before a window: there is none to carry."""
        return {}

    def forward(
        self,
        signal: Tensor,
        subject: Tensor | None = None,
        token_mask: Tensor | None = None,
        begin: State | None = None,
    ) -> NetworkOutput:
        """Return the output for whole windows (B, C, M hop), each decided alone.

        What learning cuts shorter, to shift it in time, is one window of its length; a decision needs a whole one.
        """
        if not self._cut_by_learning(signal):
            return super().forward(signal, subject, token_mask, begin)
        logits, features = self.decide(signal)
        return NetworkOutput(None if logits is None else logits[:, None], features[:, None])

    def _cut_by_learning(self, signal: Tensor) -> bool:
        if signal.ndim != 3 or signal.shape[1] != self.n_chans or signal.shape[2] % self.hop == 0:
            return False
        least = max(self.least_times, 1 if self.spec.crop_s is None else self.crop)
        return (self.training or self.readout is None) and self.any_length and least <= signal.shape[2] < self.hop

    def stream(
        self, signal: Tensor, state: State, subject: Tensor | None = None, token_mask: Tensor | None = None
    ) -> tuple[NetworkOutput, State]:
        """Return the output for whole windows (B, C, M hop), each decided alone; the state stays as it is.

        Raises
        ------
        SpecError : tokens are to be hidden. SignalMismatchError : other channels. DataError : no whole windows.
        """
        if token_mask is not None:
            raise SpecError(
                "A network of whole windows has no tokens that could be hidden",
                remedy="Pre-train it with objective 'contrastive'",
            )
        self._check(signal)
        batch, count = signal.shape[0], signal.shape[2] // self.hop
        windows = torch.unflatten(signal, 2, (count, self.hop)).transpose(1, 2).flatten(0, 1)
        decided = [self.decide(part) for part in self._parts(windows)]
        features = torch.unflatten(torch.cat([f for _, f in decided]), 0, (batch, count))
        if self.readout is None:
            return NetworkOutput(None, features), state
        logits = torch.unflatten(torch.cat([x for x, _ in decided if x is not None]), 0, (batch, count))
        return NetworkOutput(logits, features), state

    def decide(self, signal: Tensor) -> tuple[Tensor | None, Tensor]:
        """Return logits (B, K), None without a target, and features (B, D) of signals (B, C, T) of any length that the
        network can take."""
        features = self.embed(self.scaled(self.cropped(signal)))
        return (None if self.readout is None else self.readout(self.dropout(features))), features

    def cropped(self, signal: Tensor) -> Tensor:
        """Return the middle of signals, `crop` samples of it; all of it where the model looks at whole windows."""
        if self.spec.crop_s is None:
            return signal
        return signal.narrow(2, (signal.shape[2] - self.crop) // 2, self.crop)

    def scaled(self, signal: Tensor) -> Tensor:
        """Return signals in robust deviations, float32 and cut at `LIMIT`; zeros, which say nothing, stay zeros."""
        with torch.autocast(signal.device.type, enabled=False):
            signal = signal.float()
            made = (signal - self.input_centre[:, None]) / self.input_scale[:, None]
            return torch.where(signal == 0, torch.zeros_like(made), made).clamp(-LIMIT, LIMIT)

    def again(self, block: nn.Module, *given: Tensor) -> Tensor:
        """Return block(*given); with `checkpointing`, its inside is computed again on the way back, not kept."""
        if not (self.checkpointing and self.training and torch.is_grad_enabled()):
            made: Tensor = block(*given)
            return made
        again: Tensor = checkpoint(block, *given, use_reentrant=False, context_fn=lambda: _once(block))
        return again

    def _parts(self, windows: Tensor) -> tuple[Tensor, ...]:
        return (windows,) if torch.is_grad_enabled() else torch.split(windows, AT_A_TIME)

    def _check(self, signal: Tensor) -> None:
        if signal.ndim != 3 or signal.shape[1] != self.n_chans:
            raise SignalMismatchError(
                f"The network was given signals of shape {tuple(signal.shape)}",
                allowed=f"(batch, {self.n_chans}, n_times)",
                remedy="Pick the model's channels",
            )
        if not signal.shape[2] or signal.shape[2] % self.hop:
            raise DataError(
                f"Signals of {signal.shape[2]} samples are no whole windows",
                allowed=f"a multiple of {self.hop} samples ({self.spec.window_s:g} s)",
                remedy="Give the model's window_s and the recipe's windows.length_s the same value",
            )

    # ---- before training -----------------------------------------------------------------------------------------

    @torch.no_grad()
    def calibrate(self, batches: Iterable[Tensor]) -> None:
        """Set the input's median and spread, what `settle` sets, and where batch norms start, from signals (B, C, T).

        The spread is that of a normal distribution with the same quartiles. Zeros do not count: they stand for what
        is not valid. A type without anything else keeps a scale of one.

        Raises
        ------
        DataError : fewer than two windows, or values that are not finite.
        """
        groups = self._groups()
        found: list[list[Tensor]] = [[] for _ in groups]
        kept: list[Tensor] = []
        n_windows = 0
        for signal in batches:
            seen = self.cropped(signal).float()
            if not torch.isfinite(seen).all():
                raise DataError("Windows hold values that are not finite", remedy="Leave out what is not valid")
            for values, channels in zip(found, groups, strict=True):
                values.append(_some(seen[:, channels]))
            kept.append(seen[:KEPT])
            n_windows += len(signal)
        if n_windows < 2:
            raise DataError(f"{n_windows} window(s) are too few to calibrate on", allowed="two or more")
        for values, channels in zip(found, groups, strict=True):
            centre, scale = _robust(torch.cat(values))
            self.input_centre[channels], self.input_scale[channels] = centre, scale
        scaled = [self.scaled(part) for part in kept]
        self.settle(scaled)
        self._settle_norms(torch.cat(scaled)[:SETTLED])

    def _settle_norms(self, signal: Tensor) -> None:
        """Start the batch norms' running statistics from scaled signals: from 0 and 1, little comes through many."""
        norms = [m for m in self.modules() if isinstance(m, _BatchNorm)]
        momenta, mode = [norm.momentum for norm in norms], self.training
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = 1.0
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)  # of the dropout
            self.train()
            if norms:
                self.embed(signal)
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        self.train(mode)

    def _groups(self) -> list[list[int]]:
        """Return the channels that share a scale."""
        types = self.signal.ch_types if self.spec.scaling == "type" else ()
        types = types or ("",) * self.n_chans
        return [[i for i, t in enumerate(types) if t == name] for name in dict.fromkeys(types)]

    def describe(self) -> dict[str, object]:
        """Return what a card says of the network."""
        sfreq = self.signal.sfreq
        return {"parameters": self.n_parameters(), "window_s": self.hop / sfreq, "looked_at_s": self.crop / sfreq}


def _once(block: nn.Module) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
    """Return what surrounds a block's first pass, and its second."""
    return contextlib.nullcontext(), _not_counted(block)


@contextlib.contextmanager
def _not_counted(block: nn.Module) -> Iterator[None]:
    """Leave the running statistics of batch norms alone: a block that is computed again has been counted."""
    norms = [m for m in block.modules() if isinstance(m, _BatchNorm)]
    kept = [(norm, norm.momentum, norm.num_batches_tracked) for norm in norms]
    for norm in norms:
        norm.momentum, norm.num_batches_tracked = 0.0, None
    try:
        yield
    finally:
        for norm, momentum, count in kept:
            norm.momentum, norm.num_batches_tracked = momentum, count


def _some(signal: Tensor) -> Tensor:
    """Return at most about `SAMPLED` of the values that are not zero, evenly."""
    values = signal[signal != 0]
    return values[:: max(1, len(values) // SAMPLED)]


def _robust(values: Tensor) -> tuple[float, float]:
    """Return median and spread; 0 and 1 where there is nothing."""
    if not len(values):
        return 0.0, 1.0
    low, centre, high = values.double().quantile(torch.tensor([0.25, 0.5, 0.75], dtype=torch.float64)).tolist()
    scale = (high - low) / NORMAL_IQR or float(values.double().std(correction=0))
    return centre, scale or 1.0
