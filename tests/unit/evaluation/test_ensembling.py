"""Nested ensembles: nothing of a fold's own patients enters what is said of them; what is missing is said."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from neural_foundation.core.errors import DataError
from neural_foundation.evaluation.ensembling import (
    METHODS,
    Blend,
    learn,
    nested,
    uncertainty,
)
from neural_foundation.evaluation.ensembling_solvers import softmax
from neural_foundation.metrics.votes import class_frequency

FAST = {"strengths": [0.1]}


@dataclass
class Case:
    """12 patients of 10 windows in 3 folds, 3 members."""

    p: Any
    votes: Any
    patient: Any
    fold: Any

    def of(self, **changes: Any) -> Any:
        arrays = {"probability": self.p, "votes": self.votes, "patient": self.patient, "fold": self.fold}
        return nested(**{**arrays, **FAST, **changes})


@pytest.fixture
def case() -> Case:
    rng = np.random.default_rng(0)
    truth = rng.normal(0, 1.5, (120, 4))
    seen = truth[:, None] + np.array([0.5, 1.0, 1.5])[:, None] * rng.normal(size=(120, 3, 4))
    votes = np.array([rng.multinomial(rng.integers(1, 12), p) for p in softmax(truth)], float)
    patient = np.repeat([f"p{i:02d}" for i in range(12)], 10)
    return Case(softmax(1.5 * seen), votes, patient, np.repeat(np.arange(12) % 3, 10))


@pytest.mark.parametrize("who", ["p00", "p04", "p11"])
def test_a_patients_votes_change_nothing_said_of_its_fold(case: Case, who: str) -> None:
    before = case.of(strengths=[1.0, 0.1])
    mine = case.patient == who
    fold = case.fold == case.fold[mine][0]
    other = case.votes.copy()
    other[mine] = 5 * np.roll(other[mine], 1, axis=1)
    after = case.of(votes=other, strengths=[1.0, 0.1])
    for name in METHODS:
        assert np.array_equal(after.probability[name][fold], before.probability[name][fold])
        if name != "mean":  # it does matter to the others, so that the test can fail
            assert not np.array_equal(after.probability[name][~fold], before.probability[name][~fold])
    assert np.array_equal(after.frequency[fold], before.frequency[fold])
    assert not np.array_equal(after.frequency[~fold], before.frequency[~fold])


def test_what_members_say_of_a_fold_teaches_nothing_to_it(case: Case) -> None:
    p = case.p.copy()
    p[case.fold == 1] = softmax(np.random.default_rng(1).normal(size=p[case.fold == 1].shape))
    assert case.of(probability=p).blends[1].value() == case.of().blends[1].value()


def test_each_fold_is_what_learn_gives_on_the_others(case: Case) -> None:
    made = case.of()
    mine = case.fold == 2
    blend = learn(case.p[~mine], case.votes[~mine], case.patient[~mine], **FAST)  # type: ignore[arg-type]
    for name, values in blend.apply(case.p[mine]).items():
        assert made.probability[name][mine].tolist() == values.tolist()
        assert made.probability[name].sum(1) == pytest.approx(1)
    assert made.frequency[mine][0].tolist() == class_frequency(case.votes[~mine]).tolist()
    assert made.left_out == ()
    assert made.members == {0: (0, 1, 2), 1: (0, 1, 2), 2: (0, 1, 2)}


def test_weights_favour_the_better_member_and_the_mean_is_plain(case: Case) -> None:
    made = case.of(shrink=0.0)
    assert made.probability["mean"] == pytest.approx(case.p.mean(1))
    assert all(b.weights[0] > b.weights[2] for b in made.blends.values())


def test_a_blend_comes_back_from_json(case: Case) -> None:
    blend = learn(case.p, case.votes, case.patient, **FAST)  # type: ignore[arg-type]
    again = Blend.of(blend.value())
    for name, values in blend.apply(case.p).items():
        assert again.apply(case.p)[name].tolist() == values.tolist()


def test_a_failed_model_is_left_out_of_its_fold_and_said(case: Case) -> None:
    p = case.p.copy()
    p[case.fold == 0, 1] = np.nan
    made = case.of(probability=p, names=["a", "b", "c"])
    assert [(left.fold, left.member) for left in made.left_out] == [(0, "b")]
    assert made.members == {0: (0, 2), 1: (0, 1, 2), 2: (0, 1, 2)}
    assert all(np.isfinite(v).all() for v in made.probability.values())
    # fold 1 learns from fold 2 alone: in fold 0 a member is missing
    rest = case.fold == 2
    blend = learn(p[rest], case.votes[rest], case.patient[rest], **FAST)  # type: ignore[arg-type]
    assert made.blends[1].value() == blend.value()


def test_a_member_of_one_fold_only_has_nothing_to_learn_from(case: Case) -> None:
    p = case.p.copy()
    p[case.fold != 0, 2] = np.nan
    made = case.of(probability=p, names=["a", "b", "c"])
    assert [(left.fold, left.member, "nothing of the other folds" in left.why) for left in made.left_out] == [
        (0, "c", True),
        (1, "c", False),
        (2, "c", False),
    ]


def test_a_class_absent_from_the_other_folds_still_gets_a_probability(case: Case) -> None:
    votes = case.votes.copy()
    votes[case.fold != 1, 3] = 0
    made = case.of(votes=votes)
    mine = case.fold == 1
    assert (made.frequency[mine, 3] > 0).all()
    for values in made.probability.values():
        assert np.isfinite(np.log(values[mine])).all()


def test_windows_without_votes_are_predicted_and_teach_nothing(case: Case) -> None:
    votes = case.votes.copy()
    votes[::5] = 0
    made = case.of(votes=votes)
    assert all(np.isfinite(v).all() for v in made.probability.values())
    kept = np.arange(120) % 5 != 0
    less = nested(case.p[kept], votes[kept], case.patient[kept], case.fold[kept], **FAST)  # type: ignore[arg-type]
    assert made.blends[0].weights == pytest.approx(less.blends[0].weights, abs=1e-9)


def broken(case: Case, what: str) -> dict[str, Any]:
    p, votes, patient, fold = case.p.copy(), case.votes.copy(), case.patient.copy(), case.fold.copy()
    if what == "rows":
        p[3:6, 1] = np.nan
    elif what == "sum":
        p[3, 1] *= 2
    elif what == "negative":
        p[3, 1] = [-0.1, 0.5, 0.3, 0.3]
    elif what == "patient":
        fold[0] = 1
    elif what == "one":
        fold[:] = 0
    elif what == "silent":
        votes[fold != 0] = 0
    elif what == "none":
        p[fold == 0] = np.nan
    elif what == "lengths":
        votes = votes[:-1]
    return {"probability": p, "votes": votes, "patient": patient, "fold": fold}


@pytest.mark.parametrize(
    ("what", "message"),
    [
        (
            "rows",
            r"'b' gives no number for 3 of 40 windows of fold 0. Allowed: a probability for every window, or for ",
        ),
        ("sum", "negative or do not sum to 1"),
        ("negative", "negative or do not sum to 1"),
        ("patient", r"patient \('p00'\) lie in several folds"),
        ("one", "Allowed: 2 folds or more"),
        ("silent", "Nobody voted on what the ensemble of fold 0 learns from"),
        ("none", "No member is left for fold 0. Allowed: one or more of 'a', 'b' or 'c'"),
        ("lengths", r"votes \(119, 4\)"),
    ],
)
def test_what_cannot_be_an_ensemble(case: Case, what: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        case.of(**broken(case, what), names=["a", "b", "c"])


def test_uncertainty_in_closed_form() -> None:
    same = np.tile([[0.5, 0.5], [0.5, 0.5]], (1, 1, 1))
    apart = np.array([[[1.0, 0.0], [0.0, 1.0]]])
    assert uncertainty(same).entropy[0] == pytest.approx(np.log(2))
    assert uncertainty(same).mutual_information[0] == 0
    assert uncertainty(apart).mutual_information[0] == pytest.approx(np.log(2))  # each sure, of another class
    assert uncertainty(apart, np.array([1.0, 0.0])).entropy[0] == 0


def test_disagreement_is_the_mean_divergence_from_the_mixture() -> None:
    p = softmax(np.random.default_rng(2).normal(size=(30, 4, 5)))
    w = np.array([0.4, 0.3, 0.2, 0.1])
    mixture = np.einsum("m,nmk->nk", w, p)
    divergence = np.einsum("m,nmk,nmk->n", w, p, np.log(p / mixture[:, None]))
    assert uncertainty(p, w).mutual_information == pytest.approx(divergence)
