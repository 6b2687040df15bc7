"""What the features share: names, units, the layout of frequencies."""

from __future__ import annotations

import json

import numpy as np
import pytest

from neural_foundation.core.errors import SignalMismatchError, SpecError
from neural_foundation.core.specs import SignalSpec
from neural_foundation.core.stream import run
from neural_foundation.signals import SIGNALS, chain
from neural_foundation.signals.band_powers import BandPowers
from neural_foundation.signals.features import frequencies_of, in_units, unfold
from neural_foundation.signals.spectrogram import Spectrogram

FEATURES = (
    "band_powers",
    "connectivity",
    "entropy",
    "hjorth",
    "line_length",
    "spectral",
    "spectrogram",
    "statistics",
)


@pytest.mark.parametrize(
    ("pattern", "unit", "want"),
    [
        ("{}^2/Hz", "V", "V^2/Hz"),
        ("{}^2/Hz", "", "1/Hz"),
        ("{}^2", "", ""),
        ("{}", "m/s", "m/s"),
        ("1/s", "", "1/s"),
        ("", "V", ""),
    ],
)
def test_units_follow_the_channel(pattern: str, unit: str, want: str) -> None:
    assert in_units(pattern, unit) == want


@pytest.mark.parametrize("kind", FEATURES)
def test_every_feature_says_what_it_gives(kind: str, eeg: SignalSpec, noise: np.ndarray) -> None:
    op = SIGNALS.parse(kind)
    bound = op.bind(eeg)  # type: ignore[attr-defined]
    assert not op.keeps_topography  # type: ignore[attr-defined]
    assert bound.output.sfreq == 10
    assert set(bound.output.ch_types) == {"misc"}
    assert len(bound.output.units) == bound.output.n_chans
    assert all(":" in name for name in bound.output.ch_names)
    got = run(bound, noise)
    assert got.values.shape == (bound.output.n_chans, 80)
    np.testing.assert_array_equal(got.valid, np.arange(80) >= round(op.window_s * 10) - 1)  # type: ignore[attr-defined]
    assert np.isfinite(got.values).all()


@pytest.mark.parametrize("kind", [*FEATURES, "wavelet"])
def test_a_flat_channel_gives_finite_numbers_however_high_it_lies(kind: str, eeg: SignalSpec) -> None:
    fields = {"frequencies": [10]} if kind == "wavelet" else {}
    flat = np.repeat(np.float32([0, 1e-3, -0.1, 1e-7, 3.3])[:, None], 1500, 1)
    values = run(SIGNALS.parse({"kind": kind, **fields}).bind(eeg), flat).values  # type: ignore[attr-defined]
    assert np.isfinite(values).all()
    if kind != "statistics":  # the mean is no 0
        assert not values.any()


def test_features_of_features_have_a_name(eeg: SignalSpec) -> None:
    ops = [SIGNALS.parse(k) for k in ({"kind": "hjorth"}, {"kind": "statistics", "features": ["mean"]})]
    output = chain(ops, eeg).output  # type: ignore[arg-type]
    assert output.ch_names[:2] == ("C3:activity:mean", "C3:mobility:mean")
    assert output.units[:3] == ("V^2", "1/s", "")


def test_a_spectrogram_unfolds(eeg: SignalSpec, noise: np.ndarray) -> None:
    bound = Spectrogram(low_hz=9.5, high_hz=11, resolution_hz=0.5).bind(eeg)
    values = run(bound, noise).values
    assert bound.output.ch_names[:4] == ("C3:9.5Hz", "C3:10Hz", "C3:10.5Hz", "C3:11Hz")
    np.testing.assert_array_equal(frequencies_of(bound.output), [9.5, 10, 10.5, 11])
    cube = unfold(values, bound.output)
    assert cube.shape == (5, 4, 80)
    np.testing.assert_array_equal(cube[3, 2], values[bound.output.ch_names.index("Pz:10.5Hz")])


def test_what_has_no_frequencies_is_refused(eeg: SignalSpec) -> None:
    with pytest.raises(SignalMismatchError, match=r"no channels by frequencies.*not picked from"):
        frequencies_of(eeg)
    ragged = eeg.replace(ch_names=("C3:1Hz", "C3:2Hz", "C4:1Hz"), ch_types=(), positions=())
    with pytest.raises(SignalMismatchError, match="no channels by frequencies"):
        unfold(np.zeros((3, 4)), ragged)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"kind": "band_powers", "bands": {"a": [8, 4]}}, "band 'a': .8, 4. must be .low, high."),
        ({"kind": "band_powers", "bands": {"a:b": [4, 8]}}, "must not be empty or hold ':'"),
        ({"kind": "band_powers", "method": "multitaper", "segment_s": 1}, "segment_s belongs to method 'welch'"),
        ({"kind": "band_powers", "bandwidth_hz": 4}, "bandwidth_hz belongs to method 'multitaper'"),
        ({"kind": "band_powers", "segment_s": 3}, "segment_s=3 is longer than window_s=2"),
        ({"kind": "band_powers", "method": "multitaper", "bandwidth_hz": 0.1}, "finer than 1 / window_s=0.5"),
        ({"kind": "hjorth", "features": ["mobility", "mobility"]}, "features: 'mobility' is named twice"),
        ({"kind": "spectral", "low_hz": 50}, "low_hz=50 must be below high_hz=45"),
    ],
)
def test_fields_that_do_not_fit_are_refused(spec: dict[str, object], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        SIGNALS.parse(spec)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"kind": "band_powers", "bands": {"high": [60, 130]}}, "upper edge of 'high'=130 is not below half"),
        ({"kind": "band_powers", "bands": {"thin": [4.2, 4.8]}}, r"lies in 'thin' \(4.2 to 4.8 Hz\).*wider than 1 Hz"),
        ({"kind": "hjorth", "hop_s": 0.001}, "hop_s=0.001 is 0.25 samples"),
        ({"kind": "line_length", "window_s": 0.004}, "a window has 1 samples.*at least 2.*window_s >= 0.008"),
    ],
)
def test_signals_that_do_not_fit_are_refused(spec: dict[str, object], message: str, eeg: SignalSpec) -> None:
    with pytest.raises(SignalMismatchError, match=message):
        SIGNALS.parse(spec).bind(eeg)  # type: ignore[attr-defined]


def test_two_features_of_one_name_are_refused(eeg: SignalSpec) -> None:
    odd = eeg.replace(ch_names=("A", "B", "A-B", "C", "B-C"))  # A with B-C, and A-B with C
    with pytest.raises(SignalMismatchError, match="Two features would be named 'A-B-C:coherence_alpha'"):
        SIGNALS.parse({"kind": "connectivity", "bands": {"alpha": [8, 13]}}).bind(odd)  # type: ignore[attr-defined]


def alpha_at_rest(eeg: SignalSpec, values: np.ndarray) -> np.ndarray:
    """Return the power in decibels of each channel's alpha band, where it is valid (n_chans, n_columns)."""
    rows = [
        {"kind": "bandpass", "low_hz": 1, "high_hz": 40},
        {"kind": "band_powers", "window_s": 2, "hop_s": 0.1, "bands": {"alpha": [8, 13]}, "scale": "log"},
    ]
    bound = chain([SIGNALS.parse(row) for row in rows], eeg)
    got = run(bound, values)  # live: bound.step(chunk, state), chunk by chunk
    return got.values[:, got.valid]


def spectra_of(eeg: SignalSpec, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the frequencies (n_freqs,) and a spectrogram (n_chans, n_freqs, n_columns)."""
    bound = Spectrogram(method="multitaper", window_s=1.0, place="centre", scale="db").bind(eeg)
    got = run(bound, values)
    return frequencies_of(bound.output), unfold(got.values, bound.output)


def test_the_examples_of_the_documentation(eeg: SignalSpec, noise: np.ndarray) -> None:
    t = np.arange(2000) / 250
    noise += (2e-5 * np.sin(2 * np.pi * 10 * t)).astype(np.float32)
    alpha = alpha_at_rest(eeg, noise)
    assert alpha.shape == (5, 61)
    np.testing.assert_allclose(alpha[:, -20:], 10 * np.log10(2e-10 + 5 * 1e-10 / 125), atol=1)
    hz, spectra = spectra_of(eeg, noise)
    assert hz[spectra[0, :, 40].argmax()] == pytest.approx(10, abs=4)  # tapers of 8 Hz


def test_bands_have_one_order_however_they_are_written() -> None:
    eeg = SignalSpec(sfreq=250, ch_names=("C3", "C4"))
    written = BandPowers(bands={"beta": (13, 30), "theta": (4, 8), "alpha": (8, 13)}, window_s=1)
    read = SIGNALS.parse(json.loads(json.dumps(written.model_dump(mode="json"), sort_keys=True)))
    names = [op.bind(eeg).output.ch_names for op in (written, read)]
    assert names[0] == names[1]
    assert [n.rpartition(":")[2] for n in names[0][:3]] == ["theta", "alpha", "beta"]
