"""The import order of the rooms, held directly and transitively; what is light stays light."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import neural_foundation

ROOT = Path(neural_foundation.__file__).parent
ORDER = (
    "core",
    "recordings",
    "signals",
    "datasets",
    "sampling",
    "metrics",
    "models",
    "learning",
    "evaluation",
    "privacy",
    "export",
    "realtime",
    "serving",
    "pipeline",
    "cli",
)
OUTSIDE = {"api", "__init__", "__main__", "recipes"}


def room_of(path: Path) -> str:
    first = path.relative_to(ROOT).parts[0]
    return first.removesuffix(".py")


def imported_rooms(path: Path) -> set[str]:
    """Return the rooms that a file imports anywhere in it, late imports included."""
    package = path.relative_to(ROOT.parent).with_suffix("").parts[:-1]
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = (*base, *(node.module.split(".") if node.module else ()))
            names = [module] if len(module) > 1 else [(*module, a.name) for a in node.names]
        elif isinstance(node, ast.Import):
            names = [tuple(a.name.split(".")) for a in node.names]
        found |= {n[1] for n in names if n[0] == "neural_foundation" and len(n) > 1}
    return found - {"__version__"}


FILES = sorted(p for p in ROOT.rglob("*.py") if room_of(p) not in OUTSIDE)


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_room_imports_only_those_above_it(path: Path) -> None:
    room = room_of(path)
    above = set(ORDER[: ORDER.index(room) + 1])
    assert imported_rooms(path) <= above, f"{room} may import only {sorted(above)}"


def test_every_folder_is_a_room() -> None:
    folders = {p.name for p in ROOT.iterdir() if p.is_dir() and p.name != "__pycache__"}
    assert folders <= {*ORDER, "recipes"}


def loaded_by(statement: str) -> set[str]:
    """Return the top-level modules that a fresh process has loaded after a statement."""
    code = f"import sys\n{statement}\nprint(' '.join(sorted({{m.partition('.')[0] for m in sys.modules}})))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


HEAVY = {"torch", "lightning", "mne", "sklearn", "pyriemann", "scipy", "numba", "matplotlib", "onnxruntime", "mlflow"}


@pytest.mark.parametrize(
    ("statement", "without"),
    [
        ("import neural_foundation", HEAVY | {"numpy", "pydantic", "h5py"}),
        ("import neural_foundation.cli", HEAVY | {"pydantic", "h5py"}),
        ("import neural_foundation.core.stream, neural_foundation.core.store, neural_foundation.core.kinds", HEAVY),
        ("from neural_foundation.pipeline.recipe import load; load('quickstart')", HEAVY),
        (
            "import neural_foundation.realtime.decoder",
            {"lightning", "mne", "sklearn", "pyriemann", "matplotlib", "torch"},
        ),
        ("import neural_foundation.api", {"lightning", "mne", "sklearn", "pyriemann", "matplotlib", "torch"}),
    ],
)
def test_what_is_light_stays_light(statement: str, without: set[str]) -> None:
    assert not loaded_by(statement) & without


def test_core_knows_no_torch_but_to_ask_for_devices() -> None:
    with_torch = {p.name for p in (ROOT / "core").glob("*.py") if "import torch" in p.read_text()}
    assert with_torch <= {"device.py"}
