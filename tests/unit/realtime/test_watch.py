"""The watch: what it notices of a stream, what it lets be, how it is cut, and that it travels."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from neural_foundation.core.errors import StreamError
from neural_foundation.core.seeds import generator
from neural_foundation.core.specs import SignalSpec, TargetSpec
from neural_foundation.core.stream import Chunk, load_state, save_state
from neural_foundation.datasets.simulated import noise
from neural_foundation.datasets.simulated.changes import Change, changed
from neural_foundation.datasets.simulated.head import MONTAGES, standard_positions
from neural_foundation.realtime.watch import Alarm, Watch, WatchSettings

RATE, N = 200.0, 16
FACTS: Any = SimpleNamespace(target=TargetSpec(classes=("left", "right")), trained={})
SIGNAL = SignalSpec(
    sfreq=RATE,
    ch_names=MONTAGES[N],
    ch_types=("eeg",) * N,
    positions=tuple(map(tuple, standard_positions(MONTAGES[N]).tolist())),
)


def brain(seconds: int, seed: int = 0) -> np.ndarray:
    """Return what 20 sources of 1/f noise and small sensors show (16, n), volts."""
    rng, n = generator(seed, "brain"), int(seconds * RATE)
    freqs = np.maximum(noise.frequencies(n, RATE), 0.5)
    sources = noise.coloured(rng, 20, n, freqs**-0.6)
    mixing = rng.standard_normal((N, 20)).astype(np.float32) / np.sqrt(20)
    return 12e-6 * mixing @ sources + np.float32(0.7e-6) * rng.standard_normal((N, n), np.float32)


def watched(values: np.ndarray, signal: SignalSpec = SIGNAL, *, block: int = 40, **valid: Any) -> tuple[Watch, Any]:
    watch = Watch(FACTS, signal)
    out: list[Alarm] = []
    for a in range(0, values.shape[1], block):
        out += watch.block(Chunk.of(values[:, a : a + block], a))
    return watch, out


def test_undisturbed_false_alarms_are_no_more_often_than_stated() -> None:
    settings, alarms = WatchSettings(input_s=300, quality_s=300), []
    for seed in range(3):
        watch, x = Watch(FACTS, SIGNAL, settings=settings), brain(500, seed)
        for a in range(0, x.shape[1], 400):
            alarms += watch.block(Chunk.of(x[:, a : a + 400], a))
    for kind in ("input", "quality"):
        assert sum(a.kind == kind for a in alarms) <= 5 + 2 * np.sqrt(5)
    assert watch.lights()["input"]["light"] in ("ok", "warn")


@pytest.mark.parametrize("change", [Change(gain_sd=0.4), Change(impedance_v=20e-6), Change(shift_m=0.03)])
def test_another_day_is_noticed(change: Change) -> None:
    x = changed(brain(180), SIGNAL, change, seed=1, from_s=90)
    watch, alarms = watched(x[:, : int(130 * RATE)])
    first = next(a for a in alarms if a.kind == "input")
    assert 90 < first.at_s < 130
    assert first.score >= 1
    assert watch.lights()["input"]["light"] == "alarm"
    assert watch.lights()["input"]["what"]


def test_a_channel_gone_silent_is_noticed_at_once_and_an_artefact_is_not() -> None:
    x = brain(100)
    loud = x.copy()
    loud[3, int(90 * RATE) : int(91 * RATE)] += np.float32(5e-3) * (np.arange(RATE) > RATE / 2)
    loud[:, int(94 * RATE) : int(95 * RATE)] *= 100  # the head is knocked
    most = x.copy()
    most[:10, int(92 * RATE) : int(93 * RATE)] *= 100  # the others are quiet beside the median
    assert not [a for a in watched(most)[1] if a.kind == "input"]
    assert not [a for a in watched(loud)[1] if a.kind == "input"]
    silent = x.copy()
    silent[3, int(90 * RATE) :] = 0
    first = next(a for a in watched(silent)[1] if a.kind == "input")
    assert 90 < first.at_s <= 92
    assert SIGNAL.ch_names[3] in first.what
    assert "down" in first.what


def test_bad_channels_are_named_by_reason_and_come_back() -> None:
    x = brain(120)
    x[3, 8000:12_000] = 0.0  # flat
    x[5, 8000:12_000] += np.float32(300e-6) * generator(0, "noisy").standard_normal(4000, np.float32)
    x[7, 8000:12_000] = np.nan
    t = np.arange(4000) / RATE
    x[9, 8000:12_000] += (200e-6 * np.sin(2 * np.pi * 50 * t)).astype(np.float32)
    watch, alarms = watched(x[:, :11_600])
    names = {a.what.split(":")[0] for a in alarms if a.kind == "quality"}
    assert names == {SIGNAL.ch_names[k] for k in (3, 5, 7, 9)}
    assert all(40 < a.at_s < 50 for a in alarms if a.kind == "quality")
    light = watch.lights()["quality"]
    assert light["light"] == "alarm"
    bad = {r: light["bad"].get(r, []) for r in ("flat", "noisy", "not_finite", "line")}
    for reason, k in (("flat", 3), ("noisy", 5), ("not_finite", 7), ("line", 9)):
        assert SIGNAL.ch_names[k] in bad[reason]
    for a in range(11_600, x.shape[1], 40):
        watch.block(Chunk.of(x[:, a : a + 40], a))
    assert watch.lights()["quality"]["bad"] == {}


@pytest.mark.parametrize(("sfreq", "hz"), [(RATE, 50), (RATE, 60), (128.0, 60), (110.0, 50)])
def test_mains_of_both_parts_of_the_world_are_named(sfreq: float, hz: int) -> None:
    x = brain(60)[:, : int(60 * sfreq)]
    t = np.arange(x.shape[1]) / sfreq
    x[2] += (t > 30) * (1e-3 * np.sin(2 * np.pi * hz * t)).astype(np.float32)
    _, alarms = watched(x, SIGNAL.replace(sfreq=sfreq))
    said = [a for a in alarms if a.kind == "quality"]
    assert [a.what for a in said] == [f"{SIGNAL.ch_names[2]}: line"]
    assert 30 < said[0].at_s < 37


def test_looking_at_two_frequencies_doubles_no_false_alarms() -> None:
    both, one = (Watch(FACTS, SIGNAL.replace(sfreq=s))._quality.shares for s in (200.0, 110.0))
    assert (both.n, one.n) == (2 * N + 1, N + 1)
    assert both.limit - one.limit == pytest.approx(np.log(both.n / one.n)), "the same false alarms of all together"


def test_nothing_valid_is_an_alarm_of_its_own() -> None:
    watch, out = Watch(FACTS, SIGNAL), []
    for k in range(20):
        out += watch.block(Chunk(np.zeros((N, 200), np.float32), np.zeros(200, bool), 200 * k))
    assert [a.what for a in out] == ["all channels: invalid"]
    assert watch.lights()["quality"]["share"] == 1.0


def test_how_the_stream_is_cut_changes_nothing() -> None:
    x = changed(brain(110), SIGNAL, Change(gain_sd=0.4, lost=1), seed=1, from_s=70)
    one, some = watched(x, block=x.shape[1]), watched(x, block=37)
    assert [(a.kind, a.what, a.score) for a in one[1]] == [(a.kind, a.what, a.score) for a in some[1]]
    assert one[1]


def test_the_state_travels_in_the_middle_of_a_second() -> None:
    x = changed(brain(110), SIGNAL, Change(gain_sd=0.4), seed=1, from_s=70)
    whole, alarms = watched(x, block=33)
    watch, out = Watch(FACTS, SIGNAL), []
    for k, a in enumerate(range(0, x.shape[1], 33)):
        out += watch.block(Chunk.of(x[:, a : a + 33], a))
        if k % 100 == 50:
            state, watch = load_state(save_state(watch.state())), Watch(FACTS, SIGNAL)
            watch.restore(state)
    assert out == alarms
    assert whole.lights()["input"]["score"] == watch.lights()["input"]["score"]
    with pytest.raises(StreamError, match="The state is of 16 channels"):
        Watch(FACTS, SIGNAL.replace(ch_names=("a",), ch_types=("eeg",), positions=())).restore(whole.state())


def test_counts_are_watched_as_counts() -> None:
    units = SignalSpec(sfreq=20.0, ch_names=tuple(f"u{k}" for k in range(30)), units=("",) * 30)
    rng = generator(0, "counts")
    rates = rng.uniform(0.05, 0.5, (30, 1))
    x = rng.poisson(rates, (30, 20 * 900)).astype(np.float32)
    assert not watched(x, units)[1]
    x[:15, 20 * 500 :] = 0
    alarms = watched(x, units)[1]
    assert alarms[0].kind == "input"
    assert 500 < alarms[0].at_s < 600


def test_decisions_and_the_rate_are_watched_beside() -> None:
    watch, x = Watch(FACTS, SIGNAL), brain(10)
    alarms: list[Alarm] = []
    for k in range(20 * 350):
        alarms += watch.block(Chunk.of(x[:, 10 * (k % 200) : 10 * (k % 200) + 10], 10 * k), 0.05 * k / 1.02)
        left = 0.9 if k > 20 * 300 else 0.5 + 0.4 * np.sin(0.37 * k)
        alarms += watch.decision(np.array([left, 1 - left]), True)
    assert [a.kind for a in alarms if a.kind in ("output", "rate")] == ["rate", "output"]
    lights = watch.lights()
    assert lights["rate"]["sfreq"] == pytest.approx(1.02 * RATE, rel=1e-3)
    assert lights["rate"]["light"] == lights["output"]["light"] == "alarm"
    assert "declared 200" in next(a.what for a in alarms if a.kind == "rate")


def test_at_first_it_learns() -> None:
    lights = Watch(FACTS, SIGNAL).lights()
    assert [lights[k]["light"] for k in ("input", "output", "rate")] == ["learning"] * 3
    assert lights["rate"]["sfreq"] is None


def test_a_block_is_cheap() -> None:
    many = SignalSpec(sfreq=1000.0, ch_names=tuple(f"c{k}" for k in range(64)))
    x = (1e-5 * generator(0, "white").standard_normal((64, 5000))).astype(np.float32)
    blocks = [Chunk.of(np.ascontiguousarray(x[:, a : a + 20]), a) for a in range(0, 5000, 20)]
    watch, taken = Watch(FACTS, many), []
    for _ in range(4):
        begun = time.thread_time()
        for block in blocks:
            watch.block(block)
        taken.append((time.thread_time() - begun) / len(blocks))
    assert min(taken) < 60e-6  # three times what it takes on a busy machine
