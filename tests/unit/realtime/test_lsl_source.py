"""Streams of the lab streaming layer as sources, through the real library inside this machine."""

from __future__ import annotations

import sys
import time
from typing import Any

import local_lsl
import numpy as np
import pytest

from neural_foundation.core.errors import MissingExtraError, SignalMismatchError, StreamError
from neural_foundation.core.stream import Chunk, join
from neural_foundation.realtime.sources.liblsl import volts_per
from neural_foundation.realtime.sources.lsl import Lsl
from neural_foundation.realtime.sources.stamped import Stamped

FS = 100
RAMP = np.arange(300, dtype=np.float32)[:, None] + np.array([[0, 1000, 2000]], np.float32)


@pytest.fixture
def pylsl() -> Any:
    return local_lsl.library()


def taken(source: Stamped, n: int, *, tries: int = 50) -> list[Chunk]:
    """Return chunks until `n` samples are in; the test fails where they do not come."""
    chunks: list[Chunk] = []
    for _ in range(tries):
        chunk = source.read(0.5)
        if chunk is not None:
            chunks.append(chunk)
        if sum(c.n_times for c in chunks) >= n:
            return chunks
    raise AssertionError(f"{sum(c.n_times for c in chunks)} of {n} samples came")


def pushed(outlet: Any, values: np.ndarray, first: float) -> None:
    """Push samples (n, n_chans), the first stamped with a time."""
    for i, row in enumerate(values):
        outlet.push_sample(row.tolist(), first + i / FS)


def test_names_units_and_stamps_are_those_of_the_stream(pylsl: Any) -> None:
    name = local_lsl.unique()
    outlet = local_lsl.outlet(name, labels=("EEG C3", "cz", "C4"))
    with Lsl(source_id=name).open() as source:
        began = pylsl.local_clock()
        pushed(outlet, RAMP[:50], began)
        got = join(taken(source, 50))
        clock = pylsl.local_clock() - time.monotonic()
        assert source.stamp_of(0) + clock == pytest.approx(began, abs=0.01)
        assert source.stamp_of(49) - source.stamp_of(0) == pytest.approx(0.49, abs=1e-6)
    assert source.signal.ch_names == ("C3", "Cz", "C4")
    assert source.signal.ch_types == ("eeg",) * 3
    assert source.signal.sfreq == FS
    assert all(source.signal.positions)
    assert got.start == 0
    np.testing.assert_allclose(got.values, 1e-6 * RAMP[:50].T, rtol=1e-6)
    assert got.values.dtype == np.float32
    assert got.valid.all()


def test_nothing_comes_within_the_timeout(pylsl: Any) -> None:
    name = local_lsl.unique()
    outlet = local_lsl.outlet(name)
    with Lsl(source_id=name).open() as source:
        assert source.read(0.01) is None
        assert not source.ended
        outlet.push_sample([1, 2, 3])
        assert taken(source, 1)[0].n_times == 1
        assert source.stalled_s < 5


def test_a_block_is_waited_for(pylsl: Any) -> None:
    name = local_lsl.unique()
    outlet = local_lsl.outlet(name)
    with Lsl(source_id=name, block_s=0.2).open() as source:
        pushed(outlet, RAMP[:60], pylsl.local_clock())
        assert [c.n_times for c in taken(source, 60)] == [20, 20, 20]


@pytest.mark.parametrize("format_", ["int16", "int32", "double64", "int8"])
def test_numbers_of_any_format(pylsl: Any, format_: str) -> None:
    name = local_lsl.unique()
    outlet = local_lsl.outlet(name, format_=format_, unit="mV")
    with Lsl(source_id=name).open() as source:
        outlet.push_sample([1, -2, 100])
        got = taken(source, 1)[0]
    np.testing.assert_allclose(got.values[:, 0], [1e-3, -2e-3, 0.1], rtol=1e-6)


def test_a_short_gap_comes_as_invalid_samples_a_long_one_as_a_jump(pylsl: Any) -> None:
    name = local_lsl.unique()
    outlet = local_lsl.outlet(name)
    with Lsl(source_id=name, gap_s=0.1, max_gap_s=0.5).open() as source:
        source._timeline._here_s = -1e9  # as if nothing had come for long: the stamps alone decide
        now = pylsl.local_clock() - 10
        pushed(outlet, RAMP[:20], now)
        taken(source, 20)
        source._timeline._here_s = -1e9
        pushed(outlet, RAMP[20:40], now + 0.2 + 0.3)
        short = taken(source, 50)
        source._timeline._here_s = -1e9
        pushed(outlet, RAMP[40:60], now + 0.7 + 2.0)
        long = taken(source, 20)
    assert (short[0].start, short[0].n_times, short[0].valid.any()) == (20, 30, False)
    np.testing.assert_allclose(short[0].values, np.repeat(1e-6 * RAMP[19][:, None], 30, 1), rtol=1e-5)
    assert join(short[1:]).start == 50
    assert join(short[1:]).valid.all()
    assert join(long).start == 70 + 200
    counts = source.counts
    assert (counts.samples, counts.missing, counts.gaps, counts.restarts, counts.dropped) == (90, 230, 2, 1, 0)


def test_what_nobody_read_in_time_is_dropped_and_named(pylsl: Any) -> None:
    name = local_lsl.unique()
    outlet = local_lsl.outlet(name)
    with Lsl(source_id=name, buffer_s=1, max_gap_s=30).open() as source:
        now = pylsl.local_clock() - 3
        pushed(outlet, RAMP[:10], now)
        taken(source, 10)
        pushed(outlet, RAMP[10:300], now + 0.1)
        for _ in range(100):  # until the library has received all of it
            if source._inlet.samples_available() >= source._capacity:
                break
            time.sleep(0.02)
        time.sleep(0.2)
        source._timeline._here_s = -1e9
        got = join(taken(source, 290))
    kept = got.values[:, got.valid]
    np.testing.assert_allclose(kept[:, -1], 1e-6 * RAMP[299], rtol=1e-5)
    assert got.start + got.n_times == 300
    assert 0 < source.counts.dropped == source.counts.missing == 290 - kept.shape[1]
    assert "they were not read in time" in source.counts.notes()[1]


@pytest.mark.slow
def test_a_source_that_goes_and_comes_back_is_found_again(pylsl: Any) -> None:
    name = local_lsl.unique()
    outlet = local_lsl.outlet(name)
    with Lsl(source_id=name).open() as source:
        pushed(outlet, RAMP[:20], pylsl.local_clock())
        taken(source, 20)
        del outlet
        assert source.read(0.05) is None
        assert not source.ended
        again = local_lsl.outlet(name)
        assert again.wait_for_consumers(20)
        pushed(again, RAMP[20:40], pylsl.local_clock())
        back = taken(source, 20 + source.counts.missing, tries=100)
        if not back[-1].valid.all():
            back = taken(source, 20)  # the time that it was away came first
    np.testing.assert_allclose(back[-1].values[:, -1], 1e-6 * RAMP[39], rtol=1e-5)


def test_a_source_without_an_id_is_gone_for_good(pylsl: Any) -> None:
    name = local_lsl.unique()
    outlet = local_lsl.outlet(name, source_id="")
    with Lsl(name=name).open() as source:
        outlet.push_sample([1, 2, 3])
        taken(source, 1)
        del outlet
        for _ in range(100):
            if source.ended:
                break
            source.read(0.1)
        assert source.ended
        assert source.reason == f"the LSL stream '{name}' is gone, without an id to find it by"
        assert source.read() is None


def test_a_stream_that_is_not_there(pylsl: Any) -> None:
    name = local_lsl.unique()
    there = local_lsl.unique()
    outlet = local_lsl.outlet(there)
    with pytest.raises(StreamError, match=f"No LSL stream with name '{name}' came up within 0.2 s") as caught:
        Lsl(name=name, timeout_s=0.2).open()
    assert f"'{there}' (EEG)" in str(caught.value)
    del outlet


def test_two_streams_of_one_name_need_an_id(pylsl: Any) -> None:
    name = local_lsl.unique()
    outlets = [local_lsl.outlet(name, source_id=f"{name}-{i}") for i in range(2)]
    with pytest.raises(
        StreamError, match=f"2 LSL streams have name '{name}'. Give source_id: '{name}-0' or '{name}-1'"
    ):
        Lsl(name=name).open()
    with Lsl(name=name, source_id=f"{name}-1").open() as source:
        outlets[1].push_sample([5, 5, 5])
        assert taken(source, 1)[0].values[0, 0] == pytest.approx(5e-6)


class TestRefuses:
    def test_channels_without_a_unit_of_voltage(self, pylsl: Any) -> None:
        name = local_lsl.unique()
        outlet = local_lsl.outlet(name, unit="")
        with pytest.raises(SignalMismatchError, match="without a unit of voltage: C3, Cz, C4.*Give 'unit'"):
            Lsl(source_id=name).open()
        with Lsl(source_id=name, unit="uV", channels=("C4", "C3")).open() as source:
            outlet.push_sample([1, 2, 3])
            np.testing.assert_allclose(taken(source, 1)[0].values[:, 0], [3e-6, 1e-6])
        assert source.signal.ch_names == ("C4", "C3")

    def test_a_unit_that_is_none_of_voltage_by_its_name(self, pylsl: Any) -> None:
        name = local_lsl.unique()
        _outlet = local_lsl.outlet(name, unit="degC")
        with pytest.raises(SignalMismatchError, match=r"C3 \('degC'\), Cz \('degC'\)"):
            Lsl(source_id=name).open()

    def test_channels_without_names(self, pylsl: Any) -> None:
        name = local_lsl.unique()
        outlet = local_lsl.outlet(name, labels=(), n_chans=2)
        with pytest.raises(SignalMismatchError, match="does not name its 2 channels.*Give 'channels': 2 names"):
            Lsl(source_id=name, unit="V").open()
        with Lsl(source_id=name, unit="V", channels=("C3", "C4")).open() as source:
            outlet.push_sample([1, 2])
            np.testing.assert_allclose(taken(source, 1)[0].values[:, 0], [1, 2])

    def test_a_channel_that_is_not_there(self, pylsl: Any) -> None:
        name = local_lsl.unique()
        _outlet = local_lsl.outlet(name)
        with pytest.raises(SignalMismatchError, match="no channel 'Fz'"):
            Lsl(source_id=name, channels=("Fz",)).open()

    def test_words_and_streams_without_a_rate(self, pylsl: Any) -> None:
        name = local_lsl.unique()
        words = local_lsl.outlet(name, labels=("a",), format_="string")
        with pytest.raises(StreamError, match="carries words"):
            Lsl(source_id=name).open()
        del words
        name = local_lsl.unique()
        events = local_lsl.outlet(name, sfreq=0.0)
        with pytest.raises(StreamError, match="has no regular rate"):
            Lsl(source_id=name).open()
        del events


def test_units_are_known_by_word_and_sign() -> None:
    for unit, volts in {"microvolts": 1e-6, "uV": 1e-6, "µV": 1e-6, "Volts": 1.0, "V": 1.0, "millivolt": 1e-3}.items():
        assert volts_per(unit) == volts
    assert volts_per("counts") is None
    assert volts_per("") is None


def test_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pylsl", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'neural-foundation\[lsl\]'"):
        Lsl(name="x").open()
