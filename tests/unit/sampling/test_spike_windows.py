from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from make_prepared import prepared, spiking

from neural_foundation.core.errors import DataError, SpecError
from neural_foundation.recordings import Session, Spikes, read, write_whole_session
from neural_foundation.sampling.spike_windows import SpikeWindows, binned
from neural_foundation.signals.spikes import bin_spikes as count


def reference(spikes: Spikes, start: float, n_bins: int, bin_s: float) -> np.ndarray:
    """Count as the operation `bin_spikes` does."""
    wanted: np.ndarray = count(spikes, start, start + (n_bins + 0.5) * bin_s, bin_s)
    return wanted


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 99),
    n_bins=st.integers(1, 12),
    bin_s=st.sampled_from([0.1, 0.02, 1 / 3, 0.001, 0.25]),
    start=st.floats(-1, 4),
)
def test_counts_are_those_between_the_edges(seed: int, n_bins: int, bin_s: float, start: float) -> None:
    make = np.random.default_rng(seed)
    # many spikes lie exactly on an edge
    times = np.concatenate([make.uniform(0, 4, 200), start + make.integers(0, n_bins + 1, 50) * bin_s])
    spikes = Spikes(np.sort(times), make.integers(0, 3, 250), ("a", "b", "c", "silent"))
    got = binned(spikes, np.array([start, start + 0.7]), n_bins, bin_s)
    assert got.dtype == np.float32
    for row, begin in zip(got, (start, start + 0.7), strict=True):
        np.testing.assert_array_equal(row, reference(spikes, begin, n_bins, bin_s))


def test_a_recording_without_spikes_counts_none() -> None:
    assert not binned(Spikes(unit_ids=("a",)), np.array([0.0]), 5, 0.1).any()


def test_counts_have_to_fit() -> None:
    spikes, start = Spikes(unit_ids=("a", "b")), np.zeros(3)
    for out, bin_s in ((np.empty((3, 1, 5), np.float32), 0.1), (np.empty((3, 2, 5)), 0.1), (None, 0.0)):
        with pytest.raises(DataError, match=r"Allowed: above 0 s, float32 \(3, 2, 5\)"):
            binned(spikes, start, 5, bin_s, out)  # type: ignore[arg-type]


def test_each_window_once_an_epoch_and_counted_right(tmp_path: Path) -> None:
    paths = [spiking(tmp_path / f"{i}.h5", i, subject=f"s{i}") for i in range(2)]
    data = SpikeWindows(paths, window_s=1.0, bin_s=0.1, batch_size=8, seed=1)
    batches = list(data)
    rows = [(int(r), float(s)) for b in batches for r, s in zip(b.recording, b.start_s, strict=True)]
    assert len(rows) == len(set(rows)) == 58
    opened = [read(path).spikes["spikes"] for path in paths]
    for batch in batches:
        assert batch.counts.shape == (len(batch), 4, 10)
        for counts, who, start, subject in zip(
            batch.counts, batch.recording, batch.start_s, batch.subject, strict=True
        ):
            np.testing.assert_array_equal(counts.numpy(), reference(opened[int(who)], float(start), 10, 0.1))
            assert subject == who + 1
    assert data.units == (("u0", "u1", "u2", "u3"),)
    again = SpikeWindows(paths, window_s=1.0, bin_s=0.1, batch_size=8, seed=1)
    assert all(torch.equal(a.counts, b.counts) for a, b in zip(again, batches, strict=True))


def test_going_on_gives_the_rest(tmp_path: Path) -> None:
    path = spiking(tmp_path / "a.h5", 0)
    data, again = (SpikeWindows([path], window_s=1.0, bin_s=0.5, batch_size=4) for _ in range(2))
    for _ in zip(range(3), data.loader(), strict=False):
        pass
    again.load_state_dict(data.state_dict())
    assert all(torch.equal(a.counts, b.counts) for a, b in zip(again, data, strict=True))


def test_recordings_of_other_units_come_in_batches_of_their_own(tmp_path: Path) -> None:
    paths = [spiking(tmp_path / "a.h5", 0), spiking(tmp_path / "b.h5", 1, n_units=6, subject="s2")]
    batches = list(SpikeWindows(paths, window_s=1.0, bin_s=0.5, batch_size=4))
    assert {(b.units, b.counts.shape[1]) for b in batches} == {(0, 4), (1, 6)}
    balanced = SpikeWindows(paths, window_s=1.0, bin_s=0.5, batch_size=4, balance="subject")
    counts = Counter(int(s) for _ in range(2) for b in balanced for s in b.subject)
    assert abs(counts[1] - counts[2]) <= 4


def test_windows_lie_where_the_signals_do(tmp_path: Path) -> None:
    with read(prepared(tmp_path / "signal.h5", 1000)) as session:
        spikes = Spikes(np.array([2.0, 3.0]), np.array([0, 0]), ("a",))
        both = Session("b", "s", session.signals, spikes={"spikes": spikes})
        write_whole_session(tmp_path / "both.h5", both)
    data = SpikeWindows([tmp_path / "both.h5"], window_s=1.0, bin_s=0.5, hop_s=0.5)
    starts = sorted(float(s) for b in data for s in b.start_s)
    assert starts == [0.5 * k for k in range(19)]


def test_what_cannot_be_binned_is_an_error(tmp_path: Path) -> None:
    path = spiking(tmp_path / "a.h5", 0)
    with pytest.raises(SpecError, match="A window of 1 s has no whole number of bins of 0.3 s"):
        SpikeWindows([path], window_s=1.0, bin_s=0.3)
    with pytest.raises(DataError, match="No recording has spikes over a window of 100 s"):
        SpikeWindows([path], window_s=100.0, bin_s=0.5)
    with pytest.raises(DataError, match="Session 'c' has 0 spikes. Allowed: recordings of sorted spikes"):
        SpikeWindows([prepared(tmp_path / "c.h5", 500)], window_s=1.0, bin_s=0.5)
    trains = {"left": Spikes(unit_ids=("a",)), "right": Spikes(unit_ids=("a",))}
    write_whole_session(tmp_path / "two.h5", Session("two", "s", {}, spikes=trains))
    with pytest.raises(DataError, match="has 2 spikes. Allowed: name='left' or 'right'"):
        SpikeWindows([tmp_path / "two.h5"], window_s=1.0, bin_s=0.5)
