"""Features of windows against scipy, the signal operations of the same names, and closed forms."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import signal as scipy_signal
from scipy import stats

from neural_foundation.core.errors import DataError, SpecError
from neural_foundation.core.specs import SignalSpec
from neural_foundation.core.stream import run
from neural_foundation.models import window_features
from neural_foundation.models.window_features import WindowFeatures, first_peak, sides
from neural_foundation.signals.montages import montage_pairs
from neural_foundation.signals.table import SIGNALS

FS = 200.0
BANDS = {"delta": (1.0, 4.0), "theta": (4.0, 8.0), "fast": (8.0, 45.0)}
NAMES = ("F3-C3", "F4-C4", "Fz-Cz")
SIGNAL = SignalSpec(sfreq=FS, ch_names=NAMES)
N = 2000


def of(windows: np.ndarray, signal: SignalSpec = SIGNAL, **fields: Any) -> dict[str, np.ndarray]:
    measured = WindowFeatures(signal, bands=BANDS, **fields)
    values = measured(windows)
    assert values.shape == (len(windows), len(measured.names))
    return dict(zip(measured.names, values.T, strict=True))


def noise(n: int = 4, n_chans: int = 3, n_times: int = N, seed: int = 0) -> np.ndarray:
    """Coloured noise of some microvolts with an offset."""
    white = np.random.default_rng(seed).normal(size=(n, n_chans, n_times))
    return (scipy_signal.lfilter([1], [1, -0.8], white) * 5e-6 + 1e-4).astype(np.float32)


def channel(found: dict[str, np.ndarray], what: str) -> np.ndarray:
    return np.stack([found[f"{name}:{what}"] for name in NAMES], 1)


OPS: list[tuple[dict[str, Any], dict[str, str]]] = [
    ({"kind": "band_powers", "bands": BANDS, "scale": "log"}, {b: f"power_{b}" for b in BANDS}),
    ({"kind": "band_powers", "bands": BANDS, "scale": "relative"}, {b: f"share_{b}" for b in BANDS}),
    ({"kind": "spectral", "low_hz": 1, "high_hz": 45, "features": ["edge", "centroid", "entropy"]}, {}),
    ({"kind": "hjorth", "features": ["mobility", "complexity"]}, {}),
    ({"kind": "statistics", "features": ["kurtosis", "zero_crossings"]}, {"zero_crossings": "crossings"}),
    ({"kind": "line_length"}, {}),
    ({"kind": "statistics", "features": ["variance"]}, {"variance": "activity"}),
]


@pytest.mark.parametrize(
    ("op", "called"), OPS, ids=["log", "relative", "spectral", "hjorth", "moments", "length", "var"]
)
def test_each_is_what_the_signal_operation_gives(op: dict[str, Any], called: dict[str, str]) -> None:
    windows = noise()
    segment = {"segment_s": 2.0} if op["kind"] in ("band_powers", "spectral") else {}
    bound = SIGNALS.parse({**op, **segment, "window_s": N / FS, "hop_s": N / FS}).bind(SIGNAL)
    found = of(windows)
    for i, window in enumerate(windows):
        want = run(bound, window).values[:, 0]
        for name, value in zip(bound.output.ch_names, want, strict=True):
            who, what = name.split(":")
            what = called.get(what, what)
            value = 20 * np.log10(value) if what == "line_length" else value
            value = 10 * np.log10(value) if what == "activity" else value
            np.testing.assert_allclose(found[f"{who}:{what}"][i], value, rtol=2e-4, atol=2e-5, err_msg=name)


def test_powers_and_kurtosis_are_those_of_scipy() -> None:
    windows = noise().astype(np.float64)
    found = of(windows)
    hz, density = scipy_signal.welch(windows, FS, nperseg=400)
    inside = (hz >= 4) & (hz < 8)
    np.testing.assert_allclose(
        channel(found, "power_theta"), 10 * np.log10(density[..., inside].sum(-1) * 0.5), rtol=1e-6
    )
    np.testing.assert_allclose(channel(found, "kurtosis"), stats.kurtosis(windows, axis=-1), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("sfreq", [100.0, 128.0, 200.0, 250.0, 512.0])
@pytest.mark.parametrize("hz", [0.7, 1.5, 3.0, 9.0])
def test_a_sine_repeats_exactly(sfreq: float, hz: float) -> None:
    one = SignalSpec(sfreq=sfreq, ch_names=("a",))
    t = np.arange(round(10 * sfreq)) / sfreq
    found = of(1e-5 * np.sin(2 * np.pi * hz * t + 0.3)[None, None], one)
    np.testing.assert_allclose(found["a:period"], 1 / hz, rtol=0.03)
    assert found["a:rhythm"][0] > 0.93
    np.testing.assert_allclose(found["a:crossings"], 2 * hz, atol=0.11)
    np.testing.assert_allclose(found["a:centroid"], max(hz, 1), atol=0.4)


@pytest.mark.parametrize("rate", [0.5, 1.0, 2.0])
def test_discharges_are_found_by_their_envelope_whatever_their_sign(rate: float) -> None:
    rng = np.random.default_rng(1)
    values = rng.normal(size=N) * 2e-6
    for k, onset in enumerate(np.arange(0.2, 9.7, 1 / rate)):
        at = int(onset * FS)
        values[at : at + 20] += (-1) ** k * 8e-5 * scipy_signal.windows.hann(20)
    one = SignalSpec(sfreq=FS, ch_names=("a",))
    found, quiet = (of(x[None, None], one) for x in (values, rng.normal(size=N) * 2e-6))
    np.testing.assert_allclose(found["a:burst_period"], 1 / rate, rtol=0.05)
    assert found["a:burst_rhythm"][0] > 0.6
    assert quiet["a:burst_rhythm"][0] < 0.4


def test_the_first_of_peaks_that_are_as_high_is_the_period() -> None:
    lags = np.arange(60)
    for period in (12.0, 12.4, 17.7):
        found, height = first_peak(np.cos(2 * np.pi * lags / period)[None], 0.01)
        np.testing.assert_allclose(found, period * 0.01, rtol=2e-3)
        np.testing.assert_allclose(height, 1, atol=0.02)
    assert [v.tolist() for v in first_peak(np.linspace(1, 0, 30)[None], 0.1)] == [[0.0], [0.0]]
    assert [v.tolist() for v in first_peak(np.ones((1, 3)), 0.1)] == [[0.0], [0.0]]


def test_the_autocorrelation_is_its_definition() -> None:
    one = WindowFeatures(SignalSpec(sfreq=64.0, ch_names=("a",)), bands=BANDS)
    assert one.block == 1
    x = np.random.default_rng(0).normal(size=(1, 1, 640))
    x -= x.mean()
    found = one._autocorrelation(x)[0][0, 0]
    flat = x[0, 0]
    want = [np.sum(flat[lag:] * flat[: 640 - lag]) / (640 - lag) for lag in range(len(found))]
    np.testing.assert_allclose(found, np.array(want) / want[0], atol=1e-12)


def test_flat_channels_and_silence_are_finite() -> None:
    windows = noise()
    windows[:, 1] = 3e-5
    found = of(windows, crop_s=4.0)
    assert all(np.isfinite(v).all() for v in found.values())
    for what in ("power_delta", "line_length", "activity"):
        assert (found[f"F4-C4:{what}"] == -300).all()
    for what in ("share_fast", "edge", "centroid", "entropy", "mobility", "complexity", "kurtosis", "crossings"):
        assert (found[f"F4-C4:{what}"] == 0).all(), what
    for what in window_features.RHYTHMS:
        assert (found[f"F4-C4:centre_{what}"] == 0).all(), what
    for silence in (np.zeros_like(windows), np.full_like(windows, 0.1)):
        assert all(np.isfinite(v).all() for v in of(silence).values())
        assert (of(silence)["sides:together"] == 0).all()


@pytest.mark.parametrize("scale", [1e-30, 1e6, 1e15])
def test_numbers_of_any_size_are_finite(scale: float) -> None:
    assert all(np.isfinite(v).all() for v in of(noise() * np.float32(scale)).values())


def test_a_gain_moves_decibels_alone() -> None:
    plain, loud = of(noise().astype(np.float64)), of(noise().astype(np.float64) * 1000)
    for name, value in plain.items():
        logs = any(w in name for w in ("power_", "line_length", "activity"))
        moved = 60.0 if logs and not name.startswith(("spread", "left_right", "asymmetry")) else 0.0
        np.testing.assert_allclose(loud[name] - value, moved, atol=1e-3, err_msg=name)


def test_over_channels_and_sides() -> None:
    windows = noise().astype(np.float64)
    windows[:, 0] *= 10  # the left
    found = of(windows)
    for what in ("power_theta", "kurtosis", "burst_rhythm"):
        every = channel(found, what)
        np.testing.assert_allclose(found[f"mean:{what}"], every.mean(1), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(found[f"spread:{what}"], every.std(1), rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(found[f"left_right:{what}"], every[:, 0] - every[:, 1], rtol=1e-4, atol=1e-5)
        np.testing.assert_array_equal(found[f"asymmetry:{what}"], np.abs(found[f"left_right:{what}"]))
    np.testing.assert_allclose(found["left_right:activity"], 20, atol=1.5)
    mirrored = of(windows[:, [1, 0, 2]])
    np.testing.assert_array_equal(mirrored["left_right:activity"], -found["left_right:activity"])
    np.testing.assert_array_equal(mirrored["asymmetry:activity"], found["asymmetry:activity"])
    np.testing.assert_allclose(found["left:rhythm"], found["F3-C3:rhythm"], rtol=1e-6)


def test_what_comes_at_once_on_both_sides() -> None:
    bursts = np.zeros((2, 3, N))
    for at in range(100, 1900, 190):
        bursts[:, 0, at : at + 20] += 1e-4 * scipy_signal.windows.hann(20)
    bursts[0, 1] = -0.5 * bursts[0, 0]
    bursts[1, 1] = 0.5 * np.roll(bursts[1, 0], 95)
    found = of(bursts + noise(2) * 0.05)
    assert found["sides:together"][0] > 0.8
    assert found["sides:together"][1] < 0.2
    np.testing.assert_allclose(found["all:burst_period"][0], 190 / FS, rtol=0.05)


def test_the_centre_is_what_lies_in_it() -> None:
    windows = noise()
    found, centre = of(windows, crop_s=4.0), of(windows[..., 600:1400])
    whole = of(windows)
    assert len(found) == 2 * len(whole)
    for name, value in centre.items():
        who, what = name.split(":")
        np.testing.assert_array_equal(found[f"{who}:centre_{what}"], value)
        np.testing.assert_array_equal(found[name], whole[name])


def test_a_window_alone_and_among_others_gives_the_same_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    windows = noise(9, n_times=333)
    measured = WindowFeatures(SIGNAL, bands=BANDS, crop_s=1.0)
    together = measured(windows)
    assert together.tobytes() == np.concatenate([measured(w[None]) for w in windows]).tobytes()
    monkeypatch.setattr(window_features, "BATCH_BYTES", 4 * 8 * 3 * 333)
    assert together.tobytes() == measured(windows).tobytes()
    assert (together == together.astype(np.float32)).all()


def test_names() -> None:
    measured = WindowFeatures(SIGNAL, bands=BANDS, crop_s=4.0)
    assert len(set(measured.names)) == len(measured.names)
    n = 2 * 3 + 9 + 4  # bands twice, plain measures, rhythms
    assert len(measured.names) == 2 * ((3 + 4) * n + 3 * 4 + 1)
    assert measured.names[:2] == ("F3-C3:power_delta", "F3-C3:power_theta")
    alone = WindowFeatures(SIGNAL, bands=BANDS, per_channel=False)
    assert set(alone.names) < set(measured.names)
    assert not any(name.startswith(NAMES) for name in alone.names)
    one = WindowFeatures(SignalSpec(sfreq=FS, ch_names=("a",)), bands=BANDS, per_channel=False)
    assert {name.split(":")[0] for name in one.names} == {"a"}
    unsided = WindowFeatures(SignalSpec(sfreq=FS, ch_names=("a", "b")), bands=BANDS)
    assert {name.split(":")[0] for name in unsided.names} == {"a", "b", "mean", "spread", "all"}


@pytest.mark.parametrize(
    ("name", "side"),
    [
        *((n, "left") for n in ("Fp1", "T3", "T7", "P7", "T5", "O1", "CP5", "fp1", "EEG C3-Ref", "Fp1-F7", "C3-A2")),
        *((n, "right") for n in ("Fp2", "T4", "T8", "O2", "FC6", "Fp2-F8", "A1-T8", "EEG F10")),
        *((n, "") for n in ("Cz", "Fz-Cz", "C3-C4", "C3-Cz", "EKG", "A1", "ch1", "X2", "channel 3", "")),
    ],
)
def test_sides_by_name(name: str, side: str) -> None:
    left, right = sides((name,))
    assert (len(left), len(right)) == (side == "left", side == "right")


def test_sides_of_the_double_banana_in_both_names() -> None:
    pairs = ["-".join(p) for p in montage_pairs("double_banana")]
    old = [p.replace("T7", "T3").replace("P7", "T5").replace("T8", "T4").replace("P8", "T6") for p in pairs]
    for names in (pairs, old):
        left, right = sides(names)
        assert len(left) == len(right) == 8
        assert all("1" in names[i] or "3" in names[i] or "7" in names[i] for i in left)


def test_bands_at_other_rates() -> None:
    slow = WindowFeatures(SignalSpec(sfreq=50.0, ch_names=("a",)), bands={**BANDS, "gamma": (30.0, 45.0)})
    assert slow.bands == {"delta": (1.0, 4.0), "theta": (4.0, 8.0), "fast": (8.0, 25.0)}
    assert np.isfinite(slow(noise(2, 1, 500))).all()


def test_refusals() -> None:
    with pytest.raises(SpecError, match="No band lies in a signal of 2 samples a second"):
        WindowFeatures(SignalSpec(sfreq=2.0, ch_names=("a",)), bands=BANDS)
    with pytest.raises(SpecError, match="lies in band 'narrow'"):
        WindowFeatures(SIGNAL, bands={**BANDS, "narrow": (4.1, 4.2)})
    with pytest.raises(DataError, match="Allowed: at least 16 samples and crop_s=20 s"):
        of(noise(), crop_s=20.0)
    with pytest.raises(DataError, match="Windows have 10 samples"):
        of(noise(n_times=10))
