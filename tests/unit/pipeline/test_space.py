import numpy as np
import pytest
import toy_stages  # noqa: F401 - registers its kinds
from pydantic import ValidationError

from neural_foundation.core.errors import SpecError
from neural_foundation.pipeline.recipe import apply, check
from neural_foundation.pipeline.space import Range, Tune, draws

RECIPE = {
    "name": "toy",
    "stages": {
        "words": {"kind": "toy_source"},
        "cut": {"kind": "toy_split", "inputs": {"data": "words"}},
        "learn": {"kind": "toy_learn", "for_each": "cut", "inputs": {"data": "words"}, "learner": {"lr": 0.1}},
        "join": {"kind": "toy_join", "inputs": {"data": "words"}},
    },
    "tune": {"stage": "learn", "space": {"learn.learner.lr": {"loguniform": [1e-4, 1.0]}}},
}


def values(n: int = 2000, **form: object) -> np.ndarray:
    rng = np.random.default_rng(0)
    drawn = [Range.model_validate(form).draw(rng) for _ in range(n)]
    assert {type(v) for v in drawn} <= {int, float}
    return np.asarray(drawn)


def test_ranges_are_drawn_as_their_name_says() -> None:
    uniform = values(uniform=[2, 4])
    assert 2 <= uniform.min() < 2.01 < 3.99 < uniform.max() <= 4
    logarithms = np.log10(values(loguniform=[1e-4, 1e-2]))
    assert logarithms.min() >= -4
    assert logarithms.max() <= -2
    assert logarithms.mean() == pytest.approx(-3, abs=0.05)
    assert set(values(randint=[3, 6])) == {3, 4, 5}
    assert set(values(quniform=[0.1, 0.5, 0.2])) == {0.2, 0.4}
    assert set(values(quniform=[0, 0.3, 0.1])) == {0, 0.1, 0.2, 0.3}
    assert set(values(choice=[64, 128])) == {64, 128}


def test_a_choice_is_any_value() -> None:
    drawn = {str(Range(choice=("a", None, [1, 2])).draw(np.random.default_rng(k))) for k in range(20)}
    assert drawn == {"a", "None", "[1, 2]"}


@pytest.mark.parametrize(
    ("form", "message"),
    [
        ({}, "give one of choice, uniform, loguniform, quniform, randint, not none"),
        ({"uniform": [0, 1], "choice": [1]}, "not choice and uniform"),
        ({"uniform": [1, 1]}, "uniform: 1 is not below 1"),
        ({"randint": [3, 2]}, "randint: 3 is not below 2"),
        ({"loguniform": [0, 1]}, "the lowest must be above 0"),
        ({"quniform": [0, 1, 0]}, "the step must be above 0"),
        ({"choice": []}, "at least 1 item"),
        ({"normal": [0, 1]}, "Extra inputs are not permitted"),
    ],
)
def test_a_wrong_range_is_refused(form: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Range.model_validate(form)


def test_a_longer_search_begins_with_the_draws_of_a_shorter_one() -> None:
    tune = Tune.model_validate(RECIPE["tune"])
    assert draws(tune, 3, 10)[:4] == draws(tune, 3, 4)
    assert draws(tune, 3, 4) != draws(tune, 4, 4)


def test_no_settings_are_drawn_twice() -> None:
    tune = Tune(stage="a", space={"a.x": Range(choice=(1, 2)), "a.y": Range(choice=(True, False))})
    assert len(draws(tune, 0, 100)) == 4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tune.stage": "lern"}, r"tune names unknown stage 'lern'. Did you mean 'learn'\?"),
        ({"tune.stage": "join"}, "stage 'join' has no learner with epochs"),
        ({"tune.space": {"join.sign": {"choice": ["x"]}}}, "'join.sign' changes nothing of 'learn'"),
        ({"tune.space": {"seed": {"randint": [0, 9]}}}, "'seed' changes nothing of 'learn'"),
        ({"tune.space": {"cut.folds": {"randint": [2, 4]}}}, "'cut.folds' changes who is held out"),
        ({"tune.space": {"learn.learner.lr": {"uniform": [2, 1]}}}, "uniform: 2 is not below 1"),
        ({"tune.metric": "train_loss"}, "a search judges by the validation part"),
        ({"tune.metric": "test_accuracy"}, "a search judges by the validation part"),
        ({"tune.metric": "step"}, "a search judges by the validation part"),
        ({"tune.grace": 2}, "unknown field 'tune.grace'"),
    ],
)
def test_a_search_that_does_not_fit_is_one_message(change: dict[str, object], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        check(apply(RECIPE, change))


def test_any_figure_of_the_validation_part_may_judge() -> None:
    tune = check(apply(RECIPE, {"tune.metric": "encoding_spikes", "tune.mode": "max"})).tune
    assert tune is not None
    assert (tune.metric, tune.mode) == ("encoding_spikes", "max")


def test_a_space_may_name_what_comes_before() -> None:
    recipe = check(apply(RECIPE, {"tune.space": {"words.words": {"choice": [["a"], ["b"]]}}}))
    assert recipe.tune is not None
    assert recipe.upstream("learn") == ["words", "cut", "learn"]
