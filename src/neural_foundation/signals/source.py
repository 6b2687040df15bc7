"""Where a chain's signal comes from: the session's primary one, unless the chain's first operation says otherwise."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TypeVar

from ..recordings.session import Session, Signal
from .base import SignalOp

T = TypeVar("T")


class Source(SignalOp):
    """Base of the operations that begin a chain: they make its signal from something else in the session.

    Bound to that signal they change nothing, so a chain that begins with one is stepped, stored and run live like any
    other: live, whoever feeds it makes the signal (see `spikes.SpikeBinner`).
    """

    @property
    def keeps_topography(self) -> bool:
        return False

    @abstractmethod
    def signal(self, session: Session) -> Signal:
        """Return the signal; DataError where the session has not what it is made from."""


def begun(session: Session, ops: Sequence[SignalOp]) -> Session:
    """Return the session whose primary signal is the one that a chain of these operations is bound to.

    That is the session itself, unless the first operation is a Source: then the signal it makes comes first, under the
    name of its kind, and all else is as it was. Closing the one closes the other.
    """
    first = ops[0] if ops else None
    if not isinstance(first, Source):
        return session
    return Session(
        session.session_id,
        session.subject,
        {str(getattr(first, "kind", "source")): first.signal(session), **session.signals},
        lambda: session.trials,
        spikes=_lazy(session.spikes),
        series=_lazy(session.series),
        intervals=_lazy(session.intervals),
        close=session.close,
    )


def _lazy(held: Mapping[str, T]) -> dict[str, T | Callable[[], T]]:
    return {name: partial(held.__getitem__, name) for name in held}
