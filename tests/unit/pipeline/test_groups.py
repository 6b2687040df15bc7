"""Groups: stages under one name for `run --stage`; they change no key."""

from pathlib import Path
from typing import Any

import pytest
import toy_stages  # noqa: F401 - registers its kinds
from typer.testing import CliRunner

from neural_foundation.cli import app
from neural_foundation.core.errors import SpecError
from neural_foundation.models.packed import FACTS
from neural_foundation.pipeline.plan import make_plan
from neural_foundation.pipeline.recipe import apply, built_in, check, load
from neural_foundation.pipeline.runner import run
from neural_foundation.serving.models import package_folder

GOOD: dict[str, Any] = {
    "name": "toy",
    "stages": {
        "words": {"kind": "toy_source"},
        "cut": {"kind": "toy_split", "inputs": {"data": "words"}},
        "plus": {"kind": "toy_join", "for_each": "cut", "inputs": {"data": "words"}},
        "minus": {"kind": "toy_join", "sign": "-", "inputs": {"data": "words"}},
        "other": {"kind": "toy_join", "sign": "*", "inputs": {"data": "words"}},
    },
    "groups": {"data": ["words", "cut"], "models": ["plus", "minus"], "both": ["plus"]},
}


def test_a_group_is_made_with_what_it_needs_and_nothing_else(tmp_path: Path) -> None:
    plan = make_plan(check(GOOD), tmp_path)
    ran = run(plan, stage="models")
    assert {name.partition("/")[0] for name in ran.made} == {"words", "cut", "plus", "minus"}
    assert [t.stage for t in plan.tasks if t.output() is None] == ["other"]
    assert {t.stage for t in plan.up_to("data")} == {"words", "cut"}
    assert {t.stage for t in plan.up_to("minus")} == {"words", "minus"}


def test_groups_enter_no_key(tmp_path: Path) -> None:
    without = {k: v for k, v in GOOD.items() if k != "groups"}
    keys = [[t.key for t in make_plan(check(value), tmp_path).tasks] for value in (GOOD, without)]
    assert keys[0] == keys[1]


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ({"models": ["plus", "mins"]}, r"Group 'models' names unknown stage 'mins'. Did you mean 'minus'\?"),
        ({"plus": ["minus"]}, "'plus' names both a group and a stage. Give the group another name."),
        ({"models": []}, "Group 'models' is empty. Allowed: 'words', 'cut'"),
        ({"models": "plus"}, "field 'groups.models'"),
    ],
)
def test_groups_that_do_not_fit(groups: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        check({**GOOD, "groups": groups})


def test_an_unknown_name_lists_stages_and_groups(tmp_path: Path) -> None:
    plan = make_plan(check(GOOD), tmp_path)
    with pytest.raises(SpecError) as raised:
        plan.up_to("model")
    assert str(raised.value) == (
        "Recipe 'toy' has no stage or group 'model'. Did you mean 'models'? Allowed: the stages 'words', 'cut', "
        "'plus', 'minus' or 'other'; the groups 'data', 'models' or 'both'."
    )
    bare = make_plan(check({**GOOD, "groups": {}}), tmp_path)
    with pytest.raises(SpecError, match=r"has no stage 'mins'. Did you mean 'minus'\? Allowed: 'words', 'cut'"):
        bare.up_to("mins")


def test_settings_reach_groups() -> None:
    assert check(apply(GOOD, {"groups.data": ["words"]})).members("data") == ["words"]


def test_the_command_line_runs_and_shows_groups(tmp_path: Path) -> None:
    recipe = tmp_path / "toy.yaml"
    recipe.write_text(
        "name: toy\nstages:\n  words: toy_source\n  plus: {kind: toy_join, inputs: {data: words}}\n"
        "  other: {kind: toy_join, sign: '*', inputs: {data: words}}\ngroups: {models: [plus]}\n"
    )
    out = ["--output", str(tmp_path / "out")]
    assert CliRunner().invoke(app, ["run", str(recipe), "--stage", "models", *out]).exit_code == 0
    lines = CliRunner().invoke(app, ["status", str(recipe), *out]).output.splitlines()
    assert [line.split()[:2] for line in lines] == [["words", "2/2"], ["models", "plus"], ["other", "0/1"]]
    shown = CliRunner().invoke(app, ["show", str(recipe), "--stage", "models", *out]).output
    assert "plus" in shown
    assert "words/" not in shown
    wrong = CliRunner().invoke(app, ["run", str(recipe), "--stage", "modls", *out])
    assert wrong.exit_code != 0
    assert "the groups 'models'" in str(wrong.exception or wrong.output)


@pytest.mark.parametrize("name", built_in())
def test_serve_finds_what_a_recipe_exports(name: str, tmp_path: Path) -> None:
    stages = load(name).stages
    exports = [n for n, stage in stages.items() if stage.kind in {"export", "export_ensemble"}]  # type: ignore[attr-defined]
    for stage in exports:
        made = tmp_path / stage / "key"
        made.mkdir(parents=True)
        (made / FACTS).touch()
        assert package_folder(tmp_path) == made
