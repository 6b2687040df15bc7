"""Bad channels: each fault is named on its channel, and repaired as MNE would."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from neural_foundation.core.errors import SignalMismatchError
from neural_foundation.core.seeds import generator
from neural_foundation.core.specs import SignalSpec
from neural_foundation.core.stream import run
from neural_foundation.recordings.montage import standard_1005
from neural_foundation.signals.bad_channels import REASONS, BadChannels

RATE, N = 250, 250 * 20
NAMES = ("Fp1", "Fp2", "F3", "F4", "C3", "C4", "P3", "P4", "O1", "O2", "Fz", "Cz", "Pz")
FAULT = slice(6 * RATE, 18 * RATE)


@pytest.fixture
def head() -> SignalSpec:
    positions = tuple(standard_1005()[n] for n in NAMES)
    return SignalSpec(sfreq=RATE, ch_names=NAMES, ch_types=("eeg",) * len(NAMES), positions=positions)


@pytest.fixture
def scalp(head: SignalSpec) -> np.ndarray:
    """Smooth fields over the head, as EEG is, and 1 microvolt of noise of each channel, on offsets."""
    rng = generator(0, "scalp")
    places = np.array(head.positions)
    sources = rng.standard_normal((12, 3)) * 0.08
    gains = 1 / (0.02 + np.linalg.norm(places[:, None] - sources[None], axis=2))
    spectrum = np.fft.rfft(rng.standard_normal((12, N)))
    waves = np.fft.irfft(spectrum / np.sqrt(1 + np.fft.rfftfreq(N, 1 / RATE) / 2), N)
    field = gains @ waves
    noise = rng.standard_normal((len(places), N)) * 1e-6
    return (field / field.std() * 1e-5 + noise + rng.uniform(-1e-3, 1e-3, (len(places), 1))).astype(np.float32)


def reasons(head: SignalSpec, values: np.ndarray, **fields: Any) -> dict[str, set[str]]:
    """Return channel -> reasons in the second half of the fault, and before it: nothing."""
    codes = run(BadChannels(output="reasons", **fields).bind(head), values).values.astype(int)
    assert not codes[:, 2 * RATE : FAULT.start].any()
    late = codes[:, 16 * RATE + 125 : FAULT.stop]
    named = {
        name: {r for i, r in enumerate(REASONS) if (row >> i & 1).mean() > 0.9}
        for name, row in zip(NAMES, late, strict=True)
    }
    return {name: found for name, found in named.items() if found}


def test_nothing_is_wrong_with_a_good_recording(head: SignalSpec, scalp: np.ndarray) -> None:
    assert reasons(head, scalp) == {}
    np.testing.assert_array_equal(run(BadChannels().bind(head), scalp).values, scalp)


def test_each_fault_is_named(head: SignalSpec, scalp: np.ndarray) -> None:
    rng, t = generator(1, "faults"), np.arange(FAULT.stop - FAULT.start) / RATE
    flat, noisy, clipped, line, bridged, alone = (scalp.copy() for _ in range(6))
    flat[4, FAULT] = flat[4, FAULT.start]
    noisy[5, FAULT] += (6e-5 * rng.standard_normal(len(t))).astype(np.float32)
    middle = clipped[6].mean()
    clipped[6, FAULT] = middle + np.clip(10 * (clipped[6, FAULT] - middle), -5e-5, 5e-5)
    line[7, FAULT] += (5e-5 * np.sin(2 * np.pi * 50 * t)).astype(np.float32)
    shared = bridged[9, FAULT] - bridged[9].mean() + 1e-7 * rng.standard_normal(len(t))
    bridged[8, FAULT] = bridged[8].mean() + shared
    alone[10, FAULT] = alone[10, 0] + (5e-6 * rng.standard_normal(len(t))).astype(np.float32)
    assert reasons(head, flat) == {"C3": {"flat"}}
    assert "noisy" in reasons(head, noisy).pop("C4")
    assert "clipped" in reasons(head, clipped).pop("P3")
    assert reasons(head, line) == {"P4": {"line"}}
    assert reasons(head, line, find=("flat",)) == {}
    assert reasons(head, bridged) == {"O1": {"bridged"}, "O2": {"bridged"}}
    assert "disconnected" in reasons(head, alone).pop("Fz")


def test_no_threshold_depends_on_the_unit(head: SignalSpec, scalp: np.ndarray) -> None:
    scalp[5, FAULT] += (6e-5 * generator(1, "n").standard_normal(12 * RATE)).astype(np.float32)
    want = run(BadChannels(output="reasons").bind(head), scalp).values
    got = run(BadChannels(output="reasons").bind(head), (scalp * 2.0**20).astype(np.float32)).values
    np.testing.assert_array_equal(got, want)


def test_interpolation_is_that_of_mne(head: SignalSpec, scalp: np.ndarray) -> None:
    import mne

    scalp[5, FAULT] = scalp[5, FAULT.start]
    op = BadChannels().bind(head)
    got = run(op, scalp).values
    info = mne.create_info(list(NAMES), RATE, "eeg")
    info.set_montage(
        mne.channels.make_dig_montage(dict(zip(NAMES, map(np.array, head.positions), strict=True)), coord_frame="head")
    )
    raw = mne.io.RawArray(scalp.astype(np.float64), info, verbose="error")
    raw.info["bads"] = ["C4"]
    raw.interpolate_bads(origin=(0, 0, 0.04), method={"eeg": "spline"}, verbose="error")
    at = slice(8 * RATE, FAULT.stop)
    np.testing.assert_allclose(got[5, at], raw.get_data()[5, at], atol=2e-8, rtol=1e-3)
    np.testing.assert_array_equal(np.delete(got, 5, 0), np.delete(scalp, 5, 0))


def test_interpolation_brings_the_signal_back(head: SignalSpec, scalp: np.ndarray) -> None:
    was = scalp[11].copy()
    scalp[11, FAULT] = 0
    at = slice(8 * RATE, FAULT.stop)
    got = run(BadChannels().bind(head), scalp).values[11, at]
    assert np.corrcoef(got, was[at])[0, 1] > 0.9


def test_zeros_and_marks(head: SignalSpec, scalp: np.ndarray) -> None:
    scalp[5, FAULT] = scalp[5, FAULT.start]
    out = run(BadChannels(repair="zero", mark=True).bind(head), scalp)
    at = slice(8 * RATE, FAULT.stop)
    assert not out.values[5, at].any()
    assert not out.valid[at].any()
    assert out.valid[: FAULT.start].all()
    assert run(BadChannels(repair="none").bind(head), scalp).valid.all()


def test_too_many_bad_channels_make_the_time_invalid(head: SignalSpec, scalp: np.ndarray) -> None:
    scalp[:8, FAULT] = scalp[:8, FAULT.start, None]
    out = run(BadChannels().bind(head), scalp)
    assert not out.valid[8 * RATE : FAULT.stop].any()
    assert out.valid[: FAULT.start].all()


def test_the_look_ahead_reaches_back(head: SignalSpec, scalp: np.ndarray) -> None:
    scalp[5, FAULT] = scalp[5, FAULT.start]
    bad = [run(BadChannels(output="reasons", lookahead_s=s).bind(head), scalp).values[5] > 0 for s in (0, 1.0)]
    assert np.argmax(bad[1]) <= FAULT.start < np.argmax(bad[0]) <= FAULT.start + RATE


def test_messages(head: SignalSpec) -> None:
    with pytest.raises(SignalMismatchError, match=r"no position is known of Fp1, Fp2.*repair: zero or none"):
        BadChannels().bind(head.replace(positions=()))
    with pytest.raises(SignalMismatchError, match="no channel is EEG"):
        BadChannels().bind(head.replace(ch_types=("emg",) * len(NAMES)))
    with pytest.raises(SignalMismatchError, match="mains_hz=50 is not below half"):
        BadChannels().bind(head.replace(sfreq=90.0))
    with pytest.raises(SignalMismatchError, match="60 Hz is too slow"):
        BadChannels(mains_hz=None).bind(head.replace(sfreq=60.0))
