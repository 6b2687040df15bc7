"""One undisturbed `quickstart --tiny`, shared by the tests of a worker."""

from __future__ import annotations

import pytest
from quickstart_runs import Run, run


@pytest.fixture(scope="session")
def quickstart(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return run(tmp_path_factory.mktemp("quickstart"))
