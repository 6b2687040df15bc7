"""Scores beside experts' votes, against means written out."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from neural_foundation.core.errors import DataError
from neural_foundation.evaluation.scores import Predictions, score
from neural_foundation.evaluation.vote_scores import vote_scores
from neural_foundation.metrics.votes import kl_divergence, vote_shares

N = 30


def made(model: str = "net", runs: tuple[int, ...] = (0, 1)) -> Predictions:
    """Three patients of 5, 10 and 15 windows; the first two are tested in fold 0, the last in fold 1."""
    rng = np.random.default_rng(0)
    subject = np.repeat(["p", "q", "r"], [5, 10, 15])
    votes = rng.integers(0, 5, (N, 3)).astype(np.float32) + np.eye(3, dtype=np.float32)[np.arange(N) % 3]
    parts = []
    for run in runs:
        raw = np.random.default_rng(run + 1).uniform(0.1, 1, (N, 3))
        fold = (subject == "r").astype(np.int64)
        target = votes.argmax(1)
        parts.append(
            Predictions(
                model,
                raw / raw.sum(1, keepdims=True),
                target,
                subject,
                subject,
                np.arange(N),
                fold,
                np.full(N, run),
                votes,
            )  # fmt: skip
        )
    return Predictions.join(parts)


def frequencies(model: str = "net") -> dict[tuple[str, int, int], np.ndarray]:
    return {
        (model, f, s): np.array([0.2, 0.3, 0.5]) if f else np.array([0.6, 0.3, 0.1]) for f in (0, 1) for s in (0, 1)
    }


def test_means_are_over_windows_and_over_patients() -> None:
    p = made()
    assert p.votes is not None
    entry = vote_scores([p], frequencies(), 0)["models"]["net"]
    json.dumps(entry, allow_nan=False)
    shares = vote_shares(p.votes)
    each = {n: kl_divergence(shares[p.subject == n], p.probability[p.subject == n]) for n in "pqr"}
    assert entry["subjects"] == pytest.approx(each)
    assert entry["patients"]["mean"] == pytest.approx(np.mean(list(each.values())))
    assert entry["patients"]["low"] <= entry["patients"]["mean"] <= entry["patients"]["high"]
    assert entry["pooled"] == pytest.approx(kl_divergence(shares, p.probability))
    by_seed = [kl_divergence(shares[p.seed == s], p.probability[p.seed == s]) for s in (0, 1)]
    assert entry["sd_seeds"] == pytest.approx(np.std(by_seed, ddof=1))


def test_beside_it_stands_what_needs_no_signal() -> None:
    p = made()
    assert p.votes is not None
    entry = vote_scores([p], frequencies(), 0)["models"]["net"]
    shares, uniform = vote_shares(p.votes), np.full((2 * N, 3), 1 / 3)
    always = np.where(p.fold[:, None] == 1, [[0.2, 0.3, 0.5]], [[0.6, 0.3, 0.1]])
    assert entry["uniform"]["pooled"] == pytest.approx(kl_divergence(shares, uniform))
    assert entry["class_frequency"]["pooled"] == pytest.approx(kl_divergence(shares, always))
    assert entry["ratio"] == pytest.approx(entry["pooled"] / entry["class_frequency"]["pooled"])
    assert [(r["fold"], r["seed"], r["windows"], r["patients"]) for r in entry["folds"]] == [
        (0, 0, 15, 2), (0, 1, 15, 2), (1, 0, 15, 1), (1, 1, 15, 1),
    ]  # fmt: skip
    mine = (p.fold == 1) & (p.seed == 0)
    row = entry["folds"][2]
    assert row["kl"] == pytest.approx(kl_divergence(shares[mine], p.probability[mine]))
    assert row["class_frequency"] == pytest.approx(kl_divergence(shares[mine], always[mine]))
    assert sum(b["windows"] for b in entry["agreement"]) == 2 * N


def test_the_difference_from_a_baseline_is_paired_over_patients() -> None:
    p, none = made(), frequencies()
    better = replace(p, model="better", probability=0.5 * p.probability + 0.5 * vote_shares(p.votes))  # type: ignore[arg-type]
    every = none | frequencies("better")
    models = vote_scores([better, p], every, 0, baselines=["net"])["models"]
    less = [models["better"]["subjects"][n] - models["net"]["subjects"][n] for n in "pqr"]
    d = models["better"]["difference"]
    assert d["against"] == "net"
    assert d["mean"] == pytest.approx(np.mean(less))
    assert min(less) <= d["low"] <= d["mean"] <= d["high"] <= max(less)
    assert d["high"] < 0
    assert "difference" not in models["net"]
    others = replace(p, model="others", subject=np.where(p.subject == "p", "x", p.subject))
    models = vote_scores([better, others], every | frequencies("others"), 0, baselines=["others"])["models"]
    assert models["better"]["difference"] is None, "of other patients"


def test_what_is_missing_is_named() -> None:
    with pytest.raises(DataError, match="The predictions of 'net' hold no votes"):
        vote_scores([replace(made(), votes=None)], frequencies(), 0)
    with pytest.raises(DataError, match="no class frequencies of 'net', fold 0, seed 0"):
        vote_scores([made()], {}, 0)


def test_predictions_keep_their_votes(tmp_path: Path) -> None:
    p = made()
    assert p.votes is not None
    p.save(tmp_path / "p.npz")
    back = Predictions.load(tmp_path / "p.npz")
    np.testing.assert_array_equal(back.votes, p.votes)  # type: ignore[arg-type]
    np.testing.assert_array_equal(back.pick(p.fold == 1).votes, p.votes[p.fold == 1])  # type: ignore[arg-type]
    score([p], ("a", "b", "c"), 0, permutations=5)  # a trial's windows are averaged, votes and all
    without = replace(p, votes=None)
    without.save(tmp_path / "w.npz")
    assert "votes" not in np.load(tmp_path / "w.npz").files
    assert Predictions.load(tmp_path / "w.npz").votes is None
    with pytest.raises(DataError, match="Some predictions of 'net' have votes, others have none"):
        Predictions.join([p, without])
    with pytest.raises(DataError, match="unequal lengths"):
        replace(p, votes=p.votes[:-1])
