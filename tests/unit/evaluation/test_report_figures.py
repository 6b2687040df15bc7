"""Figures: marks stand where the numbers are, labels stay inside and apart."""

from __future__ import annotations

import math
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neural_foundation.evaluation import report as r
from neural_foundation.evaluation.report import curves, figures, markup, reading, svg, trace

finite = st.floats(-1e4, 1e4)


def boxes(picture: str) -> list[tuple[float, float, float, float]]:
    """Return (left, right, top, bottom) of each text, by the width estimate the figures use."""
    found = []
    for e in ElementTree.fromstring(picture).iter("text"):
        title = e.find("title")
        text = (e.text or "") + ((title.tail or "") if title is not None else "")
        width, x, y = svg.text_width(text, 12), float(e.get("x", "0")), float(e.get("y", "0"))
        left = x - {"end": 1.0, "middle": 0.5}.get(e.get("text-anchor", ""), 0.0) * width
        found.append((left, left + width, y - 9, y + 2))
    return found


def assert_labels_inside_and_apart(picture: str) -> None:
    width = float(ElementTree.fromstring(picture).get("width", "0"))
    placed = boxes(picture)
    assert placed
    assert all(a >= -4 and b <= width + 4 for a, b, _, _ in placed)
    for i, (a, b, top, bottom) in enumerate(placed):
        for c, d, upper, lower in placed[:i]:
            assert b <= c or d <= a or bottom <= upper or lower <= top


def held_out(n: int, name: str = "S") -> r.HeldOutScores:
    rng = np.random.default_rng(n)
    each = [tuple(rng.uniform(0.45, 1, n).tolist()) for _ in range(4)]
    roles = ("model", "baseline", "baseline", "ceiling")
    models = tuple(
        r.ModelScores(
            model=f"model number {i}", by_subject=s, mean=r.Estimate(float(np.mean(s)), min(s), max(s)), role=role
        )
        for i, (s, role) in enumerate(zip(each, roles, strict=True))
    )
    return r.HeldOutScores(
        subjects=tuple(f"{name}{i:03d}" for i in range(n)), models=models, chance=r.Estimate(0.5, 0.45, 0.55)
    )


@given(low=finite, width=st.floats(1e-3, 1e4), about=st.integers(2, 9))
@settings(max_examples=60, deadline=None)
def test_ticks_are_round_inside_and_not_too_many(low: float, width: float, about: int) -> None:
    scale = svg.Scale(low, low + width, 0, 100)
    ticks = scale.ticks(about)
    assert all(low - 1e-6 * width <= t <= low + width * (1 + 1e-6) for t in ticks)
    assert len(ticks) <= about + 1


def test_a_logarithmic_scale_gives_decades_equal_room() -> None:
    scale = svg.Scale(1e-4, 1e-1, 0, 300, log=True)
    assert [scale(10.0**p) for p in (-4, -3, -2, -1)] == pytest.approx([0, 100, 200, 300])
    assert {1e-3, 1e-2} <= {round(t, 9) for t in scale.ticks(4)}


@given(st.lists(finite, min_size=1, max_size=12))
@settings(max_examples=60, deadline=None)
def test_labels_are_moved_apart_in_order(positions: list[float]) -> None:
    placed = svg.spread(positions, 10.0, -1e5, 1e5)
    order = sorted(range(len(positions)), key=lambda i: positions[i])
    gaps = np.diff([placed[i] for i in order])
    assert (gaps >= 10 - 1e-6).all()


def test_thinning_keeps_every_peak_and_gap() -> None:
    y = np.sin(np.linspace(0, 300, 20_000))
    y[12_345] = 9.0
    y[5000:7000] = np.nan
    x, kept = svg.thin(np.arange(20_000.0), y, 200)
    assert len(x) < 250
    assert np.nanmax(kept) == 9.0
    assert np.isnan(kept[(x > 5200) & (x < 6800)]).all()


@given(st.lists(st.floats(0, 60), max_size=25))
@settings(max_examples=30, deadline=None)
def test_dots_of_a_swarm_never_cover_each_other(positions: list[float]) -> None:
    dots = list(zip(positions, figures.swarm(positions, 4.0), strict=True))
    for i, a in enumerate(dots):
        assert all(math.dist(a, b) >= 8 - 1e-9 for b in dots[:i])


@pytest.mark.parametrize("width", [svg.NARROW, svg.WIDE])
@pytest.mark.parametrize("n", [2, 12, 109])
def test_labels_of_the_dot_plot_stay_inside_and_apart(n: int, width: float) -> None:
    assert_labels_inside_and_apart(figures._scores(held_out(n), width))


def test_dots_stand_at_their_scores_best_first() -> None:
    scores = held_out(5)
    dots = [
        (e.findtext("title") or "", float(e.get("cx", "nan")), float(e.get("cy", "nan")))
        for e in ElementTree.fromstring(figures._scores(scores, svg.WIDE)).iter("circle")
    ]
    rows = sorted((y, x, title) for title, x, y in dots if ", model number 0:" in title)
    value = [scores.main.by_subject[scores.subjects.index(title.split(",")[0])] for _, _, title in rows]
    assert value == sorted(scores.main.by_subject, reverse=True)
    x = np.array([x for _, x, _ in rows])
    assert x == pytest.approx(np.polyval(np.polyfit(value, x, 1), value), abs=0.1)  # drawn to a tenth of a pixel


@pytest.mark.parametrize("width", [svg.NARROW, svg.WIDE])
@pytest.mark.parametrize("value", [-0.2, -0.001, 0.0, 0.3])
def test_labels_of_the_difference_stay_inside_and_apart(value: float, width: float) -> None:
    e = r.Estimate(value, value - 0.02, value + 0.02)
    d = r.PairedDifference(
        model="the adapted model",
        baseline="tangent space",
        difference=e,
        subjects=("a", "b"),
        by_subject=(value, value + 0.01),
    )
    assert_labels_inside_and_apart(figures._difference(d, width))


@pytest.mark.parametrize("width", [svg.NARROW, svg.WIDE])
def test_labels_of_the_gain_stay_inside_and_apart(width: float) -> None:
    e = r.Estimate(0.7, 0.6, 0.8)
    budgets = tuple(
        r.TrainingBudget(label=n, scratch=e, pretrained=e, difference=e) for n in ("1 subject", "all 11 subjects")
    )
    assert_labels_inside_and_apart(figures._gain(r.PretrainingGain(budgets=budgets, chance=0.5), width))


@pytest.mark.parametrize("width", [svg.NARROW, svg.WIDE])
@pytest.mark.parametrize("spread", [0.0, 0.05, 2.0])
def test_labels_of_the_latency_stay_inside_and_apart(spread: float, width: float) -> None:
    seconds = 2e-4 * np.exp(spread * np.random.default_rng(0).normal(size=400))
    assert_labels_inside_and_apart(curves._latency(r.Latency(seconds=seconds, step="x", deadline_s=3e-4), width))


def test_latency_quantiles_are_steps_that_happened() -> None:
    seconds = np.arange(1, 101) * 1e-3
    latency = r.Latency(seconds=seconds, step="one token", deadline_s=0.09)
    assert curves.quantiles(latency) == pytest.approx({"p50": 0.051, "p95": 0.096, "p99": 0.1})
    assert "10 steps were late" in reading.latency_reading(latency)


def test_bars_hold_every_step() -> None:
    latency = r.Latency(seconds=np.random.default_rng(0).lognormal(-8, 1.5, 1000), step="x")
    titles = [
        e.findtext("title") or "" for e in ElementTree.fromstring(curves._latency(latency, svg.WIDE)).iter("rect")
    ]
    assert sum(int(t.split(" steps")[0].replace(",", "")) for t in titles if " steps up to" in t) == 1000


def decision(seconds: float, classes: tuple[str, ...] = ("left", "right"), **changes: object) -> r.DecisionTrace:
    time = np.arange(0, seconds, 0.1)
    p = np.full((len(time), len(classes)), 1 / len(classes))
    return r.DecisionTrace(title="x", classes=classes, time_s=time, probability=p, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("width", [svg.NARROW, svg.WIDE])
@pytest.mark.parametrize("classes", [("left", "right"), ("a", "b", "c")])
def test_labels_of_the_trace_stay_inside_and_apart(classes: tuple[str, ...], width: float) -> None:
    trials = tuple(r.Trial(start_s=s, end_s=s + 4, label=classes[0]) for s in range(0, 90, 8))
    assert_labels_inside_and_apart(trace._strips(decision(100, classes, trials=trials), width))


def test_a_long_trace_is_cut_and_says_so() -> None:
    long = decision(1000, trials=(r.Trial(start_s=300, end_s=304, label="left", decided="left"),))
    assert trace.excerpt(long) == (298.0, 538.0)
    assert "Drawn: 298 to 538 s of 1000 s." in reading.trace_reading(long)
    assert "Drawn" not in reading.trace_reading(decision(100))
    late = decision(1000, trials=(r.Trial(start_s=990, end_s=994, label="left"),))
    assert trace.excerpt(late)[1] == pytest.approx(999.9)


def test_a_gap_in_the_decision_stays_a_gap() -> None:
    p = np.full((100, 2), 0.5)
    p[:, 1] = 0.9
    p[44:56] = np.nan
    gap = r.DecisionTrace(title="x", classes=("a", "b"), time_s=np.arange(100.0), probability=p)
    paths = ElementTree.fromstring(trace._strips(gap, svg.WIDE)).iter("path")
    lines = [e.get("d", "") for e in paths if e.get("class") == "probability"]
    assert sum(d.count("M") for d in lines) == len(lines) + 1


def test_numbers_read_as_a_person_would_write_them() -> None:
    assert markup.number(-0.004) == "0.00"
    assert markup.number(-0.5, 1) == "\N{MINUS SIGN}0.5"
    assert markup.number(float("nan")) == "\N{EN DASH}"
    assert markup.signed(0.02) == "+0.02"
    assert [markup.duration(s).replace("\N{NO-BREAK SPACE}", " ") for s in (2.14e-4, 3.2e-3, 1.5)] == [
        "214 µs",
        "3.20 ms",
        "1.50 s",
    ]
    assert markup.budget(0.04).replace("\N{NO-BREAK SPACE}", " ") == "40 ms"
    assert markup.count(1, "subject") == "1 subject"
    assert markup.count(1200, "step") == "1,200 steps"


def test_confusion_reading_names_the_worst_pair() -> None:
    c = r.Confusion(classes=("left", "right"), counts=np.array([[18, 2], [5, 15]]))
    assert (
        reading.confusion_reading(c)
        .replace("\N{NARROW NO-BREAK SPACE}", " ")
        .endswith("25 % of right is taken for left.")
    )
    assert (
        reading.confusion_reading(r.Confusion(classes=("a", "b"), counts=np.eye(2)))
        == "No trial was taken for another class."
    )


def test_gain_reading_claims_only_what_intervals_carry() -> None:
    e = r.Estimate(0.7, 0.6, 0.8)
    clear = r.TrainingBudget(label="1 subject", scratch=e, pretrained=e, difference=r.Estimate(0.1, 0.05, 0.15))
    unclear = r.TrainingBudget(label="5 subjects", scratch=e, pretrained=e, difference=r.Estimate(0.1, -0.05, 0.15))
    assert (
        reading.gain_reading(r.PretrainingGain(budgets=(clear, unclear)))
        == "Pre-training helps clearly with 1 subject."
    )
    assert "every interval holds zero" in reading.gain_reading(r.PretrainingGain(budgets=(unclear,)))
