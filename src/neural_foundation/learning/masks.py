"""What of a window of several modalities is hidden from the network, and where the loss counts: drawn for each window.

Shapes: B windows of a batch, T bins. A token is all channels of a modality in one bin; a class is one token a window.
Masks are bool, (B, T) for counts and continuous modalities and (B, 1) for classes, in the order of the batch's rows.

Schemes (`ratio` is the share of tokens; of T bins at least one is hidden):

encoding        all that is neural is hidden (counts, LFP), behaviour is seen.
decoding        all behaviour is hidden, what is neural is seen.
neural          all that is neural is hidden in some bins, all else is seen.
behavioural     all continuous behaviours of some bins are hidden, each class with the chance `ratio`; what is neural is
                seen.
within_modality some bins of one modality, drawn at random, are hidden, and all other modalities wholly: it is told from
                itself alone. The loss counts in those bins only.
random_token    some of all tokens are hidden, whatever they are of.
causal          everything from a bin drawn at random on is hidden, and all classes. The loss counts in that bin, the
                next one after what is seen.

`encoding` and `decoding` are the cross-modal masks of Zhang et al. 2025 (arXiv 2504.08201). Deliberate difference: each
window has a scheme and bins of its own; the published code gives all trials of a batch those of its first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from ..core.modalities import BinnedSpec

Scheme = Literal["encoding", "decoding", "neural", "behavioural", "within_modality", "random_token", "causal"]
SCHEMES: tuple[Scheme, ...] = get_args(Scheme)
Mask = NDArray[np.bool_]
Pair = tuple[dict[str, Mask], dict[str, Mask]]


@dataclass(frozen=True)
class Facts:
    """What a window has: bins, and the names of its modalities by kind; `signals` are the continuous ones that are
    neural, such as LFP."""

    n_bins: int
    counts: tuple[str, ...]
    continuous: tuple[str, ...]
    classes: tuple[str, ...]
    signals: tuple[str, ...] = ()

    @classmethod
    def of(cls, spec: BinnedSpec, session: int, n_bins: int) -> Facts:
        """Return the facts of a session's windows."""

        def there(kind: Any) -> tuple[str, ...]:
            return tuple(n for n in spec.of_kind(kind) if spec.channels(session, n))

        continuous = there("continuous")
        signals = tuple(n for n in continuous if spec.modality(n).role == "neural")
        return cls(n_bins, there("counts"), continuous, there("classes"), signals)

    @property
    def neural(self) -> tuple[str, ...]:
        return self.counts + self.signals

    @property
    def moving(self) -> tuple[str, ...]:
        """The continuous behaviours."""
        return tuple(n for n in self.continuous if n not in self.signals)

    @property
    def dynamic(self) -> tuple[str, ...]:
        return self.counts + self.continuous

    @property
    def names(self) -> tuple[str, ...]:
        return self.dynamic + self.classes

    def size(self, name: str) -> int:
        """Return how many tokens a window has of a modality."""
        return 1 if name in self.classes else self.n_bins

    def possible(self, scheme: Scheme) -> bool:
        """Return whether these modalities give a scheme something to tell, and something to tell it from."""
        if scheme in ("within_modality", "causal"):
            return bool(self.dynamic) and self.n_bins > 1
        if scheme == "random_token":
            return sum(map(self.size, self.names)) > 1
        return bool(self.neural and self.moving + self.classes)


def hide(scheme: Scheme, facts: Facts, ratio: float, draw: np.random.Generator) -> Pair:
    """Return (hidden, scored) of one window, each name -> (T,) or (1,): see the head of this module."""
    return _MAKERS[scheme](facts, ratio, draw)


def choose(weights: Mapping[Scheme, float], facts: Facts, draw: np.random.Generator) -> Scheme:
    """Return one of the schemes that are possible, by their weights; there must be one."""
    names = possible(weights, facts)
    chances = np.asarray([weights[n] for n in names], float)
    return names[int(draw.choice(len(names), p=chances / chances.sum()))]


def possible(weights: Mapping[Scheme, float], facts: Facts) -> list[Scheme]:
    """Return the schemes with a weight that are possible, in the order of `SCHEMES`."""
    return [n for n in SCHEMES if weights.get(n, 0.0) > 0 and facts.possible(n)]


def stacked(pairs: Sequence[Pair], sizes: Mapping[str, int]) -> Pair:
    """Return the masks of B windows as (B, size) by name; what a window lacks is neither hidden nor scored."""
    empty = {name: np.zeros(size, np.bool_) for name, size in sizes.items()}
    hidden, scored = (
        {name: np.stack([pair[i].get(name, empty[name]) for pair in pairs]) for name in sizes} for i in (0, 1)
    )
    return hidden, scored


def _some(n: int, ratio: float, draw: np.random.Generator) -> Mask:
    """Return (n,), True at a share `ratio` of places, one at least."""
    mask = np.zeros(n, np.bool_)
    mask[draw.permutation(n)[: max(1, round(ratio * n))]] = True
    return mask


def _wholly(facts: Facts, names: Sequence[str]) -> dict[str, Mask]:
    return {name: np.ones(facts.size(name), np.bool_) for name in names}


def _encoding(facts: Facts, ratio: float, draw: np.random.Generator) -> Pair:
    hidden = _wholly(facts, facts.neural)
    return hidden, hidden


def _decoding(facts: Facts, ratio: float, draw: np.random.Generator) -> Pair:
    hidden = _wholly(facts, facts.moving + facts.classes)
    return hidden, hidden


def _neural(facts: Facts, ratio: float, draw: np.random.Generator) -> Pair:
    bins = _some(facts.n_bins, ratio, draw)
    hidden = dict.fromkeys(facts.neural, bins)
    return hidden, hidden


def _behavioural(facts: Facts, ratio: float, draw: np.random.Generator) -> Pair:
    hidden = dict.fromkeys(facts.moving, _some(facts.n_bins, ratio, draw))
    hidden |= {name: draw.random(1) < ratio for name in facts.classes}
    return hidden, hidden


def _within(facts: Facts, ratio: float, draw: np.random.Generator) -> Pair:
    name = facts.dynamic[int(draw.integers(len(facts.dynamic)))]
    bins = _some(facts.n_bins, ratio, draw)
    hidden = _wholly(facts, [n for n in facts.names if n != name]) | {name: bins}
    return hidden, {name: bins}


def _random_token(facts: Facts, ratio: float, draw: np.random.Generator) -> Pair:
    sizes = [facts.size(name) for name in facts.names]
    parts = np.split(_some(sum(sizes), ratio, draw), np.cumsum(sizes)[:-1])
    hidden = dict(zip(facts.names, parts, strict=True))
    return hidden, hidden


def _causal(facts: Facts, ratio: float, draw: np.random.Generator) -> Pair:
    first, bins = int(draw.integers(1, facts.n_bins)), np.arange(facts.n_bins)
    hidden = dict.fromkeys(facts.dynamic, bins >= first) | _wholly(facts, facts.classes)
    return hidden, dict.fromkeys(facts.dynamic, bins == first)


_MAKERS: dict[Scheme, Callable[[Facts, float, np.random.Generator], Pair]] = {
    "encoding": _encoding,
    "decoding": _decoding,
    "neural": _neural,
    "behavioural": _behavioural,
    "within_modality": _within,
    "random_token": _random_token,
    "causal": _causal,
}
