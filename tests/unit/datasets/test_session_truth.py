"""The truth of simulated sessions: true rates score best, and the decoder that knows the tuning beats one that learns.

Bins are made here by counting, so that nothing but the recording is relied on.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from neural_foundation.core.errors import DataError, StoreError
from neural_foundation.core.modalities import BinnedSessionSpec, ModalitySpec
from neural_foundation.datasets.simulated.session_decoder import _MOVED, Decoder
from neural_foundation.datasets.simulated.session_truth import SessionTruth, truth_of
from neural_foundation.datasets.simulated.sessions import SimulatedSessions
from neural_foundation.datasets.simulated.sessions_brain import FEATURES, GRID_S, simulate
from neural_foundation.recordings import Session
from neural_foundation.recordings.interval_table import IntervalTable
from neural_foundation.sampling.binned import BinnedSession

BIN_S, N_BINS = 0.02, 100
CONTINUOUS = ("wheel_speed", "left_motion_energy", "right_motion_energy")
MODALITIES = (
    ModalitySpec(name="spikes", kind="counts"),
    *(ModalitySpec(name=name, kind="continuous") for name in CONTINUOUS),
    ModalitySpec(name="choice", kind="classes", classes=("left", "right")),
    ModalitySpec(name="block", kind="classes", classes=("0.2", "0.5", "0.8")),
)
SPEC = SimulatedSessions(sessions=1, trials=100, units=60, spread=0.0, probes=2)


def binned(session: Session) -> BinnedSession:
    trials = session.trials
    assert isinstance(trials, IntervalTable)
    start = np.asarray(trials.facts["stimOn_times"]) - 0.5
    edges = start[:, None] + np.arange(N_BINS + 1) * BIN_S
    counts = np.concatenate(
        [
            np.stack([np.diff(np.searchsorted(probe.train(u), edges)).ravel() for u in probe.unit_ids], axis=1)
            for probe in session.spikes.values()
        ],
        axis=1,
    )
    wheel = session.series["wheel"]
    position = np.interp(edges, wheel.times_s, wheel.values[:, 0])
    values = {"spikes": counts.astype(np.uint16), "wheel_speed": np.abs(np.diff(position)).reshape(-1, 1) / BIN_S}
    for name in CONTINUOUS[1:]:
        series = session.series[name]
        fine = edges[:, :-1, None] + (np.arange(8) + 0.5) * BIN_S / 8
        values[name] = np.interp(fine, series.times_s, series.values[:, 0]).mean(2).reshape(-1, 1)
    values["choice"] = np.array([("left", "right").index(word) for word in trials.label])
    values["block"] = np.searchsorted([0.2, 0.5, 0.8], np.asarray(trials.facts["probabilityLeft"]))
    ids = tuple(f"{name}/{u}" for name, probe in session.spikes.items() for u in probe.unit_ids)
    spec = BinnedSessionSpec(
        name=session.session_id,
        subject=session.subject,
        channels=(ids, ("speed",), ("left",), ("right",), ("choice",), ("block",)),
    )
    n = len(start)
    return BinnedSession(spec, BIN_S, MODALITIES, values, np.arange(n) * N_BINS, np.full(n, N_BINS), start)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[BinnedSession, SessionTruth]:
    folder = tmp_path_factory.mktemp("truth")
    session = binned(SPEC.open(SPEC.items()[0], folder))
    truth = truth_of(folder, session.spec.name)
    assert truth is not None
    return session, truth


def bits(counts: np.ndarray, rates: np.ndarray) -> float:
    """Return bits a spike against each unit's mean."""
    null = np.broadcast_to(counts.mean(0), counts.shape)
    gain = (counts * np.log(rates / null) - rates + null).sum()
    return float(gain / counts.sum() / np.log(2))


def test_true_rates_score_above_perturbed_ones(made: tuple[BinnedSession, SessionTruth]) -> None:
    session, truth = made
    counts, rates = session.values["spikes"].astype(float), truth.rates(session).astype(float)
    assert rates.shape == counts.shape
    assert rates.sum() == pytest.approx(counts.sum(), rel=0.02)
    best = bits(counts, rates)
    assert best > 0.08
    psth = counts.reshape(-1, N_BINS, counts.shape[1]).mean(0) + 1e-4
    rng = np.random.default_rng(0)
    others = {
        "psth": np.tile(psth, (session.n_trials, 1)),
        "no drift": truth.rates(session, drift=False).astype(float),
        "noise": rates * rng.lognormal(-0.02, 0.2, rates.shape),
        "later": np.roll(rates, 3, axis=0),
        "trials": np.roll(rates, N_BINS, axis=0),
        "flattened": rates**0.8 * counts.mean(0) / (rates**0.8).mean(0),
        "units": np.roll(rates, 1, axis=1),
    }
    worse = {name: bits(counts, other) for name, other in others.items()}
    assert all(score < best - 0.001 for score in worse.values()), worse
    assert worse["psth"] < 0.8 * best, "a part is left that only the trial's behaviour explains"


def test_rates_follow_the_units_and_trials_of_the_session(made: tuple[BinnedSession, SessionTruth]) -> None:
    session, truth = made
    whole = truth.rates(session)
    ids = np.asarray(session.spec.channels[0])
    kept = np.array([25, 3, 7])
    channels = (tuple(ids[kept].tolist()), *session.spec.channels[1:])
    part = replace(
        session,
        spec=session.spec.model_copy(update={"channels": channels}),
        first=session.first[[0, 1]],
        length=session.length[[0, 1]],
        start_s=session.start_s[[9, 4]],
        values={**session.values, "spikes": session.values["spikes"][: 2 * N_BINS, kept]},
    )
    rates = truth.rates(part)
    assert rates.dtype == np.float32
    np.testing.assert_array_equal(rates[:N_BINS], whole[9 * N_BINS : 10 * N_BINS, kept])
    np.testing.assert_array_equal(rates[N_BINS:], whole[4 * N_BINS : 5 * N_BINS, kept])
    wide = replace(session, bin_s=0.04, length=session.length // 2, first=session.first // 2)
    summed = whole.reshape(-1, 2, whole.shape[1]).sum(1)
    np.testing.assert_allclose(truth.rates(wide)[: len(summed)], summed, rtol=1e-4)


def test_what_is_read_back_is_what_was_made(made: tuple[BinnedSession, SessionTruth]) -> None:
    truth, again = made[1], simulate(SPEC, 0, 0)
    assert (truth.units.weights == again.units.weights).all()
    assert truth.animal.lapse == again.animal.lapse
    assert (truth.course.correct == again.course.correct).all()
    np.testing.assert_allclose(truth.features, again.features, rtol=1e-6, atol=1e-6)


def test_the_ceiling_beats_ridge(made: tuple[BinnedSession, SessionTruth]) -> None:
    session, truth = made
    test = np.arange(0, session.n_trials, 6)
    train = np.setdiff1d(np.arange(session.n_trials), test)
    decoded = truth.decoded(session, test)
    assert {name: value.shape for name, value in decoded.items()} == {
        **{name: (len(test), N_BINS, 1) for name in CONTINUOUS},
        "choice": (len(test), 2),
        "block": (len(test), 3),
    }
    counts = session.values["spikes"].reshape(session.n_trials, N_BINS, -1).astype(float)
    design = np.concatenate(
        [np.roll(counts, k, axis=1) for k in range(-6, 7, 2)] + [np.ones((*counts.shape[:2], 1))], 2
    )
    for name in CONTINUOUS:
        y = session.values[name].reshape(session.n_trials, N_BINS)
        x = design[train].reshape(-1, design.shape[2])
        fits = [
            np.linalg.solve(x.T @ x + p * np.eye(x.shape[1]), x.T @ y[train].ravel()) for p in (30.0, 300.0, 3000.0)
        ]
        ridge = max(r2(y[test], (design[test] @ w)) for w in fits)
        ceiling = r2(y[test], decoded[name][:, :, 0])
        assert ridge > 0.1, name
        assert ridge + 0.05 < ceiling < 0.98, (name, ridge, ceiling)
    assert balanced(decoded["choice"], session.values["choice"][test]) > 0.75
    for name, chance, gain in (("choice", 1 / 2, 0.2), ("block", 1 / 3, 0.05)):
        np.testing.assert_allclose(decoded[name].sum(1), 1, atol=1e-5)
        share = decoded[name][np.arange(len(test)), session.values[name][test]]
        assert np.log(share).mean() > np.log(chance) + gain, name


def r2(y: np.ndarray, estimate: np.ndarray) -> float:
    return float(1 - ((y - estimate) ** 2).sum() / ((y - y.mean()) ** 2).sum())


def balanced(shares: np.ndarray, y: np.ndarray) -> float:
    return float(np.mean([(shares.argmax(1)[y == k] == k).mean() for k in np.unique(y)]))


def test_a_decoder_without_tuned_units_gives_the_prior(made: tuple[BinnedSession, SessionTruth]) -> None:
    truth = made[1]
    t = np.arange(N_BINS) * BIN_S - 0.49
    nothing = Decoder(truth.animal, np.zeros((3, len(FEATURES))), np.zeros(3), t, BIN_S)
    found = nothing.decode(np.ones((N_BINS, 3)), np.zeros(3))
    course, velocity = (
        (drawn := simulate(SPEC.model_copy(update={"trials": 800, "units": 2}), 0, 0)).course,
        drawn.velocity,
    )
    at = course.stimulus_s[:, None] + t
    mean = np.abs(np.interp(at, np.arange(len(velocity)) * GRID_S, velocity)).mean(0)
    np.testing.assert_allclose(found.joint.sum(0), 1 / 3, atol=0.02)
    # the likeliest reaction times stand for all of them where all are alike: the prior is met roughly
    assert np.corrcoef(found.speed, mean)[0, 1] > 0.95


def test_slopes_are_those_of_the_features(made: tuple[BinnedSession, SessionTruth]) -> None:
    truth = made[1]
    decoder = Decoder(truth.animal, truth.units.weights, truth.units.base, np.arange(10) * BIN_S - 0.1, BIN_S)
    rng = np.random.default_rng(1)
    xi = rng.standard_normal((len(decoder.first), decoder.n))
    features, slope = decoder._features(decoder.first, xi)
    step = 1e-5 * rng.standard_normal(xi.shape)
    moved = decoder._features(decoder.first, xi + step)[0] - decoder._features(decoder.first, xi - step)[0]
    expected = np.zeros_like(moved)
    expected[:, :, _MOVED] = np.einsum("htfr,hr->htf", slope, step)
    np.testing.assert_allclose(moved / 2, expected, atol=1e-8)


def test_where_there_is_no_truth(tmp_path: Path) -> None:
    assert truth_of(tmp_path, "session000") is None
    (tmp_path / "session000-truth.npz").write_bytes(b"nothing")
    with pytest.raises(StoreError, match="is not an array file"):
        truth_of(tmp_path, "session000")


def test_what_does_not_fit_says_so(made: tuple[BinnedSession, SessionTruth]) -> None:
    session, truth = made
    other = replace(
        session, spec=session.spec.model_copy(update={"channels": (("probe00/99",), *session.spec.channels[1:])})
    )
    with pytest.raises(DataError, match="Unit 'probe00/99' is none of"):
        truth.rates(other)
    with pytest.raises(DataError, match="lie outside session"):
        truth.rates(replace(session, start_s=session.start_s + 1e6))
    with pytest.raises(DataError, match="0 stimuli lie in the trial"):
        truth.decoded(replace(session, start_s=session.start_s - 1.9), [0])
    words = (*MODALITIES[:-1], ModalitySpec(name="block", kind="classes", classes=("low", "even", "high")))
    with pytest.raises(DataError, match="The class 'low' of 'block'"):
        truth.decoded(replace(session, modalities=words), [0])
    uneven = replace(session, length=np.where(np.arange(session.n_trials) == 1, 50, session.length))
    with pytest.raises(DataError, match="bins"):
        truth.decoded(uneven, [0, 1])
