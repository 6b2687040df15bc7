"""The detector of change: its limit against simulated CUSUMs, its alarms against changes that were made."""

from __future__ import annotations

import numpy as np
import pytest

from neural_foundation.core.errors import SignalMismatchError
from neural_foundation.core.seeds import generator
from neural_foundation.core.specs import SignalSpec
from neural_foundation.core.stream import Chunk, run
from neural_foundation.signals.drift import Drift, limit

RATE = 100.0


@pytest.fixture
def two() -> SignalSpec:
    return SignalSpec(sfreq=RATE, ch_names=("C3", "C4"), ch_types=("eeg", "eeg"))


def white(seconds: int, seed: int = 0) -> np.ndarray:
    return generator(seed, "white").standard_normal((2, int(seconds * RATE))).astype(np.float32)


def test_the_limit_gives_the_run_length_it_promises() -> None:
    h, runs, n = limit(0.5, 200), 400, 4000
    z = generator(0, "cusum").standard_normal((n, runs))
    g, first = np.zeros(runs), np.full(runs, n)
    for t in range(n):
        g = np.maximum(0, g + z[t] - 0.5)
        first = np.where((g >= h) & (first == n), t + 1, first)
    assert 0.8 < first.mean() / 200 < 1.25


def test_false_alarms_are_no_more_often_than_stated(two: SignalSpec) -> None:
    op = Drift(hop_s=1, reference_s=40, false_alarm_s=300).bind(two)
    alarms = sum(run(op, white(1500, seed), block=50_000).values[1].sum() for seed in range(4))
    assert alarms <= 6000 / 300


@pytest.mark.parametrize("gain", [0.6, 1.7])
def test_a_change_is_found_and_then_is_the_norm(two: SignalSpec, gain: float) -> None:
    x = white(400)
    x[1, 20_000:] *= gain
    out = run(Drift(hop_s=1).bind(two), x).values
    alarms = np.flatnonzero(out[1])
    assert len(alarms) == 1
    assert 200 < alarms[0] < 215
    assert out[0, alarms[0]] >= 1 > out[0, :200].max()
    assert not out[:, :60].any()


def test_invalid_hops_say_nothing(two: SignalSpec) -> None:
    x, valid = white(200), np.ones(20_000, bool)
    x[:, 10_000:12_000] *= 10
    valid[9_900:12_400] = False
    op = Drift(hop_s=1).bind(two)
    out, _ = op.step(Chunk(x, valid), op.start())
    assert not out.values[1].any()
    assert not out.valid[99:124].any()
    assert out.valid[124:].all()
    assert op.output.ch_names == ("drift:score", "drift:alarm")
    assert op.output.sfreq == 1


def test_messages(two: SignalSpec) -> None:
    with pytest.raises(SignalMismatchError, match="reference_s=5 holds fewer than 10 hops of 2 s"):
        Drift(reference_s=5).bind(two)
    with pytest.raises(SignalMismatchError, match="40 Hz is too slow"):
        Drift().bind(two.replace(sfreq=40.0))
    with pytest.raises(SignalMismatchError, match="no channel is EEG"):
        Drift().bind(two.replace(ch_types=("ecg", "ecg")))
