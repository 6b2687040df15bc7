from pathlib import Path

import pytest
import toy_stages  # noqa: F401 - registers its kinds

from neural_foundation.core.errors import NeuralFoundationError
from neural_foundation.pipeline.recipe import apply, built_in, check, load, text_of

GOOD = {
    "name": "toy",
    "stages": {
        "words": {"kind": "toy_source"},
        "cut": {"kind": "toy_split", "inputs": {"data": "words"}},
        "join": {"kind": "toy_join", "for_each": "cut", "inputs": {"data": "words"}},
    },
}


def test_stages_come_after_their_inputs_and_splits() -> None:
    recipe = check(GOOD)
    assert recipe.order() == ["words", "cut", "join"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"stages.join.inputs": {"data": "wrds"}},
            r"Stage 'join' names unknown stage 'wrds'. Did you mean 'words'\? Allowed: 'words', 'cut' or 'join'.",
        ),
        (
            {"stages.join.inputs": {"dta": "words"}},
            r"Stage 'join': unknown input 'dta'. Did you mean 'data'\? Allowed: 'data'.",
        ),
        ({"stages.join.inputs": {}}, "Stage 'join': input 'data' is missing. Allowed: a stage that gives Word."),
        ({"stages.join.inputs": {"data": "cut"}}, "input 'data' takes Word, but stage 'cut' gives Split"),
        (
            {"stages.again": {"kind": "toy_join", "for_each": "join", "inputs": {"data": "words"}}},
            "for_each names 'join', which is no split, nor one item a recording. Allowed: a split",
        ),
        ({"stages.join.for_each": "wrds"}, r"Stage 'join' names unknown stage 'wrds'. Did you mean 'words'\?"),
        ({"stages.join.for_each": {"sgn": ["x"]}}, r"for_each lists unknown field 'sgn'. Did you mean 'sign'\?"),
        ({"stages.join.kind": "toy_jon"}, r"Unknown kind 'toy_jon' for stages. Did you mean 'toy_join'\?"),
        ({"stages.join.sgn": "x"}, r"stages 'toy_join': unknown field 'sgn'. Did you mean 'sign'\?"),
        ({"stages.words.words": 3}, "field 'words'"),
        ({"name": "Not A Name"}, "field 'name'"),
        ({"description": 3}, "field 'description'"),
    ],
)
def test_what_does_not_fit_is_one_message(change: dict[str, object], message: str) -> None:
    with pytest.raises(NeuralFoundationError, match=message):
        check(apply(GOOD, change))


def test_unknown_recipe_field_and_version() -> None:
    with pytest.raises(NeuralFoundationError, match=r"unknown field 'stagess'. Did you mean 'stages'\?"):
        check({**GOOD, "stagess": {}})
    with pytest.raises(NeuralFoundationError, match="has format_version 99. Allowed: up to 1"):
        check({**GOOD, "format_version": 99})


def test_settings_reach_into_stages_and_lists() -> None:
    changed = apply(GOOD, {"words.words": ["x", "y"], "seed": 3})
    changed = apply(changed, {"words.words.1": "z"})
    assert check(changed).stages["words"].words == ("x", "z")
    assert check(changed).seed == 3


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("wrds.words", r"names no 'wrds'. Did you mean 'words'\?"),
        ("words.words.7", "no place in a list of 2"),
        ("words.kind.x", "nothing under 'x'"),
    ],
)
def test_settings_that_name_nothing(setting: str, message: str) -> None:
    value = apply(GOOD, {"words.words": ["x", "y"]})
    with pytest.raises(NeuralFoundationError, match=message):
        apply(value, {setting: 1})


def test_circle_is_named() -> None:
    stages = {"a": {"kind": "toy_pass", "inputs": {"data": "b"}}, "b": {"kind": "toy_pass", "inputs": {"data": "a"}}}
    with pytest.raises(NeuralFoundationError, match="in a circle: "):
        check({"name": "toy", "stages": stages})


def test_unknown_recipe_names_the_nearest(tmp_path: object) -> None:
    with pytest.raises(NeuralFoundationError, match=r"There is no recipe 'quickstrt'. Did you mean 'quickstart'\?"):
        text_of("quickstrt")
    with pytest.raises(NeuralFoundationError, match="There is no recipe file no/such.yaml"):
        load("no/such.yaml")


def test_a_folder_of_the_name_hides_no_built_in_recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "quickstart").mkdir()
    assert load("quickstart").name == "quickstart"


def test_recipes_in_folders_are_named_by_their_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from neural_foundation.pipeline import recipe

    (tmp_path / "group").mkdir()
    (tmp_path / "group/__pycache__").mkdir()
    (tmp_path / "group/inner.yaml").write_text("name: group-inner\nstages: {words: {kind: toy_source}}\n")
    (tmp_path / "outer.yaml").write_text("name: outer\nstages: {words: {kind: toy_source}}\n")
    monkeypatch.setattr(recipe.resources, "files", lambda package: tmp_path)
    assert built_in() == ["group/inner", "outer"]
    assert load("group/inner").name == "group-inner"
    assert text_of("group/inner")[1] == "group/inner.yaml"
    with pytest.raises(NeuralFoundationError, match=r"no recipe 'group/iner'. Did you mean 'group/inner'\?"):
        text_of("group/iner")


@pytest.mark.parametrize("name", built_in())
def test_a_built_in_recipe_is_named_as_it_is_called(name: str) -> None:
    assert load(name).name == name.replace("/", "-")


@pytest.mark.parametrize("name", built_in())
@pytest.mark.parametrize("tiny", [False, True])
def test_built_in_recipes_are_right(name: str, tiny: bool) -> None:
    recipe = load(name, tiny=tiny)
    assert recipe.order()
    assert recipe.description


def test_settings_on_the_command_line_are_yaml() -> None:
    recipe = load("quickstart", changes=["seed=7", "split.folds=3"])
    assert recipe.seed == 7
    assert recipe.stages["split"].folds == 3
    with pytest.raises(NeuralFoundationError, match="Setting 'folds' is not understood"):
        load("quickstart", changes=["folds"])
