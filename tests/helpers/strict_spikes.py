"""Sorted spikes through numpy: the folder of phy, and an .npz."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import numpy as np
from strict_content import Content, Unsure, need


def phy(path: Path) -> Content:
    said = dict(
        line.split("=", 1) for line in (path / "params.py").read_text().splitlines() if "=" in line.split("#")[0]
    )
    rate = float(ast.literal_eval({k.strip(): v.split("#")[0].strip() for k, v in said.items()}["sample_rate"]))
    times = np.load(path / "spike_times.npy", allow_pickle=False)
    named = next((n for n in ("spike_clusters", "spike_templates") if (path / f"{n}.npy").is_file()), None)
    need(named is not None, "no clusters")
    return trains(times, np.load(path / f"{named}.npy", allow_pickle=False), rate, listed(path))


def listed(path: Path) -> list[int]:
    """Return the clusters that cluster_info.tsv lists."""
    info = path / "cluster_info.tsv"
    if not info.is_file():
        return []
    # csv.writer leaves blank lines in a file that Windows opened as text
    head, *rows = (line.split("\t") for line in info.read_text().splitlines() if line.strip())
    if "cluster_id" not in head:
        raise Unsure("clusters of another name")
    return [int(row[head.index("cluster_id")]) for row in rows]


def npz(path: Path) -> Content:
    with np.load(path, allow_pickle=False) as held:
        if set(held) != {"times", "units", "sfreq", "unit_ids"}:
            raise Unsure("other arrays")
        ids = held["unit_ids"].reshape(-1).tolist()
        rate = float(held["sfreq"].reshape(-1)[0]) if held["times"].dtype.kind in "iu" else 1.0
        return trains(held["times"], held["units"], rate, ids)


def trains(times: Any, units: Any, rate: float, ids: list[Any]) -> Content:
    times, units = times.reshape(-1), units.reshape(-1)
    need(len(times) == len(units) and bool((np.diff(times.astype(float)) >= 0).all()), "times and units")
    known = dict.fromkeys([*ids, *sorted(set(units.tolist()))])
    need(not ids or set(known) == set(ids), "a unit that is not listed")
    return Content(spikes={str(unit): times[units == unit].astype(float) / rate for unit in known})
