"""What an inspection says of every modality, and that its picture is drawn for whatever a session holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neural_foundation.core.errors import SpecError
from neural_foundation.core.specs import SignalSpec
from neural_foundation.evaluation.inspection import draw, inspect_session
from neural_foundation.evaluation.inspection.picture import excerpt, page
from neural_foundation.evaluation.inspection.scales import time_axis
from neural_foundation.evaluation.inspection.words import (
    amount,
    counted,
    cut_middle,
    lasting,
    number,
    share,
    times,
)
from neural_foundation.recordings import ArraySignal, Intervals, Series, Session, Spikes


def session() -> Session:
    rng = np.random.default_rng(0)
    values = rng.standard_normal((6, 15_000)).astype(np.float32) * 1e-5
    values[2, 1000:5000] = values[2, 1000]
    values[5] *= 20
    lfp = ArraySignal(values, SignalSpec(sfreq=500, ch_names=tuple("abcdef"), ch_types=("eeg",) * 6))
    hand = ArraySignal(rng.standard_normal((2, 1500)), SignalSpec(sfreq=50, ch_names=("$x", "y"), units=("m", "m/s")))
    trials = Intervals.of([(2.0 + 5 * k, 5.0 + 5 * k, ("left", "$right_{")[k % 2]) for k in range(5)])
    spikes = Spikes.of({"u1": np.arange(0, 30, 0.1), "u2": np.arange(0, 30, 0.5), "silent": []}, {"region": "abc"})
    position = Series(np.sort(rng.uniform(0, 30, 90)), rng.standard_normal((90, 2)), ("px", "py"), ("cm", ""))
    return Session("rat7", "rat7", {"lfp": lfp, "hand": hand}, trials, spikes={"units": spikes},
                   series={"position": position}, intervals={"epochs": Intervals.of([(0, 30, "run")])})  # fmt: skip


def test_every_modality_is_counted() -> None:
    found = inspect_session(session())
    assert [(s.name, s.spec.n_chans, s.duration_s, s.valid) for s in found.signals] == [
        ("lfp", 6, 30.0, 1.0),
        ("hand", 2, 30.0, 1.0),
    ]
    (spikes,) = found.spikes
    assert (spikes.n_units, spikes.n_spikes, spikes.columns) == (3, 360, ("region",))
    np.testing.assert_allclose(spikes.rates_hz, [10, 2, 0])
    (series,) = found.series
    assert (series.rows, series.columns, series.units) == (90, ("px", "py"), ("cm", ""))
    left, right = found.intervals["trials"]
    assert (left.label, left.count, left.median_s, left.first_s) == ("left", 3, 3.0, 2.0)
    assert (right.label, right.count, right.last_s) == ("$right_{", 2, 20.0)
    assert found.intervals["epochs"][0].label == "run"
    assert found.span_s == (0.0, 30.0)


def test_remarks_name_what_is_wrong_with_which_channel() -> None:
    (lfp, hand) = inspect_session(session()).signals
    assert lfp.remarks == ((), (), ("flat",), (), (), ("loud",))
    assert hand.remarks == ((), ())


def test_the_same_session_gives_the_same_picture(tmp_path: Path) -> None:
    found = inspect_session(session())
    for name in ("a.svg", "b.svg"):
        draw(tmp_path / name, session(), found)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    drawn = (tmp_path / "a.svg").read_text()
    for word in ("lfp", "hand", "$x", "Spectra", "Amplitude over time", "Events", "units", "position", "flat", "loud"):
        assert f"<!-- {word} -->" in drawn


EMPTY = Series(np.zeros(0), np.zeros((0, 1)), ("x",))
BARE = SignalSpec(sfreq=100, ch_names=("a", "b"))


@pytest.mark.parametrize(
    "given",
    [
        Session("nothing", "s", {}),
        Session("events", "s", {}, Intervals.of([(3, 3, "x")])),
        Session("spikes", "s", {}, spikes={"u": Spikes.of({"1": [1.0, 2.0]}), "none": Spikes()}, series={"e": EMPTY}),
        Session("short", "s", {"eeg": ArraySignal(np.zeros((2, 1)), BARE)}),
        Session("no samples", "s", {"eeg": ArraySignal(np.zeros((2, 0)), BARE)}),
        Session("missing", "s", {"eeg": ArraySignal(np.full((2, 500), np.nan), BARE, valid=np.zeros(500, bool))}),
    ],
    ids=lambda s: s.session_id,
)
def test_whatever_a_session_holds_is_drawn(given: Session, tmp_path: Path) -> None:
    draw(tmp_path / "a.png", given, inspect_session(given))
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def test_the_excerpt_starts_before_the_first_event() -> None:
    start_s, stop_s = excerpt(session(), inspect_session(session()))
    assert (start_s, stop_s) == (pytest.approx(0.8), pytest.approx(8.8))


def figure_of(given: Session) -> Any:
    return page(given, inspect_session(given))


def notes(given: Session) -> list[str]:
    return [text.get_text() for axes in figure_of(given).axes for text in axes.texts]


@pytest.mark.parametrize(
    ("span", "unit", "ticks"),
    [
        ((0.5, 8.5), "seconds", ["1", "2", "3", "4", "5", "6", "7", "8"]),
        ((0.0, 600.0), "seconds", ["0", "100", "200", "300", "400", "500", "600"]),
        ((60.0, 3660.0), "minutes", ["10", "20", "30", "40", "50", "60"]),
        ((0.0, 86_400.0), "hours", ["0", "5", "10", "15", "20"]),
        ((-0.2, 0.2), "seconds", ["-0.2", "-0.15", "-0.1", "-0.05", "0", "0.05", "0.1", "0.15", "0.2"]),
    ],
)
def test_a_time_axis_has_round_ticks_in_a_fitting_unit(span: tuple[float, float], unit: str, ticks: list[str]) -> None:
    from matplotlib.figure import Figure

    axes = Figure().add_subplot()
    time_axis(axes, *span)
    assert axes.get_xlabel() == unit
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ticks
    assert axes.get_xlim() == span


def test_spikes_are_drawn_from_the_first_to_the_last_at_most() -> None:
    spikes = Spikes.of({"a": [0.25, 0.5, 1.0]})
    (axes,) = figure_of(Session("s", "s", {}, spikes={"u": spikes})).axes
    low, high = axes.get_xlim()
    assert 0.15 <= low < 0.25
    assert 1.0 < high <= 1.1
    (axes,) = figure_of(Session("s", "s", {}, spikes={"u": Spikes.of({"a": [3.0]})})).axes
    assert axes.get_xlim() == pytest.approx((2.99, 3.01))


def test_a_dead_channel_does_not_flatten_the_spectra_of_the_others() -> None:
    rng = np.random.default_rng(0)
    values = rng.standard_normal((4, 4000)) * 1e-5
    values[3] *= 1e-9
    given = Session("s", "s", {"eeg": ArraySignal(values, SignalSpec(sfreq=200, ch_names=tuple("abcd")))})
    spectra = figure_of(given).axes[1]
    assert -60 < spectra.get_ylim()[0] < -20
    assert "thick: median; dotted: 50 and 60 Hz; orange: remarked; cut off below" in notes(given)


def test_a_single_line_says_how_much_it_varies() -> None:
    wave = np.sin(np.arange(800) / 20) * 3
    spec = SignalSpec(sfreq=100, ch_names=("speed",), ch_types=("misc",), units=("m/s",))
    assert "misc, middle 95 % within 6 m/s" in notes(Session("s", "s", {"wheel": ArraySignal(wave[None], spec)}))
    assert "misc, middle 95 % within 0 m/s" in notes(Session("s", "s", {"wheel": ArraySignal(0 * wave[None], spec)}))


def test_another_ending_is_refused(tmp_path: Path) -> None:
    given = Session("nothing", "s", {})
    with pytest.raises(SpecError, match=r"cannot be written as '.jpg'. Allowed: .png, .svg, .pdf"):
        draw(tmp_path / "a.jpg", given, inspect_session(given))
    assert not list(tmp_path.iterdir())


def test_numbers_are_written_for_people() -> None:
    assert amount(-4.2e-5, 4.53e-5, "V") == "-42.0 to 45.3 µV"
    assert amount(-1e-20, 9.9999e-7, "V") == "0.00 to 1.00 µV"
    assert amount(-0.5, 2, "m/s") == "-0.50 to 2.00 m/s"
    assert amount(float("nan"), 1, "V") == "-"
    assert (share(0), share(0.0001), share(0.123), share(0.9999), share(1)) == (
        "0 %",
        "<0.1 %",
        "12.3 %",
        ">99.9 %",
        "100 %",
    )
    assert (lasting(62), lasting(750), lasting(11_100)) == ("62.0 s", "12 min 30 s", "3 h 05 min")
    assert (times(18.4), times(1.23), times(1e-5), times(float("nan"))) == ("18x", "1.2x", "<0.1x", "-")
    assert cut_middle("Sleep stage REM", 17) == "Sleep stage REM"
    assert [cut_middle(f"units/obs_intervals: {n}", 12) for n in (7, 12)] == ["units…als: 7", "units…ls: 12"]
    assert (counted(1, "unit"), counted(1200, "spike"), number(523.4, 2)) == ("1 unit", "1,200 spikes", "520")
