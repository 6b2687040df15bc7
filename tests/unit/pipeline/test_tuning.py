from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import toy_stages  # noqa: F401 - registers its kinds
from test_space import RECIPE

from neural_foundation.core.errors import DataError, SpecError
from neural_foundation.pipeline.recipe import apply, check, value_of
from neural_foundation.pipeline.runner import ignore, make
from neural_foundation.pipeline.space import Tune
from neural_foundation.pipeline.tuning import (
    Outcome,
    Search,
    Watch,
    best_of,
    best_value,
    dumped,
    prepare,
    ranked,
    run_trial,
    worth,
    write,
)
from neural_foundation.pipeline.yaml12 import parse

TUNE = Tune.model_validate(RECIPE["tune"])


def search(root: Path, samples: int = 4, **changes: object) -> Search:
    return prepare(apply(RECIPE, {k.replace("__", "."): v for k, v in changes.items()}), root, samples, "toy.yaml")


def ran(found: Search, number: int = 0) -> list[tuple[int, float]]:
    """Run one trial as a worker would; return what it told."""
    make(found.shared(), found.root)
    told: list[tuple[int, float]] = []
    run_trial(found, found.trials[number], lambda epochs, value: told.append((epochs, value)))
    return told


def test_a_trial_tells_each_epoch_and_leaves_its_output_in_the_store(tmp_path: Path) -> None:
    found = search(tmp_path)
    told = ran(found)
    assert [epochs for epochs, _ in told] == [1, 2, 3, 4]
    assert all(a > b for (_, a), (_, b) in zip(told, told[1:], strict=False))
    (task,) = found.trials[0].judged
    assert task.name == "learn/fold-0"
    assert task.output() is not None
    assert ran(found) == told, "a fresh trial tells the same, without a fit"


def test_all_items_are_judged_by_their_mean(tmp_path: Path) -> None:
    found = search(tmp_path, tune__items="all")
    assert found.trials[0].max_epochs == 8
    told = ran(found)
    assert [epochs for epochs, _ in told] == list(range(1, 9))
    assert told[4][1] == pytest.approx((told[3][1] + told[0][1]) / 2)
    assert told[-1][1] == pytest.approx(told[3][1])


def test_what_trials_share_is_what_several_need_before_the_tuned_stage(tmp_path: Path) -> None:
    assert [t.name for t in search(tmp_path).shared()] == ["words/word-a", "words/word-b", "cut"]
    space = {"words.words": {"choice": [["a"], ["b"]]}}
    assert search(tmp_path, 20, tune__space=space).shared() == [], "each of two trials has words of its own"
    space["learn.learner.lr"] = {"choice": [0.1, 0.01]}
    both = search(tmp_path, 20, tune__space=space).shared()
    assert sorted(t.name for t in both) == ["cut", "cut", "words/word-a", "words/word-b"]


def test_what_a_listener_raises_ends_the_fit(tmp_path: Path) -> None:
    found = search(tmp_path)
    make(found.shared(), found.root)

    def stop(epochs: int, value: float) -> None:
        if epochs == 2:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        run_trial(found, found.trials[0], stop)
    assert found.trials[0].judged[0].output() is None
    assert found.trials[0].judged[0].working.exists()
    found.clean([outcome(0, None, status="stopped")])
    assert not found.trials[0].judged[0].working.exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tune__space": {"learn.learner.rate": {"uniform": [0, 1]}}}, "learn.learner.rate = 0.0 cannot be: .*unknown"),
        ({"tune__space": {"learn.lerner.lr": {"uniform": [1, 2]}}}, "names no 'lerner'. Did you mean 'learner'"),
        (
            {"tune__space": {"learn.learner.lr": {"choice": [0.1, -1]}}},
            "learn.learner.lr = -1 cannot be: .*greater than",
        ),
        ({"tune__space": {"learn.learner.lr": {"uniform": [-1, 1]}}}, "learn.learner.lr = -1.0 cannot be"),
        ({"tune": None}, "toy.yaml does not say what to search"),
    ],
)
def test_a_space_that_cannot_be_is_found_before_anything_runs(
    change: dict[str, object], message: str, tmp_path: Path
) -> None:
    with pytest.raises(SpecError, match=message):
        search(tmp_path, **change)
    assert not list(tmp_path.iterdir())


def row(epoch: int, loss: float, accuracy: float) -> dict[str, float]:
    return {"epoch": epoch, "step": epoch, "train_loss": 0.0, "validation_loss": loss, "balanced_accuracy": accuracy}


def test_a_trial_is_worth_what_the_fit_would_hand_back() -> None:
    history = [row(0, 1.0, 0.9), row(1, 0.5, 0.7), row(2, 0.8, 0.8)]
    assert worth(history, TUNE) == 0.5
    accuracy = TUNE.model_copy(update={"metric": "balanced_accuracy", "mode": "max"})
    assert worth(history, accuracy, monitor="loss") == 0.7
    assert worth(history, accuracy, monitor="balanced_accuracy") == 0.9
    assert worth(history, TUNE, monitor="balanced_accuracy") == 1.0


def test_a_history_without_the_figure_says_what_it_has() -> None:
    other = TUNE.model_copy(update={"metric": "validation_bits"})
    with pytest.raises(DataError, match="no 'validation_bits'. Allowed: 'balanced_accuracy' or 'validation_loss'"):
        worth([row(0, 1.0, 0.9)], other)
    with pytest.raises(DataError, match="Give the split a validation part: trials are never judged by test data"):
        worth([{"epoch": 0, "train_loss": 1.0}], TUNE)
    with pytest.raises(DataError, match="is empty"):
        worth([], TUNE)


def outcome(number: int, value: float | None, epochs: int = 4, status: str = "finished") -> Outcome:
    return Outcome(number, {"learn.learner.lr": 0.1 + number}, status, value, epochs, 1.0, [], "" if value else "No")  # type: ignore[arg-type]


def test_the_best_comes_first_and_what_failed_last() -> None:
    found = [outcome(0, 2.0), outcome(1, None, status="failed"), outcome(2, 1.0), outcome(3, 3.0, 1, "stopped")]
    assert [o.number for o in ranked(found, "min")] == [2, 0, 3, 1]
    assert [o.number for o in ranked(found, "max")] == [3, 0, 2, 1]
    assert best_of(found, "min").number == 2
    tied = [outcome(0, 1.0, 2, "stopped"), outcome(1, 1.0, 4), outcome(2, 1.0, 4)]
    assert best_of(tied, "min").number == 1


def test_a_search_where_all_failed_has_no_best() -> None:
    with pytest.raises(DataError, match="All 2 trials failed. Trial 0: No"):
        best_of([outcome(0, None), outcome(1, None)], "min")


def test_best_yaml_is_a_recipe_and_trials_csv_has_all(tmp_path: Path) -> None:
    found = search(tmp_path)
    settings = found.trials[2].settings
    ended = [outcome(0, None, status="failed"), replace(outcome(2, 0.25), settings=settings)]
    recipe, table = write(found, ended)
    text = recipe.read_text()
    assert text.startswith("# The best of 2 trials of toy: validation_loss 0.25 in trial 2.\n")
    value, name = value_of(recipe)
    assert value == apply(RECIPE, settings)
    assert check(value, name).stages["learn"].learner.lr == settings["learn.learner.lr"]
    lines = table.read_text().splitlines()
    assert lines[0] == "trial,status,validation_loss,epochs,seconds,learn.learner.lr,error"
    assert lines[1] == f"2,finished,0.25,4,1.0,{settings['learn.learner.lr']},"
    assert lines[2] == "0,failed,,4,1.0,0.1,No"


def test_best_of_a_tiny_search_is_tiny_already() -> None:
    assert "tiny" not in best_value({"name": "x-tiny", "tiny": {"a": 1}, "stages": {}}, {})
    assert best_value({"name": "x", "tiny": {"a": 1}, "stages": {}}, {"seed": 3})["tiny"] == {"a": 1}


@pytest.mark.parametrize("value", [1e-5, 3e20, 0.1, "1e-3", "no", "yes", "~", "", "12:30", None, True, "0x1f", "é"])
def test_values_survive_the_way_to_yaml_and_back(value: object) -> None:
    assert parse(dumped({"a": value, "b": [value]})) == {"a": value, "b": [value]}


def test_parts_that_a_recipe_repeats_are_written_out() -> None:
    part = {"kind": "toy_source"}
    assert "&" not in dumped({"stages": {"a": part, "b": part}})


def told(found: Search, report: Callable[[str, int, int, str], None] = ignore) -> Watch:
    watch = Watch(found, report)
    watch.begin(0)
    watch.tell(0, 1, 5.0)
    watch.tell(0, 2, 4.0)
    watch.end(0, "stopped")
    watch.tell(1, 1, 3.0)
    watch.end(1, "failed", "No")
    return watch


def test_a_search_that_was_cut_off_remembers_what_ended(tmp_path: Path) -> None:
    said: list[tuple[str, int, int, str]] = []
    watch = told(search(tmp_path), lambda *words: said.append(words))
    assert [t.number for t in watch.todo] == [2, 3]
    assert ("trial/0", 2, 4, "validation loss 4") in said
    again = Watch(search(tmp_path, 6), lambda *words: said.append(words))
    assert [t.number for t in again.todo] == [2, 3, 4, 5]
    assert again.outcomes == watch.outcomes
    assert (again.outcomes[0].value, again.outcomes[0].rows) == (4.0, [[1, 5.0], [2, 4.0]])
    assert (again.outcomes[1].value, again.outcomes[1].error) == (None, "No")
    assert said[-2:] == [("trial/0", 1, 1, "done"), ("trial/1", 1, 1, "done")]
    again.end(0, "finished")
    assert again.outcomes[0].status == "stopped", "what an earlier run saw stays"


@pytest.mark.parametrize("change", [{"tune__reduction": 2}, {"tune__grace_epochs": 2}, {"words__words": ["x", "y"]}])
def test_another_search_remembers_nothing(change: dict[str, object], tmp_path: Path) -> None:
    told(search(tmp_path))
    assert len(Watch(search(tmp_path, **change), ignore).todo) == 4


def test_how_many_at_once_is_no_other_search(tmp_path: Path) -> None:
    told(search(tmp_path))
    assert len(Watch(search(tmp_path, tune__max_concurrent=3), ignore).todo) == 2


def test_without_ray_the_message_names_its_extra(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import sys

    from typer.testing import CliRunner

    from neural_foundation.cli import app
    from neural_foundation.core.errors import MissingExtraError

    monkeypatch.setitem(sys.modules, "ray", None)
    file = tmp_path / "toy.yaml"
    file.write_text(dumped(RECIPE))
    result = CliRunner().invoke(app, ["tune", str(file), "--samples", "2", "--output", str(tmp_path / "out")])
    assert isinstance(result.exception, MissingExtraError)
    assert "pip install 'neural-foundation[ray]'" in str(result.exception)
    assert not list((tmp_path / "out").glob("*/*")), "nothing was made"
