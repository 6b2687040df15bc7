"""What is kept for a report: stretches, means over trials and maps, chosen by what is true alone."""

from __future__ import annotations

import numpy as np
import pytest
from binned import made_session
from trial_runs import walker

from neural_foundation.evaluation.trial_examples import EXAMPLES, GRID, Shown
from neural_foundation.evaluation.trial_scores import HeldOut
from neural_foundation.sampling.binned import BinnedSession, BinnedSet
from neural_foundation.sampling.roles import TrialFold


def part(session: BinnedSession, n_bins: int, hold_out: str = "trial") -> HeldOut:
    fold = TrialFold.model_validate({"name": "0", "hold_out": hold_out, "test": 0.5})
    windows = BinnedSet.cut([session], fold.spans(session, 0, "test"), n_bins, n_bins // 2)
    return HeldOut.of(session, fold, windows)


def test_examples_are_whole_trials_with_their_time() -> None:
    tested = part(made_session(trials=24), 20)
    truth = Shown.of(tested).truth()
    assert truth["bins"].shape == (EXAMPLES, 20)
    session = tested.session
    for row, trial, start in zip(truth["bins"], truth["shown_trials"], truth["start_s"], strict=True):
        assert row.tolist() == list(range(session.first[trial], session.first[trial] + 20))
        assert start == pytest.approx(session.start_s[trial])
        assert trial in tested.trials
    assert np.array_equal(truth["values/wheel_speed"], session.values["wheel_speed"][truth["bins"]])


def test_a_mean_response_is_over_the_tested_trials_of_a_class() -> None:
    tested = part(made_session(trials=40), 20)
    shown = Shown.of(tested)
    choice, counts = tested.true("choice"), tested.folded(tested.true("spikes"))
    made = shown.truth()["psth/spikes/choice"]
    assert made.shape == (2, 20, 6)
    assert made[1] == pytest.approx(counts[choice == 1].mean(0), rel=1e-6)
    flat = np.ones((len(tested.bins), 6))
    assert (shown.arrays({"spikes": flat})["psth/spikes/choice"] == 1).all()


def test_a_class_of_few_trials_has_no_mean() -> None:
    session = made_session(trials=24)
    choice = np.zeros(24, np.int16)
    choice[0] = 1
    rare = BinnedSession(**{**session.__dict__, "values": {**session.values, "choice": choice}})
    assert np.isnan(Shown.of(part(rare, 20)).truth()["psth/spikes/choice"][1]).all()


def test_the_busiest_units_keep_all_their_trials() -> None:
    tested = part(made_session(trials=24, units=9), 20)
    truth = Shown.of(tested).truth()
    total = tested.true("spikes").sum(0)
    assert total[truth["rastered"]].tolist() == sorted(total.tolist(), reverse=True)[:4]
    assert truth["raster"].shape == (12, 20, 4)
    assert truth["raster"].sum() == total[truth["rastered"]].sum()


def test_a_recording_without_trials_is_shown_in_stretches() -> None:
    tested = part(walker(bins=2000), 50, "block")
    truth = Shown.of(tested).truth()
    assert truth["bins"].shape == (2, 200)  # 20 s of bins of 0.1 s, of 400 tested ones
    assert (np.diff(truth["bins"], axis=1) == 1).all()
    assert truth["start_s"][0] == pytest.approx(3.0 + 0.1 * truth["bins"][0, 0])
    assert not [k for k in truth if k.startswith(("psth", "raster/"))]


def test_a_map_is_the_mean_count_by_place() -> None:
    tested = part(walker(bins=4000), 50, "block")
    shown = Shown.of(tested)
    truth = shown.truth()
    assert truth["map"].shape == (GRID, GRID, len(truth["mapped"]))
    counts, position = tested.true("spikes"), tested.true("position")
    ones = shown.arrays({"spikes": np.ones(counts.shape, np.float32)})["map"]
    assert np.nanmax(ones) == np.nanmin(ones) == 1.0
    known = np.isfinite(position).all(1)
    low, high = np.quantile(position[known].astype(float), (0.005, 0.995), axis=0)
    column, row = np.clip((position[known] - low) / (high - low) * GRID, 0, GRID - 1).astype(int).T
    here = (column == 3) & (row == 11)
    unit = truth["mapped"][0]
    expected = counts[known][here, unit].mean() if here.any() else np.nan
    assert truth["map"][11, 3, 0] == pytest.approx(expected, nan_ok=True)


def test_without_position_there_is_no_map() -> None:
    truth = Shown.of(part(made_session(trials=24), 20)).truth()
    assert "map" not in truth
    assert len(truth["mapped"]) == 0
