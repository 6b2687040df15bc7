"""Shared by all tests: one thread, an exported package, real data only where NEURAL_FOUNDATION_DATA points."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from neural_foundation.models.package import Package

# before any test module imports numpy or torch, which read these once
for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_name, "1")


@pytest.fixture(scope="session")
def exported_package(tmp_path_factory: pytest.TempPathFactory) -> Package:
    """A small package with its step graph, exported once for all the workers of a run; read it, do not change it."""
    import small_package

    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "exported-package"
    with (folder.with_suffix(".lock")).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return small_package.opened(folder) or small_package.make(folder)


@pytest.fixture(scope="session")
def exported_binned(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders of small packages of binned sessions with their graphs, 'causal' and 'whole', made once for a run."""
    import live_binned

    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "exported-binned"
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return {form: live_binned.exported(folder, form) for form in live_binned.FORMS}


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder of real data; the test skips where there is none."""
    root = os.environ.get("NEURAL_FOUNDATION_DATA")
    if not root or not Path(root).is_dir():
        pytest.skip("NEURAL_FOUNDATION_DATA does not point at a folder of real data")
    return Path(root)
