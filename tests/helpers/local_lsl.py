"""Streams of the lab streaming layer inside this machine, for tests; skips where it cannot talk to itself."""

from __future__ import annotations

import uuid
from functools import cache
from typing import Any

import pytest

# clocks that are one need no long comparison
_TUNING = {"TimeUpdateMinProbes": 2, "TimeProbeCount": 3, "TimeProbeInterval": 0.01, "TimeProbeMaxRTT": 0.1}
CONFIG = "\n".join(
    [
        "[multicast]\nResolveScope = machine\n[lab]\nKnownPeers = {127.0.0.1}\n[log]\nlevel = -3\n[tuning]",
        *(f"{name} = {value}" for name, value in _TUNING.items()),
    ]
)
EEG = ("C3", "Cz", "C4")


@cache
def library() -> Any:
    """Return pylsl, kept inside this machine; the test skips where that finds nothing."""
    pylsl = pytest.importorskip("pylsl", reason="the extra 'lsl' is not installed")
    if hasattr(pylsl, "set_config_content"):
        pylsl.set_config_content(CONFIG)  # before anything else of it runs
    name = unique()
    outlet = pylsl.StreamOutlet(pylsl.StreamInfo(name, "test", 1, 100, "float32", name))
    if not pylsl.resolve_byprop("name", name, 1, 5.0):
        pytest.skip("LSL cannot find a stream of this machine: multicast and loopback are shut")
    del outlet
    return pylsl


def unique() -> str:
    """Return a stream's name that nobody else has."""
    return f"test-{uuid.uuid4().hex[:12]}"


def outlet(
    name: str,
    *,
    labels: tuple[str, ...] = EEG,
    unit: str = "microvolts",
    sfreq: float = 100.0,
    format_: str = "float32",
    source_id: str | None = None,
    n_chans: int = 0,
) -> Any:
    """Return an open outlet that describes itself as amplifiers do."""
    pylsl = library()
    count = n_chans or len(labels)
    info = pylsl.StreamInfo(name, "EEG", count, sfreq, format_, name if source_id is None else source_id)
    channels = info.desc().append_child("channels")
    for label in labels:
        channel = channels.append_child("channel")
        channel.append_child_value("label", label)
        channel.append_child_value("type", "EEG")
        if unit:
            channel.append_child_value("unit", unit)
    return pylsl.StreamOutlet(info)
