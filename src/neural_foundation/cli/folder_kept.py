"""What `data prepare` kept of a recording, of each modality, and of a whole folder."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..recordings import Session

Kept = dict[str, dict[str, dict[str, Any]]]


def kept(session: Session, windows: str) -> dict[str, Any]:
    """Return the facts of a prepared session as a JSON value: `kept` names all that it holds beside its `windows`."""
    from ..evaluation.inspection.quality import valid_share

    start_s, end_s = span_of(session)
    held: Kept = {
        "signals": {name: {"channels": s.spec.n_chans, "sfreq": s.spec.sfreq} for name, s in session.signals.items()},
        "spikes": {name: {"units": s.n_units, "spikes": len(s)} for name, s in session.spikes.items()},
        "series": {name: {"columns": len(s.names), "rows": len(s)} for name, s in session.series.items()},
        "intervals": {name: {"rows": len(rows)} for name, rows in session.intervals.items() if name != windows},
    }
    return {
        "hours": (end_s - start_s) / 3600,
        "trials": len(session.trials),
        "valid": round(valid_share(session.signal), 6) if session.signals else None,
        "windows": len(session.intervals[windows]),
        "kept": held,
    }


def left_out(session: Session) -> list[str]:
    """Return what of a file no session has a field for, as far as its reader lists it."""
    return list(getattr(session, "skipped", ()))


def span_of(session: Session) -> tuple[float, float]:
    """Return the first and last second of the primary signal, or, without signals, of the events; (0, 0) of nothing."""
    if session.signals:
        signal = session.signal
        return signal.start_s, signal.start_s + signal.duration_s
    times = [(float(m.times_s[0]), float(m.times_s[-1])) for m in session.spikes.values() if len(m)]
    times += [(float(m.times_s[0]), float(m.times_s[-1])) for m in session.series.values() if len(m)]
    rows = [*session.intervals.values(), session.trials]
    times += [(float(r.start_s.min()), float(r.end_s.max())) for r in rows if len(r)]
    return (min(a for a, _ in times), max(b for _, b in times)) if times else (0.0, 0.0)


def totals(every: Iterable[Kept]) -> list[dict[str, Any]]:
    """Return, for each modality and name, in how many files it is kept, and the sum of what can be counted."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for one in every:
        for modality, named in one.items():
            for name, facts in named.items():
                row = found.setdefault((modality, name), {"modality": modality, "name": name, "files": 0})
                row["files"] += 1
                for word, n in facts.items():
                    if word == "sfreq":
                        row[word] = sorted({*row.get(word, ()), n})
                    else:
                        row[word] = row.get(word, 0) + n
    order = {"signals": 0, "spikes": 1, "series": 2, "intervals": 3}
    return sorted(found.values(), key=lambda row: (order[row["modality"]], -row["files"], row["name"]))
