"""What a deployed ensemble costs: size and latency of each member and of the whole, float and 8 bits, on one thread.

A row is of one form of one package, the member's first: the others are of one size. Latency is of one window, one call
after the other. Of a member of several packages a decision takes all of them; the last row is a whole decision.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...core.store import read_json
from ...evaluation.report.markup import size
from ...export.ensemble_package import EnsemblePackage
from ...export.tree_graph import TREE_GRAPH
from ...models.package import GRAPH, WINDOW_GRAPH, Package
from ...models.packed import WEIGHTS
from .export import INT8

if TYPE_CHECKING:
    from ...models.boosted_trees import BoostedTreesEstimator

BENCHMARK = "benchmark.json"
CALLS, LEAST_CALLS = 30, 5
MOST_S = 1.5  # of calls that are timed, for one row
SPREAD_V = 1e-5  # of the noise that is decided on
Call = Callable[[], Any]


def measured(package: EnsemblePackage) -> dict[str, Any]:
    """Return the benchmark: `rows` by member and form, and `decision`, of the whole ensemble, as it is served.

    `int8` holds what the gate said of each package of a member; its row has their sum.
    """
    from ...realtime.sliding import predictor

    window, rows, gates = _window(package), list[dict[str, Any]](), dict[str, list[dict[str, Any]]]()
    for name, packages in zip(package.facts.ensemble, package.members, strict=True):
        about = {"member": name, "model": packages[0].facts.model.kind, "packages": len(packages)}
        part = window[..., package.part(packages[0])]
        for form, path, call in _forms(packages[0], part):
            rows.append({**about, "form": form, "n_bytes": path and path.stat().st_size, **_timed(call)})
        gate = [said for p in packages if (said := _gate(p))]
        if gate:
            gates[name] = gate
            rows.append({**about, "form": "int8", **_of_kept(packages, part), **_summed(gate)})
    decide = predictor(package)
    decision = _timed(lambda: decide(window))
    return {
        "window_s": package.facts.windows.length_s,
        "threads": 1,
        "rows": rows,
        "decision": {"packages": sum(map(len, package.members)), "n_bytes": _all_bytes(package), **decision},
        "int8": gates,
    }


def table(found: Mapping[str, Any]) -> str:
    """Return the benchmark as a table for people."""
    head = "| Member | Model | Packages | Form | Size | Median | p95 | KL before | KL after | 8 bits kept |"
    lines = [head, "|---" * 10 + "|"]
    for row in found["rows"]:
        cells = [row["member"], row["model"], str(row["packages"]), row["form"], _size(row["n_bytes"])]
        cells += [_ms(row["median_ms"]), _ms(row["p95_ms"])]
        cells += ["" if row.get(k) is None else f"{row[k]:.4f}" for k in ("kl", "kl_int8")]
        cells.append(f"{row['kept']} of {row['packages']}" if "kept" in row else "")
        lines.append("| " + " | ".join(cells) + " |")
    whole = found["decision"]
    cells = ["all", "ensemble", str(whole["packages"]), "as served", _size(whole["n_bytes"])]
    lines.append("| " + " | ".join([*cells, _ms(whole["median_ms"]), _ms(whole["p95_ms"]), "", "", ""]) + " |")
    said = [
        f"One window of {found['window_s']:g} s, one thread, the median and the 95th percentile of single calls.",
        "Size and latency of a member are of one of its packages, KL divergences the mean over all of them.",
    ]
    refused = [
        f"- {name}, {gate['package']}: 8 bits not kept: {gate['why']}"
        for name, gates in found["int8"].items()
        for gate in gates
        if not gate["passes"]
    ]
    return "\n".join([*said, "", *lines, *([""] if refused else []), *refused]) + "\n"


def _window(package: EnsemblePackage) -> NDArray[np.float32]:
    signal = package.facts.signal
    n_times = round(package.facts.windows.length_s * signal.sfreq)
    noise = np.random.default_rng(0).standard_normal((1, signal.n_chans, n_times), np.float32)
    return noise * np.float32(SPREAD_V)


def _forms(package: Package, window: NDArray[np.float32]) -> list[tuple[str, Path | None, Call]]:
    """Return the forms that a package has: what it is called, its file, and a call that decides on one window.

    Of trees the time is split: `features` are measured in front of the graph. `step` is one token of a network that
    streams. `arrays` is a whole decision of a package without a graph of windows, as it is served.
    """
    from ...realtime.engine import StepEngine, open_graph
    from ...realtime.sliding import predictor

    folder, forms = package.folder, list[tuple[str, Path | None, Call]]()
    if (folder / WINDOW_GRAPH).is_file():
        session = open_graph(folder / WINDOW_GRAPH)
        forms.append(("onnx", folder / WINDOW_GRAPH, _running(session, ["probability"], {"signal": window})))
    if (folder / TREE_GRAPH).is_file():
        estimator: BoostedTreesEstimator = package.estimator()  # type: ignore[assignment]
        session, features = open_graph(folder / TREE_GRAPH), estimator.features(window).astype(np.float32)
        forms.append(("features", None, lambda: estimator.features(window)))
        forms.append(("onnx", folder / TREE_GRAPH, _running(session, ["probabilities"], {"features": features})))
    if (folder / GRAPH).is_file():
        forms.append(("step", folder / GRAPH, StepEngine(folder / GRAPH).step))
    if not (folder / WINDOW_GRAPH).is_file():
        decide = predictor(package)
        forms.append(("arrays", folder / WEIGHTS, lambda: decide(window)))
    return forms


def _running(session: Any, wanted: list[str], given: dict[str, Any]) -> Call:
    return lambda: session.run(wanted, given)


def _timed(call: Call) -> dict[str, Any]:
    """Return median and 95th percentile in ms of some calls, after one that is not counted."""
    call()
    took: list[float] = []
    while len(took) < LEAST_CALLS or (len(took) < CALLS and sum(took) < MOST_S):
        began = time.perf_counter()
        call()
        took.append(time.perf_counter() - began)
    median, p95 = np.quantile(took, (0.5, 0.95)) * 1e3
    return {"median_ms": float(median), "p95_ms": float(p95), "calls": len(took)}


def _of_kept(packages: Sequence[Package], window: NDArray[np.float32]) -> dict[str, Any]:
    """Return size and latency of the first graph in 8 bits that was kept; none of them where none was."""
    from ...realtime.engine import open_graph

    path = next((p.folder / INT8 for p in packages if (p.folder / INT8).is_file()), None)
    if path is None:
        return {"n_bytes": None, "median_ms": None, "p95_ms": None, "calls": 0}
    return {"n_bytes": path.stat().st_size, **_timed(_running(open_graph(path), ["probability"], {"signal": window}))}


def _summed(gate: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return how many packages were kept in 8 bits, and the mean KL divergence before and after of those judged."""
    judged = [g for g in gate if "kl" in g]
    n = [g["windows"] for g in judged]
    means = {k: float(np.average([g[k] for g in judged], weights=n)) if judged else None for k in ("kl", "kl_int8")}
    return {"kept": sum(g["passes"] for g in gate), **means}


def _gate(package: Package) -> dict[str, Any]:
    """Return what the gate said of one package in 8 bits; {} where they were not tried."""
    said = read_json(package.folder / "export.json").get("int8") or {}
    kept = ("passes", "why", "kl", "kl_int8", "rise", "allowed", "windows", "role", "n_bytes")
    return {"package": package.folder.name, **{k: said[k] for k in kept if k in said}} if said else {}


def _all_bytes(package: EnsemblePackage) -> int:
    """Return the bytes of what a decision reads: of each package its graph, or the arrays where it has none."""
    paths = [(p.folder / WINDOW_GRAPH, p.folder / WEIGHTS) for packages in package.members for p in packages]
    return sum((graph if graph.is_file() else weights).stat().st_size for graph, weights in paths)


def _size(n: int | None) -> str:
    return "" if n is None else size(n)


def _ms(value: float | None) -> str:
    return "" if value is None else f"{value:.2f} ms"
