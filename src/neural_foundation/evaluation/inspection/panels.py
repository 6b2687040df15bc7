"""The panels of the picture: each draws one thing into one axes of matplotlib."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...recordings import Intervals, Series, Spikes
from .facts import SeriesFacts, SignalFacts, SpikeFacts
from .scales import time_axis
from .words import cut, cut_middle, number, prefix

INK, MUTED, RULE, FAINT, ACCENT, WARN = "#1b2126", "#5a6570", "#d5dbe0", "#eef1f3", "#0072b2", "#d55e00"
KINDS = ("#d55e00", "#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7a7212")
TYPE_COLOURS = {
    **dict.fromkeys(("eeg", "seeg", "ecog", "dbs"), "#24557a"),
    "eog": "#00805e",
    "ecg": "#c65300",
    "emg": "#a8578a",
}
MOST_EVENTS, MOST_UNITS, MOST_POINTS = 4000, 80, 4000
STEP = 1.15  # distance of two lines, as a multiple of the range of their middle 95 %
NAME, REMARK = 17, 18  # characters that fit beside a panel
DEEPEST_DB = 40.0  # what lies so far below the median's lowest point is not drawn

Floats = NDArray[np.float64]


def shown(facts: SignalFacts, most: int) -> list[int]:
    """Return which channels are drawn: all, or evenly spaced ones."""
    n = facts.spec.n_chans
    return list(range(n)) if n <= most else np.linspace(0, n - 1, most).round().astype(int).tolist()


def title(axes: Any, text: str, note: str = "") -> None:
    """Write what a panel shows above it, and how, in grey, beside it."""
    head = axes.annotate(text, (0, 1), (0, 7), xycoords="axes fraction", textcoords="offset points", weight="bold")
    if note:
        axes.annotate(note, (1, 0), (6, 0), xycoords=head, textcoords="offset points", color=MUTED, fontsize=8,
                      va="bottom")  # fmt: skip


def draw_traces(axes: Any, facts: SignalFacts, which: list[int], times: Floats, values: Any, trials: Intervals) -> None:
    """Draw channels one below the other; each type has its own scale, so that an ECG does not hide an EEG.

    A line ends where it would reach two channels further, so that nothing looks clipped that is not.
    """
    types = facts.spec.ch_types or ("eeg",) * facts.spec.n_chans
    units = facts.spec.units or ("V",) * facts.spec.n_chans
    kinds = [(types[i], units[i]) for i in which]
    traces = values[which].astype(np.float64)
    widths = {kind: _width(traces[[k == kind for k in kinds]]) for kind in dict.fromkeys(kinds)}
    for row, (channel, kind, trace) in enumerate(zip(which, kinds, traces, strict=True)):
        scaled = (trace - _middle(trace)) / (STEP * widths[kind] or 1.0)
        scaled[np.abs(scaled) > 2] = np.nan
        axes.plot(times, scaled - row, color=TYPE_COLOURS.get(kind[0], MUTED), lw=0.6, solid_joinstyle="round")
        if said := ", ".join(facts.remarks[channel]):
            place = {"xycoords": ("axes fraction", "data"), "textcoords": "offset points", "va": "center"}
            axes.annotate(cut(said, REMARK), (1, -row), (5, 0), fontsize=7, color=WARN, **place)
    names = [cut_middle(facts.spec.ch_names[i], NAME) for i in which]
    axes.set_yticks([-r for r in range(len(which))], names, fontsize=7.5)
    _rows_only(axes)
    axes.set_ylim(-len(which) - 0.1, 1.0)
    if len(times):
        time_axis(axes, times[0], times[-1] + 1 / facts.spec.sfreq)
        _event_lines(axes, trials.slice(times[0], times[-1]))
    title(axes, facts.name, _scales(widths, len(which), facts.spec.n_chans))


def _scales(widths: Mapping[tuple[str, str], float], shown: int, n_chans: int) -> str:
    """Return how far apart the lines of each type are; of a single line, how much it varies."""
    single = n_chans == 1
    ranges = [(kind, _rounded(w if single else STEP * w, unit)) for (kind, unit), w in list(widths.items())[:4]]
    count = "" if shown == n_chans else f"{shown} of {n_chans} channels; "
    if single:
        return ", ".join(f"{kind}, middle 95 % within {span}" for kind, span in ranges)
    return f"{count}from line to line: {', '.join(f'{kind} {span}' for kind, span in ranges)}"


def _rows_only(axes: Any) -> None:
    """Leave out the ticks and the line of an axis that names rows."""
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)


def _middle(trace: Floats) -> float:
    known = trace[np.isfinite(trace)]
    return float(np.median(known)) if len(known) else 0.0


def _width(traces: Floats) -> float:
    """Return the median range of the channels' middle 95 %; 0 where all are flat."""
    widths = [np.subtract(*np.percentile(t[np.isfinite(t)], [97.5, 2.5])) for t in traces if np.isfinite(t).any()]
    known = [w for w in widths if w > 0]
    return float(np.median(known)) if known else 0.0


def _rounded(value: float, unit: str) -> str:
    factor, name = prefix(value, unit)
    return f"{number(value / factor, 2)} {name}".rstrip()


def _event_lines(axes: Any, trials: Intervals) -> None:
    left, right = axes.get_xlim()
    free_s = left
    for start_s, end_s, label in list(trials)[:60]:
        if end_s > start_s:
            axes.axvspan(max(start_s, left), min(end_s, right), color=FAINT, zorder=0, lw=0)
        if start_s < left:
            continue
        axes.axvline(start_s, color=INK, lw=0.7, ls=(0, (3, 2)), alpha=0.55)
        if start_s < free_s:
            continue  # its name would lie on the one before
        text = cut(label, 18)
        free_s = start_s + (0.012 + 0.0066 * len(text)) * (right - left)
        axes.annotate(text, (start_s, 1), (2, -1), xycoords=("data", "axes fraction"), fontsize=7, va="top",
                      textcoords="offset points", color=INK, annotation_clip=False,
                      bbox={"fc": "white", "ec": "none", "pad": 0.6, "alpha": 0.8})  # fmt: skip


def draw_spectra(axes: Any, facts: SignalFacts) -> None:
    """Draw the power density of every channel, thin, and their median, thick; remarked ones stand out."""
    found = facts.quality
    units = set(facts.spec.units or ("V",))
    keep = (found.freqs >= 0.5) & (found.freqs <= facts.spec.sfreq / 2)
    freqs, density = found.freqs[keep], found.density[:, keep]
    known = np.isfinite(density).any(1) & (density > 0).any(1)
    if not known.any():
        return _empty(axes, "Spectra", "the pieces are too short or miss samples")
    unit = units.pop() if len(units) == 1 else ""
    factor, unit = (1e-6, "µV") if unit == "V" else (1.0, unit)
    with np.errstate(divide="ignore"):
        level = 10 * np.log10(density[known] / factor**2)
    level[~np.isfinite(level)] = np.nan
    odd = [any(word in facts.remarks[c] for word in ("50 Hz", "60 Hz", "loud", "quiet")) for c in np.flatnonzero(known)]
    few = sum(odd) * 3 <= len(odd)  # where most are odd, none stands out
    for row, other in sorted(zip(level, odd, strict=True), key=lambda pair: pair[1]):
        marked = other and few
        axes.plot(freqs, row, color=WARN if marked else ACCENT, lw=0.7 if marked else 0.5, alpha=0.7 if marked else 0.3)
    middle = np.nanmedian(level, 0)
    axes.plot(freqs, middle, color=INK, lw=1.4)
    least = float(np.nanmin(middle)) - DEEPEST_DB
    if deeper := bool(np.nanmin(level) < least):
        axes.set_ylim(bottom=least)
    axes.set_xscale("log")
    axes.set_xlim(freqs[0], freqs[-1])
    _hertz(axes, freqs)
    for hz in (50, 60):
        if hz < freqs[-1]:
            axes.axvline(hz, color=MUTED, lw=0.7, ls=(0, (1, 2)), zorder=0)
    axes.grid(axis="y", color=FAINT, lw=0.8)
    axes.set_axisbelow(True)
    axes.set_ylabel(f"dB of {unit}²/Hz" if unit else "dB", labelpad=2)
    axes.set_xlabel("Hz", loc="right", labelpad=1)
    marks = "thick: median; dotted: 50 and 60 Hz" + ("; orange: remarked" if few and any(odd) else "")
    marks += "; cut off below" if deeper else ""
    return title(axes, "Spectra", marks)


def _hertz(axes: Any, freqs: Floats) -> None:
    ticks = [f for f in (1, 2, 5, 10, 20, 50, 100, 200, 500) if freqs[0] <= f <= freqs[-1]]
    axes.set_xticks(ticks, [f"{f}" for f in ticks])
    axes.minorticks_off()


def draw_amplitude(axes: Any, facts: SignalFacts) -> None:
    """Draw the amplitude of each channel over the recording, as a ratio to the median of the channels of its type."""
    from matplotlib.colors import LinearSegmentedColormap

    found = facts.quality
    types = np.array(facts.spec.ch_types or ("eeg",) * facts.spec.n_chans)
    usual = np.ones(facts.spec.n_chans)
    for kind in set(types.tolist()):
        sd = found.piece_sd[types == kind]
        usual[types == kind] = np.nanmedian(sd[sd > 0]) if np.isfinite(sd[sd > 0]).any() else 1.0
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.log2(found.piece_sd / usual[:, None])
    ratio[np.isneginf(ratio)] = -9
    colours = LinearSegmentedColormap.from_list("amplitude", ["#003a70", "#2e86c1", "#f4f6f8", "#de7028", "#7a2c00"])
    with_grey = colours.with_extremes(bad="#c9cfd4")
    edges = np.append(found.piece_start_s, facts.start_s + facts.duration_s)
    rows = np.arange(facts.spec.n_chans + 1) - 0.5
    image = axes.pcolormesh(edges, rows, np.ma.masked_invalid(ratio), cmap=with_grey, vmin=-3, vmax=3, rasterized=True)
    axes.set_ylim(facts.spec.n_chans - 0.5, -0.5)
    step = max(1, -(-facts.spec.n_chans // 24))
    named = range(0, facts.spec.n_chans, step)
    axes.set_yticks(list(named), [cut(facts.spec.ch_names[i], 9) for i in named], fontsize=6.5 if step == 1 else 7)
    axes.tick_params(axis="y", length=0, pad=2)
    time_axis(axes, float(edges[0]), float(edges[-1]), 6)
    bar = axes.figure.colorbar(image, ax=axes, fraction=0.03, pad=0.02, ticks=[-3, -1, 0, 1, 3])
    bar.ax.set_yticklabels(["1/8", "1/2", "1", "2", "8"], fontsize=7)
    bar.ax.tick_params(length=0)
    bar.outline.set_visible(False)
    title(axes, "Amplitude over time", "times the median of its type; grey: missing")


def draw_events(axes: Any, events: Mapping[str, Intervals], span: tuple[float, float]) -> None:
    """Draw when each label happens, a row a label; what lasts is a bar, what does not is a tick."""
    rows = [(name, label) for name, found in events.items() for label in dict.fromkeys(found.label)]
    kept = rows[:12]
    for y, (name, label) in enumerate(kept):
        found = events[name]
        which = np.flatnonzero(np.array([word == label for word in found.label]))
        which = which[:: max(1, -(-len(which) // MOST_EVENTS))]
        colour = KINDS[y % len(KINDS)]
        start, length = found.start_s[which], (found.end_s - found.start_s)[which]
        axes.broken_barh(list(zip(start, length, strict=True)), (y - 0.32, 0.64), color=colour, alpha=0.35, lw=0)
        axes.vlines(start, y - 0.36, y + 0.36, color=colour, lw=0.9)
    several = len(events) > 1
    names = [f"{name}: {label}" if several and name != "trials" else label for name, label in kept]
    axes.set_yticks(range(len(kept)), [cut_middle(n, NAME) for n in names], fontsize=7.5)
    _rows_only(axes)
    axes.set_ylim(len(kept) - 0.5, -0.5)
    time_axis(axes, *(span if span[1] > span[0] else (span[0] - 0.5, span[0] + 0.5)))
    more = f"the first {len(kept)} of {len(rows)} labels; " if len(rows) > len(kept) else ""
    title(axes, "Events", f"{more}over the whole recording")


def draw_spikes(axes: Any, facts: SpikeFacts, spikes: Spikes, start_s: float, stop_s: float) -> None:
    """Draw the spikes of units over some seconds, the fastest unit on top."""
    rates = np.nan_to_num(np.array(facts.rates_hz))
    order = np.argsort(-rates, kind="stable")
    if len(order) > MOST_UNITS:
        order = order[np.linspace(0, len(order) - 1, MOST_UNITS).round().astype(int)]
    part = spikes.slice(start_s, stop_s)
    trains = [part.times_s[part.unit == unit] for unit in order]
    size = 0.5 if len(order) > 40 else 0.7
    if not len(order):
        return _empty(axes, facts.name, "no units")
    axes.eventplot(trains, lineoffsets=np.arange(len(order)), linelengths=0.8, linewidths=size, colors=INK)
    axes.set_ylim(len(order) - 0.5, -0.5)
    time_axis(axes, start_s, stop_s)
    axes.set_yticks([0, len(order) - 1] if len(order) > 1 else [0])
    ends = [order[0], order[-1]] if len(order) > 1 else list(order[:1])
    axes.set_yticklabels([f"{cut(spikes.unit_ids[u], 10)}\n{number(rates[u], 2)} Hz" for u in ends], fontsize=7)
    for name, side in zip(axes.get_yticklabels(), ("top", "bottom"), strict=False):
        name.set_verticalalignment(side)
    axes.tick_params(axis="y", length=0)
    count = f"{len(order)} of {facts.n_units} units" if len(order) < facts.n_units else f"{facts.n_units} units"
    return title(axes, facts.name, f"{count}, the fastest on top; {len(part):,} of {facts.n_spikes:,} spikes")


def draw_series(axes: Any, facts: SeriesFacts, series: Series, span: tuple[float, float]) -> None:
    """Draw the columns of an uneven series over the recording, one below the other, each on its own scale."""
    step = max(1, -(-len(series) // MOST_POINTS))
    times, kept = series.times_s[::step], facts.columns[:4]
    for row, name in enumerate(kept):
        values = series.values[::step, row]
        known = values[np.isfinite(values)]
        if len(known):
            low, high = np.percentile(known, [0.5, 99.5])
            scaled = (values - low) / (high - low) if high > low else np.zeros(len(values))
            axes.plot(times, -row + 0.8 * np.clip(scaled, -0.1, 1.1) - 0.4, lw=0.8, color=KINDS[1 + row % 3])
        unit = f" ({facts.units[row]})" if facts.units[row] else ""
        kept = (*kept[:row], f"{name}{unit}", *kept[row + 1 :])
    axes.set_yticks([-r for r in range(len(kept))], [cut_middle(n, NAME) for n in kept], fontsize=7.5)
    _rows_only(axes)
    axes.set_ylim(-len(kept) + 0.4, 0.6)
    time_axis(axes, *(span if span[1] > span[0] else (0.0, 1.0)))
    more = f"4 of {len(facts.columns)} columns; " if len(facts.columns) > 4 else ""
    title(axes, facts.name, f"{more}each on its own scale")


def _empty(axes: Any, head: str, why: str) -> None:
    axes.set_axis_off()
    axes.text(0, 0.9, why, color=MUTED, transform=axes.transAxes)
    title(axes, head)
