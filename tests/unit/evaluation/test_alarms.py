"""A model as a predictor of events, on timelines whose alarms can be counted by hand."""

from __future__ import annotations

import json

import numpy as np
import pytest

from neural_foundation.core.errors import DataError
from neural_foundation.evaluation.alarms import AlarmRule, Timeline, alarm_scores, alarms, outcome

RULE = AlarmRule(event="preictal", smooth_s=0, refractory_s=60, false_per_hour=1.0)


def line(subject: str, probability: np.ndarray) -> Timeline:
    """Return 2 h of decisions every 10 s; the 10 min before 1 h and before 2 h are those before an event."""
    end = 10.0 * (1 + np.arange(720))
    event = np.where((end > 3000) & (end <= 3600), 0, np.where(end > 6600, 1, -1))
    return Timeline(subject, end, probability, event, np.array([3600.0, 7200.0]), 10.0)


def at(*seconds: float) -> np.ndarray:
    level = np.full(720, 0.1)
    level[[round(s / 10) - 1 for s in seconds]] = 0.9
    return level


def test_an_outcome_counted_by_hand() -> None:
    one = line("a", at(100, 130, 500, 3200, 3500, 7000))
    found = outcome(one, one.probability, 0.5, RULE)
    assert found.warning_s.tolist() == [400.0, 200.0], "the first alarm before an event is its warning"
    assert found.false == 2, "130 s is silenced by 100 s"
    assert one.false_hours == pytest.approx(2 - 20 / 60)
    np.testing.assert_allclose(one.event_hours, [1 / 6, 1 / 6])


def test_a_perfect_predictor_is_beyond_chance() -> None:
    made = alarm_scores([line(n, at(3300, 6900)) for n in "abcde"], RULE, seed=0)
    assert (made["foreseen"], made["events"], made["false_per_hour"]) == (10, 10, 0)
    assert made["sensitivity"]["mean"] == 1
    assert made["warning_s"]["median"] == 300
    assert made["chance"] == {"sensitivity": 0, "level_95": 0, "p": 0}
    assert made["curve"]["false_per_hour"][0] == 0
    assert made["curve"]["sensitivity"][0] == 1
    json.dumps(made, allow_nan=False)


def test_noise_is_no_better_than_chance() -> None:
    rng = np.random.default_rng(1)
    lines = [line(f"p{k:02d}", rng.random(720)) for k in range(40)]
    made = alarm_scores(lines, RULE.model_copy(update={"false_per_hour": 2.0}), seed=0)
    assert 1.5 < made["false_per_hour"] < 2.5
    share = made["foreseen"] / made["events"]
    assert share == pytest.approx(made["chance"]["sensitivity"], abs=0.12)
    assert made["chance"]["p"] > 0.01


def test_a_threshold_is_set_on_the_others() -> None:
    quiet = [line(n, at(3300)) for n in "ab"]
    noisy = line("c", np.where(line("c", at()).event >= 0, 0.1, 0.8))
    made = alarm_scores([*quiet, noisy], RULE, seed=0)
    assert made["subjects"]["c"]["false"] > 50, "nobody told that this person's level is high at all times"
    assert made["subjects"]["a"]["foreseen"] == 1, "0.9 lies above what c forces on the others"


def test_the_thresholds_stand_in_the_scores() -> None:
    rng, never = np.random.default_rng(2), RULE.model_copy(update={"false_per_hour": 0.01})
    lines = [line(n, rng.random(720)) for n in "abc"]
    made = alarm_scores(lines, RULE, seed=0)
    for one in lines:
        threshold = made["subjects"][one.subject]["threshold"]
        assert outcome(one, one.probability.round(9), threshold, RULE).false == made["subjects"][one.subject]["false"]
    false = sum(outcome(one, one.probability.round(9), made["threshold"], RULE).false for one in lines)
    assert false / made["hours"] <= 1.0
    flat = [line(n, np.full(720, 0.5)) for n in "ab"]
    made = alarm_scores(flat, never, seed=0)
    assert made["threshold"] is made["subjects"]["a"]["threshold"] is None
    json.dumps(made, allow_nan=False)


def test_whoever_reads_the_decisions_raises_the_alarms_of_the_scores() -> None:
    lines = [line(n, at(3300, 6900)) for n in "abc"]
    scores = {"alarms": {"rule": RULE.model_dump(mode="json"), "models": {"warner": alarm_scores(lines, RULE, 0)}}}
    end_s, probability = lines[0].end_s, lines[0].probability
    rule = AlarmRule(**scores["alarms"]["rule"])
    threshold = scores["alarms"]["models"]["warner"]["threshold"]
    raised_s = alarms(end_s, probability, threshold, rule)
    assert raised_s.tolist() == [3300.0, 6900.0]
    smooth = rule.model_copy(update={"smooth_s": 20.0})
    assert alarms(end_s, probability, 0.5, smooth).tolist() == [3300.0, 6900.0], "the mean of 0.9 and 0.1"
    assert not len(alarms(end_s, probability, 0.51, smooth))


def test_the_curve_rises_with_false_alarms() -> None:
    rng = np.random.default_rng(0)
    lines = [line(n, np.clip(rng.random(720) * 0.6 + 0.3 * (line(n, at()).event >= 0), 0, 1)) for n in "abcd"]
    made = alarm_scores(lines, RULE, seed=0)["curve"]
    assert np.all(np.diff(made["false_per_hour"]) > 0)
    assert np.all(np.diff(made["chance"]) > 0)
    middle = len(made["sensitivity"]) // 2
    assert made["sensitivity"][middle] > made["chance"][middle]


def test_nobody_else_to_set_a_threshold_by() -> None:
    with pytest.raises(DataError, match="1 people with 2 events"):
        alarm_scores([line("a", at(3300))], RULE, seed=0)
