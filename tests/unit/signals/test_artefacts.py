"""Artefacts in time: injected into noise with the spectrum of EEG, and found where they are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from neural_foundation.core.errors import SignalMismatchError
from neural_foundation.core.seeds import generator
from neural_foundation.core.specs import SignalSpec
from neural_foundation.core.stream import Chunk, run
from neural_foundation.signals.artefacts import Artefacts

RATE, N = 250, 250 * 20
NAMES = ("Fp1", "Fp2", "F3", "C3", "Cz", "C4", "Pz", "Oz")


@pytest.fixture
def head() -> SignalSpec:
    return SignalSpec(sfreq=RATE, ch_names=NAMES, ch_types=("eeg",) * 8)


@pytest.fixture
def eeg_like() -> np.ndarray:
    """Noise whose amplitude falls with frequency (8, N), 10 microvolts, on offsets of millivolts."""
    rng = generator(0, "artefacts")
    spectrum = np.fft.rfft(rng.standard_normal((8, N)))
    shaped = np.fft.irfft(spectrum / np.sqrt(1 + np.fft.rfftfreq(N, 1 / RATE) / 2), N)
    offsets = rng.uniform(-5e-3, 5e-3, (8, 1))
    return (shaped / shaped.std() * 1e-5 + offsets).astype(np.float32)


def flags(head: SignalSpec, values: np.ndarray, **fields: Any) -> dict[str, np.ndarray]:
    """Return the seconds in which each kind is flagged."""
    op = Artefacts(output="flags", **fields).bind(head)
    out = run(op, values)
    assert op.output.ch_names == tuple(Artefacts(**fields).find)
    found = out.values.reshape(len(out.values), -1, RATE).any(-1)
    return {name: np.flatnonzero(row) for name, row in zip(op.output.ch_names, found, strict=True)}


def test_clean_signal_is_left_alone_to_the_bit(head: SignalSpec, eeg_like: np.ndarray) -> None:
    out = run(Artefacts().bind(head), eeg_like)
    np.testing.assert_array_equal(out.values, eeg_like)
    assert out.valid.all()


@pytest.mark.parametrize("unit", [1.0, 1e6, 3e-4])
def test_a_blink_is_a_blink_in_any_unit(head: SignalSpec, eeg_like: np.ndarray, unit: float) -> None:
    at = slice(10 * RATE + 50, 10 * RATE + 125)
    eeg_like[:3, at] += np.outer([15e-5, 14e-5, 4e-5], np.hanning(75)).astype(np.float32)
    found = flags(head, (unit * eeg_like).astype(np.float32))
    assert found["blink"].tolist() == [10]
    assert not any(len(found[k]) for k in ("muscle", "movement", "clipped"))


def test_a_step_is_movement(head: SignalSpec, eeg_like: np.ndarray) -> None:
    eeg_like[6, 12 * RATE + 100 :] += 3e-4
    found = flags(head, eeg_like)
    assert found["movement"].tolist() in ([12], [12, 13])  # the high-pass needs a while to forget it
    assert not len(found["blink"])


def test_a_burst_of_muscle(head: SignalSpec, eeg_like: np.ndarray) -> None:
    burst = generator(1, "emg").standard_normal((2, 100)) * 4e-5
    eeg_like[3:5, 8 * RATE + 20 : 8 * RATE + 120] += burst.astype(np.float32)
    assert flags(head, eeg_like)["muscle"].tolist() == [8]


def test_saturation_is_clipping(head: SignalSpec, eeg_like: np.ndarray) -> None:
    middle = eeg_like[7].mean()
    eeg_like[7, 9 * RATE : 9 * RATE + 25] = middle + np.float32(2e-4)
    assert 9 in flags(head, eeg_like)["clipped"]
    assert set(flags(head, eeg_like, find=("muscle",))) == {"muscle"}


def test_the_look_ahead_reaches_the_onset(head: SignalSpec, eeg_like: np.ndarray) -> None:
    onset = 10 * RATE + 60
    eeg_like[0, onset : onset + 75] += (2e-4 * np.hanning(75)).astype(np.float32)
    with_it, without = (run(Artefacts(lookahead_s=s).bind(head), eeg_like) for s in (0.3, 0.0))
    assert np.argmin(with_it.valid) <= onset + 20 < np.argmin(without.valid)
    np.testing.assert_array_equal(without.values, eeg_like)


@pytest.mark.parametrize("lookahead_s", [0.0, 0.1, 0.3])
def test_the_delay_is_as_declared(head: SignalSpec, eeg_like: np.ndarray, lookahead_s: float) -> None:
    op = Artefacts(lookahead_s=lookahead_s).bind(head)
    out, _ = op.step(Chunk.of(eeg_like[:, :999]), op.start())
    assert 999 - op.lookahead_s * RATE - 1 <= out.n_times <= 999
    assert (out.n_times == 999) == (lookahead_s == 0)


def test_what_was_not_valid_stays_so_and_teaches_nothing(head: SignalSpec, eeg_like: np.ndarray) -> None:
    op, valid = Artefacts().bind(head), np.ones(N, bool)
    valid[1000:1400] = False
    eeg_like[:, 1000:1400] += generator(2, "junk").standard_normal((8, 400)).astype(np.float32)
    out, state = op.step(Chunk(eeg_like, valid), op.start())
    assert not out.valid[1000:1400].any()
    assert state["judge"]["usual"]["n"] == N // 25 - 16


def test_messages(head: SignalSpec) -> None:
    with pytest.raises(SignalMismatchError, match=r"no channel is EEG or EOG, the types are \['ecg'\]"):
        Artefacts().bind(head.replace(ch_types=("ecg",) * 8))
    with pytest.raises(SignalMismatchError, match="50 Hz is too slow to find .*muscle.* Allowed: sfreq >= 75"):
        Artefacts().bind(head.replace(sfreq=50.0))
    with pytest.raises(ValueError, match="each once"):
        Artefacts(find=("blink", "blink"))
    assert Artefacts(find=("blink", "movement")).bind(head.replace(sfreq=50.0)).lookahead_s > 0
