from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy.special import softmax

from neural_foundation.core.errors import DataError
from neural_foundation.evaluation.confidence import Along, Answers, confidence_scores, earlier_scores
from neural_foundation.evaluation.scores import Predictions
from neural_foundation.metrics import coverage, expected_calibration_error, log_loss
from neural_foundation.models.confidence import Confidence, Earlier

CONFIDENCE = Confidence(temperature=2.0, thresholds=(0.7,), abstain="set")


def predictions(n_people: int = 8, each: int = 40, *, seed: int = 0, run: int = 0) -> Predictions:
    """Logits twice too large: temperature 2 mends them."""
    rng = np.random.default_rng(seed)
    n = n_people * each
    logits = rng.standard_normal((n, 2))
    target = (softmax(logits, 1).cumsum(1) > rng.random((n, 1))).argmax(1)
    subject = np.repeat([f"s{i}" for i in range(n_people)], each)
    trial, session = np.tile(np.arange(each), n_people), np.full(n, "a")
    return Predictions(
        "net", softmax(2 * logits, 1), target, subject, session, trial, np.zeros(n, int), np.full(n, run)
    )


def test_it_is_what_the_definitions_say() -> None:
    given = predictions()
    found = confidence_scores(Answers.of(given, CONFIDENCE), 0)
    json.dumps(found, allow_nan=False)
    calibrated, sets, silent = CONFIDENCE.apply(given.probability.T)
    for when, p in (("before", given.probability), ("after", calibrated.T)):
        assert found[when]["error"]["mean"] == pytest.approx(expected_calibration_error(given.target, p))
        assert found[when]["log_loss"]["mean"] == pytest.approx(log_loss(given.target, p))
        assert sum(found[when]["reliability"]["windows"]) == 320
    assert found["after"]["error"]["mean"] < 0.6 * found["before"]["error"]["mean"]
    assert found["after"]["log_loss"]["mean"] < found["before"]["log_loss"]["mean"]
    assert found["coverage"]["mean"] == pytest.approx(coverage(sets.T, given.target))
    assert found["coverage"]["wished"] == 0.9
    assert set(found["coverage"]["subjects"]) == {f"s{i}" for i in range(8)}
    right = given.probability.argmax(1) == given.target
    assert found["answered"]["pooled_accuracy"] == pytest.approx(right[~silent].mean())
    assert found["answered"]["pooled_share"] == pytest.approx(found["answered"]["share"]["mean"])
    assert found["answered"]["accuracy_of_all"]["mean"] == pytest.approx(right.mean())
    assert found["answered"]["accuracy"]["mean"] > found["answered"]["accuracy_of_all"]["mean"]
    assert found["set_size"]["mean"] == pytest.approx(sets.sum() / 320)
    assert sum(found["set_size"]["shares"]) == pytest.approx(1)
    assert found["risk_coverage"]["risk"][-1] == pytest.approx(1 - right.mean())
    assert len(found["risk_coverage"]["risk"]) <= 60


def test_people_who_are_alike_spread_as_sampling_says() -> None:
    found = confidence_scores(Answers.of(predictions(60, 40), CONFIDENCE), 0)["coverage"]
    assert found["sd_subjects"] == pytest.approx(found["sd_alike"], rel=0.25)
    given = predictions(60, 40)
    flipped = np.where(given.subject < "s3", 1 - given.target, given.target)  # some are decoded the wrong way round
    found = confidence_scores(Answers.of(replace(given, target=flipped), CONFIDENCE), 0)["coverage"]
    assert found["sd_subjects"] > 1.5 * found["sd_alike"]


def test_seeds_do_not_make_people_look_more_alike() -> None:
    one = Answers.of(predictions(), CONFIDENCE)
    two = Answers.join([one, Answers.of(predictions(run=1), CONFIDENCE)])
    found = [confidence_scores(a, 0)["coverage"] for a in (one, two)]
    assert found[0] == found[1]


def test_each_fold_is_calibrated_by_its_own() -> None:
    given = predictions()
    parts = [given.pick(given.subject < "s4"), given.pick(given.subject >= "s4")]
    confidences = [CONFIDENCE, CONFIDENCE.model_copy(update={"temperature": 4.0})]
    joined = Answers.join([Answers.of(p, c) for p, c in zip(parts, confidences, strict=True)])
    for p, c in zip(parts, confidences, strict=True):
        mine = np.isin(joined.given.subject, p.subject)
        np.testing.assert_array_equal(joined.calibrated.probability[mine], c.apply(p.probability.T)[0].T)
    with pytest.raises(DataError, match="one alpha for all folds"):
        Answers.join(
            [Answers.of(p, CONFIDENCE.model_copy(update={"alpha": a})) for p, a in zip(parts, (0.1, 0.2), strict=True)]
        )


def test_a_decoder_that_is_always_silent_has_no_accuracy() -> None:
    found = confidence_scores(Answers.of(predictions(), Confidence(thresholds=(1.0,), abstain="set")), 0)
    json.dumps(found, allow_nan=False)
    assert found["answered"]["pooled_accuracy"] is None
    assert found["answered"]["accuracy"]["mean"] is None
    assert found["answered"]["silent_people"] == [f"s{i}" for i in range(8)]
    assert found["coverage"]["mean"] == 1


def test_decisions_before_the_end_are_scored_by_their_own_moment() -> None:
    rng = np.random.default_rng(0)
    target, subject = rng.integers(0, 2, 200), np.repeat([f"s{i}" for i in range(10)], 20)
    logit = np.array([0.2, 3.0, 3.0]) * (2 * target - 1)[:, None] + rng.standard_normal((200, 3))
    along, age_s = softmax(np.stack([-logit, logit], 2), 2), np.array([0.5, 1.0, 1.5])
    early = Earlier(until_s=0.5, confidence=Confidence(thresholds=(0.9,), abstain="set", temperature=4.0))
    confidence = Confidence(thresholds=(0.3,), abstain="set", earlier=(early,))
    parts = [
        Along.of(along[mine], age_s, target[mine], subject[mine], confidence)
        for mine in (subject < "s5", subject >= "s5")
    ]
    first, last = earlier_scores(parts, 0)
    json.dumps([first, last], allow_nan=False)
    assert (first["until_s"], last["until_s"]) == (0.5, 1.5)
    held = early.confidence.apply(along[:, 0].T)[1][target, np.arange(200)]
    assert first["coverage"]["mean"] == pytest.approx(held.mean())
    at_end = confidence.apply(along[:, 0].T)[1][target, np.arange(200)]
    assert first["coverage_as_at_end"]["mean"] == pytest.approx(at_end.mean())
    assert first["coverage"]["mean"] > 0.9 > first["coverage_as_at_end"]["mean"]
    assert first["log_loss"]["mean"] < first["log_loss_as_at_end"]["mean"]
    assert last["coverage"] == last["coverage_as_at_end"]
    assert last["accuracy"]["mean"] == pytest.approx(np.mean((logit[:, 1:] > 0) == (target == 1)[:, None]))
    other = Along.of(along, age_s, target, subject, confidence.model_copy(update={"earlier": ()}))
    with pytest.raises(DataError, match="other moments"):
        earlier_scores([parts[0], other], 0)
