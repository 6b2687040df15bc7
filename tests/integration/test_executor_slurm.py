"""`run --executor slurm`: as processes of this machine, and through stand-ins for sbatch, srun and the like."""

from __future__ import annotations

import os
import re
import threading
import time
from pathlib import Path

import pytest

pytest.importorskip("submitit", reason="the extra 'slurm' is not installed")

import toy_stages  # registers its kinds
from test_runner import planned

from neural_foundation.core.errors import DataError, Interrupted, SpecError
from neural_foundation.core.store import read_json
from neural_foundation.pipeline.executors import JobError, make
from neural_foundation.pipeline.runner import run

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::DeprecationWarning")]

SBATCH = """#!/bin/bash
state=$(dirname "$0")/state; mkdir -p "$state"
id=$(( $(ls "$state" | wc -l) + 1 )); echo RUNNING > "$state/$id"; cp "$1" "$state/../script-$id"
SLURM_JOB_ID=$id SLURM_NTASKS=1 SLURM_PROCID=0 SLURM_LOCALID=0 SLURM_NODEID=0 SLURM_JOB_NUM_NODES=1 \
  setsid bash -c 'bash "$1"; s=$?; [ $s = 0 ] && echo COMPLETED > "$2" || echo FAILED > "$2"' - "$1" "$state/$id" \
  > /dev/null 2>&1 &
echo $! > "$state/../pid-$id"
echo "Submitted batch job $id"
"""
SRUN = """#!/bin/bash
shift  # --unbuffered
out=${2//%j/$SLURM_JOB_ID}; err=${4//%j/$SLURM_JOB_ID}
shift 4
exec "$@" >> "${out//%t/0}" 2>> "${err//%t/0}"
"""
SACCT = """#!/bin/bash
echo "JobID|State|NodeList"
state=$(dirname "$0")/state
for f in "$state"/*; do echo "$(basename "$f")|$(cat "$f")|here"; done
"""
SCANCEL = """#!/bin/bash
folder=$(dirname "$0"); echo CANCELLED > "$folder/state/$1"; kill -KILL -- -$(cat "$folder/pid-$1")
"""


@pytest.fixture(autouse=True)
def _kinds_for_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(toy_stages.__file__).parent))


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cluster"
    folder.mkdir()
    for name, text in {"sbatch": SBATCH, "srun": SRUN, "sacct": SACCT, "scancel": SCANCEL}.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return folder


def outputs(root: Path) -> dict[str, object]:
    return {p.parent.name: read_json(p)["outputs"] for p in root.glob("*/*/manifest.json")}


def test_jobs_give_the_same_bytes_as_one_process(tmp_path: Path) -> None:
    run(planned(tmp_path / "one"), stage="cut")
    ran = run(planned(tmp_path / "jobs"), stage="cut", executor=make("slurm", slurm=["cluster=local"]))
    assert len(ran.made) == 3
    assert outputs(tmp_path / "one") == outputs(tmp_path / "jobs")
    assert not list((tmp_path / "jobs").rglob("*.pkl"))


def test_a_failed_job_is_its_error_with_its_log(tmp_path: Path) -> None:
    run(planned(tmp_path), stage="cut")
    with pytest.raises(DataError, match=r"Told to fail. Its job's log: \S+_log.err") as caught:
        run(planned(tmp_path, stages__join__fail=True), executor=make("slurm", slurm=["cluster=local"]))
    log = re.search(r"log: (\S+log.err)", str(caught.value))
    assert log is not None
    assert Path(log[1]).exists()


def test_a_job_that_dies_names_its_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "")  # the job cannot know the kinds
    with pytest.raises(JobError, match=r"Job \d+ of 'words/word-[ab]' failed: .*toy_stages.* Its log: \S+_log.err"):
        run(planned(tmp_path), executor=make("slurm", slurm=["cluster=local"]))


def test_ctrl_c_cancels_jobs_and_the_next_run_goes_on(tmp_path: Path, cluster: Path) -> None:
    run(planned(tmp_path / "out"), stage="cut")

    def stop_when_running() -> None:
        while not list((tmp_path / "out").glob("join/*.partial")):
            time.sleep(0.05)
        import _thread

        _thread.interrupt_main()

    thread = threading.Thread(target=stop_when_running)
    thread.start()
    with pytest.raises(Interrupted, match="Run the same command to go on"):
        run(planned(tmp_path / "out", stages__join__wait_s=60), executor=make("slurm"))
    thread.join()
    states = [p.read_text().strip() for p in (cluster / "state").iterdir()]
    assert "CANCELLED" in states
    assert "RUNNING" not in states
    assert len(run(planned(tmp_path / "out")).made) == 4


def test_sbatch_is_asked_for_what_was_set(tmp_path: Path, cluster: Path) -> None:
    executor = make("slurm", slurm=["partition=long", "mem=2", "time=1:00:00", "account=lab"])
    ran = run(planned(tmp_path / "out"), stage="words", executor=executor)
    assert len(ran.made) == 2
    script = (cluster / "script-1").read_text()
    for line in ("--partition=long", "--mem=2GB", "--time=60", "--account=lab", "--job-name=out-words-word-a"):
        assert f"#SBATCH {line}\n" in script
    assert "gpus" not in script


def test_no_slurm_is_one_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    with pytest.raises(SpecError, match="There is no SLURM here: 'srun' is not found. Run where jobs are submitted"):
        run(planned(tmp_path), executor=make("slurm"))
