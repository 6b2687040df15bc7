"""Recordings that cannot serve, put aside with the reason by `prepare`: which they are, and what is said of them."""

from __future__ import annotations

import errno
from collections.abc import Mapping, Sequence
from typing import Any

from ...core.errors import DataError
from ...core.lineage import Output
from ...core.store import read_json

QUARANTINED = "quarantined.json"
MOST_QUARANTINED, MOST_NAMED = 0.5, 8
# errors of the system that come and go: no memory, no handles, a disk or a network that fails
PASSING = {
    getattr(errno, name)
    for name in ("ENOMEM", "EMFILE", "ENFILE", "EIO", "ESTALE", "ETIMEDOUT", "EAGAIN", "EINTR", "ENOSPC", "EDQUOT")
    if hasattr(errno, name)
}


def checked(outputs: Sequence[Output]) -> tuple[tuple[Output, ...], tuple[dict[str, str], ...]]:
    """Return the outputs of `prepare` that hold a recording, and what the others say.

    DataError where more than half hold none, or the only one.
    """
    bad = quarantined(outputs)
    if len(bad) == len(outputs) == 1:
        raise DataError(in_quarantine(bad), remedy="Get its files again, or leave its subject out with `exclude`")
    if len(bad) > MOST_QUARANTINED * len(outputs):
        given = f"{len(bad)} of {len(outputs)} recordings cannot be used. The first: {bad[0]['reason']}"
        raise DataError(given, allowed="up to half", remedy="Check the folder, and whether the copy is complete")
    return tuple(o for o in outputs if not o.path(QUARANTINED).exists()), bad


def quarantined(outputs: Sequence[Output]) -> tuple[dict[str, str], ...]:
    """Return recording, error and reason of each output of `prepare` that holds no recording."""
    return tuple(read_json(o.path(QUARANTINED)) for o in outputs if o.path(QUARANTINED).exists())


def passing(error: BaseException) -> bool:
    """Return whether an error says more of the machine, at this moment, than of a file: it is no reason to go on."""
    causes, at = list[BaseException](), error.__cause__ or error.__context__
    while at is not None and at not in causes:
        causes.append(at)
        at = at.__cause__ or at.__context__
    return any(isinstance(c, MemoryError) or (isinstance(c, OSError) and c.errno in PASSING) for c in causes)


def in_quarantine(bad: Sequence[Mapping[str, str]]) -> str:
    """Return in words which recordings are left out, and why."""
    named = "; ".join(f"{b['recording']} ({b['reason'].splitlines()[0]})" for b in bad[:MOST_NAMED])
    more = f"; and {len(bad) - MOST_NAMED} more" if len(bad) > MOST_NAMED else ""
    what = "1 recording is" if len(bad) == 1 else f"{len(bad)} recordings are"
    return f"{what} in quarantine and left out: {named}{more}."


def left_out(facts: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return in words how many labelled trials have no window, and which rows of a table were left out."""
    trials = {f["recording"]: f["without_window"] for f in facts if f.get("without_window")}
    rows = [row for f in facts for row in f.get("left_out", ())]
    said = []
    if trials:
        named = ", ".join(f"{name} ({n})" for name, n in list(trials.items())[:MOST_NAMED])
        more = "" if len(trials) <= MOST_NAMED else f" and {len(trials) - MOST_NAMED} more"
        n = sum(trials.values())
        what = "1 labelled trial has" if n == 1 else f"{n} labelled trials have"
        said.append(f"{what} no window, since too little of it is valid or lies in the recording: {named}{more}.")
    if rows:
        more = "" if len(rows) <= MOST_NAMED else f"; and {len(rows) - MOST_NAMED} more"
        what = "1 faulty row is" if len(rows) == 1 else f"{len(rows)} faulty rows are"
        said.append(f"{what} left out: {'; '.join(rows[:MOST_NAMED])}{more}.")
    return said
