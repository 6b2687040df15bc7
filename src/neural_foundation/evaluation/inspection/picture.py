"""The picture of a recording: one page with an excerpt, spectra, amplitude over time, events, spikes and series.

Colours are those of the report (Okabe and Ito 2008). Equal recordings give equal bytes as SVG and PNG.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.errors import SpecError
from ...core.store import atomic
from ...recordings import Session, Signal
from .facts import Inspection, SignalFacts
from .panels import (
    ACCENT,
    INK,
    MUTED,
    draw_amplitude,
    draw_events,
    draw_series,
    draw_spectra,
    draw_spikes,
    draw_traces,
    shown,
)
from .words import counted, cut, lasting

ENDINGS = (".png", ".svg", ".pdf")
WIDTH, LEFT, RIGHT, GAP = 11.5, 1.2, 1.0, 0.72  # inches
EXCERPT_S, EXCERPT_SAMPLES = 8.0, 16_000
STYLE = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 8.5,
    "text.color": INK,
    "axes.edgecolor": "#d5dbe0",
    "axes.labelcolor": MUTED,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": "#d5dbe0",
    "ytick.color": "#d5dbe0",
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": INK,
    "path.simplify": True,
    "text.parse_math": False,  # a label may hold a dollar sign
    "svg.hashsalt": "neural-foundation",
    "svg.fonttype": "path",
}


@dataclass(frozen=True)
class Panel:
    """One row of the page: its height in inches, what draws it, and whether it is split in two."""

    height: float
    draw: Any
    pair: Any = None


def draw(path: Path | str, session: Session, inspection: Inspection) -> None:
    """Write the page; see the package."""
    path = Path(path)
    check_picture(path)
    import matplotlib

    without_dates = {".png": {"Software": None}, ".svg": {"Date": None}, ".pdf": {"CreationDate": None}}
    with matplotlib.rc_context(STYLE):
        figure = page(session, inspection)
        with atomic(path) as temporary:
            ending = path.suffix.lower()
            figure.savefig(temporary, format=ending[1:], dpi=150, metadata=without_dates[ending])


def check_picture(path: Path) -> None:
    """Raise SpecError unless a picture can be written under this name."""
    if path.suffix.lower() not in ENDINGS:
        given = f"A picture cannot be written as '{path.suffix or path.name}'"
        raise SpecError(given, allowed=", ".join(ENDINGS), remedy="Give --picture a name with one of these endings")


def page(session: Session, inspection: Inspection) -> Any:
    """Return the matplotlib figure; it belongs to no window and needs no display."""
    from matplotlib.figure import Figure

    panels = _panels(session, inspection)
    head = 1.2
    height = head + sum(p.height + GAP for p in panels) + 0.1
    figure = Figure(figsize=(WIDTH, height), facecolor="white")
    _head(figure, inspection, height)
    top = height - head
    for panel in panels:
        bottom = top - panel.height
        for axes, drawer in _axes(figure, panel, bottom, height):
            drawer(axes)
        top = bottom - GAP
    return figure


def _axes(figure: Any, panel: Panel, bottom: float, height: float) -> list[tuple[Any, Any]]:
    """Return the axes of a row with what draws into each, placed in inches."""
    inner = WIDTH - LEFT - RIGHT
    widths = [(LEFT, inner, panel.draw)]
    if panel.pair is not None:
        half = (inner - 1.0) / 2
        widths = [(LEFT, half, panel.draw), (LEFT + half + 1.0, half, panel.pair)]
    return [
        (figure.add_axes((left / WIDTH, bottom / height, width / WIDTH, panel.height / height)), drawer)
        for left, width, drawer in widths
    ]


def _head(figure: Any, inspection: Inspection, height: float) -> None:
    start_s, end_s = inspection.span_s
    signals = [f"{counted(s.spec.n_chans, 'channel')} at {s.spec.sfreq:g} Hz" for s in inspection.signals]
    spikes = [f"{counted(s.n_units, 'unit')}, {counted(s.n_spikes, 'spike')}" for s in inspection.spikes]
    signals = [*signals[:3], *([counted(len(signals) - 3, "more signal")] if len(signals) > 3 else [])]
    found = sum(label.count for labels in inspection.intervals.values() for label in labels)
    facts = [lasting(end_s - start_s), *signals, *spikes[:2], *([counted(found, "event")] if found else [])]
    left, name = LEFT / WIDTH, cut(inspection.session_id, 70)
    figure.text(left, 1 - 0.45 / height, name, fontsize=15, family="serif", va="baseline")
    figure.text(left, 1 - 0.7 / height, "   ·   ".join(facts), color=MUTED, fontsize=9, va="baseline")


def _panels(session: Session, inspection: Inspection) -> list[Panel]:
    """Return the rows of the page, as far as the recording has something to show in them."""
    start_s, stop_s = excerpt(session, inspection)
    events = {name: session.trials if name == "trials" else session.intervals[name] for name in inspection.intervals}
    events = {name: found for name, found in events.items() if len(found)}
    span = inspection.span_s
    panels = []
    for i, facts in enumerate(inspection.signals[:3]):
        signal = session.signals[facts.name]
        which = shown(facts, 24 if i == 0 else 8)
        height = 0.45 + 0.2 * len(which)
        window = _window(signal, start_s, stop_s)
        panels.append(Panel(height, _drawer(draw_traces, facts, which, *window, session.trials)))
    drawn = [s for s in inspection.signals if s.quality.n_pieces][:1]
    panels += [
        Panel(2.5, _drawer(draw_spectra, s), _drawer(draw_amplitude, s))
        for s in drawn
        if np.isfinite(s.quality.low).any()
    ]
    if events:
        rows = min(12, sum(len(labels) for labels in inspection.intervals.values()))
        panels.append(Panel(0.35 + 0.2 * rows, _drawer(draw_events, events, span)))
    for found in inspection.spikes[:2]:
        spikes = session.spikes[found.name]
        panels.append(Panel(2.4, _drawer(draw_spikes, found, spikes, *_spike_window(found, start_s, stop_s))))
    panels += [
        Panel(0.5 + 0.35 * min(4, len(s.columns)), _drawer(draw_series, s, session.series[s.name], span))
        for s in inspection.series[:2]
    ]
    return panels or [Panel(1.0, _nothing)]


def _drawer(function: Any, *given: Any) -> Any:
    return lambda axes: function(axes, *given)


def _nothing(axes: Any) -> None:
    axes.set_axis_off()
    axes.text(0, 0.5, "Nothing in this recording can be drawn.", color=ACCENT, transform=axes.transAxes)


def excerpt(session: Session, inspection: Inspection) -> tuple[float, float]:
    """Return the seconds that are drawn in full: around the first event, else the middle of the recording."""
    first_s, last_s = inspection.span_s
    if inspection.signals:
        main = inspection.signals[0]
        first_s, last_s = main.start_s, main.start_s + main.duration_s
        length = min(EXCERPT_S, EXCERPT_SAMPLES / main.spec.sfreq, main.duration_s)
        length = max(length, min(64 / main.spec.sfreq, main.duration_s))
    else:
        length = min(20.0, last_s - first_s)
    starts = session.trials.start_s
    inside = starts[(starts >= first_s) & (starts < last_s)]
    lead = float(inside[0]) - 0.15 * length if len(inside) else (first_s + last_s - length) / 2
    start_s = min(max(lead, first_s), max(first_s, last_s - length))
    return start_s, start_s + length


def _window(signal: Signal, start_s: float, stop_s: float) -> tuple[NDArray[np.float64], Any]:
    """Return the times (n,) and values (n_chans, n) of a signal in the excerpt; missing samples are NaN."""
    rate = signal.spec.sfreq
    first = int(np.clip(np.ceil((start_s - signal.start_s) * rate - 1e-6), 0, signal.n_times))
    stop = int(np.clip(np.ceil((stop_s - signal.start_s) * rate - 1e-6), first, signal.n_times))
    values = signal.read(first, stop)
    values[:, ~signal.valid(first, stop)] = np.nan
    return signal.start_s + np.arange(first, stop) / rate, values


def _spike_window(found: Any, start_s: float, stop_s: float) -> tuple[float, float]:
    """Return the seconds of spikes that are drawn: at least 4 s where there are, around the excerpt if some lie there.

    Never more than from the first spike to the last, and a little beside them.
    """
    if not np.isfinite([found.first_s, found.last_s]).all():
        return start_s, stop_s
    around = max(0.02 * (found.last_s - found.first_s), 0.01)
    first_s, last_s = found.first_s - min(around, 0.1), found.last_s + min(around, 0.1)
    length = min(max(stop_s - start_s, 4.0), last_s - first_s)
    middle = (start_s + stop_s) / 2
    if not first_s <= middle <= last_s:
        middle = (first_s + last_s) / 2
    begin = min(max(middle - length / 2, first_s), last_s - length)
    return begin, begin + length


__all__ = ["SignalFacts", "draw", "excerpt", "page"]
