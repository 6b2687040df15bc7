"""Each example runs as it stands, in a process of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import ensembles
import pytest

from neural_foundation.models.package import Package
from neural_foundation.serving.server import served
from neural_foundation.serving.settings import Served, ServeSettings

EXAMPLES = Path(__file__).parents[2] / "examples"
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the tiny decoder lies that the examples share."""
    return tmp_path_factory.mktemp("examples")


def output_of(name: str, given: Path | str) -> str:
    """Return what an example prints for a folder or an address.

    Deprecations in libraries are theirs, so warnings are not errors here.
    """
    environment = {**os.environ, "PYTHONWARNINGS": "ignore"}
    command = [sys.executable, str(EXAMPLES / name), str(given)]
    where = given if isinstance(given, Path) else None
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=where, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_decode_a_file(shared: Path) -> None:
    lines = output_of("decode_a_file.py", shared).splitlines()
    assert lines[0].startswith("   10 s")
    assert any("of 12 trials right" in line for line in lines)
    assert lines[-1].startswith("770 tokens")


def test_async_decode(shared: Path) -> None:
    lines = output_of("async_decode.py", shared).splitlines()
    assert "_hand (" in lines[0]
    assert lines[-1] == "The stream ended."


def test_cursor(shared: Path) -> None:
    lines = output_of("cursor.py", shared).splitlines()
    assert [line.split()[0] for line in lines[:20]] == [str(i) for i in range(1, 21)]
    assert all(line.endswith(("hit", "miss")) for line in lines[:20])
    assert lines[-1] == f"{sum(line.endswith('hit') for line in lines[:20])} of 20 hits"


def test_own_signal(tmp_path: Path) -> None:
    words = output_of("own_signal.py", tmp_path).split()
    assert words[:2] == ["balanced", "accuracy"]
    assert 0 <= float(words[2].rstrip(",")) <= 1


def test_neurofeedback(tmp_path: Path) -> None:
    lines = output_of("neurofeedback.py", tmp_path).splitlines()
    gain = {line[:34].strip(): float(line[35:].split()[0]) for line in lines[1:] if "dB" in line}
    assert gain["responders, own feedback"] > gain["responders, sham feedback"]
    assert gain["everybody, own minus sham"] > 0


def test_decode_spikes_live(tmp_path: Path) -> None:
    lines = output_of("decode_spikes_live.py", tmp_path).splitlines()
    found = {line.partition(":")[0]: line.split() for line in lines if ":" in line}
    assert sum(line.startswith("trial ") for line in lines) == 24
    assert int(found["choice"][1]) >= 18
    assert float(found["wheel speed"][3]) > 0.5
    assert lines[-1].startswith("50 ms of spikes took")


def test_every_example_is_tested() -> None:
    tested = Path(__file__).read_text(encoding="utf-8")
    scripts = [p.name for p in EXAMPLES.glob("*.py") if '__name__ == "__main__"' in p.read_text(encoding="utf-8")]
    assert scripts
    assert not [s for s in scripts if f'output_of("{s}"' not in tested]


def test_ask_for_evidence(tmp_path_factory: pytest.TempPathFactory) -> None:
    package = ensembles.shared(tmp_path_factory)
    with served(ServeSettings(packages=(Served(folder=package.folder),), port=0)) as url:
        said = output_of("ask_for_evidence.py", f"{url}/v2/models/hands")
    assert re.fullmatch(r"(left|right): \d\.\d{3} less without \S+ from [01] s\n", said)


def test_stream_to_a_server(exported_package: Package) -> None:
    with served(ServeSettings(packages=(Served(folder=exported_package.folder),), port=0)) as url:
        lines = output_of("stream_to_a_server.py", url).splitlines()
    assert len(lines) == 100
    assert lines[-1].startswith("  10.0 s  ")
