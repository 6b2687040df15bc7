"""What simulated experts think, how they vote, and the best score that anybody can reach on such votes.

An expert has thresholds of his own for what is seen, sharp, one-sided and evolving, and votes by chance from the
probabilities they give him. The truth of a window is the mean of these over all experts: a model that gives the truth
cannot be beaten on average by one that sees the signal. Shapes: (n_rows, 6) in the order of the classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...core.errors import DataError
from ...core.store import load_arrays
from ..hms_table import CLASSES
from .icu_plan import GPD, GRDA, LPD, LRDA, OTHER, SEIZURE, Plan, eeg_ids, plan, seen

if TYPE_CHECKING:
    from .icu import SimulatedHMS

Float = NDArray[np.float64]
N_EXPERTS = 60
_SLOPES = {"seen": 4.5, "sharp": 4.0, "lateral": 4.0, "evolve": 4.0}
_SPREAD = 0.6  # of an expert's thresholds, on the logit's scale
_LAPSES = 0.03  # votes that have nothing to do with the pattern


def opinions(spec: SimulatedHMS, plan: Plan) -> Float:
    """Return what each of all experts thinks of each window (N_EXPERTS, n_rows, 6); each row sums to 1."""
    own = _SPREAD * spec.disagreement * spec.rng("experts").normal(size=(4, N_EXPERTS, 1))
    strength = np.log(np.maximum(seen(plan), 1e-6))[None]
    there = _sigmoid(_SLOPES["seen"] * strength + own[0])
    sharp, lateral, evolve = (
        _sigmoid(_SLOPES[name] * getattr(plan, name) + own[k])
        for k, name in enumerate(("sharp", "lateral", "evolve"), 1)
    )
    thought = np.empty((N_EXPERTS, len(plan.offsets), len(CLASSES)))
    thought[..., OTHER] = 1 - there
    thought[..., SEIZURE] = there * evolve
    for name, is_sharp, is_lateral in ((LPD, 1, 1), (GPD, 1, 0), (LRDA, 0, 1), (GRDA, 0, 0)):
        form = sharp if is_sharp else 1 - sharp
        place = lateral if is_lateral else 1 - lateral
        thought[..., name] = there * (1 - evolve) * form * place
    return (1 - _LAPSES) * thought + _LAPSES / len(CLASSES)


def true_probabilities(spec: SimulatedHMS, plan: Plan) -> Float:
    """Return the probabilities (n_rows, 6) with which an expert, whoever he is, votes for the classes."""
    return np.asarray(opinions(spec, plan).mean(0))


def cast(spec: SimulatedHMS, plan: Plan, rng: np.random.Generator | None = None) -> NDArray[np.int64]:
    """Return the votes (n_rows, 6) of the experts who were asked about this EEG; `rng` gives other panels."""
    rng = spec.rng("eeg", plan.eeg, "votes") if rng is None else rng
    low, high = spec.least_experts, spec.most_experts
    few = rng.random() < 0.5  # about half of the windows have few votes, as published
    n = int(rng.integers(low, (low + max((high - low) // 5, 0) if few else high) + 1))
    panel = rng.choice(N_EXPERTS, n, replace=False)
    edges = np.cumsum(opinions(spec, plan)[panel], -1)
    chosen = (rng.random((n, len(plan.offsets), 1)) > edges[..., :-1]).sum(-1)
    return np.stack([(chosen == k).sum(0) for k in range(len(CLASSES))], -1)


def consensus(votes: NDArray[np.int64]) -> list[str]:
    """Return the class with the most votes in each row, the first of them in the order of the classes."""
    return [CLASSES[k] for k in votes.argmax(1)]


def known(spec: SimulatedHMS, plan: Plan) -> dict[str, Any]:
    """Return what is known of an EEG: `probabilities` and `votes` (n_rows, 6), `meant`, the pattern's numbers."""
    numbers = ("strength", "sharp", "lateral", "evolve", "rate_hz", "fast_hz", "onset_s", "end_s", "right", "bursts")
    return {
        "probabilities": true_probabilities(spec, plan),
        "votes": cast(spec, plan),
        "label_id": np.array(plan.label_ids),
        "classes": np.array(CLASSES),
        "meant": np.array(CLASSES[plan.meant]),
        "seen": seen(plan),
        **{name: np.array(getattr(plan, name)) for name in numbers},
    }


def truth(folder: Path | str, eeg: int | str) -> dict[str, Any]:
    """Return what `known` says of an EEG, as it was written beside its files; StoreError where that is missing."""
    return load_arrays(truth_file(Path(folder), eeg))


def truth_file(folder: Path, eeg: int | str) -> Path:
    """Return where the truth of an EEG lies."""
    return folder / f"{eeg}-truth.npz"


@dataclass(frozen=True)
class Floor:
    """Nats a window, means over the windows.

    kl : from the shares of these votes to the truth. expected_kl : the same over all votes that might have been cast.
    entropy : of the shares. frequency_kl : from the shares to their mean, what knowing only the frequencies gives.
    """

    kl: float
    expected_kl: float
    entropy: float
    frequency_kl: float


def vote_floor(votes: NDArray[Any], probabilities: NDArray[Any]) -> Floor:
    """Return the least KL divergence that can be had on votes (n, 6) whose true probabilities (n, 6) are known.

    A share has the truth as its mean, so E KL(share, p) = H(p) - E H(share): for each class a sum over the binomial
    distribution of its votes. That holds for experts drawn one by one from all; a panel has nobody twice, and differs
    the less from it the fewer it are. DataError where the shapes differ, a window has no votes, or a row is no
    distribution.
    """
    counts, p = np.asarray(votes, np.float64), np.asarray(probabilities, np.float64)
    _check(counts, p)
    n = counts.sum(1)
    shares = counts / n[:, None]
    entropy = -_xlogx(shares).sum(1)
    with np.errstate(divide="ignore"):
        cross = -(shares * np.log(np.where(shares > 0, p, 1.0))).sum(1)
    mean = shares.mean(0)
    frequency = -(shares * np.log(np.where(mean > 0, mean, 1.0))).sum(1) - entropy
    expected = [_expected_entropy(int(total), row) for total, row in zip(n, p, strict=True)]
    true_entropy = -_xlogx(p).sum(1)
    return Floor(
        kl=float((cross - entropy).mean()),
        expected_kl=float((true_entropy - expected).mean()),
        entropy=float(entropy.mean()),
        frequency_kl=float(frequency.mean()),
    )


def floor(spec: SimulatedHMS) -> Floor:
    """Return the floor of a whole simulated set; no signal is made for it."""
    plans = [plan(spec, eeg) for k in range(1, spec.patients + 1) for eeg in eeg_ids(spec, k)]
    votes = np.concatenate([cast(spec, p) for p in plans])
    return vote_floor(votes, np.concatenate([true_probabilities(spec, p) for p in plans]))


def _check(votes: Float, p: Float) -> None:
    if votes.shape != p.shape or votes.ndim != 2 or not len(votes):
        given = f"The votes have the shape {votes.shape}, the probabilities {p.shape}"
        raise DataError(given, allowed="one shape (n windows, n classes)", remedy="Give a row of both for each window")
    if (votes < 0).any() or (votes != np.floor(votes)).any() or (votes.sum(1) < 1).any():
        raise DataError("Votes are not counts", allowed="whole numbers, at least 1 vote a window")
    if not (np.isfinite(p).all() and (p >= 0).all() and np.allclose(p.sum(1), 1.0, atol=1e-6)):
        raise DataError("A row of the probabilities is no distribution", allowed="0 or more, with the sum 1")


def _expected_entropy(n: int, p: Float) -> float:
    """Return the mean entropy of the shares of `n` votes, each for class k with probability p[k]."""
    from scipy.special import gammaln, xlog1py, xlogy

    k = np.arange(n + 1)[:, None]
    logs = gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1) + xlogy(k, p) + xlog1py(n - k, -p)
    return float(-(np.exp(logs) * _xlogx(k / n)).sum())


def _xlogx(x: NDArray[Any]) -> Float:
    return np.asarray(x * np.log(np.where(x > 0, x, 1.0)))


def _sigmoid(x: Any) -> Float:
    return np.asarray(1 / (1 + np.exp(-np.clip(x, -60.0, 60.0))))
