"""What the dashboard and the alerts ask for is what a running server gives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import promql
import pytest
from live_server import get
from small_package import signal

from neural_foundation.models.package import Package
from neural_foundation.serving.client import decode
from neural_foundation.serving.server import served
from neural_foundation.serving.settings import Limits, Served, ServeSettings

DEPLOY = Path(__file__).parents[2] / "deploy"
BLOCKS = [signal(400)[:, i : i + 20] for i in range(0, 400, 20)]
OTHERS = ("process_", "python_", "up")  # of the process, the interpreter and Prometheus itself


@pytest.fixture(scope="module")
def text(exported_package: Package) -> str:
    settings = ServeSettings(packages=(Served(folder=exported_package.folder),), port=0, limits=Limits(connections=2))
    with served(settings) as url:
        decode(url, BLOCKS)
        return str(get(f"{url}/metrics")[1])


def names(text: str) -> set[str]:
    return {line.split("{")[0].split(" ")[0] for line in text.splitlines() if not line.startswith("#")}


def typed(text: str) -> set[str]:
    """Return the names of all series, those without a first event too."""
    kinds = dict(line.split()[2:4] for line in text.splitlines() if line.startswith("# TYPE"))
    ends: dict[str, tuple[str, ...]] = {"histogram": ("_bucket", "_sum", "_count")}
    return {n + end for n, kind in kinds.items() for end in ends.get(kind, ("",))}


@pytest.mark.parametrize("what", ["dashboard", "alerts"])
def test_each_metric_that_is_asked_for_is_there(what: str, text: str) -> None:
    found: Any = (
        promql.of_dashboard(DEPLOY / "grafana" / "neural-foundation.json")
        if what == "dashboard"
        else promql.of_rules(DEPLOY / "prometheus" / "alerts.yaml")
    )
    asked = {m for _, expression in found for m in promql.parse(expression).metrics}
    ours = {m for m in asked if not m.startswith(OTHERS)}
    assert ours, "nothing was asked for"
    assert not ours - typed(text)


def test_a_stream_is_counted(text: str) -> None:
    values = {line.split(" ")[0]: float(line.split(" ")[1]) for line in text.splitlines() if not line.startswith("#")}
    task = '{task="hands"}'
    assert values[f"neural_foundation_blocks_total{task}"] == 20
    assert values[f"neural_foundation_samples_total{task}"] == 400
    assert values[f"neural_foundation_decisions_total{task}"] == 40
    assert values[f"neural_foundation_connections{task}"] == 0
    assert values['neural_foundation_connections_closed_total{reason="ended"}'] == 1
    assert values[f"neural_foundation_block_delay_seconds_count{task}"] == 20
    sent = values["neural_foundation_received_bytes_total"]
    assert sent == 20 * (24 + 3 * 20 * 4) + 24
    assert np.isfinite(values[f"neural_foundation_step_seconds_sum{task}"])
