"""A fit that was cut off, however, and called again ends in the same bytes as one that was not."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from learning_fakes import SIGNAL, SUBJECTS, SmallModel, windows

from neural_foundation.core.errors import StoreError
from neural_foundation.learning.fit import fit
from neural_foundation.learning.table import LEARNERS

WHOLE = {
    "kind": "gradient",
    "objective": {"kind": "masked", "span_s": 0.4},
    "max_epochs": 4,
    "batch_size": 8,
    "accumulate": 2,
    "averaging": "ema",
    "augment": {"gain": 0.2, "shift_s": 0.2},
    "checkpoint_every_steps": 1,
}
CHILD = """
import sys, time
from pathlib import Path
sys.path.insert(0, {here!r})
import test_resume
print("ready", flush=True)
test_resume.run(Path(sys.argv[1]), progress=lambda *_: time.sleep(0.02))
"""


def run(folder: Path, learner: dict[str, Any] | None = None, **fields: Any) -> Any:
    """Fit the small model; the folder's checkpoint, if any, is gone on from."""
    asked = {"signal": SIGNAL, "target": None, "subjects": SUBJECTS, "folder": folder, "seed": 1} | fields
    return fit(SmallModel(), LEARNERS.parse(learner or WHOLE), windows(24), windows(6, seed=4), **asked)


def _bytes(fitted: Any, folder: Path) -> tuple[bytes, bytes, Any]:
    from safetensors.torch import save

    disk = (folder / "checkpoints" / "checkpoint.safetensors").read_bytes()
    return save(dict(fitted.model.state_dict())), disk, json.dumps(fitted.history)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: Any) -> Any:
    folder = tmp_path_factory.mktemp("undisturbed")
    return _bytes(run(folder), folder)


class _CutError(Exception):
    pass


@pytest.mark.parametrize("step", [1, 2, 3, 7, 11, 12])
def test_cut_at_a_step_and_resumed(tmp_path: Path, undisturbed: Any, step: int) -> None:
    def cut(done: int, total: int, text: str) -> None:
        if done == step:
            raise _CutError

    with pytest.raises(_CutError):
        run(tmp_path, progress=cut)
    assert _bytes(run(tmp_path), tmp_path) == undisturbed


@pytest.mark.slow
def test_killed_at_a_random_moment_and_resumed(tmp_path: Path, undisturbed: Any) -> None:
    here = str(Path(__file__).parent)
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD.format(here=here), str(tmp_path)],
        stdout=subprocess.PIPE,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert child.stdout is not None
    child.stdout.readline()
    mark = tmp_path / "checkpoints" / "checkpoint.safetensors"
    while not mark.exists():  # the first step is done
        assert child.poll() is None
        time.sleep(0.005)
    time.sleep(random.Random(os.getpid()).uniform(0, 0.25))
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()
    assert child.returncode == -signal.SIGKILL
    assert _bytes(run(tmp_path), tmp_path) == undisturbed
    assert [p.name for p in (tmp_path / "checkpoints").iterdir()] == ["checkpoint.safetensors"]


def test_how_often_checkpoints_are_written_changes_nothing(tmp_path: Path, undisturbed: Any) -> None:
    fitted = run(tmp_path, {**WHOLE, "checkpoint_every_steps": None})
    assert _bytes(fitted, tmp_path)[::2] == undisturbed[::2]


def test_a_finished_fit_is_not_trained_again(tmp_path: Path, undisturbed: Any) -> None:
    run(tmp_path)
    seen: list[Any] = []
    assert _bytes(run(tmp_path, progress=lambda *a: seen.append(a)), tmp_path) == undisturbed
    assert seen == []


def test_ctrl_c_finishes_the_step_and_leaves_its_checkpoint(tmp_path: Path, undisturbed: Any) -> None:
    seen: list[int] = []

    def interrupt(done: int, total: int, text: str) -> None:
        seen.append(done)
        if done == 5:
            os.kill(os.getpid(), signal.SIGINT)

    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, {**WHOLE, "checkpoint_every_steps": None}, progress=interrupt)
    assert signal.getsignal(signal.SIGINT) is handler
    assert seen[-1] == 5
    seen.clear()
    fitted = run(tmp_path, progress=lambda done, *_: seen.append(done))
    assert seen[0] == 5
    assert _bytes(fitted, tmp_path) == undisturbed


def test_an_interrupt_by_someone_else_comes_through_too(tmp_path: Path) -> None:
    def interrupt(done: int, total: int, text: str) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, {**WHOLE, "checkpoint_every_steps": None}, progress=interrupt)
    seen: list[int] = []
    run(tmp_path, progress=lambda done, *_: seen.append(done))
    assert seen[0] == 3


def test_a_checkpoint_of_another_run_is_refused(tmp_path: Path) -> None:
    run(tmp_path, {**WHOLE, "max_steps": 1})
    with pytest.raises(StoreError, match="is of another run: model, learner, seed or data differ.*Remove its folder"):
        run(tmp_path, {**WHOLE, "max_steps": 1}, seed=2)
    run(tmp_path, {**WHOLE, "max_steps": 1, "checkpoint_every_steps": 2})  # how often is not what


@pytest.mark.parametrize("content", [b"", b"not a tensor file", b"\x08\0\0\0\0\0\0\0{}      "])
def test_a_damaged_checkpoint_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "checkpoint.safetensors").write_bytes(content)
    with pytest.raises(StoreError, match=r"checkpoint.safetensors is damaged .*Remove its folder and run again"):
        run(tmp_path)
