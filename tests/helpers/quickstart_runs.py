"""Running `quickstart --tiny`, or another recipe's tiny variant, as a user does, and what it left behind."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from neural_foundation.core.store import read_json


@dataclass(frozen=True)
class Run:
    output: Path
    seconds: float
    text: str

    def only(self, stage: str) -> Path:
        """Return the folder of a stage's only output."""
        (folder,) = [p.parent for p in self.output.glob(f"{stage}/*/manifest.json")]
        return folder


def command(output: Path, *more: str, recipe: str = "quickstart") -> list[str]:
    return [sys.executable, "-m", "neural_foundation", "run", recipe, "--tiny", "--output", str(output), *more]


def run(output: Path, *more: str, recipe: str = "quickstart") -> Run:
    began = time.monotonic()
    done = subprocess.run(command(output, *more, recipe=recipe), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return Run(output, time.monotonic() - began, done.stdout)


def checksums(output: Path) -> dict[str, dict[str, str]]:
    """Return output folder -> file -> SHA-256, of everything that has a checksum."""
    manifests = sorted(output.glob("*/*/manifest.json"))
    return {
        str(m.parent.relative_to(output)): {n: e["sha256"] for n, e in read_json(m)["outputs"].items()}
        for m in manifests
    }
