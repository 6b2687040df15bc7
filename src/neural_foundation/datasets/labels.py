"""From the labels in a file to classes: what every dataset of files shares."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from ..core.errors import DataError, did_you_mean, one_of

if TYPE_CHECKING:
    from ..recordings import Intervals, Session


def with_trials(session: Session, trials: Intervals, *, session_id: str) -> Session:
    """Return the session with other trials and another id, all else as it was; closing it closes the file."""
    from ..recordings import Session

    return Session(
        session_id,
        session.subject,
        session.signals,
        trials,
        spikes={name: partial(session.spikes.__getitem__, name) for name in session.spikes},
        series={name: partial(session.series.__getitem__, name) for name in session.series},
        intervals={name: partial(session.intervals.__getitem__, name) for name in session.intervals},
        close=session.close,
    )


def classified(
    found: Intervals, events: Mapping[str, str], *, trial_s: float | None, where: str, partly: bool = False
) -> Intervals:
    """Return the intervals whose label `events` names, under the name of their class.

    trial_s : how long a trial is where its label has no duration. where : what the messages call the recording.
    partly : whether classes may be missing. Raises DataError, naming the labels found, where no trial or (unless
    `partly`) no trial of some class is left, and where a trial has no duration.
    """
    from ..recordings import Intervals

    labels = sorted(set(found.label))
    named = set(events) & set(labels)
    missing = [c for c in dict.fromkeys(events.values()) if not any(events[label] == c for label in named)]
    if not named or (missing and not partly):
        raise DataError(_absent(events, labels, missing, where), remedy="Name labels of the recording in `events`")
    rows = []
    for start_s, end_s, label in found.only(*named):
        if end_s <= start_s and trial_s is None:
            raise DataError(f"{where}: label '{label}' at {start_s:g} s has no duration", remedy="Give `trial_s`")
        rows.append((start_s, end_s if end_s > start_s or trial_s is None else start_s + trial_s, events[label]))
    return Intervals.of(rows)


def _absent(events: Mapping[str, str], labels: Sequence[str], missing: Sequence[str], where: str) -> str:
    if not labels:
        return f"{where} has no labels (annotations, events)"
    wanted = [label for label in events if events[label] in missing and label not in labels]
    hint = next((h for label in wanted if (h := did_you_mean(label, labels))), "")
    return f"{where} has no label {one_of(wanted)}.{hint} Found labels: {one_of(labels)}"
