"""Temperatures, weights and stacking against brute force, scipy and closed forms."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize, minimize_scalar

from neural_foundation.core.errors import DataError
from neural_foundation.evaluation.ensembling_solvers import (
    counted,
    log_of,
    shares,
    softmax,
    stacking,
    temperatures,
    tempered,
    weights,
)
from neural_foundation.metrics.reliability import LEAST_TEMPERATURE, MOST_TEMPERATURE, fit_temperature


def cases(seed: int, n: int = 80, members: int = 3, k: int = 4) -> tuple[Any, Any]:
    """Return members that see a truth through noise of their own, and the votes of 1 to 9 experts."""
    rng = np.random.default_rng(seed)
    truth = rng.normal(0, 1.5, (n, k))
    noise = rng.uniform(0.3, 2.0, members)
    seen = truth[:, None] + noise[:, None] * rng.normal(size=(n, members, k))
    votes = np.array([rng.multinomial(rng.integers(1, 10), p) for p in softmax(truth)], float)
    return softmax(seen * rng.uniform(0.5, 2.0, members)[:, None]), votes


def loss(p: Any, votes: Any) -> float:
    return float(-(votes * np.log(p)).sum() / votes.sum())


def test_temperature_is_where_a_search_finds_the_least_loss() -> None:
    p, votes = cases(0)
    found = temperatures(p, votes)
    for m, t in enumerate(found):
        best = minimize_scalar(lambda x, m=m: loss(tempered(p[:, m], x), votes), bounds=(0.05, 20), method="bounded")
        assert t == pytest.approx(best.x, rel=1e-4)


def test_temperature_of_votes_for_one_class_is_that_of_targets() -> None:
    p, _ = cases(1)
    target = np.random.default_rng(1).integers(0, 4, len(p))
    votes = 3.0 * np.eye(4)[target]
    assert temperatures(p, votes)[0] == pytest.approx(fit_temperature(np.log(p[:, 0]), target), rel=1e-9)


def test_a_known_temperature_comes_back() -> None:
    p, _ = cases(2, n=200)
    assert temperatures(tempered(p[:, :1], 2.5), p[:, 0])[0] == pytest.approx(1 / 2.5, rel=1e-6)


def test_temperatures_end_where_there_is_no_best_one() -> None:
    flat = np.full((5, 1, 3), 1 / 3)
    sure = np.tile([0.9, 0.05, 0.05], (5, 1, 1))
    assert temperatures(flat, np.ones((5, 3)))[0] == MOST_TEMPERATURE
    assert temperatures(sure, np.tile([4.0, 0, 0], (5, 1)))[0] == LEAST_TEMPERATURE
    assert temperatures(sure, np.tile([0, 4.0, 0], (5, 1)))[0] == MOST_TEMPERATURE


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), members=st.integers(2, 5), shrink=st.sampled_from([0.0, 0.02, 0.5]))
@pytest.mark.parametrize("mean", ["arithmetic", "geometric"])
def test_weights_are_the_least_of_all(mean: Any, seed: int, members: int, shrink: float) -> None:
    p, votes = cases(seed, n=40, members=members)

    def value(w: Any) -> float:
        w = np.maximum(w, 1e-12)
        made = np.einsum("m,nmk->nk", w, np.exp(log_of(p)) if mean == "arithmetic" else log_of(p))
        said = made if mean == "arithmetic" else softmax(made)
        return loss(said, votes) - shrink * np.log(w).mean()

    found = weights(p, votes, shrink=shrink, mean=mean)
    assert found.sum() == pytest.approx(1)
    assert (found >= 0).all()
    starts = [np.full(members, 1 / members), *np.random.default_rng(seed).dirichlet(np.ones(members), 2)]
    sums = {"type": "eq", "fun": lambda w: w.sum() - 1}
    theirs = [
        minimize(value, s, bounds=[(1e-9, 1)] * members, constraints=sums, options={"ftol": 1e-12}) for s in starts
    ]
    best = min(r.fun for r in theirs if abs(r.x.sum() - 1) < 1e-6)
    assert value(found) <= best + 1e-6


def test_two_members_agree_with_a_fine_grid() -> None:
    p, votes = cases(3, members=2)
    grid = np.linspace(0, 1, 10_001)
    linear = [loss(a * p[:, 0] + (1 - a) * p[:, 1], votes) for a in grid]
    log = [loss(softmax(a * np.log(p[:, 0]) + (1 - a) * np.log(p[:, 1])), votes) for a in grid]
    assert weights(p, votes)[0] == pytest.approx(grid[np.argmin(linear)], abs=2e-4)
    assert weights(p, votes, mean="geometric")[0] == pytest.approx(grid[np.argmin(log)], abs=2e-4)


def test_weights_in_closed_form() -> None:
    # two classes, member 0 always says the first, member 1 the second: the best mixture is the share of the votes
    p = np.tile([[1.0, 0.0], [0.0, 1.0]], (6, 1, 1))
    votes = np.array([[3.0, 1.0]] * 6)
    assert weights(p, votes) == pytest.approx([0.75, 0.25], abs=1e-6)
    # with the pull: (share + shrink / M) / (1 + shrink)
    assert weights(p, votes, shrink=1.0) == pytest.approx([(0.75 + 0.5) / 2, (0.25 + 0.5) / 2])


def test_a_strong_pull_makes_weights_equal_and_one_member_has_all() -> None:
    p, votes = cases(4)
    for mean in ("arithmetic", "geometric"):
        assert weights(p, votes, shrink=1e6, mean=mean) == pytest.approx([1 / 3] * 3, abs=1e-4)  # type: ignore[arg-type]
    assert weights(p[:, :1], votes).tolist() == [1.0]


def test_a_member_of_no_use_gets_no_weight() -> None:
    p, votes = cases(5, members=1)
    useless = np.full_like(p, 0.25)
    useless[..., 0], useless[..., 1] = 0.4, 0.1
    found = weights(np.concatenate([shares(votes)[:, None] * 0.96 + 0.01, useless], 1), votes)
    assert found[1] < 1e-6


def test_votes_as_shares_and_weights_are_votes() -> None:
    p, votes = cases(6)
    total = votes.sum(1)
    assert weights(p, shares(votes), weight=total) == pytest.approx(weights(p, votes), abs=1e-12)
    assert temperatures(p, shares(votes), weight=total) == pytest.approx(temperatures(p, votes))


def test_windows_without_votes_count_nothing() -> None:
    p, votes = cases(7)
    more_p, more = np.concatenate([p, p[::-1]]), np.concatenate([votes, 0 * votes])
    patient = np.repeat([f"p{i}" for i in range(8)], 10)
    assert weights(more_p, more) == pytest.approx(weights(p, votes), abs=1e-12)
    assert temperatures(more_p, more) == pytest.approx(temperatures(p, votes))
    mine = stacking(p, votes, patient, strengths=[0.1])
    theirs = stacking(more_p, more, np.concatenate([patient, patient]), strengths=[0.1])
    assert theirs.matrix == pytest.approx(mine.matrix, abs=1e-6)


def test_stacking_is_sklearns_regression_about_the_geometric_mean() -> None:
    p, votes = cases(8, n=150, members=2)
    stack, k = stacking(p, votes, np.arange(150) % 10, strengths=[0.05]), votes.shape[1]
    x = np.log(p)
    x = (x - x.mean(2, keepdims=True)).reshape(150, -1)
    prior = np.concatenate([np.tile(np.eye(k) / 2, (2, 1)), np.zeros((1, k))])

    def value(flat: Any) -> float:
        c = flat.reshape(prior.shape)
        return loss(softmax(x @ c[:-1] + c[-1]), votes) + 0.05 / 2 * ((c - prior) ** 2).sum()

    mine = np.concatenate([stack.matrix, stack.bias[None]])
    step = 1e-5 * np.eye(mine.size)
    slope = [(value(mine.ravel() + s) - value(mine.ravel() - s)) / 2e-5 for s in step]
    assert np.abs(slope).max() < 1e-4  # convex, so a point without slope is the least
    assert value(mine.ravel()) < value(prior.ravel())


def test_a_strong_pull_gives_the_geometric_mean() -> None:
    p, votes = cases(9)
    said = stacking(p, votes, np.arange(80) % 4, strengths=[1e7]).apply(p)
    assert said == pytest.approx(softmax(log_of(p).mean(1)), abs=1e-5)


def test_the_strength_is_the_best_over_patients_who_were_left_out() -> None:
    p, _ = cases(10, n=200)
    patient = np.repeat(np.arange(20), 10)
    said = softmax(log_of(p).mean(1))
    rng = np.random.default_rng(0)
    agreeing = np.array([rng.multinomial(3, x) for x in said], float)
    turned = np.array([rng.multinomial(20, np.roll(x, 1)) for x in said], float)  # members that mistake each class
    assert stacking(p, agreeing, patient).strength == 10.0
    free = stacking(p, turned, patient)
    assert free.strength <= 0.01
    assert stacking(p, turned, np.zeros(200)).strength == 10.0  # one patient: nobody to choose by
    assert stacking(p, turned, patient, seed=0).matrix.tolist() == free.matrix.tolist()


@pytest.mark.parametrize(
    ("votes", "weight", "message"),
    [
        (np.array([[1.0, -1.0]]), None, "negative or not numbers"),
        (np.array([[1.0, np.nan]]), None, "negative or not numbers"),
        (np.ones(3), None, r"shape is \(3,\)"),
        (np.zeros((2, 2)), None, "Nobody voted on any window"),
        (np.ones((2, 2)), np.ones(3), r"Weights of shape \(3,\) for 2 windows"),
        (np.ones((2, 2)), np.array([1.0, -1.0]), "Allowed: .*0 or more"),
    ],
)
def test_votes_that_cannot_be_counted(votes: Any, weight: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        counted(votes, weight)


def test_settings_out_of_range() -> None:
    p, votes = cases(11)
    with pytest.raises(DataError, match="shrink is -1"):
        weights(p, votes, shrink=-1)
    with pytest.raises(DataError, match="Strengths are"):
        stacking(p, votes, np.arange(80), strengths=[0.0, 1.0])
