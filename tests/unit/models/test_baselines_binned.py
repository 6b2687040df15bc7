"""What sets each baseline on binned sessions apart; what they share is in the contract."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from binned import made_session, made_set

from neural_foundation.core.errors import DataError, SpecError
from neural_foundation.core.modalities import BinnedSessionSpec, ModalitySpec
from neural_foundation.metrics.behaviour import mean_position_error, r2_by_channel
from neural_foundation.metrics.spikes import bits_against_test_mean
from neural_foundation.models.behaviour_features import BehaviourFeatures
from neural_foundation.models.binned_estimator import BinnedEstimator
from neural_foundation.models.naive_bayes import _around, _filtered, _gaussian, _smoothed
from neural_foundation.models.psth import PRIORS
from neural_foundation.models.table import MODELS
from neural_foundation.models.window_logistic import fit_logistic, logistic_probability, parts_of
from neural_foundation.sampling.binned import BinnedSession, BinnedSet, Spans

N_BINS = 20


def parts(whole: BinnedSet) -> tuple[BinnedSet, BinnedSet, BinnedSet]:
    test, apart = whole.trial % 5 == 0, whole.trial % 10 == 3
    return whole.select(~test & ~apart), whole.select(apart), whole.select(test)


def fit(whole: BinnedSet, kind: str, **fields: Any) -> BinnedEstimator:
    return MODELS.parse({"kind": kind, **fields}).binned_estimator(whole.spec).fit(*parts(whole)[:2])


@pytest.fixture(scope="module")
def whole() -> BinnedSet:
    return made_set([made_session("a", 0, 10, 60)], N_BINS)


def test_ridge_decodes_by_the_penalty_of_each_channel(whole):
    from sklearn.linear_model import Ridge

    made = fit(whole, "ridge", before_s=0.06, step_s=0.02)
    state = {k.removeprefix("a/"): v for k, v in made.state().items()}
    train, _, test = parts(whole)
    x, y = train.values(0, "spikes").astype(float), train.values(0, "motion_energy").astype(float)
    z = (x - x.mean((0, 1))) / x.std((0, 1))
    wide = np.pad(z, ((0, 0), (2, 0), (0, 0)))
    f = np.concatenate([wide[:, 2 - lag : 2 - lag + N_BINS] for lag in range(3)], -1).reshape(-1, 30)
    level = (f**2).sum() / 30
    for k, row in ((0, 1), (1, 2)):
        target = y[..., k].ravel() - y[..., k].mean()
        expected = Ridge(alpha=state["alpha"][row] * level, fit_intercept=False).fit(f, target).coef_
        np.testing.assert_allclose(state["weight"][:, row], expected, rtol=1e-6, atol=1e-8)
    said = made.predict(test, ("motion_energy",)).sessions[0]["motion_energy"]
    assert r2_by_channel(test.values(0, "motion_energy"), said).min() > 0.4


def test_wiener_has_next_to_no_penalty(whole):
    made = fit(whole, "wiener", before_s=0.04, step_s=0.02)
    train = parts(whole)[0]
    x, y = train.values(0, "spikes").astype(float), train.values(0, "wheel_speed").astype(float)
    z = (x - x.mean((0, 1))) / x.std((0, 1))
    f = np.concatenate([z, np.pad(z, ((0, 0), (1, 0), (0, 0)))[:, :-1]], -1).reshape(-1, 20)
    expected = np.linalg.lstsq(f, y.ravel() - y.mean(), rcond=None)[0]
    np.testing.assert_allclose(made.state()["a/weight"][:, 0], expected, rtol=1e-3, atol=1e-4)


def test_the_cascade_undoes_a_curve(whole):
    session = whole.sessions[0]
    speed = np.exp(np.asarray(session.values["wheel_speed"]) / 2.5 - 4)  # of a latent that spikes say linearly
    curved = made_set([replace(session, values={**session.values, "wheel_speed": speed})], N_BINS)
    test = parts(curved)[2]
    scores = [
        r2_by_channel(
            test.values(0, "wheel_speed"),
            fit(curved, "wiener", degree=d).predict(test, ("wheel_speed",)).sessions[0]["wheel_speed"],
        )[0]
        for d in (1, 3)
    ]
    assert scores[1] > scores[0] + 0.05


def test_the_poisson_model_is_near_the_rates_that_made_the_spikes(whole):
    train, _, test = parts(whole)
    counts = test.values(0, "spikes")
    bits = {
        kind: bits_against_test_mean(counts, fit(whole, kind).predict(test, ("spikes",)).sessions[0]["spikes"]).pooled
        for kind in ("poisson_glm", "reduced_rank", "psth")
    }
    assert bits["poisson_glm"] > 0.2
    assert bits["poisson_glm"] > bits["reduced_rank"] > bits["psth"] > 0.02


def test_features_of_behaviour():
    model = MODELS.parse({"kind": "poisson_glm", "before_s": 0.02, "after_s": 0.02, "step_s": 0.02, "bumps": 3})
    windows = made_set([made_session("a", 0, 4, 12, gaps=0.2, unknown=0.3)], N_BINS)
    estimator = model.binned_estimator(windows.spec)
    features = BehaviourFeatures(model, windows.spec, ("wheel_speed",), ("choice",))
    seen = estimator._by_session(windows)[0]
    learned = features.learn(seen)
    x = features.make(seen, learned)
    np.testing.assert_allclose(x.mean((0, 1)), 0, atol=1e-12)
    assert learned["aligned"].tolist() == [1]
    basis = features._basis(True)
    np.testing.assert_allclose(basis.sum(1), 1)
    # two lags, three bumps, the shared time course and one of each class
    assert x.shape[-1] == 2 + 3 + 3 * basis.shape[1]
    raw = x + learned["x_mean"]
    unknown = np.isnan(seen.values["wheel_speed"][..., 0])
    assert (raw[..., 1][unknown] == 0).all()  # the mean, where the lag that ends at the bin is not known
    assert (raw[..., 2:5][unknown] == 0).all()
    assert (raw[seen.values["choice"] < 0][..., 5 + basis.shape[1] :] == 0).all()


def test_windows_at_any_time_of_a_trial_have_no_time_course():
    windows = made_set([made_session("a", 0, 4, lengths=[60] * 6)], N_BINS, hop=7)
    model = MODELS.parse({"kind": "poisson_glm", "bumps": 0})
    features = BehaviourFeatures(model, windows.spec, ("wheel_speed",), ("choice",))
    seen = model.binned_estimator(windows.spec)._by_session(windows)[0]
    assert not seen.aligned
    assert features.make(seen, features.learn(seen)).shape[-1] == len(features.lags) + 2


def test_psth_in_closed_form(whole):
    made = fit(whole, "psth", smooth_s=0.0)
    state = {k.removeprefix("a/"): v for k, v in made.state().items()}
    train, _, test = parts(whole)
    y, choice, block = (train.values(0, n) for n in ("spikes", "choice", "block"))
    assert set(state["to_mean"]) | set(state["to_psth"]) <= set(PRIORS)
    prior, mean = state["to_mean"], y.mean((0, 1))
    overall = (y.sum(0) + prior * mean) / (len(y) + prior)
    np.testing.assert_allclose(state["overall"], overall)
    mine = (choice == 1) & (block == 2)
    expected = (y[mine].sum(0) + state["to_psth"] * overall) / (mine.sum() + state["to_psth"])
    np.testing.assert_allclose(state["conditions"][1 * 3 + 2], expected)
    said = made.predict(test, ("spikes",)).sessions[0]["spikes"]
    chosen = test.values(0, "choice") * 3 + test.values(0, "block")
    np.testing.assert_allclose(said, state["conditions"][chosen], rtol=1e-6)
    blind = made.predict(test, ("spikes", "choice")).sessions[0]["spikes"]
    np.testing.assert_allclose(blind, np.broadcast_to(overall, blind.shape), rtol=1e-6)


def test_reduced_rank_has_the_rank_it_says(whole):
    made = fit(whole, "reduced_rank", rank=2)
    state = {k.removeprefix("a/"): v for k, v in made.state().items()}
    assert state["patterns"].shape[1] <= 2
    np.testing.assert_allclose(state["patterns"].T @ state["patterns"], np.eye(state["patterns"].shape[1]), atol=1e-9)
    assert np.linalg.matrix_rank(state["to_counts"]) == state["enc_rank"][0] <= 2


def test_reduced_rank_of_full_rank_is_ridge_on_all_units(whole):
    from neural_foundation.models.lagged import Lags, standard, standardised
    from neural_foundation.models.reduced_rank import _patterns

    train = parts(whole)[0]
    x, y = train.values(0, "spikes"), train.values(0, "motion_energy")
    z, target = standardised(x, *standard(x)), standardised(y, *standard(y))
    patterns = _patterns(z, target, Lags(8, 0, 1))
    assert patterns.shape == (10, 10)
    np.testing.assert_allclose(patterns @ patterns.T, np.eye(10), atol=1e-9)


def test_classes_of_windows_are_those_of_scikit_learn():
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(0)
    y = np.arange(60) % 3
    x = rng.normal(size=(60, 200))
    x[:, :3] += 2 * np.eye(3)[y]
    learned = fit_logistic((x[:45], y[:45]), (x[45:], y[45:]), 3)
    z = (x - learned["mean"]) / learned["scale"]
    # one of the grid gives the same without the rotation
    gaps = []
    for c in (1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0):
        plain = LogisticRegression(C=c, class_weight="balanced", max_iter=5000, tol=1e-9).fit(z[:45], y[:45])
        gaps.append(np.abs(plain.predict_proba(z) - logistic_probability(x, learned)).max())
    assert min(gaps) < 1e-3


@pytest.mark.parametrize(("classes", "said"), [([0, 1], 2), ([2, 2], 2)])
def test_a_class_without_training_windows_is_never_said(classes, said):
    rng = np.random.default_rng(0)
    y = np.array(classes * 10)
    learned = fit_logistic((rng.normal(size=(20, 4)), y), (rng.normal(size=(9, 4)), np.arange(9) % 3), 3)
    probability = logistic_probability(rng.normal(size=(5, 4)), learned)
    missing = [k for k in range(3) if k not in classes]
    assert probability[:, missing].max() < 1e-9
    np.testing.assert_allclose(probability.sum(1), 1)


def test_a_session_alone_need_not_know_the_unit_of_what_it_lacks():
    lacking = made_session("b", 1, 4, without=("wheel_speed",))
    unitless = tuple(m.model_copy(update={"unit": ""}) for m in lacking.modalities)
    alone = made_set([replace(lacking, modalities=unitless)], N_BINS)
    both = made_set([made_session("a"), lacking], N_BINS)
    made = MODELS.parse("ridge").binned_estimator(both.spec).fit(both).predict(alone, ("motion_energy", "choice"))
    assert set(made.sessions[0]) == {"motion_energy", "choice"}


def test_parts_of_a_window():
    counts = np.arange(14).reshape(1, 7, 2)
    assert parts_of(counts, 3).tolist() == [[6, 9, 24, 27, 12, 13]]


# naive Bayes --------------------------------------------------------------------------------------------------------


def foraging(seed: int = 0, n: int = 4000, axes: int = 2) -> BinnedSession:
    """An animal that wanders in a box of 100 cm, and 30 place cells."""
    rng = np.random.default_rng(seed)
    place, speed = np.full(axes, 50.0), np.zeros(axes)
    track = np.empty((n, axes))
    for t in range(n):
        speed = 0.9 * speed + rng.normal(0, 1.5, axes)
        speed = np.where((place + speed < 0) | (place + speed > 100), -speed, speed)
        place = np.clip(place + speed, 0, 100)
        track[t] = place
    centres = np.random.default_rng(5).uniform(0, 100, (30, axes))
    rates = 0.05 + 2.0 * np.exp(-((track[:, None] - centres) ** 2).sum(-1) / (2 * 15**2))
    modalities = (
        ModalitySpec(name="spikes", kind="counts"),
        ModalitySpec(name="position", kind="continuous", unit="cm"),
    )
    spec = BinnedSessionSpec(name="rat", subject="rat", channels=(tuple(str(i) for i in range(30)), tuple("xy"[:axes])))
    values = {"spikes": rng.poisson(rates).astype(np.uint16), "position": track.astype(np.float32)}
    return BinnedSession(spec, 0.2, modalities, values, np.array([0]), np.array([n]), np.zeros(1))


def cut(session: BinnedSession, low: int, high: int) -> BinnedSet:
    spans = Spans(*(np.array([v]) for v in (0, 0, low, high - low)))
    return BinnedSet.cut([session], spans, 50)


@pytest.mark.parametrize("axes", [1, 2])
def test_naive_bayes_finds_the_animal_and_memory_helps(axes):
    session = foraging(axes=axes)
    train, apart, test = cut(session, 0, 3000), cut(session, 3000, 3500), cut(session, 3500, 4000)
    true = test.values(0, "position")
    errors = []
    past = {"memory": True, "prior": "occupancy"}
    for fields in ({"window_s": 0.2}, {"window_s": 1.0}, past, {**past, "ahead": True}):
        made = MODELS.parse({"kind": "naive_bayes", "places": 20, **fields}).binned_estimator(train.spec)
        said = made.fit(train, apart).predict(test, ("position",)).sessions[0]["position"]
        errors.append(mean_position_error(true, said))
    mean = train.values(0, "position").mean((0, 1))
    assert errors[0] < 0.5 * mean_position_error(true, np.broadcast_to(mean, true.shape))
    assert max(errors[1:]) < errors[0]
    assert errors[3] < errors[2], "what follows tells, too"


def test_counts_around_a_bin_end_with_the_window():
    counts = np.array([[[1], [2], [3], [4]]])
    summed, bins = _around(counts, 1)
    assert summed[0, :, 0].tolist() == [3, 6, 9, 7]
    assert bins.tolist() == [2, 3, 3, 2]


def test_the_filter_is_bayes_rule_bin_by_bin():
    rng = np.random.default_rng(0)
    logs = rng.normal(size=(4, 6))
    prior = rng.normal(size=6)
    learned = {"cell": np.array([1.0]), "step": np.array([0.7]), "log_prior": prior}
    got = _filtered(logs, learned, (6,))
    move, start = _gaussian(6, 0.7), np.exp(prior) / np.exp(prior).sum()
    np.testing.assert_allclose(move.sum(0), 1)
    before = start
    for t in range(4):
        after = before * np.exp(logs[t])
        after /= after.sum()
        np.testing.assert_allclose(got[t], after, rtol=1e-10)
        before = (move @ after) * start
        before /= before.sum()


def test_naive_bayes_needs_a_position(whole):
    with pytest.raises(SpecError, match="no modality 'position'"):
        MODELS.parse("naive_bayes").binned_estimator(whole.spec)
    with pytest.raises(SpecError, match="cannot decode 'spikes', which is of counts"):
        MODELS.parse({"kind": "naive_bayes", "modality": "spikes"}).binned_estimator(whole.spec)
    session = foraging(n=200)
    values = {**session.values, "position": np.full_like(session.values["position"], np.nan)}
    lost = cut(replace(session, values=values), 0, 200)
    with pytest.raises(DataError, match="'position' of session 'rat' is known in no bin"):
        MODELS.parse("naive_bayes").binned_estimator(lost.spec).fit(lost)
    wide = session.spec.model_copy(update={"channels": (session.spec.channels[0], ("x", "y", "z"))})
    with pytest.raises(SpecError, match="more than two channels"):
        MODELS.parse("naive_bayes").binned_estimator(lost.spec.model_copy(update={"sessions": (wide,)}))


# the recurrent network ----------------------------------------------------------------------------------------------


def test_gru_is_a_function_of_its_seed(whole):
    model = MODELS.parse({"kind": "gru", "hidden": 4, "max_epochs": 2})
    train, apart, _ = parts(whole)
    made = [model.binned_estimator(whole.spec, seed=s).fit(train, apart).state() for s in (0, 0, 1)]
    np.testing.assert_equal(made[0], made[1])
    assert any((made[0][k] != made[2][k]).any() for k in made[0] if "network" in k)


def test_gru_leaves_the_global_random_state_alone(whole):
    import torch

    state = torch.random.get_rng_state()
    MODELS.parse({"kind": "gru", "hidden": 4, "max_epochs": 1}).binned_estimator(whole.spec).fit(*parts(whole)[:2])
    assert torch.equal(state, torch.random.get_rng_state())


def test_gru_stops_where_validation_no_longer_falls(whole, monkeypatch):
    from neural_foundation.models import gru_network

    losses = iter([3.0, 2.0, 2.5, 2.4, 2.3, 0.1])
    seen = []
    monkeypatch.setattr(gru_network, "_mean_loss", lambda *a: seen.append(next(losses)) or seen[-1])
    kept = []
    weights = gru_network._weights
    monkeypatch.setattr(gru_network, "_weights", lambda n: kept.append(weights(n)) or kept[-1])
    model = MODELS.parse({"kind": "gru", "hidden": 4, "max_epochs": 6, "patience": 3})
    state = model.binned_estimator(whole.spec).fit(*parts(whole)[:2]).state()
    assert seen == [3.0, 2.0, 2.5, 2.4, 2.3]
    assert len(kept) == 3  # at the start, and after each epoch that was the best so far
    np.testing.assert_equal(state["a/network.inward.bias"], kept[2]["inward.bias"])


def test_a_causal_gru_does_not_see_ahead(whole):
    test = parts(whole)[2]
    session = test.sessions[0]
    spikes = np.array(session.values["spikes"])
    later = (np.arange(len(spikes)) % N_BINS) >= 12
    spikes[later] += 5
    other = replace(test, sessions=(replace(session, values={**session.values, "spikes": spikes}),))
    for bidirectional in (False, True):
        made = fit(whole, "gru", hidden=6, max_epochs=2, bidirectional=bidirectional)
        one, two = (made.predict(t, ("wheel_speed",)).sessions[0]["wheel_speed"] for t in (test, other))
        assert np.array_equal(one[:, :12], two[:, :12]) != bidirectional
        assert not np.array_equal(one[:, 12:], two[:, 12:])


def test_what_follows_is_bayes_rule_over_all_paths():
    rng = np.random.default_rng(1)
    logs, prior = rng.normal(size=(4, 6)), rng.normal(size=6)
    learned = {"cell": np.array([1.0]), "step": np.array([0.7]), "log_prior": prior}
    move, place = _gaussian(6, 0.7), np.exp(prior) / np.exp(prior).sum()
    joint = np.zeros((6,) * 4)
    for path in itertools.product(range(6), repeat=4):
        weight = place[path[0]] * np.exp(logs[0, path[0]])
        for t in range(1, 4):
            weight *= move[path[t], path[t - 1]] * place[path[t]] * np.exp(logs[t, path[t]])
        joint[path] = weight
    expected = np.stack([joint.sum(tuple(a for a in range(4) if a != t)) for t in range(4)]) / joint.sum()
    past = _filtered(logs, learned, (6,))
    assert _smoothed(past, logs, learned, (6,)) == pytest.approx(expected, rel=1e-9)
    assert past[-1] == pytest.approx(expected[-1], rel=1e-9)


def test_to_look_ahead_is_to_remember():
    with pytest.raises(SpecError, match="set memory: true"):
        MODELS.parse({"kind": "naive_bayes", "ahead": True})
