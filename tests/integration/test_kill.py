"""kill -9 at random moments of `quickstart --tiny`, `hms --tiny`; going on gives the bytes of an undisturbed run."""

from __future__ import annotations

import os
import random
import signal
import subprocess
from pathlib import Path

import pytest
from quickstart_runs import Run, checksums, command, run

KILLS, SEED = 10, 20


def killed(output: Path, after_s: float, recipe: str) -> bool:
    """Start or go on with a run and kill it after some seconds; return whether it was still running."""
    process = subprocess.Popen(
        command(output, recipe=recipe), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        process.wait(after_s)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return True
    assert process.returncode == 0
    return False


def disturb(folder: Path, kills: int, whole: Run, seed: int, recipe: str = "quickstart", share: float = 0.6) -> None:
    """Kill runs `kills` times, a fresh folder whenever one gets to its end; each must end as `whole` did.

    share : of the whole run's seconds, how long a killed one may run.
    """
    moments, expected, count, attempt = random.Random(seed), checksums(whole.output), 0, 0
    while count < kills:
        output = folder / str(attempt)
        attempt += 1
        while count < kills and killed(output, moments.uniform(0.3, share * whole.seconds), recipe):
            count += 1
        run(output, recipe=recipe)
        assert checksums(output) == expected
        assert not list(output.glob("*/*.partial")), "half-made folders stay behind"


@pytest.mark.slow
def test_kills_lose_nothing_and_change_nothing(quickstart: Run, tmp_path: Path) -> None:
    disturb(tmp_path, KILLS, quickstart, SEED)


@pytest.mark.stress
@pytest.mark.skipif("NEURAL_FOUNDATION_STRESS" not in os.environ, reason="all 200 kills run in `make stress`")
def test_200_kills(quickstart: Run, tmp_path: Path) -> None:
    disturb(tmp_path, 200, quickstart, SEED + 1)


@pytest.mark.stress
@pytest.mark.skipif("NEURAL_FOUNDATION_STRESS" not in os.environ, reason="20 kills of `hms` run in `make stress`")
def test_20_kills_of_hms(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    whole = run(tmp_path / "whole", recipe="hms")
    disturb(tmp_path, 20, whole, SEED + 2, recipe="hms", share=0.25)


@pytest.mark.slow
def test_ctrl_c_says_what_to_do_and_loses_nothing(quickstart: Run, tmp_path: Path) -> None:
    process = subprocess.Popen(command(tmp_path), stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    while not list(tmp_path.glob("prepare/*/manifest.json")):
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, text = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Run the same command to go on" in text
    assert "Traceback" not in text
    assert list(tmp_path.glob("prepare/*/manifest.json"))
