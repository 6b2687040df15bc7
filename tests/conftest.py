"""Shared by all tests: one thread, real data only where NEURAL_FOUNDATION_DATA points."""

from __future__ import annotations

import os

for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The folder of real data; the test skips where there is none."""
    root = os.environ.get("NEURAL_FOUNDATION_DATA")
    if not root or not Path(root).is_dir():
        pytest.skip("NEURAL_FOUNDATION_DATA does not point at a folder of real data")
    return Path(root)
