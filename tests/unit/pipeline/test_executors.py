import os
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import toy_stages  # noqa: F401 - registers its kinds
from test_runner import planned

from neural_foundation.core.errors import DataError, MissingExtraError, NeuralFoundationError, SpecError
from neural_foundation.pipeline import executors, making
from neural_foundation.pipeline.executors import Call, Executor, RaySettings, Running, SlurmSettings, attempt
from neural_foundation.pipeline.executors_slurm import minutes, parameters
from neural_foundation.pipeline.runner import run


class Here(Executor):
    """Makes an item when asked for its result, in this process; ends them in the reverse order."""

    poll_s = 0.0

    def __init__(self) -> None:
        self.events: list[str] = []
        self.open: list[str] = []

    def start(self, root: Path) -> None:
        self.events.append("start")

    def submit(self, call: Call) -> Running:
        assert all(t.output() is not None for t in call.task.needs()), "handed over before its inputs"
        self.open.append(call.task.name)
        return Item(self, call)

    def wait(self, running: Sequence[Running]) -> None:
        self.events.append(f"wait {len(running)}")

    def reports(self) -> list[executors.Said]:
        return [("x", 1, 2, "said")]

    def finish(self) -> None:
        self.events.append("finish")

    def stop(self) -> None:
        self.events.append("stop")


class Item:
    def __init__(self, executor: Here, call: Call) -> None:
        self.executor, self.call = executor, call

    def done(self) -> bool:
        return self.executor.open[-1] == self.call.task.name

    def result(self) -> None:
        error = attempt(self.call)
        self.executor.open.remove(self.call.task.name)
        if error is not None:
            raise error


@pytest.fixture(autouse=True)
def _threads_as_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executors, "limit_threads", lambda: None)


def test_items_are_handed_over_when_their_inputs_are_there(tmp_path: Path) -> None:
    here, said = Here(), list[tuple[str, int, int, str]]()
    ran = run(planned(tmp_path), executor=here, report=lambda *words: said.append(words))
    assert len(ran.made) == 7
    assert set(ran.made[:2]) == {"words/word-a", "words/word-b"}
    assert ran.made[2] == "cut"
    assert here.events[:2] == ["start", "wait 2"]
    assert "wait 4" in here.events
    assert here.events[-1] == "finish"
    assert ("x", 1, 2, "said") in said
    assert run(planned(tmp_path), executor=Here()).made == []


def test_an_error_stops_what_runs_and_keeps_its_type(tmp_path: Path) -> None:
    here = Here()
    with pytest.raises(DataError, match="Told to fail"):
        run(planned(tmp_path, stages__join__fail=True), executor=here)
    assert here.events[-1] == "stop"
    assert "finish" not in here.events


def test_an_item_that_another_process_made_is_not_made_again(tmp_path: Path) -> None:
    task = planned(tmp_path).tasks[0]
    assert making.execute_once(task, tmp_path)
    assert not making.execute_once(task, tmp_path)
    assert making.shared(tmp_path)


@pytest.mark.slow
def test_an_item_under_way_elsewhere_is_waited_for(tmp_path: Path) -> None:
    import threading

    plan = planned(tmp_path, stages__join__wait_s=0.3)
    run(planned(tmp_path), stage="cut")
    task = plan.of_stage("join")[0]
    made: list[bool] = []
    threads = [threading.Thread(target=lambda: made.append(making.execute_once(task, tmp_path))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(made) == [False, False, True]


def test_a_job_works_where_it_was_called(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    call = Call(planned(Path("out")).tasks[0], Path("out"), "cpu", "")
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")
    assert attempt(call) is None
    assert Path(os.getcwd()) == tmp_path
    assert list((tmp_path / "out/words").iterdir())


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        ("slrum", {}, r"There is no executor 'slrum'. Did you mean 'slurm'\? Allowed: 'local', 'ray' or 'slurm'."),
        ("local", {"slurm": ["mem=1"]}, "--slurm is given, but the executor is 'local'. Add --executor slurm."),
        ("slurm", {"ray": ["cpus=1"]}, "--ray is given, but the executor is 'slurm'. Add --executor ray."),
        ("slurm", {"slurm": ["mem"]}, "--slurm mem is not understood. Allowed: KEY=VALUE with 'partition', "),
        ("slurm", {"slurm": ["memory=3"]}, r"unknown field 'memory'. Did you mean 'mem'\?"),
        ("slurm", {"slurm": ["mem=lots"]}, "--slurm: field 'mem'"),
        ("slurm", {"slurm": ["time=4h"]}, "--slurm: field 'time'"),
        ("slurm", {"slurm": ["gpus=-1"]}, "greater than or equal to 0"),
        ("slurm", {"slurm": ["cluster=pbs"]}, "--slurm: field 'cluster'"),
        ("ray", {"ray": ["cpus=0"]}, "greater than 0"),
    ],
)
def test_wrong_settings_are_one_message(name: str, given: dict[str, list[str]], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        executors.make(name, 1, **given)


def test_settings_are_read() -> None:
    slurm = executors.settings(SlurmSettings, "--slurm", ["partition=gpu", "time=1-02:30:01", "mem=16GB", "gpus=2"])
    assert parameters(slurm) == {
        "timeout_min": 26 * 60 + 31,
        "cpus_per_task": 1,
        "gpus_per_node": 2,
        "mem_gb": 16.0,
        "slurm_partition": "gpu",
    }
    assert parameters(SlurmSettings()) == {"timeout_min": 240, "cpus_per_task": 1}
    assert executors.settings(SlurmSettings, "--slurm", ["partition=42"]).partition == "42"
    assert executors.settings(RaySettings, "--ray", ["cpus=2", "gpus=0.5"]).gpus == 0.5
    assert executors.make("local") is None


@pytest.mark.parametrize(
    ("text", "n"), [("90", 90), ("1:30", 90), ("01:30:00", 90), ("0:00:01", 1), ("2-00:00:00", 2880)]
)
def test_times_are_in_minutes(text: str, n: int) -> None:
    assert minutes(text) == n


@pytest.mark.parametrize(("name", "library", "extra"), [("ray", "ray", "ray"), ("slurm", "submitit", "slurm")])
def test_a_missing_library_names_its_extra(
    name: str, library: str, extra: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(MissingExtraError, match=rf"neural-foundation\[{extra}\]"):
        run(planned(tmp_path), executor=executors.make(name))


def test_an_error_from_a_job_names_its_log() -> None:
    error = executors.with_log(DataError("No trials", remedy="Check the events"), "/x/log.err")
    assert str(error) == "No trials. Check the events. Its job's log: /x/log.err."
    assert isinstance(executors.with_log(NeuralFoundationError("No"), "/x"), NeuralFoundationError)
