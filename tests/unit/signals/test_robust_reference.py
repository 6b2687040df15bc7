"""The robust average against closed forms: which channels are left out, and what is subtracted."""

from __future__ import annotations

import numpy as np
import pytest

from neural_foundation.core.errors import SignalMismatchError
from neural_foundation.core.seeds import generator
from neural_foundation.core.specs import SignalSpec
from neural_foundation.core.stream import Chunk, run
from neural_foundation.signals.robust_reference import RobustReference, RunningReference

FS, N = 250.0, 5000
CAP = SignalSpec(sfreq=FS, ch_names=tuple(f"E{i}" for i in range(16)))


def recording(seed: int = 0) -> np.ndarray:
    rng = generator(seed, "robust")
    common = rng.standard_normal((1, N)) * 2e-5
    return (rng.standard_normal((16, N)) * 1e-5 + common).astype(np.float32)


def test_good_channels_give_the_plain_average(eeg: SignalSpec) -> None:
    x = recording()
    got = run(RobustReference().bind(CAP), x).values
    want = x - x.astype(float).mean(0)
    np.testing.assert_allclose(got[:, 250:], want[:, 250:], atol=1e-10)
    median = x - np.median(x.astype(float), axis=0)
    np.testing.assert_allclose(got[:, :250], median[:, :250], atol=1e-10)


@pytest.mark.parametrize("fault", ["loud", "flat"])
def test_a_bad_channel_is_left_out_and_referenced_too(fault: str) -> None:
    x = recording()
    x[3] = x[3] * 30 if fault == "loud" else 0
    op = RobustReference().bind(CAP)
    got = run(op, x).values
    good = [i for i in range(16) if i != 3]
    want = x - x[good].astype(float).mean(0)
    np.testing.assert_allclose(got[:, 250:], want[:, 250:], atol=1e-9)


def test_a_channel_that_turns_bad_is_found_and_one_that_recovers_returns() -> None:
    x = recording()
    x[5, 1000:2500] *= 50
    op = RobustReference(time_constant_s=1).bind(CAP)
    assert isinstance(op, RunningReference)
    state, bad = op.start(), []
    for at in range(0, N, 250):
        _, state = op.step(Chunk.of(x[:, at : at + 250], at), state)
        bad.append(op.bad_channels(state))
    assert bad[3] == ()
    assert all(b == ("E5",) for b in bad[4:10])
    assert bad[-1] == ()


def test_invalid_samples_teach_nothing() -> None:
    x = recording()
    x[5, 1000:2000] *= 50
    valid = np.ones(N, bool)
    valid[1000:2000] = False
    op = RobustReference().bind(CAP)
    assert isinstance(op, RunningReference)
    out, state = op.step(Chunk(x, valid), op.start())
    assert op.bad_channels(state) == ()
    np.testing.assert_array_equal(out.valid, valid)


def test_a_recording_of_nothing_stays_nothing() -> None:
    got = run(RobustReference().bind(CAP), np.zeros((16, 2000), np.float32))
    assert not got.values.any()


def test_other_channels_pass_and_do_not_count(eeg: SignalSpec, noise: np.ndarray) -> None:
    x = noise - np.float32(1e-3)
    x[4] *= 1000
    got = run(RobustReference().bind(eeg), x).values
    np.testing.assert_array_equal(got[4], x[4])
    np.testing.assert_allclose(got[:4, 250:], (x[:4] - x[:4].astype(float).mean(0))[:, 250:], atol=1e-9)


def test_two_channels_cannot_tell(eeg: SignalSpec) -> None:
    with pytest.raises(SignalMismatchError, match="2 channels are EEG, too few"):
        RobustReference().bind(eeg.replace(ch_types=("eeg", "eeg", "misc", "misc", "eog")))
