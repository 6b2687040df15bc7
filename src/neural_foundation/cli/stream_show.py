"""How `stream` speaks: one live line while it runs, then a summary for people or as JSON."""

from __future__ import annotations

import json
import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from .stream_run import Found

EVERY_S = 0.1
PERCENTILES = (50, 95, 99)


class Line:
    """The live line, on standard error, where that is a terminal."""

    def __init__(self, *, quiet: bool) -> None:
        self.live: Any = None
        self.on = not quiet and sys.stderr.isatty()
        self._next_s = 0.0

    def __enter__(self) -> Line:
        if self.on:
            from rich.console import Console
            from rich.live import Live

            self.live = Live(console=Console(stderr=True), transient=True, auto_refresh=False)
            self.live.start()
        return self

    def show(self, found: Found, stalled_s: float) -> None:
        """Show what there is so far, ten times a second at most."""
        if self.live is None or time.monotonic() < self._next_s:
            return
        self._next_s = time.monotonic() + EVERY_S
        self.live.update(line(found, stalled_s), refresh=True)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.live is not None:
            self.live.stop()


def line(found: Found, stalled_s: float) -> str:
    """Return the live line."""
    words = [f"{found.samples / found.sfreq:7.1f} s"]
    if found.last is not None:
        word = found.last.decision or "(silent)"
        best = max(found.last.probability.values())
        words.append(f"{word:<14} {best:4.2f} {'█' * round(20 * best):<20}{'' if found.last.valid else ' not valid'}")
    if found.latencies_s:
        words.append(f"p50 {latency(found.latencies_s)['p50']:.2f} ms")
    if stalled_s > 1:
        words.append(f"nothing came for {stalled_s:.0f} s")
    return "  ".join(words)


def latency(latencies_s: list[float]) -> dict[str, float]:
    """Return the percentiles and the largest, in milliseconds."""
    import numpy as np

    if not latencies_s:
        return {}
    ms = 1e3 * np.asarray(latencies_s)
    return {**{f"p{p}": float(np.percentile(ms, p)) for p in PERCENTILES}, "max": float(ms.max())}


def summary(found: Found) -> dict[str, Any]:
    """Return what was found as one JSON value."""
    signal_s = found.samples / found.sfreq
    return {
        "where": found.where,
        "connections": found.connections,
        "blocks": found.blocks * found.connections,
        "samples": found.samples * found.connections,
        "signal_s": signal_s,
        "seconds": found.seconds,
        "times_real_time": found.connections * signal_s / found.seconds if found.seconds else 0.0,
        "decisions": found.decisions,
        "by_class": dict(sorted(found.said.items())),
        "invalid": found.invalid,
        "abstained": found.abstained,
        "lost": found.lost,
        "reordered": found.reordered,
        "resumed": found.resumed,
        "latency_ms": latency(found.latencies_s),
        "measured_sfreq": found.measured_sfreq,
        "source": found.counts,
        "notes": found.notes,
    }


def say(found: Found, as_json: bool) -> None:
    """Print the summary."""
    told = summary(found)
    if as_json:
        typer.echo(json.dumps(told))
        return
    over = f" over {found.connections} connections" if found.connections > 1 else ""
    typer.echo(f"{told['signal_s']:.1f} s of signal in {told['seconds']:.1f} s{over}, {told['times_real_time']:.1f} x")
    typer.echo(f"{told['blocks']} blocks, {told['decisions']} decisions: {_shares(found)}")
    if told["latency_ms"]:
        spans = "  ".join(f"{name} {ms:.2f} ms" for name, ms in told["latency_ms"].items())
        typer.echo(f"{'a decision took' if found.where == 'here' else 'from block to decision'}  {spans}")
    typer.echo(f"lost {found.lost}, reordered {found.reordered}, connected again {found.resumed} times")
    for note in found.notes:
        typer.echo(f"Note: {note}")


def _shares(found: Found) -> str:
    total = max(found.decisions, 1)
    parts = [f"{word or 'silent'} {n / total:.0%}" for word, n in found.said.most_common()]
    return ", ".join([*parts, *([f"{found.invalid} not valid"] if found.invalid else [])]) or "none"
