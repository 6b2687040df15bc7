"""The competition's divergence against itself written out, row by row."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neural_foundation.core.errors import DataError
from neural_foundation.metrics.votes import (
    BINS,
    agreement_by_votes,
    agrees,
    class_frequency,
    kl_divergence,
    kl_each,
    vote_shares,
)


def competition(solution: Any, submission: Any, epsilon: float = 1e-15) -> list[float]:
    """What the competition's page computes, column by column: clip, s ln(s / p), 0 where s is 0, sum over classes."""
    rows = []
    for truth, said in zip(solution.tolist(), submission.tolist(), strict=True):
        total = 0.0
        for s, p in zip(truth, said, strict=True):
            clipped = min(max(p, epsilon), 1 - epsilon)
            if s != 0:
                total += s * math.log(s / clipped)
        rows.append(total)
    return rows


@st.composite
def cases(draw: st.DrawFn) -> tuple[Any, Any]:
    """Votes of 1 to 20 experts over K classes, many of them 0; probabilities with exact zeros and ones among them."""
    n, k = draw(st.integers(1, 6)), draw(st.integers(2, 6))
    counts = st.lists(st.sampled_from([0, 0, 0, 1, 2, 3, 7, 20]), min_size=k, max_size=k)
    votes = np.array([draw(counts.filter(sum)) for _ in range(n)])
    said = []
    for _ in range(n):
        if draw(st.booleans()):
            said.append(np.eye(k)[draw(st.integers(0, k - 1))])  # certain: p is 1 and 0
        else:
            raw = np.array(draw(counts.filter(sum)), float)
            said.append(raw / raw.sum())
    return votes, np.array(said)


@settings(deadline=None, max_examples=60)
@given(cases())
def test_it_is_the_competition_s(case: tuple[Any, Any]) -> None:
    votes, said = case
    shares = vote_shares(votes)
    expected = competition(shares, said)
    assert kl_each(shares, said).tolist() == pytest.approx(expected, rel=1e-12, abs=1e-14)
    assert kl_divergence(shares, said) == pytest.approx(np.mean(expected), rel=1e-12, abs=1e-14)
    weights = votes.sum(1)
    assert kl_divergence(shares, said, weights=weights) == pytest.approx(np.average(expected, weights=weights))


def test_at_its_ends() -> None:
    one = np.array([[1.0, 0.0]])
    assert kl_divergence(one, one) == pytest.approx(-math.log(1 - 1e-15))  # clipped, so not quite 0
    assert kl_divergence(one, one[:, ::-1]) == pytest.approx(15 * math.log(10))
    assert kl_divergence(one, one[:, ::-1], epsilon=1e-3) == pytest.approx(3 * math.log(10))
    assert kl_divergence(np.array([[0.5, 0.5]]), np.array([[0.5, 0.5]])) == 0


GOOD = np.array([[0.5, 0.5], [0.25, 0.75]])


@pytest.mark.parametrize(
    ("solution", "submission", "message"),
    [
        (GOOD, GOOD * 2.0, "Row 0 of the submission sums to 2.*Pass the softmax, not the logits"),
        (GOOD, GOOD + [[0, 0], [0, 2e-5]], "Row 1 of the submission sums to 1.00002"),
        (GOOD * 4.0, GOOD, "Row 0 of the solution sums to 4.*vote_shares"),
        (GOOD, np.array([[0.5, 0.5], [-0.25, 1.25]]), "The submission: row 1 holds -0.25"),
        (GOOD, np.array([[0.5, np.nan], [0.25, 0.75]]), "The submission: row 0 holds nan"),
        (np.array([[0.5, np.inf], [0.25, 0.75]]), GOOD, "The solution: row 0 holds inf"),
        (GOOD, GOOD[:1], r"Solution \(2, 2\) and submission \(1, 2\) do not match"),
        (GOOD, GOOD[0], r"The submission: shape \(2,\)"),
        (GOOD[:0], GOOD[:0], r"The solution: shape \(0, 2\)"),
        (GOOD, np.array([["a", "b"], ["c", "d"]]), "The submission are no numbers"),
    ],
)
def test_what_is_no_submission(solution: Any, submission: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        kl_divergence(solution, submission)


def test_sums_may_miss_1_by_as_much_as_there() -> None:
    near = GOOD + [[0, 0.9e-5], [0, 0]]
    assert np.allclose(near.sum(1), 1)  # the competition's own check
    assert kl_divergence(GOOD, near) == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize(
    ("weights", "message"),
    [([1.0], r"There are \(1,\) weights"), ([0, 0], "not all 0"), ([1, -1], "0 or more"), ([1, np.nan], "finite")],
)
def test_weights_are_of_the_rows(weights: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        kl_divergence(GOOD, GOOD, weights=weights)


def test_a_row_nobody_voted_on_is_named() -> None:
    with pytest.raises(DataError, match="Nobody voted in row 1"):
        vote_shares([[1, 2], [0, 0]])
    assert vote_shares([[1, 3]]).tolist() == [[0.25, 0.75]]


def always(answer: np.ndarray, votes: np.ndarray) -> float:
    shares = vote_shares(votes)
    return kl_divergence(shares, np.tile(answer, (len(shares), 1)))


def test_the_class_frequencies_are_the_best_that_says_always_the_same() -> None:
    rng = np.random.default_rng(0)
    votes = rng.integers(0, 4, (50, 3)) + [0, 0, 1]
    shares = vote_shares(votes)
    best = always(class_frequency(votes, prior=0.0), votes)
    assert class_frequency(votes, prior=0.0) == pytest.approx(shares.mean(0))
    for moved in ([0.02, -0.02, 0], [-0.02, 0, 0.02]):
        other = np.broadcast_to(shares.mean(0) + moved, shares.shape)
        assert kl_divergence(shares, other) > best


def test_a_class_that_training_never_saw_does_not_make_the_floor_boundless() -> None:
    train, test = np.array([[4, 0]] * 9), np.array([[0, 4]])
    assert class_frequency(train).tolist() == pytest.approx([0.95, 0.05])
    assert always(class_frequency(train), test) == pytest.approx(-math.log(0.05))
    assert always(class_frequency(train, prior=0.0), test) == pytest.approx(15 * math.log(10))


def test_of_classes_with_as_many_votes_each_is_right() -> None:
    votes = np.array([[2, 2, 0], [2, 2, 0], [2, 2, 0], [1, 2, 0]])
    said = np.eye(3)[[0, 1, 2, 0]]
    assert agrees(votes, said).tolist() == [True, True, False, False]


def test_agreement_by_the_number_of_votes() -> None:
    votes = np.array([[1, 0], [2, 1], [9, 1], [0, 12]])
    said = np.array([[0.9, 0.1], [0.4, 0.6], [0.9, 0.1], [0.2, 0.8]])
    made = agreement_by_votes(votes, said, bins=(1, 3, 10, 13))
    assert [(b.least, b.most, b.windows, b.accuracy) for b in made] == [
        (1, 2, 1, 1.0),
        (3, 9, 1, 0.0),
        (10, 12, 2, 1.0),
        (13, None, 0, None),
    ]
    each = kl_each(vote_shares(votes), said)
    assert [b.kl for b in made] == pytest.approx([each[0], each[1], each[2:].mean(), None])
    assert sum(b.windows for b in agreement_by_votes(votes, said)) == 4
    assert len(agreement_by_votes(votes, said)) == len(BINS)


@pytest.mark.parametrize("bins", [(), (2, 3), (1, 1), (1, 5, 3)])
def test_bins_rise_from_one(bins: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match="Bins begin at"):
        agreement_by_votes([[1, 0]], [[0.5, 0.5]], bins=bins)


def test_probabilities_are_of_the_same_windows_as_votes() -> None:
    with pytest.raises(DataError, match=r"Votes \(1, 2\) and probabilities \(2, 2\) do not match"):
        agrees([[1, 0]], GOOD)
