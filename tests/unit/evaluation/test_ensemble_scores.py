"""Scores of ensembles: the competition's KL, intervals over patients, agreement and reliability in closed form."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from neural_foundation.core.errors import DataError
from neural_foundation.evaluation.ensemble_scores import (
    Voted,
    ensemble_scores,
    experts,
    over_patients,
    reliability,
    uncertainty_scores,
)
from neural_foundation.evaluation.ensembling import Uncertainty
from neural_foundation.metrics import bootstrap_mean
from neural_foundation.metrics.votes import kl_divergence, vote_shares


def case(n: int = 60) -> tuple[Voted, Any, Any]:
    rng = np.random.default_rng(0)
    truth = rng.dirichlet(np.ones(3), n)
    votes = np.array([rng.multinomial(rng.integers(1, 14), p) for p in truth], float)
    patient = np.repeat([f"p{i}" for i in range(n // 5)], 5)
    fold = np.repeat(np.arange(n // 5) % 2, 5)
    good = 0.8 * truth + 0.2 / 3
    return Voted(votes, votes.argmax(1), patient, fold, 3), good, np.roll(good, 1, axis=1)


def test_scores_are_the_competitions_overall_and_by_fold() -> None:
    voted, good, bad = case()
    made = ensemble_scores(voted, {"a": good, "b": bad}, {"mean": (good + bad) / 2}, references={"u": 0 * good + 1 / 3})
    share = vote_shares(voted.votes)
    assert made["members"]["a"]["kl"]["mean"] == pytest.approx(kl_divergence(share, good))
    assert made["ensembles"]["mean"]["kl"]["mean"] == pytest.approx(kl_divergence(share, (good + bad) / 2))
    for f, value in enumerate(made["members"]["b"]["kl"]["folds"]):
        mine = voted.fold == f
        assert value == pytest.approx(kl_divergence(share[mine], bad[mine]))
    entropy = -(share * np.log(np.where(share > 0, share, 1))).sum(1)
    assert made["references"]["u"]["kl"]["mean"] == pytest.approx(np.log(3) - entropy.mean())
    weighted = kl_divergence(share, good, weights=voted.votes.sum(1))
    assert made["members"]["a"]["kl_by_vote"] == pytest.approx(weighted)
    assert made["best_member"] == "a"
    assert np.sum(made["members"]["a"]["confusion"]) == 60


def test_the_difference_is_paired_and_to_the_best_member() -> None:
    voted, good, bad = case()
    made = ensemble_scores(voted, {"a": good, "b": bad}, {"same": good})
    assert made["members"]["a"]["difference"] is None
    same = made["ensembles"]["same"]["difference"]
    assert (same["against"], same["mean"], same["low"], same["high"]) == ("a", 0, 0, 0)
    worse = made["members"]["b"]["difference"]
    away = made["members"]["b"]["kl"]["mean"] - made["members"]["a"]["kl"]["mean"]
    assert worse["mean"] == pytest.approx(away)
    assert 0 < worse["low"] < worse["mean"] < worse["high"]


def test_a_model_that_failed_in_a_fold_is_scored_where_it_spoke() -> None:
    voted, good, bad = case()
    part = good.copy()
    part[voted.fold == 1] = np.nan
    made = ensemble_scores(voted, {"a": bad, "b": part}, {"mean": bad})
    assert made["best_member"] == "a"  # b is better where it spoke, but did not speak of all
    assert made["members"]["b"]["windows"] == int((voted.fold == 0).sum())
    assert made["members"]["b"]["kl"]["folds"][1] is None
    assert made["members"]["b"]["kl"]["sd_folds"] is None
    assert made["members"]["b"]["difference"]["mean"] < 0


def test_an_interval_over_patients_draws_patients() -> None:
    values = np.repeat([0.0, 1.0, 2.0, 5.0], 6)
    found = over_patients(values, np.repeat(list("abcd"), 6), 0)
    people = bootstrap_mean(np.array([0.0, 1.0, 2.0, 5.0]), 0)
    assert found.mean == pytest.approx(2.0)
    assert found.low == pytest.approx(people.low, abs=0.3)
    assert found.high == pytest.approx(people.high, abs=0.3)
    one = over_patients(values, np.repeat("a", 24), 0)
    assert one.low == one.high == pytest.approx(2.0)


def test_experts_agree_as_often_as_pairs_of_them_do() -> None:
    votes = np.array([[2.0, 0.0], [1.0, 1.0], [3.0, 1.0], [1.0, 0.0]])
    found = {(b["least"], b["most"]): b for b in experts(votes)}
    assert found[1, 2]["agreement"] == pytest.approx(0.5)  # of the two windows with two votes
    assert found[1, 2]["windows"] == 3
    assert found[3, 5]["agreement"] == pytest.approx(0.5)  # 3 of 6 pairs
    assert found[20, None] == {"least": 20, "most": None, "windows": 0, "agreement": None}


def test_reliability_compares_probabilities_with_shares() -> None:
    votes = np.array([[3.0, 1.0], [1.0, 3.0]])
    exact = reliability(votes, vote_shares(votes))
    assert exact["error"] == 0
    assert exact["share"] == exact["probability"] == [0.25, 0.75]
    sure = reliability(votes, np.eye(2))
    assert sure == {"probability": [0.0, 1.0], "share": [0.25, 0.75], "count": [2, 2], "error": 0.25}


def test_agreement_by_votes_counts_experts() -> None:
    votes = np.array([[3.0, 1.0], [0.0, 4.0], [1.0, 0.0]])
    voted = Voted(votes, votes.argmax(1), np.array(["a", "b", "b"]), np.array([0, 1, 1]))
    p = np.array([[0.9, 0.1], [0.6, 0.4], [0.7, 0.3]])
    bins = {b["least"]: b for b in ensemble_scores(voted, {"a": p}, {})["members"]["a"]["by_votes"]}
    assert bins[3]["agreement"] == pytest.approx((0.75 + 0) / 2)
    assert bins[3]["accuracy"] == pytest.approx(0.5)
    assert bins[1]["agreement"] == 1
    assert bins[20]["agreement"] is None


def test_uncertainty_of_right_and_wrong() -> None:
    votes = np.array([[4.0, 0.0], [2.0, 2.0], [1.0, 3.0]])
    voted = Voted(votes, votes.argmax(1), np.arange(3), np.arange(3))
    p = np.array([[0.9, 0.1], [0.5, 0.5], [0.6, 0.4]])
    found = uncertainty_scores(voted, p, Uncertainty(np.array([0.1, 0.6, 0.5]), np.zeros(3)))
    assert found["entropy"]["right"] == pytest.approx(0.35)  # a tie is right either way
    assert found["entropy"]["wrong"] == pytest.approx(0.5)
    assert found["entropy"]["correlation"] > 0.9
    assert found["disagreement"]["correlation"] is None


def test_what_cannot_be_scored() -> None:
    voted, good, _ = case()
    with pytest.raises(DataError, match=r"'a' gives \(60, 2\)"):
        ensemble_scores(voted, {"a": good[:, :2]}, {})
    with pytest.raises(DataError, match="'a' says nothing of any window"):
        ensemble_scores(voted, {"a": good * np.nan}, {})
    with pytest.raises(DataError, match="lengths"):
        Voted(voted.votes, voted.target[1:], voted.patient, voted.fold)
