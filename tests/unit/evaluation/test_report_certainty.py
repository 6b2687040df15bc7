"""Confidence in the report: before and after calibration, coverage of people, silence."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import numpy as np
import pytest

from neural_foundation.core.errors import DataError
from neural_foundation.evaluation import report as r
from neural_foundation.evaluation.report.page import page

WHERE = r.Provenance(command="neural-foundation run x")
SURE = r.Certainty(
    answered=np.array([0.05, 0.5, 1.0]),
    accuracy=np.array([0.2, 0.9, 0.8]),
    given=(0.5, 0.9),
    coverage=r.Estimate(0.89, 0.85, 0.93),
    wished=0.9,
    subjects=("S1", "S2", "S3"),
    by_subject=(0.97, 0.9, 0.8),
    alike=0.05,
    set_size=1.2,
)
AFTER = r.Calibration(confidence=(0.6, 0.9), correct=(0.6, 0.9), count=(30, 10), error=0.018)


def text_of(**parts: Any) -> str:
    return page(r.ReportContent(title="x", provenance=WHERE, **parts))


def words_of(**parts: Any) -> str:
    return " ".join(re.sub(r"<[^>]*>", " ", text_of(**parts)).split()).replace("\u2009", " ")


def test_it_says_coverage_spread_and_what_silence_buys() -> None:
    words = words_of(certainty=SURE)
    assert "Sets meant to hold the true class in 90 % of decisions hold it in 89 % (0.85 to 0.93)" in words
    assert "with 1.20 classes on average. The worst covered of 3 has 80 %." in words
    assert "The spread over people is 0.09; people who were all alike would show 0.05." in words
    assert (
        "It decides in 50 % of windows and is right in 90 % of those; in 80 % of all if it never stays silent" in words
    )
    assert "its own rule: 90 % of 50 %" in words


def test_a_decoder_that_never_decides_says_so() -> None:
    words = words_of(certainty=dataclasses.replace(SURE, given=None))
    assert "Under its own rule it never decides." in words
    assert "its own rule:" not in words


def test_each_person_is_a_dot_and_a_row() -> None:
    text = text_of(certainty=SURE)
    for name, share in (("S1", 97), ("S2", 90), ("S3", 80)):
        assert re.search(rf"<title>{name}: {share}.%</title>", text)
        assert re.search(rf"<th[^>]*>{name}</th><td[^>]*>{share}.%</td>", text)


def test_decisions_as_a_window_goes_on_are_a_table() -> None:
    assert "as a window goes on" not in words_of(certainty=SURE)
    words = words_of(
        certainty=dataclasses.replace(SURE, along=((0.5, 0.91, 0.3, None, 0.6), (3.0, 0.89, 0.9, 0.88, 0.84)))
    )
    assert re.search(r"up to 0\.5 91 % 30 % \S+ 60 %", words)
    assert "up to 3.0 89 % 90 % 88 % 84 %" in words


def test_before_and_after_stand_together() -> None:
    before = dataclasses.replace(AFTER, confidence=(0.8, 0.99), error=0.12)
    made = dataclasses.replace(AFTER, before=before, interval=r.Estimate(0.018, 0.01, 0.03))
    words = words_of(calibration=made)
    assert "error 0.018, 95 % interval over people 0.010 to 0.030; 0.120 before calibration (hollow)." in words
    text = text_of(calibration=made)
    assert len(re.findall(r'class="open s1"', text)) == 2
    assert "before: confidence" in text
    assert "before calibration" not in words_of(calibration=AFTER)


def test_refusals() -> None:
    with pytest.raises(DataError, match="coverage of 3 for 1 people"):
        dataclasses.replace(SURE, subjects=("S1",))
    with pytest.raises(DataError, match="3 shares and 0 accuracies"):
        dataclasses.replace(SURE, accuracy=np.zeros(0))
