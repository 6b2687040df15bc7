"""The picture of a recording's quality: one page of what can be used when, by channel, and the line noise of each.

Colours are those of the report (Okabe and Ito 2008). Equal recordings give equal bytes as SVG and PNG.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.progress import Progress, silent
from ..core.stream import Array, Chunk, stream
from ..signals.artefacts import KINDS, Artefacts
from ..signals.bad_channels import REASONS, BadChannels
from .folder_quality import Watched

if TYPE_CHECKING:
    from ..recordings import Session
    from ..signals.quality import Quality

BINS, SHORTEST_S, MOST_CHANNELS = 600, 0.25, 64
WIDTH, LEFT, RIGHT, SIDE, GAP = 11.5, 1.2, 0.4, 2.2, 0.45  # inches
CALM = "#24557a"
COLOURS = {
    "flat": "#7a7212",
    "noisy": "#d55e00",
    "clipped": "#cc79a7",
    "line": "#0072b2",
    "bridged": "#009e73",
    "disconnected": "#e69f00",
    "blink": "#56b4e9",
    "muscle": "#d55e00",
    "movement": "#e69f00",
}


@dataclass(frozen=True)
class Timeline:
    """What was found when, in bins.

    start_s : of the recording. bin_s : length of a bin. usable (bins,) : share of its samples. artefacts (4, bins) and
    bad (6, n_eeg, bins) : share of the bin by kind and by reason.
    """

    start_s: float
    bin_s: float
    usable: Array
    artefacts: Array
    bad: Array


def timeline(session: Session, mains_hz: float, progress: Progress = silent) -> Timeline:
    """Return when which channel was bad and which artefact was there, streamed once more in bounded memory."""
    signal = Watched(session.signal, progress, "drawing")
    rate, n = signal.spec.sfreq, signal.n_times
    size = max(round(SHORTEST_S * rate), -(-n // BINS), 1)
    mains = mains_hz if mains_hz < rate / 2 else None
    bad = BadChannels(output="reasons", repair="none", mains_hz=mains).bind(signal.spec)
    found = Artefacts(output="flags").bind(signal.spec)
    n_eeg, bins = bad.output.n_chans, -(-n // size)
    sums = [np.zeros((rows, bins)) for rows in (1, len(KINDS), len(REASONS) * n_eeg)]
    many = np.zeros(0, np.bool_)  # of samples whose artefacts are still to come

    def watched() -> Iterator[Chunk]:
        nonlocal many
        state = bad.start()
        for chunk in signal.chunks():
            out, state = bad.step(chunk, state)
            codes = out.values.astype(np.int64)
            reasons = np.concatenate([(codes >> k) & 1 for k in range(len(REASONS))])
            _count(sums[2], reasons, out.start, size)
            many = np.concatenate([many, (codes > 0).sum(0) > 0.5 * n_eeg])
            yield chunk

    for out in stream(found, watched()):
        if out.n_times:
            flags = out.values > 0
            _count(sums[1], flags, out.start, size)
            usable = out.valid & ~flags.any(0) & ~many[: out.n_times]
            _count(sums[0], usable[None], out.start, size)
            many = many[out.n_times :]
    lengths = np.minimum(size, n - size * np.arange(bins))
    shares = [each / lengths for each in sums]
    return Timeline(signal.start_s, size / rate, shares[0][0], shares[1], shares[2].reshape(len(REASONS), n_eeg, bins))


def _count(sums: Array, marks: Array, start: int, size: int) -> None:
    """Add marks (rows, n), the first of them sample `start`, to the bins (rows, bins)."""
    at = np.arange(start, start + marks.shape[1]) // size
    edges = np.flatnonzero(np.diff(at, prepend=-1))
    if len(edges):
        sums[:, at[edges]] += np.add.reduceat(marks.astype(np.int64), edges, axis=1)


def draw(path: Path, found: Quality, when: Timeline, hz: str) -> None:
    """Write the page as .png, .svg or .pdf; StoreError where it cannot be written."""
    import matplotlib

    from ..core.store import atomic
    from ..evaluation.inspection.picture import STYLE

    without_dates = {".png": {"Software": None}, ".svg": {"Date": None}, ".pdf": {"CreationDate": None}}
    ending = path.suffix.lower()
    with matplotlib.rc_context(STYLE):
        figure = _page(found, when, hz)
        with atomic(path) as temporary:
            figure.savefig(temporary, format=ending[1:], dpi=150, metadata=without_dates[ending])


def _page(found: Quality, when: Timeline, hz: str) -> Any:
    from matplotlib.figure import Figure

    which = shown(found)
    heights = (0.5, 0.2 * len(KINDS), max(0.8, (0.2 if len(which) <= 32 else 0.14) * len(which)))
    height = 1.2 + sum(heights) + 2 * GAP + 0.9
    figure = Figure(figsize=(WIDTH, height), facecolor="white")
    _head(figure, found, height)
    inner, top, axes = WIDTH - LEFT - RIGHT - SIDE - 0.3, height - 1.2, []
    for tall in heights:
        place = (LEFT / WIDTH, (top - tall) / height, inner / WIDTH, tall / height)
        axes.append(figure.add_axes(place))
        top -= tall + GAP
    side = axes[2].get_position()
    noise = figure.add_axes(((LEFT + inner + 0.3) / WIDTH, side.y0, SIDE / WIDTH, side.height))
    _usable(axes[0], when)
    _marks(axes[1], when.artefacts, KINDS, [COLOURS.get(k, COLOURS["clipped"]) for k in KINDS], when)
    _title(axes[1], "Artefacts")
    _channels(axes[2], found, when, which)
    _noise(noise, found, which, hz)
    return figure


def shown(found: Quality) -> list[int]:
    """Return which channels are drawn: all, or the bad ones first where there are too many, in their order."""
    n = len(found.channels)
    if n <= MOST_CHANNELS:
        return list(range(n))
    longest = sorted(range(n), key=lambda i: -max(found.channels[i].bad_s.values(), default=0.0))
    return sorted(longest[:MOST_CHANNELS])


def _title(axes: Any, text: str, note: str = "") -> None:
    from ..evaluation.inspection.panels import title

    title(axes, text, note)


def _head(figure: Any, found: Quality, height: float) -> None:
    from ..evaluation.inspection.panels import MUTED
    from ..evaluation.inspection.words import counted, cut, lasting, share

    bad = f"{counted(len(found.bad_channels), 'bad channel')} of {len(found.channels)}"
    usable = f"{lasting(found.usable_s)} of {lasting(found.duration_s)} usable ({share(found.usable)})"
    left = LEFT / WIDTH
    figure.text(left, 1 - 0.45 / height, cut(found.session_id, 70), fontsize=15, family="serif", va="baseline")
    figure.text(left, 1 - 0.7 / height, f"{usable}   ·   {bad}", color=MUTED, fontsize=9, va="baseline")


def _edges(when: Timeline) -> tuple[Array, str]:
    """Return the edges of the bins in the unit that fits, and the name of that unit."""
    edges = when.start_s + when.bin_s * np.arange(len(when.usable) + 1)
    length = edges[-1] - edges[0]
    divisor, unit = (3600.0, "h") if length > 10_000 else (60.0, "min") if length > 300 else (1.0, "s")
    return edges / divisor, unit


def _usable(axes: Any, when: Timeline) -> None:
    edges, _ = _edges(when)
    axes.stairs(100 * when.usable, edges, fill=True, color=CALM, lw=0)
    axes.set(xlim=(edges[0], edges[-1]), ylim=(0, 100), yticks=[0, 100], yticklabels=["0 %", "100 %"], xticklabels=[])
    _title(axes, "Usable", f"share of each {when.bin_s:.3g} s")


def _marks(axes: Any, shares: Array, names: Any, colours: list[str], when: Timeline) -> None:
    """Draw rows of marks, each as dark as its share of the bin, and never too pale to be seen."""
    from matplotlib.colors import to_rgb

    edges, _ = _edges(when)
    image = np.ones((*shares.shape, 4))
    image[..., :3] = np.array([to_rgb(c) for c in colours])[:, None]
    image[..., 3] = np.where(shares > 0, 0.35 + 0.65 * np.minimum(shares, 1), 0)
    _image(axes, image, list(names), edges)
    axes.set_xticklabels([])


def _image(axes: Any, image: Array, names: list[str], edges: Array) -> None:
    extent = (edges[0], edges[-1], len(names) - 0.5, -0.5)
    axes.imshow(image, aspect="auto", interpolation="nearest", extent=extent)
    axes.set_yticks(range(len(names)), names)
    axes.tick_params(axis="y", length=0)
    axes.set_yticks(np.arange(len(names) + 1) - 0.5, minor=True)
    axes.grid(axis="y", which="minor", color="#eef1f3", lw=0.6)
    axes.tick_params(axis="y", which="minor", length=0)


def _channels(axes: Any, found: Quality, when: Timeline, which: list[int]) -> None:
    """Draw, for each channel and bin, the reason that holds longest in it; its legend stands below."""
    from matplotlib.colors import to_rgb
    from matplotlib.patches import Patch

    edges, unit = _edges(when)
    bad = when.bad[:, which]
    image = np.ones((*bad.shape[1:], 4))
    image[..., :3] = np.array([to_rgb(COLOURS[r]) for r in REASONS])[bad.argmax(0)]
    largest = bad.max(0)
    image[..., 3] = np.where(largest > 0, 0.35 + 0.65 * largest, 0)
    _image(axes, image, [found.channels[i].name[:14] for i in which], edges)
    axes.set_xlabel(unit)
    drawn = set(bad.argmax(0)[largest > 0].tolist())
    there = [r for k, r in enumerate(REASONS) if k in drawn]
    note = "" if len(which) == len(found.channels) else f"the worst {len(which)} of {len(found.channels)}"
    _title(axes, "Bad channels", note if there else f"none {note}".strip())
    if there:
        below = (0, -0.34 / (axes.figure.get_figheight() * axes.get_position().height))
        handles = [Patch(color=COLOURS[r], label=r) for r in there]
        axes.legend(handles=handles, ncol=6, loc="upper left", bbox_to_anchor=below, frameon=False, borderpad=0)


def _noise(axes: Any, found: Quality, which: list[int], hz: str) -> None:
    """Draw the line noise of each channel in dB, on the rows of the channels."""
    from ..evaluation.inspection.panels import MUTED, WARN
    from .data_quality import LOUD_DB

    known = [found.channels[i].line_db[hz] for i in which]
    values = [0.0 if v is None else v for v in known]
    axes.barh(range(len(which)), values, height=0.7, color=[WARN if v >= LOUD_DB else CALM for v in values])
    axes.axvline(0, color=MUTED, lw=0.7)
    axes.axvline(LOUD_DB, color=WARN, lw=0.7, ls=(0, (3, 2)))
    low, high = min(0.0, *values), max(LOUD_DB, *values)
    axes.set(ylim=(len(which) - 0.5, -0.5), yticks=[], xlabel="dB", xlim=(1.08 * low - 0.5, 1.08 * high))
    _title(axes, f"{hz} Hz", "cannot be told" if all(v is None for v in known) else "")
