"""data quality: what one recording is worth, in one table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from ..recordings import Session
    from ..signals.quality import Quality

LITTLE, LOUD_DB = 0.9, 10.0  # what deserves a second look
MOST_BAD, MOST_ALARMS = 64, 5
Row = tuple[str, str, bool]


def add(group: typer.Typer) -> None:
    @group.command("quality")
    def quality(
        file: Annotated[Path, typer.Argument(help="A recording with EEG.", show_default=False)],
        mains_hz: Annotated[Literal["50", "60"], typer.Option("--mains-hz", help="Where it was made.")] = "50",
        json: Annotated[
            Path | None, typer.Option("--json", metavar="FILE", help="Write all of it.", show_default=False)
        ] = None,
        picture: Annotated[
            Path | None,
            typer.Option("--picture", metavar="FILE", help="Draw it, as .png, .svg or .pdf.", show_default=False),
        ] = None,
    ) -> None:
        """Say how much of a recording is usable, and what is wrong with it.

        All of the primary signal is read, and its EEG channels are judged.
        """
        from ..evaluation.inspection import check_picture
        from ..recordings import read
        from .data_pipe import heard
        from .terminal import console

        for target in (json, picture):
            _another(file, target)
        if picture is not None:
            check_picture(picture)
        with read(file, isolated=True) as session:
            found = _judged(file, session, float(mains_hz), json, picture)
            with heard():  # last: who reads the words may go away
                say(found, session, mains_hz, console())
        for what, target in (("Written to", json), ("Picture:", picture)):
            if target is not None:
                with heard():
                    typer.echo(f"{what} {target}")


def _another(file: Path, target: Path | None) -> None:
    from ..core.errors import SpecError

    if target is not None and target.exists() and file.exists() and target.samefile(file):
        raise SpecError(f"{target} is the recording itself", remedy="Write to another file")


def _judged(file: Path, session: Session, mains_hz: float, json: Path | None, picture: Path | None) -> Quality:
    """Return the quality of a session, written and drawn where that is asked for."""
    from ..core.store import write_json
    from .data_quality_picture import draw, timeline
    from .folder_quality import as_json, judged, refuse_unfit
    from .show_progress import Display

    refuse_unfit(file, session)
    with Display([file.name], "quality") as display:

        def progress(done: int, total: int, text: str) -> None:
            display.report(file.name, done, total, text)

        found = judged(session, mains_hz, progress, "judging")
        said = as_json(found, session, mains_hz)
        if json is not None:
            write_json(json, said)
        if picture is not None:
            draw(picture, found, timeline(session, mains_hz, progress), f"{mains_hz:g}")
    return found


def say(found: Quality, session: Session, mains_hz: str, console: Console) -> None:
    """Print a quality: one table of all that matters, and one of the bad channels."""
    from rich.table import Table

    from ..evaluation.inspection.words import counted, lasting
    from .terminal import plain

    eeg, spec = counted(len(found.channels), "EEG channel"), session.signal.spec
    name = next(iter(session.signals))
    typer.echo(f"Session '{found.session_id}', {name}: {eeg} at {spec.sfreq:g} Hz, {lasting(found.duration_s)}")
    typer.echo()
    table = Table(**plain(), show_header=False)
    table.add_column("what", no_wrap=True)
    table.add_column("found", overflow="fold")
    for what, words, odd in rows(found, mains_hz):
        table.add_row(what, words, style="yellow" if odd else None)
    console.print(table)
    _bad(found, console)


def rows(found: Quality, mains_hz: str) -> list[Row]:
    """Return what is said of a recording: what, the words, and whether it deserves a second look."""
    from ..evaluation.inspection.words import lasting, share

    valid = found.valid_s / found.duration_s
    bad = list(found.bad_channels)
    names = f": {', '.join(bad[:12])}{f' and {len(bad) - 12} more' if len(bad) > 12 else ''}" if bad else ""
    usable = f"{lasting(found.usable_s)} of {lasting(found.duration_s)}, {share(found.usable)}"
    return [
        ("usable", usable, found.usable < LITTLE),
        ("valid samples", share(valid), valid < LITTLE),
        ("bad channels", f"{len(bad)} of {len(found.channels)}{names}", bool(bad)),
        *_lines(found, mains_hz),
        *(_artefact(found, kind) for kind in found.artefacts),
        _drift(found),
    ]


def _lines(found: Quality, mains_hz: str) -> list[Row]:
    """Return the row of the mains, and one of the other frequency where that is what stands out."""
    from statistics import median

    said: list[Row] = []
    for hz in (mains_hz, "60" if mains_hz == "50" else "50"):
        known = {c.name: v for c in found.channels if (v := c.line_db[hz]) is not None}
        if not known and hz == mains_hz:
            said.append((f"line noise, {hz} Hz", "cannot be told at this rate, or of so short a recording", False))
        elif known:
            worst = max(known, key=lambda name: known[name])
            loud = known[worst] >= LOUD_DB
            words = (
                f"worst {worst} {known[worst]:+.1f} dB, median {median(known.values()):+.1f} dB over its neighbourhood"
            )
            hint = "" if hz == mains_hz else f"; if that is the mains, say --mains-hz {hz}"
            if loud or hz == mains_hz:
                said.append((f"line noise, {hz} Hz", words + hint, loud))
    return said


def _artefact(found: Quality, kind: str) -> Row:
    from ..evaluation.inspection.words import lasting

    n, seconds = found.artefacts[kind], found.artefact_s[kind]
    if not n:
        return kind, "none", False
    a_minute = 60 * n / found.duration_s
    return kind, f"{n:,}, {a_minute:.1f} a minute, {lasting(seconds)} in all", seconds > 0.1 * found.duration_s


def _drift(found: Quality) -> Row:
    from ..evaluation.inspection.words import counted, lasting

    if found.drift_score is None:
        return "drift", "cannot be told of less than a minute or so of valid signal", False
    alarms = found.drift_alarms_s
    if not alarms:
        return "drift", f"no alarm; largest score {found.drift_score:.2f}, an alarm at 1", False
    times = ", ".join(lasting(t) for t in alarms[:MOST_ALARMS]) + (" ..." if len(alarms) > MOST_ALARMS else "")
    return "drift", f"{counted(len(alarms), 'alarm')}, at {times}", True


def _bad(found: Quality, console: Console) -> None:
    """Print the bad channels, the longest bad first, with the share of the time by reason."""
    from rich.table import Table

    from ..evaluation.inspection.words import share
    from .terminal import plain

    bad = [c for c in found.channels if c.name in found.bad_channels]
    if not bad:
        return
    table = Table(**plain())
    table.add_column("bad channel", overflow="fold")
    table.add_column("why, and for which share of the time", overflow="fold")
    for channel in sorted(bad, key=lambda c: -max(c.bad_s.values()))[:MOST_BAD]:
        seconds = sorted(channel.bad_s.items(), key=lambda r: -r[1])
        table.add_row(channel.name, ", ".join(f"{reason} {share(s / found.duration_s)}" for reason, s in seconds))
    console.print()
    console.print(table)
    if len(bad) > MOST_BAD:
        typer.echo(f"{MOST_BAD} of {len(bad)} bad channels are listed; --json has all")
