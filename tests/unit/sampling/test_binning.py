"""Spikes and behaviour in bins, against numpy's histogram, closed forms and integrals on a fine grid."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neural_foundation.core.errors import DataError
from neural_foundation.core.specs import SignalSpec
from neural_foundation.recordings import ArraySignal, Series, Spikes
from neural_foundation.sampling.binning import (
    Grid,
    Track,
    counts_of,
    counts_per_bin,
    on_bins,
    sampled_mean,
    summed,
    track_of,
)


def signal(values: object, sfreq: float, start_s: float = 0.0, valid: object = None) -> ArraySignal:
    rows = np.atleast_2d(np.asarray(values, np.float32))
    names = tuple(f"c{i}" for i in range(len(rows)))
    spec = SignalSpec(sfreq=sfreq, ch_names=names, units=("",) * len(names))
    return ArraySignal(rows, spec, start_s=start_s, valid=valid)


class TestCounts:
    @settings(deadline=None, max_examples=25)
    @given(seed=st.integers(0, 10_000), n_bins=st.integers(1, 60), bin_s=st.sampled_from([0.01, 0.02, 0.05, 0.3]))
    def test_they_are_those_of_a_histogram(self, seed: int, n_bins: int, bin_s: float) -> None:
        rng = np.random.default_rng(seed)
        trains = {str(i): np.sort(rng.uniform(0, 20, n)) for i, n in enumerate((0, 5, 300))}
        grid = Grid(np.sort(rng.uniform(-1, 20, 4)), n_bins, bin_s)
        counts = counts_of(Spikes.of(trains), grid)
        assert (counts.dtype, counts.shape) == (np.uint16, (4 * n_bins, 3))
        for unit, times in enumerate(trains.values()):
            theirs = [np.histogram(times, edges)[0] for edges in grid.edges_s]
            np.testing.assert_array_equal(counts[:, unit], np.concatenate(theirs))

    def test_a_spike_on_an_edge_is_in_the_later_bin_only(self) -> None:
        times = np.array([1.0, 1.02, 1.04 - 1e-12, 1.06])
        counts = counts_of(Spikes.of({"a": times}), Grid(np.array([1.0]), 3, 0.02))
        assert counts[:, 0].tolist() == [1, 1, 1]  # 1.04 less a rounding error is 1.04; 1.06 is past the end

    def test_a_long_stretch_is_what_its_parts_are(self) -> None:
        rng = np.random.default_rng(1)
        spikes = Spikes.of({"a": np.sort(rng.uniform(0, 400, 5000)), "b": np.sort(rng.uniform(0, 400, 50))})
        whole = counts_of(spikes, Grid(np.array([0.1]), 39_000, 0.01))
        parts = counts_of(spikes, Grid(0.1 + 130 * np.arange(3.0), 13_000, 0.01))
        np.testing.assert_array_equal(whole, parts)
        assert whole.sum() > 4900


class TestSummed:
    def test_bins_are_whole_multiples(self) -> None:
        counts = np.arange(24).reshape(2, 12)
        held = signal(counts, 20.0, start_s=3.0)
        assert counts_per_bin(held, 0.15) == 3
        out = summed(held, Grid(np.array([3.0, 3.3]), 2, 0.15))
        np.testing.assert_array_equal(out[:2], counts[:, :6].reshape(2, 2, 3).sum(2).T)
        np.testing.assert_array_equal(out[2:], counts[:, 6:].reshape(2, 2, 3).sum(2).T)

    @pytest.mark.parametrize("bin_s", [0.02, 0.07, 0.049])
    def test_others_are_refused(self, bin_s: float) -> None:
        with pytest.raises(DataError, match=f"bin_s={bin_s:g} cannot be made of counts in bins of 0.05 s. .* multiple"):
            counts_per_bin(signal(np.zeros(9), 20.0), bin_s)

    @pytest.mark.parametrize("wrong", [0.5, -1.0, np.nan])
    def test_what_is_no_count_is_refused(self, wrong: float) -> None:
        with pytest.raises(DataError, match="values that are no counts"):
            summed(signal([0, wrong, 2], 1.0), Grid(np.array([0.0]), 3, 1.0))

    def test_more_than_fit_are_refused(self) -> None:
        with pytest.raises(DataError, match="A bin holds 70000 spikes"):
            summed(signal([70_000.0], 1.0), Grid(np.array([0.0]), 1, 1.0))

    def test_trials_begin_where_a_bin_does(self) -> None:
        held = signal(np.zeros(9), 20.0, start_s=0.01)
        np.testing.assert_allclose(on_bins(held, np.array([0.0, 0.07, 0.1])), [0.01, 0.06, 0.11])


class TestTrack:
    def test_the_mean_is_the_integral(self) -> None:
        rng = np.random.default_rng(0)
        times = np.cumsum(rng.uniform(0.01, 0.03, 400))
        values = rng.normal(size=(400, 2))
        grid = Grid(np.array([0.5, 2.013]), 40, 0.05)
        made = Track(times, values).mean(grid.edges_s)
        middle = grid.edges_s[:, :-1, None] + (np.arange(2000) + 0.5) / 2000 * grid.bin_s
        theirs = [np.interp(middle, times, column).mean(-1).reshape(-1) for column in values.T]
        np.testing.assert_allclose(made, np.stack(theirs, 1), atol=1e-4)

    def test_a_straight_line_keeps_its_middle_and_its_slope(self) -> None:
        times = np.sort(np.random.default_rng(0).uniform(0, 10, 300))
        grid = Grid(np.array([1.0, 5.0]), 50, 0.02)
        track = Track(times, np.stack([3 * times + 1, -times], 1), longest_s=1.0)
        middle = ((grid.edges_s[:, 1:] + grid.edges_s[:, :-1]) / 2).reshape(-1)
        np.testing.assert_allclose(track.mean(grid.edges_s), np.stack([3 * middle + 1, -middle], 1), atol=1e-9)
        np.testing.assert_allclose(track.change(grid.edges_s), np.tile([3.0, -1.0], (100, 1)), atol=1e-9)

    def test_bins_that_touch_a_gap_are_unknown(self) -> None:
        times = np.concatenate([np.arange(0, 1.005, 0.01), np.arange(1.5, 2.005, 0.01)])
        known = ~np.isnan(Track(times, times[:, None]).mean(Grid(np.array([0.0]), 20, 0.1).edges_s)[:, 0])
        assert known.tolist() == [True] * 10 + [False] * 5 + [True] * 5

    def test_three_sample_intervals_are_no_gap(self) -> None:
        times = np.delete(np.arange(0, 1.005, 0.01), [50, 51])
        assert not np.isnan(Track(times, times[:, None]).mean(Grid(np.array([0.0]), 10, 0.1).edges_s)).any()
        times = np.delete(np.arange(0, 1.005, 0.01), [50, 51, 52])
        assert np.isnan(Track(times, times[:, None]).mean(Grid(np.array([0.0]), 10, 0.1).edges_s)).any()

    def test_unknown_values_are_no_samples(self) -> None:
        times = np.arange(0, 1.005, 0.01)
        values = times.copy()
        values[40:60] = np.nan
        made = Track(times, values[:, None]).mean(Grid(np.array([0.0]), 10, 0.1).edges_s)[:, 0]
        assert np.flatnonzero(np.isnan(made)).tolist() == [3, 4, 5]

    def test_what_is_sampled_where_it_changes_has_no_gaps(self) -> None:
        wheel = Series(np.array([0.0, 0.01, 5.0, 5.01]), np.array([0.0, 1.0, 1.0, 2.0]), ("position",), ("rad",))
        edges = Grid(np.array([0.0]), 5, 1.0).edges_s
        assert np.isnan(track_of(wheel, [0]).mean(edges)).any()
        np.testing.assert_allclose(track_of(wheel, [0], on_change=True).change(edges)[:, 0], [1, 0, 0, 0, 0], atol=1e-9)

    @pytest.mark.parametrize("times", [[], [0.5]])
    def test_too_few_samples_are_nothing(self, times: list[float]) -> None:
        track = Track(np.array(times), np.zeros((len(times), 2)))
        edges = Grid(np.array([0.0]), 3, 0.1).edges_s
        assert np.isnan(track.mean(edges)).all()
        assert track.change(edges).shape == (3, 2)

    def test_before_and_after_nothing_is_known(self) -> None:
        times = np.arange(1.0, 2.001, 0.01)
        made = Track(times, times[:, None]).mean(Grid(np.array([0.5]), 20, 0.1).edges_s)[:, 0]
        assert np.flatnonzero(~np.isnan(made)).tolist() == list(range(5, 15))


class TestSampledMean:
    def test_a_bin_has_the_samples_that_lie_in_it(self) -> None:
        values = np.arange(60.0).reshape(2, 30)
        held = signal(values, 10.0, start_s=1.0)
        made = sampled_mean(held, [1, 0], Grid(np.array([1.0, 1.95]), 4, 0.3))
        np.testing.assert_allclose(made[:4, 1], values[0, :12].reshape(4, 3).mean(1))
        np.testing.assert_allclose(made[4:, 0], values[1, 10:22].reshape(4, 3).mean(1))

    def test_where_samples_are_absent_or_not_trusted_nothing_is_known(self) -> None:
        valid = np.ones(30, bool)
        valid[10] = False
        made = sampled_mean(signal(np.ones(30), 10.0, valid=valid), [0], Grid(np.array([-0.4, 2.2]), 6, 0.2))[:, 0]
        assert np.isnan(made).tolist() == [True, True, False, False, False, False] + [False] * 4 + [True] * 2
        made = sampled_mean(signal(np.ones(30), 10.0, valid=valid), [0], Grid(np.array([0.8]), 3, 0.2))[:, 0]
        assert np.isnan(made).tolist() == [False, True, False]

    def test_one_sample_a_bin_is_itself(self) -> None:
        values = np.random.default_rng(0).normal(size=100).astype(np.float32)
        made = sampled_mean(signal(values, 5.0, start_s=0.1), [0], Grid(np.array([0.0]), 100, 0.2))[:, 0]
        np.testing.assert_array_equal(made, values)
