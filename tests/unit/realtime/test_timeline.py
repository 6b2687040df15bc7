"""Gaps, stalls, clock jumps and rates, told from time stamps."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neural_foundation.realtime.sources.timeline import Place, Timeline

FS = 100.0


def fed(line: Timeline, stamps: np.ndarray, *, block: int, late_s: float = 0.0) -> list[Place]:
    """Give stamps in blocks, each as it comes: at the stamp of its last sample on a clock of the same pace."""
    blocks = (stamps[a : a + block] for a in range(0, len(stamps), block))
    return [line.place(b.tolist(), float(b[-1]) + late_s) for b in blocks]


def test_a_regular_stream_has_no_gaps_and_its_rate_is_measured() -> None:
    line = Timeline(FS, 0.1)
    assert all(p == Place() for p in fed(line, 50 + np.arange(300) / FS, block=7))
    assert line.rate.value == pytest.approx(FS, rel=1e-9)
    assert line.stamp_of(0) == pytest.approx(50)


@settings(max_examples=30, deadline=None)
@given(jitter_s=st.floats(0, 0.04), block=st.integers(1, 40), seed=st.integers(0, 99))
def test_jitter_is_no_gap(jitter_s: float, block: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    stamps = np.repeat(np.arange(0, 400, block) / FS + jitter_s * rng.random(-(-400 // block)), block)
    stamps = stamps + np.tile(np.arange(block), len(stamps) // block) / FS
    assert all(p == Place() for p in fed(Timeline(FS, 0.1), stamps, block=block))


@settings(max_examples=30, deadline=None)
@given(at=st.integers(1, 199), lost=st.integers(12, 500), block=st.integers(1, 50))
def test_what_is_missing_is_counted_where_it_is_missing(at: int, lost: int, block: int) -> None:
    stamps = np.arange(200) / FS
    stamps[at:] += lost / FS
    placed = fed(Timeline(FS, 0.1), stamps, block=block)
    assert [(i * block + p.at, p.missing) for i, p in enumerate(placed) if p.missing] == [(at, lost)]


def test_indices_go_on_after_what_was_missing() -> None:
    line = Timeline(FS, 0.1)
    line.place((np.arange(10) / FS).tolist(), 0.1)
    line.place((1 + np.arange(10) / FS).tolist(), 1.1)
    assert line.stamp_of(109) == pytest.approx(1.09)  # ten came, ninety are missing, ten came


def test_a_stall_is_late_not_lost() -> None:
    """Stamps made when samples are sent: nothing for half a second, then all that was held back at once."""
    line = Timeline(FS, 0.1)
    line.place((np.arange(10) / FS).tolist(), 0.09)
    burst = 0.59 + np.arange(50) * 1e-5
    assert line.suspects(burst[:1].tolist())  # the first of them alone would be a gap: worth waiting for the rest
    assert not line.suspects(burst.tolist())
    assert line.place(burst.tolist(), 0.6) == Place()
    assert not line.suspects((0.6 + np.arange(5) / FS).tolist())


def test_a_clock_that_jumps_ahead_has_lost_nothing() -> None:
    line = Timeline(FS, 0.1)
    line.place((np.arange(10) / FS).tolist(), 0.09)
    assert line.place((3600 + np.arange(10) / FS).tolist(), 0.19) == Place(jumps=1)
    assert line.place((3600.1 + np.arange(10) / FS).tolist(), 0.29) == Place()


def test_a_clock_that_jumps_back_has_lost_nothing() -> None:
    line = Timeline(FS, 0.1)
    line.place((1000 + np.arange(10) / FS).tolist(), 0.09)
    assert line.place((np.arange(10) / FS).tolist(), 0.19) == Place(jumps=1)
    assert line.rate.samples == 18  # the jump is no period


@pytest.mark.parametrize("true", [80.0, 95.0, 120.0])
def test_a_rate_that_lies_is_measured_and_makes_no_gaps(true: float) -> None:
    line = Timeline(FS, 0.1)
    assert all(p == Place() for p in fed(line, np.arange(1000) / true, block=10))
    assert line.rate.value == pytest.approx(true)


def test_nothing_is_measured_before_a_second() -> None:
    line = Timeline(FS, 0.1)
    fed(line, np.arange(90) / FS, block=10)
    assert line.rate.value is None
    assert line.measured == FS
    assert np.isnan(Timeline(FS, 0.1).stamp_of(0))
