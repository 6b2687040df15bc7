"""Independent components: fitted on a mixture that is known, applied as one matrix."""

from __future__ import annotations

import json

import numpy as np
import pytest

from neural_foundation.core.errors import DataError, SignalMismatchError
from neural_foundation.core.seeds import generator
from neural_foundation.core.specs import SignalSpec, identity
from neural_foundation.core.stream import Chunk, run
from neural_foundation.signals import SIGNALS
from neural_foundation.signals.ica import Ica, fit_ica

RATE, N = 100, 100 * 60
NAMES = ("Fp1", "Fp2", "C3", "C4", "O1")


@pytest.fixture
def spec() -> SignalSpec:
    return SignalSpec(sfreq=RATE, ch_names=(*NAMES, "EOG"), ch_types=("eeg",) * 5 + ("eog",))


@pytest.fixture
def brain() -> np.ndarray:
    """Four rhythms whose amplitude comes and goes, on five channels (5, N)."""
    rng, t = generator(0, "brain"), np.arange(N) / RATE
    waves = [np.sin(2 * np.pi * hz * t) * np.repeat(rng.exponential(1, N // 50), 50) for hz in (6, 9, 13, 22)]
    return 1e-5 * rng.standard_normal((5, 4)) @ np.array(waves) + 1e-7 * rng.standard_normal((5, N))


@pytest.fixture
def blinks() -> np.ndarray:
    """Fifteen blinks (N,), 1 at their peak."""
    at = generator(1, "blinks").choice(N // 100 - 1, 15, replace=False) * 100
    wave = np.zeros(N)
    for start in at:
        wave[start : start + 40] += np.hanning(40)
    return wave


GAINS = np.array([1.5e-4, 1.4e-4, 2e-5, 2e-5, 1e-6])


def test_blinks_go_and_the_brain_stays(spec: SignalSpec, brain: np.ndarray, blinks: np.ndarray) -> None:
    eog = 2e-4 * blinks + 1e-6 * generator(2, "eog").standard_normal(N)
    x = np.vstack([brain + np.outer(GAINS, blinks), eog]).astype(np.float32)
    op, found = fit_ica([Chunk.of(x[:, : N // 2]), Chunk.of(x[:, N // 2 :], N // 2)], spec)
    (gone,) = [c for c in found if c.removed]
    assert gone.eye > 0.9
    assert np.abs(np.corrcoef(gone.map, GAINS)[0, 1]) > 0.99
    out = run(op.bind(spec), x).values
    assert (out[:5] - brain).std() < 0.25 * np.outer(GAINS, blinks).std()
    np.testing.assert_array_equal(out[5], x[5])
    assert "1 of 5 components removed" in op.note


def test_without_eog_the_frontal_channels_tell(spec: SignalSpec, brain: np.ndarray, blinks: np.ndarray) -> None:
    five = SignalSpec(sfreq=RATE, ch_names=NAMES, ch_types=("eeg",) * 5)
    x = (brain + np.outer(GAINS, blinks)).astype(np.float32)
    _, found = fit_ica([Chunk.of(x)], five)
    assert [c.eye > 0.7 and c.kurtosis > 1 for c in found if c.removed] == [True]
    nothing, _ = fit_ica([Chunk.of(x)], five, remove=())
    np.testing.assert_allclose(nothing.matrix, np.eye(5), atol=1e-9)


def test_the_matrix_is_the_key_and_travels_as_json(spec: SignalSpec) -> None:
    op = Ica(channels=("C4", "Fp1"), matrix=((1.0, -0.5), (0.25, 0.5)), note="by hand")
    assert "note" not in identity(op)
    assert identity(op)["matrix"] == [[1.0, -0.5], [0.25, 0.5]]
    again = SIGNALS.parse(json.loads(op.model_dump_json()))
    x = generator(3, "x").standard_normal((6, 50)).astype(np.float32)
    got = run(again.bind(spec), x).values  # type: ignore[attr-defined]
    np.testing.assert_allclose(got[3], x[3] - 0.5 * x[0], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(got[0], 0.25 * x[3] + 0.5 * x[0], rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(got[[1, 2, 4, 5]], x[[1, 2, 4, 5]])


def test_a_fit_is_the_same_each_time_and_leaves_out_what_is_not_valid(
    spec: SignalSpec, brain: np.ndarray, blinks: np.ndarray
) -> None:
    x = np.vstack([brain + np.outer(GAINS, blinks), 2e-4 * blinks]).astype(np.float32)
    first, second = (fit_ica([Chunk.of(x)], spec, seed=4)[0] for _ in range(2))
    assert first == second
    valid = np.zeros(N, bool)
    with pytest.raises(DataError, match=r"0 valid samples are too few to fit 5 components.* Allowed: 500 or more"):
        fit_ica([Chunk(x, valid)], spec)


def test_messages(spec: SignalSpec, brain: np.ndarray) -> None:
    with pytest.raises(ValueError, match="2 rows of 2 numbers"):
        Ica(channels=("a", "b"), matrix=((1.0,), (0.0, 1.0)))
    with pytest.raises(ValueError, match="not finite"):
        Ica(channels=("a",), matrix=((float("nan"),),))
    with pytest.raises(SignalMismatchError, match="'T7'"):
        Ica(channels=("T7",), matrix=((1.0,),)).bind(spec)
    five = SignalSpec(sfreq=RATE, ch_names=NAMES, ch_types=("eeg",) * 5)
    with pytest.raises(DataError, match=r"components=9 of signals of rank 5\. Allowed: 1 to 5"):
        fit_ica([Chunk.of(brain.astype(np.float32))], five, components=9)
    with pytest.raises(DataError, match=r"remove=\[7\] names no component"):
        fit_ica([Chunk.of(brain.astype(np.float32))], five, remove=[7])
    with pytest.raises(DataError, match="2 EEG channels or more, not 0"):
        fit_ica([], five.replace(ch_types=("emg",) * 5))
