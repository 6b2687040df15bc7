"""`run --executor ray`: items as Ray tasks of this machine."""

from __future__ import annotations

import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    ray = pytest.importorskip("ray", reason="the extra 'ray' is not installed")

import toy_stages  # registers its kinds
from test_runner import planned

from neural_foundation.core.errors import DataError, Interrupted
from neural_foundation.core.store import read_json
from neural_foundation.pipeline.executors import JobError, make
from neural_foundation.pipeline.executors_ray import begin
from neural_foundation.pipeline.runner import run

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    """One Ray for all tests of this module, which a run then neither starts nor ends."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(toy_stages.__file__).parent))
        begin("", 2)
        yield
        ray.shutdown()


def outputs(root: Path) -> dict[str, object]:
    return {p.parent.name: read_json(p)["outputs"] for p in root.glob("*/*/manifest.json")}


def test_ray_tasks_give_the_same_bytes_as_one_process(tmp_path: Path, cluster: None) -> None:
    said: list[str] = []
    run(planned(tmp_path / "one"))
    ran = run(planned(tmp_path / "ray"), executor=make("ray"), report=lambda name, *_: said.append(name))
    assert len(ran.made) == 7
    assert outputs(tmp_path / "one") == outputs(tmp_path / "ray")
    assert set(said) == set(ran.made)


def test_a_failed_task_is_its_error_with_its_log(tmp_path: Path, cluster: None) -> None:
    with pytest.raises(DataError, match=r"Told to fail. Its job's log: /\S+/logs"):
        run(planned(tmp_path, stages__join__fail=True), executor=make("ray"))
    assert len(run(planned(tmp_path)).made) == 4


def test_a_fault_of_ours_names_the_log(tmp_path: Path, cluster: None) -> None:
    plan = planned(tmp_path)
    run(plan, stage="words")
    object.__setattr__(plan.of_stage("cut")[0].spec, "folds", "x")
    with pytest.raises(JobError, match=r"The Ray task of 'cut' failed: \w+Error: .* Its log is in /\S+/logs"):
        run(plan, executor=make("ray"))


def test_ctrl_c_ends_tasks_and_the_next_run_goes_on(tmp_path: Path, cluster: None) -> None:
    run(planned(tmp_path), stage="cut")

    def stop_when_running() -> None:
        while not list(tmp_path.glob("join/*.partial")):
            time.sleep(0.05)
        import _thread

        _thread.interrupt_main()

    thread = threading.Thread(target=stop_when_running)
    thread.start()
    with pytest.raises(Interrupted, match="Run the same command to go on"):
        run(planned(tmp_path, stages__join__wait_s=60), executor=make("ray"))
    thread.join()
    began = time.monotonic()
    assert len(run(planned(tmp_path)).made) == 4, "no task holds an item any more"
    assert time.monotonic() - began < 30
