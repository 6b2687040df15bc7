"""Simulated sessions: what a recording holds, that it depends on its number alone, and that tuning is what it says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.signal import welch

from neural_foundation.core.errors import DataError, SpecError
from neural_foundation.core.store import sha256
from neural_foundation.datasets import DATASETS
from neural_foundation.datasets.base import Item
from neural_foundation.datasets.ibl import IBL
from neural_foundation.datasets.ibl_files import CHOICES
from neural_foundation.datasets.simulated.sessions import SimulatedSessions, animal_of
from neural_foundation.datasets.simulated.sessions_brain import FEATURES, GRID_S, simulate, smooth
from neural_foundation.datasets.simulated.sessions_task import PRIORS, Animal, Course, _blocks
from neural_foundation.recordings import Session
from neural_foundation.recordings.interval_table import IntervalTable

SMALL = SimulatedSessions(sessions=2, trials=40, units=20, probes=2, lfp=2)


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Session:
    return SMALL.open(SMALL.items()[0], tmp_path_factory.mktemp("sessions"))


def table(session: Session) -> IntervalTable:
    assert isinstance(session.trials, IntervalTable)
    return session.trials


def test_it_has_the_names_of_ibl(session: Session) -> None:
    assert SMALL.classes() == IBL(path=Path("/")).classes()
    assert list(session.series) == ["wheel", "left_motion_energy", "right_motion_energy"]
    assert session.series["wheel"].names == ("position",)
    assert session.series["wheel"].units == ("rad",)
    assert list(session.spikes) == ["probe00", "probe01"]
    facts = session.spikes["probe00"].facts
    assert list(dict.fromkeys(facts["region"])) == list(SMALL.regions)
    assert set(facts["quality"]) <= {1.0, 2 / 3}
    assert session["lfp"].spec.sfreq == 250.0


def test_trials_say_what_ibl_says(session: Session) -> None:
    trials = table(session)
    facts = {name: np.asarray(column) for name, column in trials.facts.items()}
    assert tuple(CHOICES[c] for c in facts["choice"]) == trials.label
    assert set(trials.times) >= {"stimOn_times", "feedback_times"}
    assert set(facts["probabilityLeft"]) <= set(PRIORS)
    left = ~np.isnan(facts["contrastLeft"])
    assert (left == np.isnan(facts["contrastRight"])).all()
    assert (facts["contrast"][left] <= 0).all()
    assert (facts["contrast"][~left] >= 0).all()
    assert ((facts["feedbackType"] == 1) == ((facts["choice"] == 1) == left)).all()
    assert (trials.start_s < facts["stimOn_times"] - 0.5).all()
    assert (facts["stimOn_times"] + 1.5 < trials.end_s).all()


def test_the_wheel_turns_to_the_choice(session: Session) -> None:
    trials, wheel = table(session), session.series["wheel"]
    moved = np.asarray(trials.facts["firstMovement_times"])
    turned = [np.interp(moved + at, wheel.times_s, wheel.values[:, 0]) for at in (0.0, 0.3)]
    choice = np.asarray(trials.facts["choice"])
    assert (np.sign(turned[1] - turned[0]) == -choice).mean() > 0.95, "IBL's 1 turns the wheel clockwise"
    quiet = np.asarray(trials.facts["stimOn_times"])[:, None] + np.array([-0.5, 0.0])
    still = np.diff(np.interp(quiet, wheel.times_s, wheel.values[:, 0]), axis=1)[:, 0]
    assert np.abs(still).mean() < 0.2 * np.abs(turned[1] - turned[0]).mean()
    assert np.ptp(np.diff(wheel.times_s)) > 0.005, "an encoder reports changes, at no fixed rate"


def test_the_cameras_differ(session: Session) -> None:
    left, right = session.series["left_motion_energy"], session.series["right_motion_energy"]
    for series, hz in ((left, 60.0), (right, 150.0)):
        assert 1 / np.diff(series.times_s).mean() == pytest.approx(hz, rel=1e-3)
        assert (np.diff(series.times_s) > 0).all()
        assert (series.values >= 0).all()
    seen = np.interp(left.times_s, right.times_s, right.values[:, 0])
    assert 0.3 < np.corrcoef(left.values[:, 0], seen)[0, 1] < 0.9


def test_contrast_and_block_drive_the_choice() -> None:
    spec = SimulatedSessions(trials=4000, block_trials=20)
    animal = Animal.draw(spec.rng("animal", 0, "behaviour"))
    course = Course.draw(animal, spec, spec.rng("session", 0, "trials"))
    right = course.turn > 0
    assert right[course.drive > 0.8].mean() > 0.9 > 0.1 > right[course.drive < -0.8].mean()
    unseen = course.drive == 0
    assert right[unseen & (course.block == 1)].mean() > right[unseen & (course.block == -1)].mean() + 0.2
    changed = np.flatnonzero(np.diff(course.block))
    assert 15 < np.diff(changed).mean() < 25
    assert {0.2, 0.5, 0.8} == set(np.round(0.5 - 0.3 * course.block, 6))
    reaction = course.movement_s - course.stimulus_s
    assert np.median(reaction[course.contrast == 1]) < np.median(reaction[course.contrast == 0]) - 0.05


@given(n=st.integers(4, 400), mean=st.integers(2, 100), seed=st.integers(0, 99))
def test_every_session_has_all_blocks(n: int, mean: int, seed: int) -> None:
    priors = _blocks(n, mean, np.random.default_rng(seed))
    assert len(priors) == n
    assert priors[0] == 0.5
    assert set(priors) == {0.2, 0.5, 0.8}


def test_a_session_depends_on_the_seed_and_its_number_alone(tmp_path: Path) -> None:
    few, one = (SimulatedSessions(first=f, sessions=n, trials=8, units=6) for f, n in ((9, 3), (10, 1)))
    assert one.items() == few.items()[1:2]
    opened = [spec.open(one.items()[0], tmp_path / str(k)) for k, spec in enumerate((few, one))]
    for name in ("wheel", "left_motion_energy", "right_motion_energy"):
        a, b = (s.series[name] for s in opened)
        assert a.values.tobytes() == b.values.tobytes()
        assert a.times_s.tobytes() == b.times_s.tobytes()
    a, b = (s.spikes["probe00"] for s in opened)
    assert a.times_s.tobytes() == b.times_s.tobytes()
    assert (a.unit == b.unit).all()
    assert a.facts == b.facts
    assert table(opened[0]) == table(opened[1])
    file = f"{one.items()[0].id}-truth.npz"
    assert sha256(tmp_path / "0" / file) == sha256(tmp_path / "1" / file)


def test_sessions_and_seeds_differ() -> None:
    spec = SimulatedSessions(trials=8, units=40)
    first, second = (simulate(spec, k, animal_of(k)) for k in (0, 1))
    other = simulate(spec.model_copy(update={"seed": 1}), 0, 0)
    assert len(first.units.base) != len(second.units.base)
    assert (first.animal.gain == second.animal.gain).all(), "sessions 0 and 1 are of one animal"
    assert first.course.movement_s[0] != second.course.movement_s[0]
    assert first.course.movement_s[0] != other.course.movement_s[0]


def test_lfp_and_probes_leave_the_rest_as_it_is(tmp_path: Path) -> None:
    plain, more = SimulatedSessions(trials=8, units=6), SimulatedSessions(trials=8, units=6, lfp=1)
    a, b = (s.open(s.items()[0], tmp_path) for s in (plain, more))
    assert a.spikes["probe00"].times_s.tobytes() == b.spikes["probe00"].times_s.tobytes()
    assert not a.signals
    assert list(b.signals) == ["lfp"]


def test_some_animals_have_two_sessions() -> None:
    subjects = [item.subject for item in SimulatedSessions(sessions=20).items()]
    assert [animal_of(k) for k in range(7)] == [0, 0, 1, 2, 3, 4, 4]
    assert len(set(subjects)) == 16
    assert not set(subjects[:10]) & set(subjects[10:]), "a session held out is of an animal never seen"


def test_rates_are_those_drawn_and_spikes_follow_them(tmp_path: Path) -> None:
    spec = SimulatedSessions(sessions=1, trials=60, units=80, spread=0.0, drift=0.0)
    made = simulate(spec, 0, 0)
    rate = np.exp(made.units.weights @ made.features + made.units.base[:, None])
    assert np.median(rate.mean(1)) == pytest.approx(spec.rate_hz, rel=0.3)
    spikes = spec.open(spec.items()[0], tmp_path).spikes["probe00"]
    counts = np.bincount(spikes.unit, minlength=80)
    expected = rate.sum(1) * GRID_S
    z = (counts - expected) / np.sqrt(expected)
    assert 0.7 < z.std() < 1.3
    assert np.abs(z).max() < 4.5
    edges = np.arange(made.features.shape[1] + 1) * GRID_S
    fast = rate[spikes.unit, np.minimum((spikes.times_s / GRID_S).astype(int), len(edges) - 2)]
    # spikes fall where the rate is high: the mean rate at a spike is E[r^2] / E[r]
    assert fast.mean() == pytest.approx((rate**2).sum() / rate.sum(), rel=0.03)


def test_regions_differ_in_their_types_and_share_them_across_sessions() -> None:
    spec = SimulatedSessions(trials=4, units=1000, spread=0.0)
    block = FEATURES.index("block")
    shares = []
    for number in (0, 7):
        units = simulate(spec, number, animal_of(number)).units
        shares.append([(np.abs(units.weights[units.region == r, block]) > 0.1).mean() for r in range(5)])
    assert np.abs(np.subtract(*shares)).max() < 0.12
    assert np.ptp(np.mean(shares, axis=0)) > 0.05


def test_no_tuning_leaves_rates_flat() -> None:
    units = simulate(SimulatedSessions(trials=4, units=10, tuning=0.0, drift=0.0), 0, 0).units
    assert not units.weights.any()
    assert not units.drift.any()


def test_latents_have_their_covariance() -> None:
    z = smooth(np.random.default_rng(0), 400_000, 0.1)
    lags = np.array([0, 5, 10, 20])
    found = [np.mean(z[: len(z) - k] * z[k:]) for k in lags]
    assert found == pytest.approx(np.exp(-0.5 * (lags * GRID_S / 0.1) ** 2), abs=0.03)


def test_lfp_follows_the_wheel(tmp_path: Path) -> None:
    spec = SimulatedSessions(sessions=1, trials=100, units=2, lfp=2)
    session = spec.open(spec.items()[0], tmp_path)
    moved = np.asarray(table(session).facts["firstMovement_times"])
    lfp = session["lfp"].read()
    assert 2e-5 < lfp.std() < 3e-4, "volts"

    def power(at: float, low: float, high: float) -> float:
        pieces = np.stack([lfp[:, int((m + at) * 250) : int((m + at) * 250) + 100] for m in moved])
        hz, density = welch(pieces, 250, nperseg=100)
        return float(density[..., (hz >= low) & (hz <= high)].mean())

    assert power(0.0, 5, 10) > 1.2 * power(-0.6, 5, 10)
    assert power(0.0, 50, 90) > 1.2 * power(-0.6, 50, 90)
    assert power(0.0, 17, 28) < 0.9 * power(-0.6, 17, 28)


def test_what_cannot_be_says_so(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="has no path"):
        DATASETS.parse({"kind": "simulated_sessions", "path": str(tmp_path)})
    with pytest.raises(SpecError, match="region occurs twice"):
        DATASETS.parse({"kind": "simulated_sessions", "regions": ["CA1", "CA1"]})
    with pytest.raises(DataError, match="No simulated session 'session011'"):
        SimulatedSessions().open(Item("session011", "animal009"), tmp_path)
