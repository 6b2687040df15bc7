"""Binning: exact at the edges, however it is cut, and the same lazily, live and as a chain's first operation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neural_foundation.core.errors import DataError, SignalMismatchError, SpecError, StreamError
from neural_foundation.core.seeds import generator
from neural_foundation.core.specs import SignalSpec
from neural_foundation.core.stream import Chunk, join, load_state, run, save_state, stream
from neural_foundation.recordings import ArraySignal, Intervals, Session, read, write_session
from neural_foundation.recordings.events import Series, Spikes
from neural_foundation.signals import SIGNALS, chain
from neural_foundation.signals.bin_spikes import BinSpikes
from neural_foundation.signals.firing_rates import FiringRates
from neural_foundation.signals.source import begun
from neural_foundation.signals.spikes import SpikeBinner, bin_spikes, binned, bins_of


def poisson(n: int = 3000, n_units: int = 5, stop_s: float = 20.0, seed: int = 0) -> Spikes:
    rng = generator(seed, "spikes")
    ids = tuple(f"u{i}" for i in range(n_units))
    return Spikes(np.sort(rng.uniform(0, stop_s, n)), rng.integers(0, n_units, n), ids)


@pytest.mark.parametrize("bin_s", [0.01, 0.001, 1 / 30, 1 / 512, 0.07, 2.5])
def test_a_spike_on_an_edge_belongs_to_the_later_bin(bin_s: float) -> None:
    for start_s in (0.0, -3.7, 86_400.1):
        edges = np.arange(20_000) * bin_s + start_s
        np.testing.assert_array_equal(bins_of(edges, bin_s, start_s), np.arange(20_000))
        np.testing.assert_array_equal(bins_of(edges - 1e-6 * bin_s, bin_s, start_s), np.arange(-1, 19_999))


@pytest.mark.parametrize(("rate", "per_bin"), [(30_000, 300), (30_000, 1000), (24_414, 407), (44_100, 7)])
def test_times_of_a_sample_clock_fall_where_their_samples_do(rate: int, per_bin: int) -> None:
    samples = np.arange(0, 200_000)
    np.testing.assert_array_equal(bins_of(samples / rate, per_bin / rate), samples // per_bin)


def test_counts_are_numpys_histogram() -> None:
    spikes = poisson()
    got = bin_spikes(spikes, 2.0, 12.0, 0.05)
    want = [np.histogram(spikes.train(u), np.linspace(2, 12, 201))[0] for u in spikes.unit_ids]
    np.testing.assert_array_equal(got, want)
    assert got.dtype == np.float32


def test_a_signal_of_counts_reads_any_stretch() -> None:
    spikes = poisson()
    signal = binned(spikes, 0.02, 1.0, 19.0)
    assert (signal.n_times, signal.start_s, signal.spec.sfreq) == (900, 1.0, 50)
    assert (signal.spec.ch_names, signal.spec.units) == (spikes.unit_ids, ("",) * 5)
    whole = signal.read()
    for start, stop in ((0, 900), (0, 0), (17, 18), (333, 777)):
        np.testing.assert_array_equal(signal.read(start, stop), whole[:, start:stop])
    assert signal.valid().all()


def test_without_a_stop_the_last_spike_is_in_the_last_bin() -> None:
    spikes = Spikes.of({"a": [0.1, 0.4], "b": []})
    np.testing.assert_array_equal(binned(spikes, 0.1).read(), [[0, 1, 0, 0, 1], [0] * 5])
    assert binned(Spikes.of({"a": []}), 0.1).n_times == 0


@settings(max_examples=40, deadline=None)
@given(
    ticks=st.lists(st.integers(0, 400), max_size=60),
    stops=st.lists(st.integers(0, 400), max_size=12),
    bin_s=st.sampled_from([0.02, 0.05, 1 / 30]),
)
def test_how_events_are_cut_never_changes_the_counts(ticks: list[int], stops: list[int], bin_s: float) -> None:
    spikes = Spikes(np.sort(ticks) / 100.0, np.arange(len(ticks)) % 3, ("a", "b", "c"))
    binner = SpikeBinner(spikes.unit_ids, bin_s)
    state, out, at = binner.start(), [], 0.0
    for stop in [*sorted(stops), 500]:
        piece, state = binner.step(spikes.slice(at, stop / 100), stop / 100, load_state(save_state(state)))
        at = stop / 100
        assert piece.start + piece.n_times == bins_of(np.array([at]), bin_s)[0]  # depends on the time alone
        out.append(piece)
    np.testing.assert_array_equal(join([*out, binner.flush(state)]).values, bin_spikes(spikes, 0, 5, bin_s))


def test_a_live_binner_feeds_a_chain_as_the_recording_does() -> None:
    spikes = poisson()
    ops = [BinSpikes(bin_s=0.02), SIGNALS.parse({"kind": "firing_rates"}), SIGNALS.parse({"kind": "normalise"})]
    binner = SpikeBinner(spikes.unit_ids, 0.02)
    live = chain(ops, binner.output, live=True)  # type: ignore[arg-type]
    fed, state, out = binner.start(), live.start(), []
    for at in np.arange(0, 20, 0.033):
        counts, fed = binner.step(spikes.slice(at, at + 0.033), at + 0.033, fed)
        piece, state = live.step(counts, state)
        out.append(Chunk(piece.values.copy(), piece.valid.copy(), piece.start))
    got = join(out)
    want = run(live, binned(spikes, 0.02, 0, 21).read())
    np.testing.assert_array_equal(got.values, want.values[:, : got.n_times])
    assert got.n_times >= 995


def test_a_binner_refuses_what_it_cannot_count() -> None:
    binner = SpikeBinner(("a", "b"), 0.1)
    spikes = Spikes.of({"a": [0.1], "b": [0.25]})
    _, state = binner.step(spikes, 0.3, binner.start())
    with pytest.raises(StreamError, match="A spike at 0.1 s lies outside the step from 0.3 to 0.5 s"):
        binner.step(spikes, 0.5, state)
    with pytest.raises(StreamError, match="A spike at 0.25 s lies outside the step from 0 to 0.25 s"):
        binner.step(spikes, 0.25, binner.start())
    with pytest.raises(StreamError, match="Time falls back from 0.3 to 0.2 s"):
        binner.step(spikes.slice(0, 0), 0.2, state)
    with pytest.raises(StreamError, match="Spikes of 1 units came to a binner of 2"):
        binner.step(Spikes.of({"a": []}), 1.0, state)
    with pytest.raises(DataError, match="no units to count"):
        SpikeBinner((), 0.1)
    with pytest.raises(DataError, match="bin_s=0 is no length"):
        binned(spikes, 0)
    with pytest.raises(DataError, match="Cannot bin from 3 to 2 s"):
        binned(spikes, 0.1, 3, 2)


def session(**more: object) -> Session:
    return Session("s", "p", {}, spikes={"probe": poisson()}, **more)  # type: ignore[arg-type]


def test_a_chain_begins_with_spikes() -> None:
    spec = SignalSpec(sfreq=100, ch_names=("a",))
    lfp = ArraySignal(np.zeros((1, 600), np.float32), spec, start_s=1.5)
    both = Session("s", "p", {"lfp": lfp}, spikes={"probe": poisson()})
    op = SIGNALS.parse({"kind": "bin_spikes", "bin_s": 0.02})
    assert isinstance(op, BinSpikes)
    counts = begun(both, [op]).signal
    assert (counts.n_times, counts.start_s) == (300, 1.5)
    np.testing.assert_array_equal(counts.read(), bin_spikes(poisson(), 1.5, 7.5, 0.02))
    assert begun(both, []) is both
    assert begun(both, [SIGNALS.parse("reference")]) is both  # type: ignore[list-item]


def test_all_else_of_a_session_stays_where_a_chain_begins_with_spikes() -> None:
    closed = []
    series = Series([0.0, 1.0], [[1.0], [2.0]], ("x",))
    trials = Intervals.of([(2.0, 3.0, "a")])
    old = session(trials=trials, series={"gaze": series}, close=lambda: closed.append(1))
    with begun(old, [BinSpikes()]) as new:
        assert list(new.signals) == ["bin_spikes"]
        assert (new.session_id, new.subject, new.trials) == ("s", "p", trials)
        assert new.series["gaze"] is series
        assert new.spikes["probe"] is old.spikes["probe"]
        assert new.slice(1.0, 2.0).signal.n_times == 100
    assert closed == [1]
    with pytest.raises(DataError, match="closed"):
        new.signal.read()


def test_rates_are_written_and_read_back(tmp_path: Path) -> None:
    ops = [BinSpikes(bin_s=0.02), FiringRates(causal=False)]
    spikes = begun(session(), ops).signal
    rates = chain(ops, spikes.spec)
    write_session(
        tmp_path / "rates.h5",
        session_id="s",
        subject="p",
        spec=rates.output,
        chunks=(c for c in stream(rates, spikes.chunks(64)) if c.n_times),
        trials=Intervals(),
        start_s=spikes.start_s,
    )
    with read(tmp_path / "rates.h5") as back:
        assert back.signal.spec.units == ("Hz",) * 5
        np.testing.assert_array_equal(back.signal.read(), run(rates, spikes.read()).values)


def test_without_a_signal_the_bins_cover_trials_and_spikes() -> None:
    late = session(trials=Intervals.of([(2.0, 3.0, "a"), (24.0, 25.5, "b")]))
    counts = BinSpikes(bin_s=0.5).signal(late)
    assert (counts.start_s, counts.n_times) == (0.0, 51)
    none = BinSpikes(bin_s=0.5).signal(session())
    assert (none.start_s, none.n_times) == (0.0, 40)
    some = BinSpikes(bin_s=0.5, start_s=4, stop_s=6).signal(session())
    assert (some.start_s, some.n_times) == (4.0, 4)


def test_what_cannot_be_binned_is_said(eeg: SignalSpec) -> None:
    with pytest.raises(
        SignalMismatchError, match="250 Hz is not spike counts in bins of 0.01 s. Allowed: the first place"
    ):
        BinSpikes().bind(eeg)
    with pytest.raises(DataError, match="Session 's' has 0 spikes to bin"):
        BinSpikes().signal(Session("s", "p", {}))
    with pytest.raises(DataError, match="has 2 spikes to bin. Allowed: spikes: 'a' or 'b'"):
        BinSpikes().signal(Session("s", "p", {}, spikes={"a": poisson(), "b": poisson()}))
    with pytest.raises(DataError, match="no spikes 'b'"):
        BinSpikes(spikes="b").signal(session())
    with pytest.raises(SpecError, match="start_s=5 must be below stop_s=4"):
        SIGNALS.parse({"kind": "bin_spikes", "start_s": 5, "stop_s": 4})
