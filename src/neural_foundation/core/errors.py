"""Every error a user can cause, as one tree.

    NeuralFoundationError
    ├── SpecError            a recipe, a field, a setting is wrong
    │   └── UnknownKindError   a kind no table knows
    ├── DataError            the data cannot serve what was asked (no events, one class)
    │   ├── RecordingError     one file is missing, truncated, not what it says it is
    │   └── SignalMismatchError  rate, channels or positions differ from what was expected
    ├── StreamError          a chain or model that cannot run live, a broken order of samples
    ├── StoreError           an output folder is locked, full, read-only or corrupt
    ├── PackageError         a model package cannot be opened
    ├── MissingExtraError    an optional library is not installed
    └── Interrupted          the user stopped the run; nothing finished is lost

Each message says what was given, what is allowed and what to do.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path


class NeuralFoundationError(Exception):
    """Base of all errors of this package; `str()` is one message a user can act on.

    Parameters
    ----------
    given : what was wrong, with the value that was given.
    allowed : what would have been right.
    remedy : what to do now.
    """

    def __init__(self, given: str, *, allowed: str = "", remedy: str = "") -> None:
        self.given, self.allowed, self.remedy = given, allowed, remedy
        super().__init__(given)

    def __str__(self) -> str:
        allowed = f" Allowed: {self.allowed.rstrip('.')}." if self.allowed else ""
        remedy = f" {self.remedy.rstrip('.')}." if self.remedy else ""
        end = "" if self.given.endswith("?") else "."
        return f"{self.given.rstrip('.')}{end}{allowed}{remedy}"

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        # keyword-only arguments must survive the way back from a worker process
        return _rebuild, (type(self), self.given, self.allowed, self.remedy, dict(self.__dict__))


def _rebuild(
    cls: type[NeuralFoundationError], given: str, allowed: str, remedy: str, fields: dict[str, object]
) -> NeuralFoundationError:
    error = cls.__new__(cls)
    NeuralFoundationError.__init__(error, given, allowed=allowed, remedy=remedy)
    error.__dict__.update(fields)
    return error


class SpecError(NeuralFoundationError):
    """A recipe, field or setting is wrong."""


class UnknownKindError(SpecError):
    """A kind that no table knows."""


class DataError(NeuralFoundationError):
    """The data cannot serve what was asked."""


class RecordingError(DataError):
    """One file cannot be read as what it says it is; carries its `path`."""

    def __init__(self, path: str | Path, given: str, *, allowed: str = "", remedy: str = "") -> None:
        self.path = Path(path)
        super().__init__(f"{self.path}: {given}", allowed=allowed, remedy=remedy)


class SignalMismatchError(DataError):
    """Rate, channels or positions differ from what was expected."""


class StreamError(NeuralFoundationError):
    """A chain or model cannot run live, or samples came out of order."""


class StoreError(NeuralFoundationError):
    """An output folder is locked, full, read-only or corrupt."""


class PackageError(NeuralFoundationError):
    """A model package cannot be opened."""


class MissingExtraError(NeuralFoundationError):
    """An optional library is not installed; the message names its pip line."""

    def __init__(self, library: str, extra: str) -> None:
        super().__init__(f"'{library}' is not installed", remedy=f"Run: pip install 'neural-foundation[{extra}]'")


class Interrupted(NeuralFoundationError):
    """The user stopped the run."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return " Did you mean 'x'?" for the nearest of `known`, or an empty string."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f" Did you mean '{close[0]}'?" if close else ""


def one_of(names: Iterable[str]) -> str:
    """Return the names as an English list: 'a', 'b' or 'c'."""
    quoted = [f"'{n}'" for n in names]
    return quoted[0] if len(quoted) == 1 else f"{', '.join(quoted[:-1])} or {quoted[-1]}" if quoted else "(none)"
