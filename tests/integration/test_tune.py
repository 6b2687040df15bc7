"""`tune` with real Ray: ASHA stops what does badly, the best is found and run, a search that was cut off goes on."""

from __future__ import annotations

import csv
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import pytest

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    pytest.importorskip("ray.tune", reason="the extra 'ray' is not installed")

import toy_stages
from test_space import RECIPE

from neural_foundation.core.store import read_json
from neural_foundation.pipeline.recipe import apply
from neural_foundation.pipeline.tuning import dumped

pytestmark = pytest.mark.slow

CLI = "import sys, toy_stages; from neural_foundation.cli import main; sys.argv[0] = 'neural-foundation'; main()"
SAMPLES = 8


def command(folder: Path, samples: int = SAMPLES, *, workers: int = 1, **changes: Any) -> list[str]:
    file = folder / "toy.yaml"
    file.write_text(dumped(apply(RECIPE, {k.replace("__", "."): v for k, v in changes.items()})))
    words = ["tune", str(file), "--samples", str(samples), "--workers", str(workers), "--output", str(folder / "out")]
    return [sys.executable, "-c", CLI, *words]


def start(words: list[str], **more: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        words,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=Path(toy_stages.__file__).parent,
        **more,
    )


def done(words: list[str], code: int = 0) -> tuple[str, str]:
    process = start(words)
    out, err = process.communicate(timeout=300)
    assert process.returncode == code, err
    assert "Traceback" not in err
    return out, err


def trials(folder: Path) -> list[dict[str, str]]:
    with (folder / "out/tune/trials.csv").open() as file:
        return list(csv.DictReader(file))


def records(folder: Path) -> dict[str, Any]:
    return {p.name: read_json(p) for p in folder.glob("out/tune/*/*.json")}


def test_the_best_is_found_run_and_remembered(tmp_path: Path) -> None:
    out, _ = done(command(tmp_path, learn__learner__max_epochs=9))
    found = trials(tmp_path)
    assert len(found) == SAMPLES
    losses = [float(t["validation_loss"]) for t in found]
    assert losses == sorted(losses)
    stopped = [t for t in found if t["status"] == "stopped"]
    assert stopped, "ASHA stopped nothing"
    assert all(int(t["epochs"]) < 9 for t in stopped)
    assert found[0]["status"] == "finished"
    assert f"Best: trial {found[0]['trial']}. Its recipe: {tmp_path}/out/tune/best.yaml" in out
    assert f"lr: {float(found[0]['learn.learner.lr'])}" in (tmp_path / "out/tune/best.yaml").read_text()
    assert list((tmp_path / "out/join").glob("*/text.txt")), "the whole recipe ran"
    assert not list((tmp_path / "out").rglob("*.partial")), "what stopped trials began is gone"
    assert not list((tmp_path / "out").rglob("*.pkl"))
    assert "Nothing to do" in done(command(tmp_path, learn__learner__max_epochs=9))[0]

    before = records(tmp_path)
    done(command(tmp_path, SAMPLES + 2, learn__learner__max_epochs=9))
    after = records(tmp_path)
    assert len(after) == SAMPLES + 2
    assert {name: after[name] for name in before} == before, "a longer search keeps the trials of the shorter one"


def test_trials_that_fail_are_named_and_the_others_go_on(tmp_path: Path) -> None:
    words = command(tmp_path, tune__space={"learn.learner.lr": {"choice": [0.02, 0.5]}}, learn__learner__fail_above=0.1)
    out, err = done(words)
    assert "failed: lr 0.5 is too high" in err
    assert "0.02" in out
    assert [t["status"] for t in trials(tmp_path)] == ["finished", "failed"]


def test_a_search_where_all_fail_is_one_message(tmp_path: Path) -> None:
    words = command(tmp_path, 2, learn__learner__fail_above=1e-9)
    _, err = done(words, code=1)
    assert "Error: All 2 trials failed. Trial 0: lr" in err


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGKILL, -9)])
def test_a_search_that_was_cut_off_goes_on(number: signal.Signals, code: int, tmp_path: Path) -> None:
    words = command(tmp_path, 4, learn__learner__wait_s=0.5)
    process = start(words, start_new_session=True)
    while len(records(tmp_path)) < 1:
        time.sleep(0.05)
        assert process.poll() is None
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == code, err
    assert (number == signal.SIGKILL) or "of 4 trials have ended and are kept. Run the same command to go on" in err
    before = records(tmp_path)
    assert 1 <= len(before) < 4
    done(words)
    after = records(tmp_path)
    assert len(after) == 4
    assert {name: after[name] for name in before} == before
