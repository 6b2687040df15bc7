"""What every baseline on binned sessions promises; a new kind is in it by its table row."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from binned import made_session, made_set

from neural_foundation.core.errors import DataError, PackageError, SignalMismatchError, SpecError
from neural_foundation.core.specs import SignalSpec, TargetSpec
from neural_foundation.core.store import load_arrays, save_arrays
from neural_foundation.models.binned_estimator import BinnedEstimator, BinnedModel
from neural_foundation.models.predicted import DECODING, ENCODING, hidden_for
from neural_foundation.models.table import MODELS
from neural_foundation.sampling.binned import BinnedSession, BinnedSet

N_BINS, TRIALS = 20, 40
# what a kind needs so that it has something to do here, or is quick
FIELDS: dict[str, dict[str, Any]] = {
    "naive_bayes": {"modality": "motion_energy", "places": 12, "window_s": 0.1},
    "gru": {"hidden": 8, "max_epochs": 20, "learning_rate": 0.02, "dropout": 0.1},
}
PREDICTS = {
    "ridge": {"wheel_speed", "motion_energy", "choice", "block"},
    "wiener": {"wheel_speed", "motion_energy"},
    "reduced_rank": {"spikes", "wheel_speed", "motion_energy"},
    "poisson_glm": {"spikes"},
    "psth": {"spikes"},
    "gru": {"wheel_speed", "motion_energy", "choice", "block"},
    "naive_bayes": {"motion_energy"},
}
KINDS = [k for k in MODELS if issubclass(MODELS.row(k).load(), BinnedModel)]


def model(kind: str) -> Any:
    return MODELS.parse({"kind": kind, **FIELDS.get(kind, {})})


def sessions(gaps: float = 0.0) -> list[BinnedSession]:
    return [
        made_session("a", 0, 8, TRIALS, gaps=gaps, unknown=gaps),
        made_session("b", 1, 9, TRIALS, without=("block",)),
    ]


def parts(whole: BinnedSet) -> tuple[BinnedSet, BinnedSet, BinnedSet]:
    """Training, validation and test windows by trial: the rest, each tenth, each fifth."""
    test, apart = whole.trial % 5 == 0, whole.trial % 10 == 3
    return whole.select(~test & ~apart), whole.select(apart), whole.select(test)


def fit(kind: str, whole: BinnedSet) -> BinnedEstimator:
    return model(kind).binned_estimator(whole.spec, seed=4).fit(*parts(whole)[:2])


def both(estimator: BinnedEstimator, windows: BinnedSet) -> list[dict[str, np.ndarray]]:
    """What it says in both directions, one mapping a session."""
    made = [estimator.predict(windows, hidden_for(d, windows.spec)).sessions for d in (ENCODING, DECODING)]
    return [{**a, **b} for a, b in zip(*made, strict=True)]


@pytest.fixture(scope="module")
def whole() -> BinnedSet:
    return made_set(sessions(), N_BINS)


@pytest.fixture(scope="module", params=KINDS)
def fitted(request: pytest.FixtureRequest, whole: BinnedSet) -> tuple[str, BinnedEstimator]:
    return request.param, fit(request.param, whole)


def same(a: list[dict[str, np.ndarray]], b: list[dict[str, np.ndarray]]) -> bool:
    return [{n: v.tobytes() for n, v in s.items()} for s in a] == [{n: v.tobytes() for n, v in s.items()} for s in b]


def test_each_baseline_is_covered():
    assert set(KINDS) == set(PREDICTS)


def test_it_predicts_what_it_can_in_shape(fitted, whole):
    kind, estimator = fitted
    test = parts(whole)[2]
    for index, made in enumerate(both(estimator, test)):
        n, held = int(np.sum(test.session == index)), test.sessions[index].values
        assert set(made) == PREDICTS[kind] & set(held)
        for name, value in made.items():
            assert value.dtype == np.float32
            assert np.isfinite(value).all()
            if test.spec.modality(name).kind == "classes":
                assert value.shape == (n, len(test.spec.modality(name).classes))
                np.testing.assert_allclose(value.sum(1), 1, atol=1e-5)
            else:
                assert value.shape == (n, N_BINS, held[name].shape[1])
            if name == "spikes":
                assert (value > 0).all()


def test_it_learned_something(fitted, whole):
    _, estimator = fitted
    train, _, test = parts(whole)
    for index, made in enumerate(both(estimator, test)):
        for name, value in made.items():
            true, before = test.values(index, name), train.values(index, name)
            if name == "spikes":
                null = before.mean((0, 1))
                gain = np.sum(true * np.log(value / null) - (value - null))
                assert gain > 0, name
            elif value.ndim == 3:
                assert np.mean((true - value) ** 2) < 0.9 * np.mean((true - before.mean((0, 1))) ** 2), name
            elif name == "choice":
                assert np.mean(value.argmax(1) == true) > 0.7


def test_only_hidden_modalities_are_predicted(fitted, whole):
    kind, estimator = fitted
    test = parts(whole)[2]
    assert all(not s for s in estimator.predict(test, ()).sessions)
    one = sorted(PREDICTS[kind] - {"spikes"})[-1:]
    assert all(set(s) == set(one) for s in estimator.predict(test, one).sessions)
    made = estimator.predict(test, test.spec.names).sessions
    # with all inputs hidden the mean response over time is what is left
    assert all(set(s) == ({"spikes"} if kind == "psth" else set()) for s in made)


def test_hidden_values_do_not_matter(fitted, whole):
    _, estimator = fitted
    test = parts(whole)[2]
    for direction in (ENCODING, DECODING):
        hidden = hidden_for(direction, test.spec)
        other = tuple(
            replace(s, values={n: np.full_like(v, 1) if n in hidden else v for n, v in s.values.items()})
            for s in test.sessions
        )
        one = estimator.predict(test, hidden).sessions
        two = estimator.predict(replace(test, sessions=other), hidden).sessions
        assert same(list(one), list(two))


def test_a_window_is_predicted_on_its_own(fitted, whole):
    _, estimator = fitted
    test = parts(whole)[2].select(np.arange(3))
    alone = [both(estimator, test.select([i]))[0] for i in range(3)]
    together = both(estimator, test)[0]
    for name, value in together.items():
        np.testing.assert_allclose(np.concatenate([a[name] for a in alone]), value, rtol=1e-4, atol=1e-5)


def test_windows_that_overlap(whole):
    longer = made_set([made_session("a", 0, 5, lengths=[40] * 20)], N_BINS, hop=5)
    for kind in KINDS:
        estimator = fit(kind, longer)
        test = parts(longer)[2]
        assert all(len(v) == len(test) for v in both(estimator, test)[0].values()), kind


def test_state_is_numbers_and_enough(fitted, whole, tmp_path):
    kind, estimator = fitted
    state = estimator.state()
    assert {k.partition("/")[0] for k in state} == {"a", "b"}
    assert all(v.dtype.kind in "fi" and np.isfinite(v).all() for v in state.values())
    save_arrays(tmp_path / "state.npz", state)
    other = model(kind).binned_estimator(whole.spec, seed=9).load(load_arrays(tmp_path / "state.npz"))
    test = parts(whole)[2]
    assert same(both(other, test), both(estimator, test))
    state[next(iter(state))][...] = 0
    assert same(both(other, test), both(estimator, test))


def test_fitting_again_gives_the_same_bytes(fitted, whole):
    kind, estimator = fitted
    again = fit(kind, whole).state()
    assert {k: v.tobytes() for k, v in again.items()} == {k: v.tobytes() for k, v in estimator.state().items()}


def test_sessions_are_fitted_apart_and_found_by_name(fitted, whole):
    kind, estimator = fitted
    alone = made_set(sessions()[1:], N_BINS)
    state = fit(kind, alone).state()
    np.testing.assert_equal(state, {k: v for k, v in estimator.state().items() if k.startswith("b/")})
    test = parts(alone)[2]
    assert same(both(estimator, test), both(estimator, parts(whole)[2])[1:])


@pytest.mark.parametrize("kind", KINDS)
def test_gaps_in_behaviour(kind):
    whole = made_set(sessions(gaps=0.2), N_BINS)
    made = both(fit(kind, whole), parts(whole)[2])
    assert all(np.isfinite(v).all() for s in made for v in s.values())
    assert set(made[0]) == PREDICTS[kind]


@pytest.mark.parametrize("kind", KINDS)
def test_units_without_spikes_and_constant_behaviour(kind):
    session = made_session("a", 0, 6, TRIALS)
    values = {n: np.array(v) for n, v in session.values.items()}
    values["spikes"][:, 2] = 0
    values["wheel_speed"][:] = 3.0
    values["choice"][:] = 1
    whole = made_set([replace(session, values=values)], N_BINS)
    made = both(fit(kind, whole), parts(whole)[2])[0]
    assert all(np.isfinite(v).all() for v in made.values())
    if "spikes" in made:
        assert (made["spikes"] > 0).all()
        assert made["spikes"][..., 2].max() < 0.01
    if "choice" in made:
        assert made["choice"].argmax(1).tolist() == [1] * len(made["choice"])
    if "wheel_speed" in made:
        np.testing.assert_allclose(made["wheel_speed"], 3.0, atol=0.3 if kind == "gru" else 1e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_without_a_validation_part(kind, whole):
    train, _, test = parts(whole)
    made = both(model(kind).binned_estimator(whole.spec).fit(train), test)
    assert set(made[0]) == PREDICTS[kind]


def test_refusals(fitted, whole):
    kind, estimator = fitted
    train, apart, test = parts(whole)
    fresh = model(kind).binned_estimator(whole.spec)
    with pytest.raises(DataError, match="not fitted"):
        fresh.predict(test, ("spikes",))
    with pytest.raises(DataError, match="Session 'b' has no training windows"):
        fresh.fit(train.select(train.session == 0), apart)
    with pytest.raises(DataError, match="1 training window"):
        fresh.fit(train.select([0, -1]))
    unknown = made_set([made_session("c", 0, 8, TRIALS)], N_BINS)
    with pytest.raises(SignalMismatchError, match="Session 'c' is not one.*Allowed: 'a' or 'b'"):
        estimator.predict(unknown, ("spikes",))
    with pytest.raises(SignalMismatchError, match="Session 'a' has other channels"):
        estimator.predict(made_set([made_session("a", 0, 7, TRIALS)], N_BINS), ("spikes",))
    with pytest.raises(SignalMismatchError, match=r"n_bins 10.*Allowed: 20"):
        estimator.predict(made_set(sessions(), 10), ("spikes",))
    with pytest.raises(SpecError, match="no modality 'spike'"):
        estimator.predict(test, ("spike",))
    with pytest.raises(PackageError, match="holds 'z/weight'"):
        fresh.load({**estimator.state(), "z/weight": np.zeros(1)})
    with pytest.raises(PackageError, match="for session 'a' holds"):
        fresh.load({k: v for k, v in estimator.state().items() if not k.startswith("a/")})
    with pytest.raises(PackageError, match="of type object"):
        fresh.load({k: v.astype(object) for k, v in estimator.state().items()})
    with pytest.raises(SpecError, match="learns from binned sessions"):
        model(kind).estimator(SignalSpec(sfreq=100.0, ch_names=("C3",)), TargetSpec(classes=("x", "y")))


def test_other_models_have_no_binned_estimator(whole):
    with pytest.raises(SpecError, match="'majority' is no estimator for binned sessions"):
        MODELS.parse("majority").binned_estimator(whole.spec)
