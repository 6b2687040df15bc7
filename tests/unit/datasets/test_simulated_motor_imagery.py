"""Simulated motor imagery: what is promised of it holds, against its own truth."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.signal import welch

from neural_foundation.core.errors import DataError, SpecError, StoreError
from neural_foundation.core.specs import digest, identity
from neural_foundation.datasets import DATASETS, Truth, ceiling, truth
from neural_foundation.datasets.base import Item
from neural_foundation.datasets.simulated.generate import Recording, simulate
from neural_foundation.datasets.simulated.motor_imagery import SimulatedMotorImagery
from neural_foundation.recordings import quantisation_bound

SMALL = {"sfreq": 100, "channels": 8, "trials": 8, "background": 16}
QUIET = {"blinks": False, "muscle": False, "line_hz": None}


def make(**fields: object) -> SimulatedMotorImagery:
    spec = DATASETS.parse({"kind": "simulated_motor_imagery", **SMALL, **fields})
    assert isinstance(spec, SimulatedMotorImagery)
    return spec


@pytest.fixture(scope="module")
def people() -> list[Recording]:
    spec = make(subjects=6, trials=60)
    return [simulate(spec, item.subject) for item in spec.items()]


def test_the_shape_is_what_was_asked() -> None:
    spec = make(subjects=3, trials=7, trial_s=2.0, rest_s=1.0, sfreq=128, channels=19)
    recording = simulate(spec, "sim002")
    n_chans, n_times = recording.values.shape
    assert recording.values.dtype == np.float32
    assert n_chans == recording.spec.n_chans == 19
    assert n_times % 128 == 0
    assert recording.spec.sfreq == 128
    assert recording.truth.power.shape == (7, 2, 20)
    assert sorted(np.bincount(recording.truth.label)) == [3, 4]
    gaps = np.diff(recording.truth.onset_s)
    assert gaps.min() >= 3.0 - 1e-9
    assert recording.truth.onset_s[-1] + 3.0 <= n_times / 128


def test_equal_settings_give_equal_bytes_whoever_else_takes_part() -> None:
    alone = simulate(make(subjects=2), "sim002")
    among = simulate(make(subjects=40), "sim002")
    np.testing.assert_array_equal(alone.values, among.values)
    np.testing.assert_array_equal(alone.truth.power, among.truth.power)


def test_subjects_and_seeds_differ() -> None:
    first, second = simulate(make(), "sim001"), simulate(make(), "sim002")
    other = simulate(make(seed=1), "sim001")
    for recording in (second, other):
        assert recording.truth.mu_hz != first.truth.mu_hz
        assert np.abs(recording.truth.source_positions - first.truth.source_positions).max() > 0.001
        assert not np.array_equal(recording.truth.left_source, first.truth.left_source)


def test_the_same_subject_is_seen_through_fewer_electrodes() -> None:
    few, many = simulate(make(channels=8, **QUIET), "sim001"), simulate(make(channels=64, **QUIET), "sim001")
    index = [many.spec.ch_names.index(n) for n in few.spec.ch_names]
    np.testing.assert_array_equal(many.truth.left_source[index], few.truth.left_source)
    np.testing.assert_array_equal(many.truth.power, few.truth.power)
    # but for the noise of each electrode
    both = [np.corrcoef(a, b)[0, 1] for a, b in zip(many.values[index], few.values, strict=True)]
    assert min(both) > 0.7


def test_amplitudes_are_those_of_an_eeg() -> None:
    for subject in ("sim001", "sim002"):
        values = simulate(make(trials=20, channels=19), subject).values
        rms = values.std(1)
        assert 8e-6 < np.median(rms) < 35e-6
        assert 60e-6 < values[0].max() - np.median(values[0]) < 300e-6  # a blink at Fp1


def test_each_hand_takes_power_from_the_other_hemisphere(people: list[Recording]) -> None:
    for recording in people:
        t = recording.truth
        relative = t.power[:, :, 8:].mean(2) / t.source_moments**2
        left_hemisphere, right_hemisphere = relative.T
        left_hand, right_hand = t.label == 0, t.label == 1
        assert right_hemisphere[left_hand].mean() < left_hemisphere[left_hand].mean()
        assert left_hemisphere[right_hand].mean() < right_hemisphere[right_hand].mean()


def test_power_falls_about_half_a_second_after_the_cue(people: list[Recording]) -> None:
    contra = np.concatenate([r.truth.power[np.arange(60), 1 - r.truth.label] / _rest(r.truth) for r in people])
    course = contra.mean(0)
    assert course[:3].mean() == pytest.approx(1.0, abs=0.25)
    assert course[9:].max() < 0.7
    assert course[3] > course[5] > course[7]


def _rest(t: Truth) -> np.ndarray:
    return np.asarray(t.source_moments[1 - t.label, None] ** 2)


def test_the_electrodes_see_it(people: list[Recording]) -> None:
    index = []
    for recording in people:
        t, names = recording.truth, recording.spec.ch_names
        sides = recording.values[[names.index("C3"), names.index("C4")]]
        starts = np.round((t.onset_s + 0.75) * 100).astype(int)
        power = [_mu_power(sides[:, s : s + 300], t.mu_hz) for s in starts]
        contrast = np.diff(np.log(power), axis=1)[:, 0]
        index.append(contrast[t.label == 1].mean() - contrast[t.label == 0].mean())
    assert np.mean(index) > 0.3
    assert min(index) > 0.0


def _mu_power(values: np.ndarray, hz: float) -> np.ndarray:
    f, power = welch(values, 100, nperseg=100)
    return np.asarray(power[:, np.abs(f - hz) < 2].sum(1))


def test_the_ceiling_is_high_but_not_perfect_and_subjects_spread(people: list[Recording]) -> None:
    best = ceiling([r.truth for r in people])
    assert 0.8 < best.accuracy < 0.96
    assert 0.8 < best.within.mean() < 0.96
    assert best.across.std() > 0.02


def test_without_desynchronisation_the_ceiling_is_chance() -> None:
    spec = make(subjects=4, trials=60, erd=0.0)
    best = ceiling([simulate(spec, i.subject).truth for i in spec.items()])
    assert best.accuracy == pytest.approx(0.5, abs=0.12)


def test_stronger_desynchronisation_raises_the_ceiling() -> None:
    weak, strong = (
        ceiling([simulate(make(trials=60, erd=erd), f"sim00{k}").truth for k in (1, 2, 3)]).accuracy
        for erd in (0.25, 0.85)
    )
    assert strong > weak + 0.1


def test_mu_lies_at_its_frequency_with_a_harmonic() -> None:
    recording = simulate(make(channels=64, snr=20.0, erd=0.0, trials=40, **QUIET), "sim003")
    c3 = recording.values[recording.spec.ch_names.index("C3")]
    f, power = welch(c3, 100, nperseg=400)
    assert f[np.argmax(power)] == pytest.approx(recording.truth.mu_hz, abs=0.6)
    beta = np.where((f > 15) & (f < 30), power, 0.0)
    assert f[np.argmax(beta)] == pytest.approx(recording.truth.beta_hz, abs=2.0)
    assert beta.max() > 5 * power[(f > 30) & (f < 45)].max()


def test_a_topography_is_what_the_source_shows_at_the_electrodes() -> None:
    recording = simulate(make(channels=64, snr=20.0, erd=0.0, trials=20, **QUIET), "sim001")
    sources = np.stack([recording.truth.left_source, recording.truth.right_source])
    covariance = np.cov(recording.values.astype(float))
    top = np.linalg.eigh(covariance)[1][:, -2:].T
    # the two largest components span the two sources
    for source in sources:
        inside = top.T @ (top @ source)
        assert np.linalg.norm(inside) / np.linalg.norm(source) > 0.99


def test_blinks_are_where_the_truth_says_and_nothing_else_changes() -> None:
    with_, without = (simulate(make(channels=16, blinks=b), "sim001") for b in (True, False))
    added = (with_.values - without.values).astype(float)
    assert len(without.truth.blink_s) == 0
    at = np.round((with_.truth.blink_s + 0.1) * 100).astype(int)
    at = at[at < added.shape[1]]
    assert added[0, at].min() > 40e-6
    assert np.linalg.matrix_rank(added, tol=1e-6) == 1
    quiet = np.ones(added.shape[1], bool)
    for s in with_.truth.blink_s:
        quiet[int(s * 100) - 1 : int((s + 0.6) * 100) + 2] = False
    assert np.abs(added[:, quiet]).max() < 1e-9


def test_muscle_bursts_are_where_the_truth_says() -> None:
    with_, without = (simulate(make(channels=19, trials=30, muscle=m), "sim001") for m in (True, False))
    added = np.abs(with_.values - without.values).astype(float)
    assert len(with_.truth.muscle_s) > 3
    names = with_.spec.ch_names
    assert added[[names.index("T7"), names.index("T8")]].max() > 3 * added[names.index("Cz")].max()
    quiet = np.ones(added.shape[1], bool)
    for start, end in with_.truth.muscle_s:
        quiet[int(start * 100) - 1 : int(end * 100) + 2] = False
    assert added[:, quiet].max() < 1e-9


def test_the_line_is_where_it_was_asked() -> None:
    recording = simulate(make(sfreq=200, line_hz=60.0), "sim001")
    f, power = welch(recording.values, 200, nperseg=400)
    hum = power.mean(0)
    assert f[f > 30][np.argmax(hum[f > 30])] == pytest.approx(60.0, abs=0.6)
    gains = power[:, np.argmin(np.abs(f - 60))]
    assert gains.max() > 1.3 * gains.min()


def test_opening_writes_the_edf_and_the_truth_and_reads_them_back(tmp_path: Path) -> None:
    spec = make(subjects=2)
    item = spec.items()[1]
    expected = simulate(spec, item.subject)
    with spec.open(item, tmp_path) as session:
        assert session.session_id == session.subject == "sim002"
        values = session.signal.read()
        assert (np.abs(values - expected.values) <= quantisation_bound(expected.values)).all()
        assert session.signal.spec.ch_names == expected.spec.ch_names
        np.testing.assert_allclose(session.signal.spec.positions, expected.spec.positions, atol=1e-6)
        assert [spec.classes().index(w) for w in session.trials.label] == expected.truth.label.tolist()
        np.testing.assert_allclose(session.trials.start_s, expected.truth.onset_s, atol=1e-9)
        np.testing.assert_allclose(session.trials.end_s - session.trials.start_s, spec.trial_s, atol=1e-9)
    known = truth(tmp_path, "sim002")
    assert known.ch_names == expected.truth.ch_names
    assert known.mu_hz == expected.truth.mu_hz
    np.testing.assert_array_equal(known.power, expected.truth.power)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["sim002-truth.npz", "sim002.edf"]


def test_opening_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    spec = make()
    for name in ("a", "b"):
        spec.open(spec.items()[0], tmp_path / name).close()
    for file in (tmp_path / "a").iterdir():
        assert file.read_bytes() == (tmp_path / "b" / file.name).read_bytes()


def test_an_unknown_subject_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="No simulated subject 'sim009'"):
        make(subjects=2).open(Item("sim009", "sim009"), tmp_path)


def test_a_missing_truth_says_so(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="sim001-truth.npz is missing"):
        truth(tmp_path, "sim001")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"path": "/somewhere"}, "has no path"),
        ({"channels": 31}, "channels"),
        ({"sfreq": 99}, "greater than or equal to 100"),
        ({"sfreq": 250.5}, "sfreq"),
        ({"erd": 1.0}, "erd"),
        ({"subject": 3}, "Did you mean 'subjects'"),
    ],
)
def test_a_wrong_setting_is_named(fields: dict[str, object], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        make(**fields)


def test_every_setting_changes_the_key() -> None:
    changes = {
        "subjects": 3, "trials": 9, "trial_s": 5.0, "rest_s": 3.0, "sfreq": 120, "channels": 64, "snr": 2.0,
        "erd": 0.5, "blinks": False, "muscle": False, "line_hz": 60.0, "background": 17, "seed": 1,
    }  # fmt: skip
    assert set(changes) == set(SimulatedMotorImagery.model_fields) - {"kind", "path"}
    keys = {digest(identity(make(**{name: value}))) for name, value in changes.items()}
    assert len(keys | {digest(identity(make()))}) == len(changes) + 1


def test_nothing_is_read_from_raw_files() -> None:
    spec = make()
    assert spec.raw_files(spec.items()[0]) == ()


def test_parsing_a_recipe_needs_no_heavy_library() -> None:
    code = (
        "import sys; from neural_foundation.datasets import DATASETS\n"
        "[DATASETS.row(kind).load() for kind in DATASETS]\n"
        "print([m for m in ('mne', 'scipy', 'sklearn', 'torch', 'h5py') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
