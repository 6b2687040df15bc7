"""The report's section on alarms, and kappa beside the confusion."""

from __future__ import annotations

import numpy as np
import pytest

from neural_foundation.core.errors import DataError
from neural_foundation.evaluation.report import Alarms, Confusion, Estimate, Provenance, ReportContent
from neural_foundation.evaluation.report.alarms import alarms_reading
from neural_foundation.evaluation.report.page import page


def made(**changes: object) -> Alarms:
    fields: dict[str, object] = {
        "model": "warner",
        "event": "preictal",
        "events": 36,
        "foreseen": 23,
        "sensitivity": Estimate(0.64, 0.36, 0.89),
        "false_per_hour": 0.27,
        "hours": 26.3,
        "warning_s": 340.0,
        "chance": 0.04,
        "chance_level": 0.11,
        "chance_p": 1e-9,
        "curve_false": np.array([0.0, 0.3, 2.0]),
        "curve_sensitivity": np.array([0.2, 0.6, 0.9]),
        "curve_chance": np.array([0.0, 0.05, 0.3]),
        "people": (("sim001", 3, 3, 1, 2.2), ("sim<2>", 0, 3, 0, 2.2)),
        "others": (("tangent", 0.28, 0.27, 0.04),),
    }
    return Alarms(**{**fields, **changes})  # type: ignore[arg-type]


def test_the_words_say_what_the_numbers_carry() -> None:
    text = alarms_reading(made())
    assert "Warner foresees 23 of 36 events at 0.27 false alarms an hour" in text
    assert "5.7 minutes before" in text
    assert "this is more than chance (p < 0.001)" in text
    assert "takes events as independent, though several are of one person" in text
    assert "not clearly more than chance (p = 0.300)" in alarms_reading(made(chance_p=0.3))
    assert "minutes" not in alarms_reading(made(warning_s=None))


def test_the_section_is_on_the_page() -> None:
    confusion = Confusion(classes=("W", "N1"), counts=np.array([[9, 1], [2, 0]]), kappa=Estimate(0.5, 0.4, 0.6))
    text = page(ReportContent(title="t", provenance=Provenance(command="x"), alarms=made(), confusion=confusion))
    for words in ("Warnings and false alarms", "sim&lt;2&gt;", "tangent", "Cohen's kappa 0.50", "Each class by itself"):
        assert words in text.replace("&#x27;", "'").replace("&#39;", "'"), words
    assert 'class="chance"' in text


def test_a_curve_of_other_lengths_is_refused() -> None:
    with pytest.raises(DataError, match="as many of each"):
        made(curve_chance=np.zeros(2))
