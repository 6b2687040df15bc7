"""Laplacians against MNE, closed forms and the 10-10 neighbourhood."""

from __future__ import annotations

import mne
import numpy as np
import pytest

from neural_foundation.core.errors import SignalMismatchError
from neural_foundation.core.seeds import generator
from neural_foundation.core.specs import SignalSpec
from neural_foundation.core.stream import run
from neural_foundation.recordings.montage import standard_1005
from neural_foundation.signals.laplacian import Laplacian, csd_matrix, fitted_sphere, hjorth_matrix

CAP_NAMES = (
    "Fp1 Fp2 F7 F5 F3 F1 Fz F2 F4 F6 F8 FC5 FC3 FC1 FCz FC2 FC4 FC6 T7 C5 C3 C1 Cz C2 C4 C6 T8 "
    "CP5 CP3 CP1 CPz CP2 CP4 CP6 P7 P5 P3 P1 Pz P2 P4 P6 P8 O1 Oz O2"
)
NAMES = tuple(CAP_NAMES.split())
PLACES = np.array([standard_1005()[n] for n in NAMES])
CAP = SignalSpec(sfreq=250, ch_names=NAMES, positions=tuple(map(tuple, PLACES.tolist())))


def neighbours_of(name: str, *, large: bool) -> set[str]:
    row = hjorth_matrix(PLACES, 4, large=large)[NAMES.index(name)]
    return {NAMES[i] for i in np.flatnonzero(row) if NAMES[i] != name}


def test_small_and_large_take_one_and_two_steps_in_a_ten_ten_cap() -> None:
    assert neighbours_of("C3", large=False) == {"C1", "C5", "FC3", "CP3"}
    assert neighbours_of("C3", large=True) == {"Cz", "T7", "F3", "P3"}
    assert neighbours_of("C4", large=True) == {"Cz", "T8", "F4", "P4"}
    assert neighbours_of("Cz", large=False) == {"C1", "C2", "FCz", "CPz"}


def test_hjorth_is_the_value_minus_a_mean_weighted_by_nearness() -> None:
    places = np.array([[0, 0, 0], [0.01, 0, 0], [0, 0.02, 0], [0.5, 0.5, 0]])
    row = hjorth_matrix(places, 2, large=False)[0]
    np.testing.assert_allclose(row, [1, -2 / 3, -1 / 3, 0], atol=1e-12)


@pytest.mark.parametrize("method", ["small", "large", "spline"])
def test_what_all_electrodes_share_disappears(method: str) -> None:
    op = Laplacian(method=method).bind(CAP)  # type: ignore[arg-type]
    same = np.tile(generator(0, "same").standard_normal((1, 100)) * 1e-5, (len(NAMES), 1)).astype(np.float32)
    assert np.abs(run(op, same).values).max() < 1e-6 * (1 if method != "spline" else 100)


@pytest.mark.parametrize(("stiffness", "ridge"), [(4, 1e-5), (3, 1e-4)])
def test_the_spline_is_mnes_current_source_density(stiffness: int, ridge: float) -> None:
    x = generator(0, "csd").standard_normal((len(NAMES), 300)) * 1e-5
    info = mne.create_info(list(NAMES), 250, "eeg")
    info.set_montage(mne.channels.make_dig_montage(dict(zip(NAMES, PLACES, strict=True)), coord_frame="head"))
    raw = mne.io.RawArray(x, info, verbose="error")
    sphere = fitted_sphere(PLACES)
    theirs = mne.preprocessing.compute_current_source_density(
        raw, sphere=sphere, stiffness=stiffness, lambda2=ridge, verbose="error"
    ).get_data()
    op = Laplacian(method="spline", stiffness=stiffness, ridge=ridge).bind(CAP)
    ours = run(op, x.astype(np.float32)).values
    assert np.abs(ours - theirs).max() < 1e-5 * np.abs(theirs).max()
    assert op.output.units == ("V/m^2",) * len(NAMES)


def test_the_sphere_fits() -> None:
    rng = generator(0, "sphere")
    points = rng.standard_normal((40, 3))
    points = points / np.linalg.norm(points, axis=1, keepdims=True) * 0.09 + (0.01, -0.02, 0.04)
    np.testing.assert_allclose(fitted_sphere(points), (0.01, -0.02, 0.04, 0.09), atol=1e-12)
    assert 0.08 < fitted_sphere(PLACES)[3] < 0.11


def test_a_spline_laplacian_is_largest_over_the_source() -> None:
    blob = np.exp(-np.square(np.linalg.norm(PLACES - PLACES[NAMES.index("C3")], axis=1) / 0.03))
    density = csd_matrix(PLACES, stiffness=4, ridge=1e-5) @ blob
    assert NAMES[int(np.argmax(density))] == "C3"


def test_other_channels_pass(eeg: SignalSpec, noise: np.ndarray) -> None:
    op = Laplacian(neighbours=3).bind(eeg)
    got = run(op, noise).values
    np.testing.assert_array_equal(got[4], noise[4])
    assert (op.output.ch_names, op.output.units) == (eeg.ch_names, ())
    np.testing.assert_allclose(
        got[:4], hjorth_matrix(np.array(eeg.positions[:4]), 3, large=False) @ noise[:4], atol=1e-9
    )
    assert Laplacian(method="spline").bind(CAP.replace(units=("uV",) * len(NAMES))).output.units[0] == "uV/m^2"


def test_what_cannot_be_is_said(eeg: SignalSpec) -> None:
    with pytest.raises(
        SignalMismatchError, match="laplacian: no position for 'Cz'. Allowed: EEG channels with positions"
    ):
        Laplacian().bind(eeg.replace(positions=(eeg.positions[0], None, *eeg.positions[2:])))
    with pytest.raises(SignalMismatchError, match="no channel is EEG"):
        Laplacian().bind(eeg.replace(ch_types=("misc",) * 5))
    with pytest.raises(SignalMismatchError, match="4 EEG channels are too few for 4 neighbours each. Allowed: 5"):
        Laplacian().bind(eeg)
    with pytest.raises(SignalMismatchError, match="too few for 3 neighbours"):
        Laplacian(method="large", neighbours=3).bind(eeg)
    with pytest.raises(SignalMismatchError, match="'C3' and 'C4' lie at the same place"):
        Laplacian().bind(
            eeg.replace(positions=(eeg.positions[0], eeg.positions[1], eeg.positions[0], *eeg.positions[3:]))
        )
    flat = CAP.replace(positions=tuple((x, y, 0.0) for x, y, _ in PLACES.tolist()))
    with pytest.raises(SignalMismatchError, match="46 EEG channels lie on no sphere"):
        Laplacian(method="spline").bind(flat)


@pytest.mark.parametrize("fields", [{"method": "spline", "neighbours": 5}, {"stiffness": 3}, {"ridge": 0.1}])
def test_fields_that_would_do_nothing_are_refused(fields: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="belong"):
        Laplacian(**fields)  # type: ignore[arg-type]
