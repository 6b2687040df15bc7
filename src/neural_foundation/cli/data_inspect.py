"""data inspect: what is in a recording, its quality at a glance, and a picture."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from ..evaluation.inspection import Inspection, LabelFacts, SignalFacts

MOST_CHANNELS, MOST_NAMES, MOST_LABELS = 64, 48, 20


def add(group: typer.Typer) -> None:
    @group.command("inspect")
    def inspect(
        file: Annotated[Path, typer.Argument(help="A recording.", show_default=False)],
        picture: Annotated[
            Path | None,
            typer.Option("--picture", metavar="FILE", help="Draw it, as .png, .svg or .pdf.", show_default=False),
        ] = None,
        everything: Annotated[bool, typer.Option("--all", help="All channels and labels, however many.")] = False,
    ) -> None:
        """Say what is in a recording, and how good it looks."""
        from ..evaluation.inspection import check_picture, draw, inspect_session
        from ..recordings import read
        from .data_pipe import heard
        from .terminal import console

        if picture is not None:
            check_picture(picture)
        with read(file, isolated=True) as session:
            found = inspect_session(session)
            if picture is not None:
                draw(picture, session, found)  # first: who reads the words may go away
        with heard():
            say(found, console(), everything)
            if picture is not None:
                typer.echo(f"Picture: {picture}")


def say(found: Inspection, console: Console, everything: bool = False) -> None:
    """Print an inspection."""
    from ..evaluation.inspection.words import lasting

    start_s, end_s = found.span_s
    typer.echo(f"Session '{found.session_id}' of subject '{found.subject}', {lasting(end_s - start_s)}")
    for signal in found.signals:
        _signal(signal, console, everything)
    _spikes(found)
    _series(found)
    for name, labels in found.intervals.items():
        if labels or name == "trials":
            _labels(name, labels, console, everything)


def _signal(signal: SignalFacts, console: Console, everything: bool) -> None:
    from ..evaluation.inspection.words import counted, lasting, share

    spec = signal.spec
    types = ", ".join(f"{n} {kind}" for kind, n in signal.types.items())
    units = ", ".join(dict.fromkeys(unit or "no unit" for unit in spec.units or ("V",)))
    start = f" from {signal.start_s:g} s" if signal.start_s else ""
    positions = f"positions of {signal.n_positions}" if signal.n_positions else "no positions"
    typer.echo()
    typer.echo(
        f"{signal.name}: {counted(spec.n_chans, 'channel')} at {spec.sfreq:g} Hz, {lasting(signal.duration_s)}{start}"
    )
    typer.echo(f"    {types}; in {units}; {positions}; {share(signal.valid)} valid")
    names = list(spec.ch_names if everything else spec.ch_names[:MOST_NAMES])
    more = f" and {spec.n_chans - len(names)} more" if len(names) < spec.n_chans else ""
    typer.echo(textwrap.fill(", ".join(names) + more, 116, initial_indent="    ", subsequent_indent="    "))
    if signal.quality.n_pieces:
        _quality(signal, console, everything)


def _quality(signal: SignalFacts, console: Console, everything: bool) -> None:
    from rich.table import Table

    from ..evaluation.inspection.words import counted, lasting
    from .terminal import plain

    found = signal.quality
    pieces = counted(found.n_pieces, "evenly spaced piece")
    of = "all of it" if found.whole else f"{pieces}, {lasting(found.seconds)} of {lasting(signal.duration_s)}"
    table = Table(title=f"Quality of {signal.name}, from {of}", **plain())
    for head in ("channel", "type", "middle 95 %", "flat", "clipped", "missing", "50 Hz", "60 Hz", "remarks"):
        side: Literal["left", "right"] = "left" if head in {"channel", "type", "remarks"} else "right"
        # in a narrow terminal words go on in the next line; figures are never cut
        table.add_column(head, justify=side, no_wrap=head not in {"channel", "remarks"}, overflow="fold")
    remarked = [i for i, words in enumerate(signal.remarks) if words]
    every = list(range(signal.spec.n_chans))
    listed = every if everything or len(every) <= MOST_CHANNELS else remarked[:MOST_CHANNELS]
    for i in listed:
        table.add_row(*_row(signal, i), style="yellow" if signal.remarks[i] else None)
    if listed:
        console.print()
        console.print(table)
    if len(listed) < len(every):
        typer.echo(f"{len(listed)} of {len(every)} channels are listed, the first that have remarks; --all lists all")
    typer.echo(_verdict(signal, len(remarked)))


def _row(signal: SignalFacts, i: int) -> list[str]:
    from ..evaluation.inspection.words import amount, share, times

    found, spec = signal.quality, signal.spec
    unit = spec.units[i] if spec.units else "V"
    ratios = [times(float(ratio[i])) for ratio in found.line.values()]
    shares = [share(float(column[i])) for column in (found.flat, found.clipped, found.missing)]
    kind = spec.ch_types[i] if spec.ch_types else "eeg"
    words = ", ".join(signal.remarks[i])
    return [spec.ch_names[i], kind, amount(found.low[i], found.high[i], unit), *shares, *ratios, words]


def _verdict(signal: SignalFacts, n: int) -> str:
    """Return one sentence: how many channels have which remark."""
    if not n:
        return f"{signal.name}: nothing to remark on"
    words = list(dict.fromkeys(word for said in signal.remarks for word in said))
    counts = [f"{word} {sum(word in said for said in signal.remarks)}" for word in words]
    return f"{signal.name}: remarks on {n} of {signal.spec.n_chans} channels: {', '.join(counts)}"


def _spikes(found: Inspection) -> None:
    from statistics import median

    from ..evaluation.inspection.words import counted, number

    for spikes in found.spikes:
        rates = f", {number(median(spikes.rates_hz), 2)} Hz median rate" if spikes.rates_hz else ""
        typer.echo()
        typer.echo(f"{spikes.name}: {counted(spikes.n_units, 'unit')}, {counted(spikes.n_spikes, 'spike')}{rates}")
        if spikes.n_spikes:
            typer.echo(f"    from {spikes.first_s:.3f} to {spikes.last_s:.3f} s")
        if spikes.columns:
            typer.echo(f"    known of each unit: {', '.join(spikes.columns)}")


def _series(found: Inspection) -> None:
    from ..evaluation.inspection.words import counted, number, share

    for series in found.series:
        columns = [f"{n} ({u})" if u else n for n, u in zip(series.columns, series.units, strict=True)]
        every = f", one in {number(series.interval_s)} s (median)" if series.rows > 1 else ""
        typer.echo()
        typer.echo(
            f"{series.name}: {counted(series.rows, 'row')} at uneven times{every}; {share(series.missing)} missing"
        )
        typer.echo(textwrap.fill(", ".join(columns), 116, initial_indent="    ", subsequent_indent="    "))


def _labels(name: str, labels: tuple[LabelFacts, ...], console: Console, everything: bool) -> None:
    from rich.table import Table

    from ..evaluation.inspection.words import counted, lasting
    from .terminal import plain

    shown = labels if everything else labels[:MOST_LABELS]
    total = sum(label.count for label in labels)
    words = ", ".join(label.label for label in shown) or "none"
    more = f" and {len(labels) - len(shown)} more" if len(shown) < len(labels) else ""
    what = counted(total, "event") if name == "trials" else f"{counted(total, 'interval')} in '{name}'"
    typer.echo()
    typer.echo(f"{what}: {words}{more}")
    if not shown:
        return
    table = Table(**plain())
    for head in ("label", "count", "duration (median)", "first", "last"):
        table.add_column(head, justify="left" if head == "label" else "right", overflow="fold")
    for label in shown:
        ends = f"{label.first_s:.2f} s", f"{label.last_s:.2f} s"
        table.add_row(label.label, f"{label.count:,}", lasting(label.median_s) if label.median_s else "-", *ends)
    console.print(table)
