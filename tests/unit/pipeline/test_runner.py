import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import toy_stages  # noqa: F401 - registers its kinds

from neural_foundation.core.errors import DataError, Interrupted, StoreError
from neural_foundation.core.lineage import open_output, pseudonyms
from neural_foundation.core.store import lock, read_json
from neural_foundation.pipeline.plan import Plan, make_plan, reason
from neural_foundation.pipeline.recipe import apply, check
from neural_foundation.pipeline.runner import run

RECIPE = {
    "name": "toy",
    "stages": {
        "words": {"kind": "toy_source"},
        "cut": {"kind": "toy_split", "inputs": {"data": "words"}},
        "join": {"kind": "toy_join", "for_each": ["cut", {"repeat": [1, 2]}], "inputs": {"data": "words"}},
    },
}


def planned(root: Path, **changes: object) -> Plan:
    return make_plan(check(apply(RECIPE, {k.replace("__", "."): v for k, v in changes.items()})), root)


def test_items_fan_out_over_folds_lists_and_recordings(tmp_path: Path) -> None:
    names = [t.name for t in planned(tmp_path).tasks]
    assert names == [
        "words/word-a",
        "words/word-b",
        "cut",
        "join/fold-0.repeat-1",
        "join/fold-1.repeat-1",
        "join/fold-0.repeat-2",
        "join/fold-1.repeat-2",
    ] or sorted(names) == sorted(
        ["words/word-a", "words/word-b", "cut", *(f"join/fold-{f}.repeat-{r}" for f in "01" for r in "12")]
    )


def test_listed_values_are_fields_and_every_item_has_a_seed_of_its_own(tmp_path: Path) -> None:
    tasks = planned(tmp_path).of_stage("join")
    assert {t.spec.repeat for t in tasks} == {1, 2}
    assert len({t.seed for t in tasks}) == len({t.key for t in tasks}) == 4


def test_a_stage_fans_out_over_the_items_of_another(tmp_path: Path) -> None:
    plan = planned(tmp_path, stages__join__for_each=["words", "cut"])
    join = plan.of_stage("join")
    assert [t.item for t in join] == [{"word": w, "fold": f} for w in "ab" for f in "01"]
    for task in join:
        assert [t.item for t in task.inputs["data"]] == [{"word": task.item["word"]}]
        assert [t.stage for t in task.inputs["split"]] == ["cut"]
    run(plan)
    texts = [t.folder.joinpath("text.txt").read_text().split()[-1] for t in join]
    assert texts == ["a", "a", "b", "b"]


def test_a_stage_that_fans_out_over_recordings_only_has_no_split(tmp_path: Path) -> None:
    plan = planned(tmp_path, stages__join__for_each="words")
    assert [(t.name, list(t.inputs)) for t in plan.of_stage("join")] == [
        ("join/word-a", ["data"]),
        ("join/word-b", ["data"]),
    ]


def test_second_run_does_nothing(tmp_path: Path) -> None:
    first = run(planned(tmp_path))
    assert len(first.made) == 7
    second = run(planned(tmp_path))
    assert (second.made, len(second.fresh)) == ([], 7)


def test_manifest_says_where_an_output_comes_from(tmp_path: Path) -> None:
    plan = planned(tmp_path)
    run(plan, command="neural-foundation run toy")
    task = plan.of_stage("join")[0]
    output = task.output()
    assert output is not None
    m = output.manifest
    assert m["key"] == task.key
    assert [i["stage"] for i in m["inputs"]["data"]] == ["words", "words"]
    assert m["run"]["command"] == "neural-foundation run toy"
    assert list(m["outputs"]) == ["half.txt", "text.txt"]
    assert m["measured"] == ["timing.json"]
    word = plan.of_stage("words")[0].output()
    assert word is not None
    assert word.manifest["subjects"] == pseudonyms(["a"], tmp_path)
    assert "a" not in word.manifest["subjects"]


def test_subjects_of_inputs_are_seen_by_what_is_made_from_them(tmp_path: Path) -> None:
    plan = planned(tmp_path)
    run(plan)
    output = plan.of_stage("join")[0].output()
    assert output is not None
    assert output.manifest["subjects"] == pseudonyms(["a", "b"], tmp_path)


@pytest.mark.parametrize(
    ("change", "made", "why"), [({"stages__join__sign": "-"}, 4, "'sign' changed"), ({"seed": 1}, 7, "seed changed")]
)
def test_a_change_makes_only_what_depends_on_it(tmp_path: Path, change: dict[str, object], made: int, why: str) -> None:
    run(planned(tmp_path))
    plan = planned(tmp_path, **change)
    task = plan.of_stage("join")[0]
    assert why in reason(task, plan.state[task.name])
    assert len(run(plan).made) == made


def test_what_does_not_change_results_is_in_no_key(tmp_path: Path) -> None:
    run(planned(tmp_path))
    assert run(planned(tmp_path, stages__words__workers=3, stages__join__wait_s=0.001)).made == []


def test_raw_file_content_is_in_the_key(tmp_path: Path) -> None:
    file = tmp_path / "raw.bin"
    file.write_bytes(b"1")
    before = planned(tmp_path / "out", stages__words__file=str(file)).tasks[0]
    file.write_bytes(b"22")
    after = planned(tmp_path / "out", stages__words__file=str(file)).tasks[0]
    assert before.key != after.key


@pytest.mark.slow
def test_parallel_gives_the_same_bytes(tmp_path: Path) -> None:
    one, two = planned(tmp_path / "1"), planned(tmp_path / "2")
    run(one)
    run(two, workers=2)
    for a, b in zip(one.tasks, two.tasks, strict=True):
        assert read_json(a.folder / "manifest.json")["outputs"] == read_json(b.folder / "manifest.json")["outputs"]


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_failure_keeps_what_was_finished(tmp_path: Path, workers: int) -> None:
    with pytest.raises(DataError, match="Told to fail"):
        run(planned(tmp_path, stages__join__fail=True), workers=workers)
    plan = planned(tmp_path)
    states = [plan.state[t.name] for t in plan.tasks]
    assert states[:3] == ["fresh"] * 3
    assert "interrupted" in states
    run(plan)
    output = plan.of_stage("join")[0].output()
    assert output is not None
    assert output.path("text.txt").exists()


def test_damaged_input_is_refused_and_lost_output_is_made_again(tmp_path: Path) -> None:
    plan = planned(tmp_path)
    run(plan, stage="words")
    output = plan.tasks[0].output()
    assert output is not None
    output.path("word.txt").write_bytes(b"x")  # same size, other content
    with pytest.raises(StoreError, match="not as it was written"):
        run(planned(tmp_path))
    output.path("word.txt").unlink()
    assert len(run(planned(tmp_path)).made) == 6


def test_stage_runs_only_what_it_needs(tmp_path: Path) -> None:
    assert run(planned(tmp_path), stage="cut").made == ["words/word-a", "words/word-b", "cut"]


def test_locked_folder_is_refused(tmp_path: Path) -> None:
    with lock(tmp_path), pytest.raises(StoreError, match="Another run is writing"):
        run(planned(tmp_path))


def test_output_that_cannot_be_written_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="--output"):
        run(planned(tmp_path / "file" / "below"))


def test_interrupt_says_what_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from neural_foundation.pipeline import runner

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    run(planned(tmp_path), stage="words")
    monkeypatch.setattr(runner, "execute", stop)
    with pytest.raises(Interrupted, match="0 of 5 items were finished and are kept. Run the same command to go on."):
        run(planned(tmp_path))


def test_newer_manifest_is_refused_by_name(tmp_path: Path) -> None:
    plan = planned(tmp_path)
    run(plan, stage="words")
    path = plan.tasks[0].folder / "manifest.json"
    path.write_text(path.read_text().replace('"format_version": 1', '"format_version": 9'))
    with pytest.raises(StoreError, match="has format_version 9. Allowed: up to 1"):
        open_output(plan.tasks[0].folder)


SCRIPT = """
import sys; sys.path.insert(0, {here!r})
import toy_stages
from pathlib import Path
from test_runner import planned
from neural_foundation.pipeline.runner import run
run(planned(Path({root!r}), stages__join__wait_s=0.3))
"""


@pytest.mark.slow
def test_killed_run_goes_on_to_the_same_bytes(tmp_path: Path) -> None:
    whole = planned(tmp_path / "whole")
    run(whole)
    root = tmp_path / "killed"
    process = subprocess.Popen([sys.executable, "-c", SCRIPT.format(here=str(Path(__file__).parent), root=str(root))])
    while not list(root.glob("join/*.partial")):
        time.sleep(0.02)
        assert process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.wait()
    killed = planned(root)
    assert "interrupted" in killed.state.values()
    run(killed)
    for a, b in zip(whole.tasks, killed.tasks, strict=True):
        assert read_json(a.folder / "manifest.json")["outputs"] == read_json(b.folder / "manifest.json")["outputs"]
