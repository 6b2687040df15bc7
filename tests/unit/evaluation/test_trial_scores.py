"""Scores of one session: every tested bin once, and the scores are those of the metrics."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from binned import made_session

from neural_foundation.core.errors import DataError
from neural_foundation.core.modalities import ModalitySpec
from neural_foundation.evaluation.trial_scores import (
    HeldOut,
    condition,
    nulls,
    onto_axis,
    onto_trials,
    said_of,
    score_session,
)
from neural_foundation.metrics import balanced_accuracy, bits_per_spike, psth_r2, r2_by_channel
from neural_foundation.sampling.binned import BinnedSession, BinnedSet
from neural_foundation.sampling.roles import TrialFold

TRIAL = TrialFold(name="0", hold_out="trial", test=0.5)
BLOCK = TrialFold(name="1", hold_out="block", folds=4, block=1)


def of(session: BinnedSession, fold: TrialFold = TRIAL, n_bins: int = 20) -> tuple[HeldOut, BinnedSet]:
    windows = BinnedSet.cut([session], fold.spans(session, 0, "test"), n_bins, max(n_bins // 2, 1))
    return HeldOut.of(session, fold, windows), windows


def whole(bins: int = 200) -> BinnedSession:
    return made_session(trials=1, bins=bins, without=("choice", "block"))


class TestOnTheAxis:
    def test_where_windows_overlap_the_one_whose_middle_is_nearer_counts_more(self) -> None:
        tested, windows = of(whole(), BLOCK, n_bins=20)
        said = np.arange(len(windows), dtype=np.float32)[:, None, None] * np.ones((1, 20, 3), np.float32)
        made = onto_axis(windows, said, tested.bins)
        # 50 tested bins; windows begin at 0, 10, 20, 30 of them: each bin but the ends lies in two
        assert windows.first.tolist() == [50, 60, 70, 80]
        assert made.shape == (50, 3)
        later = np.array([k**2 / (k**2 + (11 - k) ** 2) for k in range(1, 11)])
        expected = [np.zeros(10), later, 1 + later, 2 + later, np.full(10, 3.0)]
        assert made[:, 0] == pytest.approx(np.concatenate(expected))

    def test_each_tested_bin_is_there_once(self) -> None:
        tested, windows = of(whole(), BLOCK, n_bins=16)
        assert tested.bins.tolist() == list(range(50, 100))
        assert tested.aligned == 0
        values = windows.values(0, "spikes")
        assert np.array_equal(onto_axis(windows, values, tested.bins), tested.true("spikes"))

    def test_whole_trials_are_aligned(self) -> None:
        tested, windows = of(made_session())
        assert tested.aligned == 20
        assert len(tested.trials) == 10
        assert np.array_equal(tested.folded(tested.true("spikes")), windows.values(0, "spikes"))
        assert not set(tested.bins.tolist()) & set(tested.train.tolist())

    def test_trials_of_several_lengths_are_not_aligned(self) -> None:
        tested, _ = of(made_session(lengths=[20, 24] * 8), n_bins=20)
        assert tested.aligned == 0
        assert condition(tested) is None

    def test_a_trial_of_several_windows_has_their_mean_probability(self) -> None:
        tested, windows = of(made_session(), n_bins=10)
        values = np.where((np.arange(len(windows)) % 3 == 0)[:, None], [0.9, 0.1], [0.3, 0.7])
        made = onto_trials(windows, values, tested.trials)
        assert made == pytest.approx(np.tile([0.5, 0.5], (10, 1)))


class TestScores:
    def test_encoding_is_against_the_training_and_the_test_mean(self) -> None:
        session = made_session()
        tested, windows = of(session)
        rates = np.asarray(windows.values(0, "spikes"), np.float32) * 0.5 + 0.2
        made = score_session(tested, said_of(windows, {"spikes": rates}, tested))
        counts, flat = tested.true("spikes"), rates.reshape(-1, 6)
        learned = np.asarray(session.values["spikes"])[tested.train].mean(0)
        expected = bits_per_spike(counts, flat, learned)
        assert made.scores["encoding.spikes.bits_per_spike"] == pytest.approx(expected.pooled)
        assert made.units["bits_per_spike"] == pytest.approx(expected.by_unit)
        against_test = bits_per_spike(counts, flat, counts.mean(0)).pooled
        assert made.scores["encoding.spikes.bits_per_spike_test_null"] == pytest.approx(against_test)
        assert against_test < expected.pooled
        assert set(made.regions) == {"CA1", "VISp"}
        ca1 = bits_per_spike(counts[:, [1, 3, 5]], flat[:, [1, 3, 5]], learned[[1, 3, 5]]).pooled
        assert made.regions["CA1"] == pytest.approx(ca1)

    def test_units_without_a_score_are_counted_for_each_null(self) -> None:
        session, (tested, _) = made_session(), of(made_session())
        counts = np.array(session.values["spikes"])
        counts[tested.train, 0] = 0  # fires in the test alone
        counts[tested.bins, 1] = 0  # never fires in the test
        counts[tested.bins[0], 0] = 1
        tested, _ = of(replace(session, values={**session.values, "spikes": counts}))
        made = score_session(tested, {"spikes": np.full((len(tested.bins), 6), 0.3)})
        assert made.left_out == {
            "encoding.spikes.bits_per_spike": 2,
            "encoding.spikes.bits_per_spike_test_null": 1,
        }
        assert np.isnan(made.units["bits_per_spike"]).tolist() == [True, True, False, False, False, False]
        kept = bits_per_spike(
            counts[tested.bins][:, 2:], np.full((len(tested.bins), 4), 0.3), tested.train_mean("spikes")[2:]
        )
        assert made.scores["encoding.spikes.bits_per_spike"] == pytest.approx(kept.pooled)

    def test_no_unit_left_out_is_said_of_none(self) -> None:
        tested, _ = of(made_session())
        assert score_session(tested, {"spikes": np.full((len(tested.bins), 6), 0.3)}).left_out == {}

    def test_the_training_mean_scores_nothing(self) -> None:
        tested, _ = of(made_session())
        rates = np.repeat(tested.train_mean("spikes")[None], len(tested.bins), 0)
        assert score_session(tested, {"spikes": rates}).scores["encoding.spikes.bits_per_spike"] == pytest.approx(0)

    def test_decoding_scores_each_channel_and_their_mean(self) -> None:
        tested, windows = of(made_session(gaps=0.1))
        rng = np.random.default_rng(0)
        energy = tested.true("motion_energy") + rng.normal(0, 0.5, (len(tested.bins), 2))
        speed = np.full((len(tested.bins), 1), 10.0)
        made = score_session(tested, {"motion_energy": energy, "wheel_speed": speed}).scores
        each = r2_by_channel(tested.true("motion_energy"), energy)
        assert made["decoding.motion_energy.r2[left]"] == pytest.approx(each[0])
        assert made["decoding.motion_energy.r2[right]"] == pytest.approx(each[1])
        assert made["decoding.motion_energy.r2"] == pytest.approx(each.mean())
        assert made["decoding.wheel_speed.r2"] < 0.02
        assert "decoding.wheel_speed.r2[wheel_speed]" not in made
        label = condition(tested)
        assert label is not None
        expected = psth_r2(tested.folded(tested.true("motion_energy")), tested.folded(energy), label).mean()
        assert made["decoding.motion_energy.psth_r2"] == pytest.approx(expected)

    def test_classes_leave_out_what_is_not_known(self) -> None:
        tested, windows = of(made_session(unknown=0.3))
        target = tested.true("choice")
        probability = np.eye(2)[np.where(target < 0, 1, np.arange(len(target)) % 2)]
        made = score_session(tested, {"choice": probability}).scores["decoding.choice.balanced_accuracy"]
        known = target >= 0
        assert made == balanced_accuracy(target[known], probability[known].argmax(1))

    def test_nothing_is_scored_of_what_was_not_said_or_is_not_there(self) -> None:
        tested, windows = of(made_session(without=("block",)))
        said = said_of(windows, {"block": np.zeros((len(windows), 3)), "spikes": windows.values(0, "spikes")}, tested)
        names = {n.split(".")[1] for n in score_session(tested, said).scores}
        assert names == {"spikes"}

    def test_behaviour_that_is_never_known_has_no_score(self) -> None:
        tested, _ = of(made_session(gaps=1.0))
        made = score_session(tested, {"wheel_speed": np.zeros((len(tested.bins), 1))}).scores
        assert np.isnan(made["decoding.wheel_speed.r2"])

    def test_predictions_that_are_not_finite_are_refused(self) -> None:
        tested, _ = of(made_session())
        with pytest.raises(DataError, match="not finite"):
            score_session(tested, {"wheel_speed": np.full((len(tested.bins), 1), np.nan)})


def test_the_null_of_a_position_error_is_the_mean_position_of_the_training_part() -> None:
    from trial_runs import walker

    session = walker(bins=200)
    tested, windows = of(session, BLOCK, n_bins=20)
    made = nulls(tested)
    here, mean = np.asarray(session.values["position"])[tested.bins], tested.train_mean("position")
    known = np.isfinite(here).all(1)
    distance = np.sqrt(((here[known] - mean) ** 2).sum(1))
    assert made["decoding.position.mean_error"] == pytest.approx(distance.mean(), rel=1e-5)
    assert made["decoding.position.median_error"] == pytest.approx(np.median(distance), rel=1e-5)
    exact = score_session(tested, {"position": np.nan_to_num(tested.true("position"))}).scores
    assert exact["decoding.position.mean_error"] == 0
    assert nulls(of(made_session())[0]) == {}


def track(bins: int = 200) -> BinnedSession:
    """Return a rat on a linear track, as `ratgps` has it with task: 1D: one channel, in no stated unit."""
    from trial_runs import walker

    made = walker(bins=bins)
    spec = made.spec.model_copy(update={"channels": (made.spec.channels[0], ("position",))})
    modalities = (made.modalities[0], ModalitySpec(name="position", kind="continuous"))
    place = np.ascontiguousarray(made.values["position"][:, :1])
    return replace(made, spec=spec, modalities=modalities, values={**made.values, "position": place})


def test_a_place_on_a_track_has_an_error_and_a_null() -> None:
    session = track()
    tested, _ = of(session, BLOCK, n_bins=20)
    here, mean = np.asarray(session.values["position"])[tested.bins, 0], tested.train_mean("position")[0]
    away = np.abs(here - mean)[np.isfinite(here)]
    made = nulls(tested)
    assert made["decoding.position.mean_error"] == pytest.approx(away.mean(), rel=1e-5)
    assert made["decoding.position.median_error"] == pytest.approx(np.median(away), rel=1e-5)
    near = np.nan_to_num(tested.true("position")) + 3.0
    scores = score_session(tested, {"position": near}).scores
    assert scores["decoding.position.mean_error"] == pytest.approx(3.0, rel=1e-5)
    assert "decoding.position.r2[position]" not in scores


def test_a_position_in_space_has_no_error() -> None:
    session = track()
    spec = session.spec.model_copy(update={"channels": (session.spec.channels[0], ("x", "y", "z"))})
    place = np.repeat(session.values["position"], 3, axis=1)
    tested, _ = of(replace(session, spec=spec, values={**session.values, "position": place}), BLOCK)
    assert nulls(tested) == {}
    assert (
        "decoding.position.mean_error"
        not in score_session(tested, {"position": np.nan_to_num(tested.true("position"))}).scores
    )
