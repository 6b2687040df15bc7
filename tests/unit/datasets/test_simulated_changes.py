"""What a further day does: every part against its closed form, and none where none is asked for."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError
from scipy.signal import welch

from neural_foundation.core.errors import DataError, SignalMismatchError
from neural_foundation.core.seeds import generator
from neural_foundation.core.specs import SignalSpec
from neural_foundation.datasets.simulated.changes import LOADING_V, Change, changed, effect, moved_s, turn
from neural_foundation.datasets.simulated.head import CH_NAMES, standard_positions
from neural_foundation.signals.spherical import ORIGIN_M

RATE = 200.0
SIGNAL = SignalSpec(
    sfreq=RATE,
    ch_names=CH_NAMES,
    ch_types=("eeg",) * 64,
    positions=tuple(map(tuple, standard_positions(CH_NAMES).tolist())),
)


def signal_of(n: int) -> SignalSpec:
    return SignalSpec(sfreq=RATE, ch_names=tuple(f"c{k}" for k in range(n)))


def white(n_chans: int, seconds: float, seed: int = 0) -> np.ndarray:
    return (1e-5 * generator(seed, "white").standard_normal((n_chans, int(seconds * RATE)))).astype(np.float32)


def test_nothing_asked_for_changes_nothing() -> None:
    x = white(64, 2)
    out = changed(x, SIGNAL, Change(), seed=0)
    np.testing.assert_array_equal(out, x)
    assert out is not x


@pytest.mark.parametrize(
    "change", [Change(gain_sd=0.3), Change(impedance_v=1e-5), Change(shift_m=0.01), Change(rate=1.01), Change(lost=3)]
)
def test_every_part_is_deterministic_and_begins_when_said(change: Change) -> None:
    x = white(64, 4)
    out = changed(x, SIGNAL, change, seed=3, from_s=1.5)
    np.testing.assert_array_equal(out, changed(x.copy(), SIGNAL, change, seed=3, from_s=1.5))
    np.testing.assert_array_equal(out[:, :300], x[:, :300])
    assert out.dtype == np.float32
    assert out.shape == x.shape
    assert not np.array_equal(out[:, 300:], x[:, 300:])
    np.testing.assert_array_equal(changed(x, SIGNAL, change, seed=3, from_s=4.0), x)


def test_parts_do_not_disturb_each_other() -> None:
    alone = effect(SIGNAL, Change(gain_sd=0.2), seed=1)
    every = effect(SIGNAL, Change(gain_sd=0.2, impedance_v=1e-5, shift_m=0.01, lost=2), seed=1)
    np.testing.assert_array_equal(alone.gain, every.gain)
    assert not np.array_equal(alone.gain, effect(SIGNAL, Change(gain_sd=0.2), seed=2).gain)


def test_gains_are_log_normal_and_are_applied() -> None:
    many = signal_of(2000)
    gains = effect(many, Change(gain_sd=0.4), seed=0).gain
    assert np.log(gains).std() == pytest.approx(0.4, rel=0.05)
    assert np.log(gains).mean() == pytest.approx(0.0, abs=0.03)
    x = white(64, 2)
    truth = effect(SIGNAL, Change(gain_sd=0.4), seed=0)
    np.testing.assert_allclose(
        changed(x, SIGNAL, Change(gain_sd=0.4), seed=0), truth.gain[:, None] * x, rtol=1e-5, atol=1e-12
    )


def test_contacts_add_noise_and_take_signal() -> None:
    change = Change(impedance_v=20e-6)
    truth = effect(SIGNAL, change, seed=0)
    silent = changed(np.zeros((64, 40_000), np.float32), SIGNAL, change, seed=0)
    np.testing.assert_allclose(silent.std(1), truth.noise_v, rtol=0.15)
    assert np.square(effect(signal_of(5000), change, seed=0).noise_v).mean() == pytest.approx(4e-10, rel=0.05)
    np.testing.assert_allclose(truth.attenuation, 1 / (1 + truth.noise_v / LOADING_V))
    x = white(64, 200)
    rest = changed(x, SIGNAL, change, seed=0) - silent
    np.testing.assert_allclose(rest, truth.attenuation[:, None] * x, rtol=1e-3, atol=1e-9)


def test_contact_noise_is_half_white_half_pink() -> None:
    two = signal_of(1)
    noise = changed(np.zeros((1, 400_000), np.float32), two, Change(impedance_v=1e-5), seed=0)[0].astype(np.float64)
    f, power = welch(noise, RATE, nperseg=4000)
    rms2 = effect(two, Change(impedance_v=1e-5), seed=0).noise_v[0] ** 2
    pink = 0.5 * rms2 / (1 + np.log(100 / 0.5))  # its density at 1 Hz: flat to 0.5 Hz, then 1/f to 100 Hz
    expected = 0.5 * rms2 / 100 + pink / np.maximum(f, 0.5)
    band = (f > 1) & (f < 90)
    np.testing.assert_allclose((power / expected)[band].mean(), 1, atol=0.05)
    assert power[(f > 1) & (f < 2)].mean() / expected[(f > 1) & (f < 2)].mean() == pytest.approx(1, abs=0.15)


def test_a_moved_cap_sees_the_field_at_its_new_places() -> None:
    shift, places = 0.012, np.array(SIGNAL.positions) - ORIGIN_M
    radii = np.linalg.norm(places, axis=1)
    units = places / radii[:, None]
    rotation = turn(shift / radii.mean(), 5)
    field = np.array([[0.3, -0.8, 0.5]]).T  # a potential linear in the place: exact at any place
    after = changed((units @ field).astype(np.float32), SIGNAL, Change(shift_m=shift), seed=5)
    np.testing.assert_allclose(after, units @ rotation.T @ field, atol=0.02)
    assert np.abs(units @ rotation.T @ field - units @ field).max() > 0.05
    mixing = effect(SIGNAL, Change(shift_m=shift), seed=5).mixing
    np.testing.assert_allclose(mixing.sum(1), 1, atol=1e-6)  # a constant stays a constant


def test_a_point_at_the_top_moves_so_far() -> None:
    rotation = turn(0.1, 3)
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)
    assert rotation[2, 2] == pytest.approx(np.cos(0.1))


@pytest.mark.parametrize("rate", [0.98, 1.003, 1.25])
def test_a_clock_that_lies_moves_frequencies_and_times(rate: float) -> None:
    n, at = 8000, 1000
    t = np.arange(n) / RATE
    x = np.sin(2 * np.pi * 10 * t)[None].astype(np.float32)
    out = changed(x, signal_of(1), Change(rate=rate), seed=0, from_s=at / RATE)[0]
    shown = at / RATE + np.arange(n - at) / RATE / rate
    inside = slice(50, int((n - at) * min(rate, 1)) - 50)
    np.testing.assert_allclose(out[at:][inside], np.sin(2 * np.pi * 10 * shown)[inside], atol=5e-3)
    np.testing.assert_allclose(moved_s(shown, Change(rate=rate), from_s=5.0), t[at:], atol=1e-9)
    assert moved_s(2.0, Change(rate=rate), from_s=5.0) == 2.0


def test_lost_channels_are_flat_and_only_eeg_is_touched() -> None:
    types = ("eog", *("eeg",) * 5)
    six = SignalSpec(sfreq=RATE, ch_names=tuple("abcdef"), ch_types=types)
    x = white(6, 2)
    change = Change(lost=5, gain_sd=0.5, impedance_v=1e-5)
    out = changed(x, six, change, seed=0)
    np.testing.assert_array_equal(out[0], x[0])
    assert not out[1:].any()
    np.testing.assert_array_equal(effect(six, change, seed=0).lost, np.arange(1, 6))
    assert len(effect(six, Change(lost=2), seed=1).lost) == 2


def test_messages() -> None:
    two = signal_of(2)
    with pytest.raises(SignalMismatchError, match=r"shift_m=0.01, but no position is known of c0, c1"):
        changed(white(2, 1), two, Change(shift_m=0.01), seed=0)
    places = ((0.0, 0.0, 100.0), (80.0, 0.0, 50.0))  # millimetres
    with pytest.raises(SignalMismatchError, match="the electrodes lie 97.1.* m from the middle"):
        changed(white(2, 1), two.replace(positions=places), Change(shift_m=0.01), seed=0)
    with pytest.raises(DataError, match="lost=3 of 2 EEG channels"):
        changed(white(2, 1), two, Change(lost=3), seed=0)
    with pytest.raises(DataError, match=r"values of shape \(3, 200\). Allowed: \(2, n_times\)"):
        changed(white(3, 1), two, Change(), seed=0)
    with pytest.raises(DataError, match="from_s=-1"):
        changed(white(2, 1), two, Change(), seed=0, from_s=-1)
    with pytest.raises(ValidationError):
        Change(rate=0.0)
