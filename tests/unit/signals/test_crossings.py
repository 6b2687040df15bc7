"""Threshold crossings: planted spikes are found once, where they are; noise gives what it must."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from neural_foundation.core.errors import SignalMismatchError, SpecError
from neural_foundation.core.seeds import generator
from neural_foundation.core.specs import SignalSpec
from neural_foundation.core.stream import Chunk, run
from neural_foundation.signals import SIGNALS, chain
from neural_foundation.signals.crossings import Crossings

FS = 30_000.0
PROBE = SignalSpec(sfreq=FS, ch_names=("e1", "e2"))


def noise(seconds: float = 4.0, seed: int = 0) -> np.ndarray:
    return (generator(seed, "noise").standard_normal((2, int(seconds * FS))) * 5e-6).astype(np.float32)


def test_planted_spikes_are_counted_once_in_their_bin() -> None:
    x = noise() * np.float32(0.5)
    at = np.sort(generator(1, "spikes").choice(np.arange(40_000, 119_000, 60), 200, replace=False))
    for offset, depth in enumerate((-4e-5, -8e-5, -3e-5, 2e-5)):
        x[0, at + offset] += depth
    got = run(Crossings(threshold=-6).bind(PROBE), x)
    np.testing.assert_array_equal(got.values[0, 100:], np.bincount(at // 300, minlength=400)[100:])
    assert not got.values[1].any()


def test_the_sign_of_the_threshold_is_the_side() -> None:
    x = noise()
    x[0, 60_000] = 1e-4
    x[1, 60_000] = -1e-4
    up, down = (run(Crossings(threshold=level).bind(PROBE), x).values for level in (7.0, -7.0))
    assert (up.sum(1).tolist(), down.sum(1).tolist()) == ([1, 0], [0, 1])


def test_white_noise_crosses_as_often_as_a_normal_distribution_must() -> None:
    spec = Crossings(threshold=-2, refractory_s=0, bin_s=1, time_constant_s=2, warmup_s=2)
    got = run(spec.bind(PROBE), noise(10)).values[:, 3:]
    size = 1.0  # what the clipped mean magnitude takes for the standard deviation: a fixed point just below it
    for _ in range(100):
        a = 2 * size
        mean = 2 * (stats.norm.pdf(0) - stats.norm.pdf(a)) + 2 * a * stats.norm.sf(a)
        size = np.sqrt(np.pi / 2) * mean
    assert 0.95 < size < 1
    p = stats.norm.cdf(-2 * size)
    np.testing.assert_allclose(got.mean(1), FS * p * (1 - p), rtol=0.03)


def test_within_the_refractory_time_none_is_counted() -> None:
    x = np.zeros((2, 60_000), np.float32)
    x[:] = noise(2) * np.float32(0.1)
    x[0, [45_000, 45_020, 45_040]] = -1e-4
    assert run(Crossings(refractory_s=0.001).bind(PROBE), x).values[0].sum() == 2
    assert run(Crossings(refractory_s=0).bind(PROBE), x).values[0].sum() == 3


def test_bins_are_valid_after_the_warm_up_where_all_samples_are() -> None:
    valid = np.ones(60_000, bool)
    valid[45_000:45_001] = False
    op = Crossings(warmup_s=0.5).bind(PROBE)
    out, _ = op.step(Chunk(noise(2), valid), op.start())
    np.testing.assert_array_equal(np.flatnonzero(~out.valid), [*range(50), 150])


def test_rates_follow() -> None:
    ops = [SIGNALS.parse(k) for k in ({"kind": "bandpass", "low_hz": 300}, "crossings", "firing_rates")]
    rates = chain(ops, PROBE, live=True)  # type: ignore[arg-type]
    assert (rates.output.units, rates.output.sfreq) == (("Hz", "Hz"), 100)


def test_wrong_settings_are_refused() -> None:
    with pytest.raises(SignalMismatchError, match=r"bin_s=0.01 is 2.5 samples at 250 Hz. Allowed: a whole number"):
        Crossings().bind(PROBE.replace(sfreq=250))
    with pytest.raises(SpecError, match="at least 1 away from 0"):
        SIGNALS.parse({"kind": "crossings", "threshold": 0.5})
