"""The loss of `multimodal`. Shapes: B windows of a batch, b of one session, T bins, C channels, K classes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from ...core.errors import DataError, one_of
from ...core.modalities import BinnedSpec
from ...models.binned_package import bins_of
from ..base import Bound
from ..masks import Facts, Pair, Scheme, choose, hide, possible, stacked
from ..resampling import Resampler

if TYPE_CHECKING:
    from ...sampling.binned import BinnedBatch, BinnedSet, Group
    from .multimodal import Multimodal

LEAST = 0.02  # a share of what the null prediction's loss could be: below, a modality that never changes would explode
NEAR = 0.01  # of a standard deviation: below it a distance has no kink
DIRECTIONS: tuple[Scheme, ...] = ("encoding", "decoding")
Masks = dict[str, Tensor]


class MultimodalLoss(nn.Module):
    """`forward(network, batch) -> (B,)`; 0 for a window of which nothing that is hidden is known.

    In validation nothing is drawn: encoding and decoding, those of them that are in the mix, are each asked of every
    window, and the loss is their sum. Where neither is, or no session has what they need, masks are drawn, always the
    same for a window. Classes are then judged by the Brier score: it is proper as the cross-entropy is, and bounded, so
    that a class that is told wrongly with confidence (a block of trials that training never saw) does not alone decide
    which epoch is kept.

    DataError where a session has no training windows, or gives none of the schemes anything to tell.
    """

    def __init__(self, spec: Multimodal, bound: Bound) -> None:
        super().__init__()
        windows: Any = bound.source.windows
        self.spec = spec
        self.data: BinnedSpec = windows.spec
        self.mix = spec.mix
        self.weights = {m.name: float(getattr(spec, m.kind)) for m in self.data.modalities}
        self.facts = [Facts.of(self.data, i, self.data.n_bins) for i in range(len(self.data.sessions))]
        for index, (session, facts) in enumerate(zip(self.data.sessions, self.facts, strict=True)):
            if not (windows.session == index).any():
                given = f"Session '{session.name}' has no training windows"
                raise DataError(given, remedy="Check the split, cut shorter windows, or leave the session out")
            if not possible(self.mix, facts):
                given = (
                    f"Session '{session.name}' has {one_of(facts.names)}, which {one_of(self.mix)} cannot learn from"
                )
                raise DataError(given, remedy="Leave the session out, or add within_modality to the schemes")
        self.resampler = None if spec.resample is None else Resampler(spec.resample, windows)
        self.nulls = [null_losses(windows, i) for i in range(len(self.data.sessions))]
        self.bounds = [null_briers(windows, i) for i in range(len(self.data.sessions))]

    def forward(self, network: nn.Module, batch: BinnedBatch) -> Tensor:
        if self.resampler is not None and self.training:
            batch = self.resampler.apply(batch)
        hidden, scored = self.masks(batch)
        return self._weighed(self._parts(network, batch, hidden, scored), batch)

    def figures(self, network: nn.Module, batch: BinnedBatch) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss (B,) and its parts by direction and modality, (B,) each, NaN where not scored.

        A part is relative to the null prediction's loss: 1 is no better, 0 is all told.
        """
        asked = [d for d in DIRECTIONS if self.mix.get(d, 0.0) > 0 and any(f.possible(d) for f in self.facts)]
        if not asked:
            hidden, scored = self.masks(batch)
            parts = self._parts(network, batch, hidden, scored, judge=True)
            return self._weighed(parts, batch), _told("masked", parts)
        total, found = torch.zeros(len(batch), device=_device(batch)), dict[str, Tensor]()
        for direction in asked:
            hidden, scored = self.masks(batch, direction)
            parts = self._parts(network, batch, hidden, scored, judge=True)
            total = total + self._weighed(parts, batch)
            found |= _told(direction, parts)
        return total, found

    def masks(self, batch: BinnedBatch, scheme: Scheme | None = None) -> tuple[Masks, Masks]:
        """Return what is hidden and what is scored, by name, (B, T) or (B, 1), on the CPU; a scheme for each window.

        scheme : one for all windows; those whose session has nothing for it have nothing hidden or scored.
        """
        n_bins = bins_of(batch, self.data)
        owners = [group.session for group in batch.groups for _ in range(len(group))]
        pairs = [self._drawn(owner, n_bins, scheme, d) for owner, d in zip(owners, batch.draws("mask"), strict=True)]
        sizes = {m.name: 1 if m.kind == "classes" else n_bins for m in self.data.modalities}
        hidden, scored = ({n: torch.from_numpy(m) for n, m in part.items()} for part in stacked(pairs, sizes))
        return hidden, scored

    def _drawn(self, session: int, n_bins: int, scheme: Scheme | None, draw: np.random.Generator) -> Pair:
        facts = self.facts[session]
        if n_bins != facts.n_bins:
            facts = Facts.of(self.data, session, n_bins)
        if scheme is not None and not facts.possible(scheme):
            return {}, {}
        return hide(scheme or choose(self.mix, facts, draw), facts, self.spec.ratio, draw)

    def _parts(
        self,
        network: nn.Module,
        batch: BinnedBatch,
        hidden: Mapping[str, Tensor],
        scored: Mapping[str, Tensor],
        *,
        judge: bool = False,
    ) -> dict[str, Tensor]:
        """Return each modality's loss (B,), relative to the null prediction's; NaN for windows where none is scored."""
        device = _device(batch)
        used = {name: mask.to(device) for name, mask in hidden.items() if mask.any()}
        outputs = network(batch, used)
        parts: dict[str, list[Tensor]] = {}
        for group, output in zip(batch.groups, outputs, strict=True):
            rows = slice(group.first_row, group.first_row + len(group))
            for name in self.data.names:
                loss, mine = torch.full((len(group),), torch.nan, device=device), scored[name][rows]
                if name in output and name in group.values and mine.any():
                    loss = self._loss(network, group, name, output[name], mine.to(device), judge)
                parts.setdefault(name, []).append(loss)
        return {name: torch.cat(values) for name, values in parts.items()}

    def _loss(
        self, network: Any, group: Group, name: str, predicted: Tensor, scored: Tensor, judge: bool = False
    ) -> Tensor:
        """Return (b,): the mean over the scored values that are known, NaN where there are none."""
        kind, true, predicted = self.data.modality(name).kind, group.values[name], predicted.float()
        if kind == "counts":
            losses, known = poisson_deviance(predicted, true), scored[:, :, None].expand(true.shape)
        elif kind == "continuous":
            true = network.standardise(group.session, name, true).float()
            known = scored[:, :, None] & ~true.isnan()
            losses = (predicted - torch.where(known, true, predicted.detach())).square()
            if self.spec.distance:
                known = known.any(-1, keepdim=True)
                losses = (losses.sum(-1, keepdim=True) + NEAR**2).sqrt()
        elif judge:
            known = scored & (true[:, None] >= 0)
            losses = brier(predicted, true)[:, None]
        else:
            known = scored & (true[:, None] >= 0)
            smoothing = self.spec.label_smoothing if self.training else 0.0
            losses = functional.cross_entropy(
                predicted, true.clamp_min(0), reduction="none", label_smoothing=smoothing
            )[:, None]
        losses, known = losses.flatten(1), known.flatten(1)
        many = known.sum(1)
        mean = torch.where(known, losses, 0.0).sum(1) / many.clamp_min(1)
        nulls = self.bounds if judge and kind == "classes" else self.nulls
        return torch.where(many > 0, mean / nulls[group.session][name], torch.nan)

    def _weighed(self, parts: Mapping[str, Tensor], batch: BinnedBatch) -> Tensor:
        """Return (B,): the sum over kinds of their weight times the mean over their scored modalities."""
        total = torch.zeros(len(batch), device=_device(batch))
        for kind in ("counts", "continuous", "classes"):
            mine = [parts[name] for name in self.data.of_kind(kind) if name in parts]
            if not mine or not getattr(self.spec, kind):
                continue
            values = torch.stack(mine)
            known = ~values.isnan()
            mean = torch.where(known, values, 0.0).sum(0) / known.sum(0).clamp_min(1)
            total = total + float(getattr(self.spec, kind)) * mean
        return total


def poisson_deviance(log_rate: Tensor, counts: Tensor) -> Tensor:
    """Return 2 (k log(k / rate) - (k - rate)), 0 where the rate is the count; its gradient is twice that of the NLL."""
    deviance: Tensor = 2.0 * (torch.xlogy(counts, counts) - counts * log_rate - counts + log_rate.exp())
    return deviance


def null_losses(windows: BinnedSet, session: int) -> dict[str, float]:
    """Return by modality the mean loss of the best constant prediction on a session's windows, at least `LEAST`.

    Continuous values are standardised, so theirs is 1.
    """
    found = {}
    for name in windows.sessions[session].values:
        values = np.asarray(windows.values(session, name))
        modality = windows.spec.modality(name)
        if modality.kind == "continuous":
            found[name] = 1.0
        elif modality.kind == "counts":
            found[name] = max(_null_deviance(values), LEAST)
        else:
            shares = np.bincount(values[values >= 0], minlength=len(modality.classes)) / max((values >= 0).sum(), 1)
            entropy = -float((shares[shares > 0] * np.log(shares[shares > 0])).sum())
            found[name] = max(entropy, LEAST * float(np.log(max(len(modality.classes), 2))))
    return found


def brier(logits: Tensor, true: Tensor) -> Tensor:
    """Return (b,): the squared distance of the probabilities of logits (b, K) from the class (b,), -1 taken as 0."""
    wanted = functional.one_hot(true.clamp_min(0), logits.shape[1])
    return (logits.softmax(-1) - wanted).square().sum(-1)


def null_briers(windows: BinnedSet, session: int) -> dict[str, float]:
    """Return, of each modality of classes, the Brier score of always saying the classes' shares, at least `LEAST`."""
    found = {}
    for name in windows.spec.of_kind("classes"):
        if name in windows.sessions[session].values:
            values = np.asarray(windows.values(session, name))
            many = np.bincount(values[values >= 0], minlength=len(windows.spec.modality(name).classes))
            found[name] = max(1 - float(((many / max(many.sum(), 1)) ** 2).sum()), LEAST)
    return found


def _null_deviance(counts: np.ndarray[Any, np.dtype[Any]]) -> float:
    """Return the mean Poisson deviance of counts (n, T, C) from each unit's mean: 2 (mean of k log k - m log m)."""
    many = np.bincount(counts.reshape(-1))
    k, means = np.arange(len(many)), counts.reshape(-1, counts.shape[-1]).mean(0, dtype=np.float64)
    own = float((many * k * np.log(np.maximum(k, 1))).sum()) / counts.size
    return 2.0 * (own - float((means * np.log(np.where(means > 0, means, 1.0))).mean()))


def _told(what: str, parts: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the parts that any window has, by their names in a history."""
    return {f"{what}_{name}": value for name, value in parts.items() if not value.isnan().all()}


def _device(batch: BinnedBatch) -> torch.device:
    return next(iter(batch.groups[0].values.values())).device
