import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from neural_foundation.cli import app
from neural_foundation.core.errors import NeuralFoundationError
from neural_foundation.pipeline.recipe import built_in

RUNNER = CliRunner()
TINY = ["quickstart", "--tiny", "--output"]


def ask(*words: str) -> str:
    result = RUNNER.invoke(app, list(words))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.output


def test_help_names_every_verb() -> None:
    text = ask("--help")
    for verb in ("run", "plan", "status", "show", "new", "schema", "data", "tune"):
        assert verb in text


def test_version() -> None:
    from neural_foundation import __version__

    assert ask("--version").strip() == __version__


def test_plan_says_what_would_run_and_why(tmp_path: Path) -> None:
    text = ask("plan", *TINY, str(tmp_path / "out"))
    assert "make  prepare/recording-sim001" in text
    assert "never run" in text
    assert "items to make, into" in text
    assert not list((tmp_path / "out").glob("*/*")), "a plan makes nothing"


def test_status_counts_stages(tmp_path: Path) -> None:
    text = ask("status", *TINY, str(tmp_path))
    assert "prepare            0/4   fresh  (4 missing)" in text


def test_run_one_stage_then_status_show_and_again(tmp_path: Path) -> None:
    assert "Made 4 outputs" in ask("run", *TINY, str(tmp_path), "--stage", "prepare")
    assert "prepare            4/4   fresh" in ask("status", *TINY, str(tmp_path))
    shown = ask("show", *TINY, str(tmp_path), "--stage", "prepare")
    assert "files: prepared.json, session.h5, sim001-truth.npz, sim001.edf, source.json" in shown
    assert "Nothing to do: all 4 outputs are fresh" in ask("run", *TINY, str(tmp_path), "--stage", "prepare")
    assert "make  prepare/recording-sim001" in ask("plan", *TINY, str(tmp_path), "--set", "prepare.dataset.erd=0.3")
    assert "'dataset' changed" in ask("plan", *TINY, str(tmp_path), "--set", "prepare.dataset.erd=0.3")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["plan", "quikstart"], r"There is no recipe 'quikstart'. Did you mean 'quickstart'\?"),
        (["plan", "quickstart", "--set", "split.fold=3"], r"unknown field 'fold'. Did you mean 'folds'\?"),
        (["plan", "quickstart", "--set", "splt.folds=3"], r"names no 'splt'. Did you mean 'split'\?"),
        (["run", "quickstart", "--stage", "evalate"], r"has no stage 'evalate'. Did you mean 'evaluate'\?"),
        (["run", "quickstart", "--executor", "slurrm"], r"There is no executor 'slurrm'. Did you mean 'slurm'\?"),
        (["run", "quickstart", "--slurm", "mem=4"], "--slurm is given, but the executor is 'local'"),
        (["tune", "quickstart"], "quickstart.yaml does not say what to search. Add 'tune: "),
        (["run", "quickstart", "--tiny", "--stage", "split", "--device", "gpu"], "Device 'gpu' is not known"),
    ],
)
def test_mistakes_are_one_message(
    words: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(NeuralFoundationError, match=message):
        ask(*words)


def test_new_writes_a_recipe_that_runs_and_its_schema(tmp_path: Path) -> None:
    file = tmp_path / "my.yaml"
    assert "Next: neural-foundation run" in ask("new", "motor-imagery", str(file))
    assert "items to make" in ask("plan", str(file), "--tiny", "--output", str(tmp_path / "out"))
    assert (tmp_path / "my.schema.json").exists()
    with pytest.raises(NeuralFoundationError, match="is already there"):
        ask("new", "motor-imagery", str(file))


@pytest.mark.parametrize("name", built_in())
def test_schema_accepts_the_built_in_recipes(name: str) -> None:
    import jsonschema

    from neural_foundation.cli.schema import recipe_schema
    from neural_foundation.pipeline.recipe import text_of
    from neural_foundation.pipeline.yaml12 import parse

    value = parse(text_of(name)[0])
    jsonschema.validate(value, recipe_schema())
    next(iter(value["stages"].values()))["fods"] = 3
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(value, recipe_schema())


def test_data_lists_and_inspects(tmp_path: Path) -> None:
    assert "simulated_motor_imagery" in ask("data", "list")
    ask("run", *TINY, str(tmp_path), "--stage", "prepare")
    edf = next(tmp_path.glob("prepare/*/sim001.edf"))
    text = ask("data", "inspect", str(edf))
    assert "16 channels at 250 Hz" in text
    assert "left_hand, right_hand" in text


def test_error_ends_with_exit_code_1_and_no_traceback(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "neural_foundation", "run", "no/such.yaml"], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 1
    assert done.stderr.startswith("Error: There is no recipe file no/such.yaml.")
    assert "Traceback" not in done.stderr
