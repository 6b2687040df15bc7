"""The quality of a recording's primary signal as `data quality` and `data prepare` say it, and of a whole folder."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from ..core.errors import SignalMismatchError, SpecError
from ..core.progress import Progress, silent
from ..core.specs import Spec
from ..core.stream import Chunk
from ..recordings import Session, Signal

if TYPE_CHECKING:
    from ..signals.quality import Quality

PIECE_S = 10.0  # how often progress is told
A_LOOK = 0.9  # a recording is named where less is usable, or where a channel is bad
WORST = 5


class QualityReport(Spec):
    """The quality of each raw recording, in `quality.json` beside its session."""

    mains_hz: Literal[50, 60] = Field(50, description="where the recordings were made")


def report_of(value: Any) -> QualityReport | None:
    """Return what `quality` of a config stands for: true, false or its fields; SpecError, ValidationError."""
    if isinstance(value, bool):
        return QualityReport() if value else None
    if not isinstance(value, dict):
        raise SpecError(f"The config's quality is {value!r}", allowed="true, false or {mains_hz: 60}")
    return QualityReport.model_validate(value)


def unfit(session: Session) -> SignalMismatchError | None:
    """Return why the quality of a session's primary signal cannot be told; None where it can."""
    from ..signals.artefacts import FAST_HZ
    from ..signals.blocks import eeg_of

    if not session.signals:
        return SignalMismatchError("It has no regular signal", remedy="Give a recording with EEG")
    name, signal, least = next(iter(session.signals)), session.signal, 5 * FAST_HZ[0]
    if not eeg_of(signal.spec):
        types = ", ".join(sorted(set(signal.spec.ch_types)))
        remedy = "Quality is told of EEG; if it is EEG, correct the channel types in the file"
        return SignalMismatchError(f"No channel of the primary signal is EEG, the types are: {types}", remedy=remedy)
    if signal.spec.sfreq < least:
        given, remedy = f"'{name}' has {signal.spec.sfreq:g} Hz, which is too slow", "Give the recording as it was made"
        return SignalMismatchError(given, allowed=f"{least:g} Hz or more", remedy=remedy)
    if not signal.n_times:
        return SignalMismatchError(f"'{name}' holds no samples", remedy="Give a recording that is not empty")
    return None


def refuse_unfit(file: Path, session: Session) -> None:
    """Raise the SignalMismatchError of `unfit`, with the name of the file."""
    if error := unfit(session):
        given = f"{file}: {error.given[0].lower()}{error.given[1:]}"
        raise SignalMismatchError(given, allowed=error.allowed, remedy=error.remedy)


class Watched(Signal):
    """A signal that tells how far it was read, in pieces of 10 s."""

    def __init__(self, signal: Signal, progress: Progress = silent, text: str = "") -> None:
        super().__init__(signal.spec, signal.n_times, signal.start_s)
        self._signal, self._progress, self._text = signal, progress, text

    def chunks(self, n_times: int = 65536) -> Iterator[Chunk]:
        """Yield the signal in chunks of 10 s, or of `n_times` where that is less."""
        for chunk in super().chunks(max(1, min(n_times, round(PIECE_S * self.spec.sfreq)))):
            yield chunk
            self._progress(chunk.start + chunk.n_times, self.n_times, self._text)

    def _read(self, start: int, stop: int) -> Any:
        return self._signal.read(start, stop)

    def _valid(self, start: int, stop: int) -> Any:
        return self._signal.valid(start, stop)


def judged(session: Session, mains_hz: float, progress: Progress = silent, text: str = "") -> Quality:
    """Return the quality of a session's primary signal; SignalMismatchError where it cannot be told."""
    from ..signals.quality import quality

    if error := unfit(session):
        raise error
    signals = {"primary": Watched(session.signal, progress, text)}
    return quality(Session(session.session_id, session.subject, signals), mains_hz=mains_hz)


def as_json(found: Quality, session: Session, mains_hz: float) -> dict[str, Any]:
    """Return a quality as the JSON value that is written, its numbers rounded to 6 decimals."""
    about = {"format_version": 1, "signal": next(iter(session.signals)), "mains_hz": mains_hz}
    said: dict[str, Any] = _rounded(found.json() | about)
    return said


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _rounded(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(v) for v in value]
    return round(value, 6) + 0.0 if isinstance(value, float) else value


def digest(found: Quality) -> dict[str, Any]:
    """Return what the facts of a recording say of its quality."""
    return {
        "hours": round(found.duration_s / 3600, 6),
        "usable_hours": round(found.usable_s / 3600, 6),
        "usable": round(found.usable, 6),
        "bad_channels": found.bad_channels,
    }


def overall(files: Sequence[tuple[str, dict[str, Any] | None]]) -> dict[str, Any] | None:
    """Return the quality of a folder, from the facts of its files; None where none was asked for.

    worst : at most five, the least usable first, of those with a bad channel or less than 90 % usable. not_judged : how
    many files for which reason.
    """
    asked = [(file, facts) for file, facts in files if facts is not None]
    if not asked:
        return None
    told = [{"file": file, **facts} for file, facts in asked if "usable" in facts]
    named = [t for t in told if t["bad_channels"] or t["usable"] < A_LOOK]
    worst = sorted(named, key=lambda t: (t["usable"], -len(t["bad_channels"]), t["file"]))[:WORST]
    reasons = Counter(facts["not_judged"] for _, facts in asked if "not_judged" in facts)
    return {
        "files": len(told),
        "hours": round(sum(t["hours"] for t in told), 6),
        "usable_hours": round(sum(t["usable_hours"] for t in told), 6),
        "with_bad_channels": sum(bool(t["bad_channels"]) for t in told),
        "named": len(named),
        "worst": worst,
        "not_judged": [{"reason": reason, "files": n} for reason, n in sorted(reasons.items())],
    }
