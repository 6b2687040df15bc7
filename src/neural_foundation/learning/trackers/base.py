"""What a tracker is: it writes down the losses of a fit for people to look at, and never enters a result."""

from __future__ import annotations

import warnings
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

from ...core.errors import MissingExtraError
from ...core.specs import Spec

LOGS = "logs"  # in the folder of what is fitted: what trackers write has no checksum


class Tracker(Spec):
    """Base of the trackers' descriptions. `library` : what has to be installed, by the extra 'tracking'."""

    kind: str
    library: ClassVar[str]

    @abstractmethod
    def logger(self, folder: Path, name: str) -> Any:
        """Return the Lightning logger of one fit, writing under `folder` what it writes to disk."""

    def end(self, logger: Any) -> None:
        """Let go of what the logger holds."""

    def require(self) -> None:
        """Import the library; MissingExtraError where it is absent."""
        from importlib import import_module

        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # theirs, about their own dependencies
                import_module(self.library)
        except ImportError:
            raise MissingExtraError(self.library, "tracking") from None


@contextmanager
def tracked(trackers: Sequence[Tracker], folder: Path, name: str) -> Iterator[list[Any]]:
    """Give the loggers of one fit, and let go of them at its end, however it ends."""
    for tracker in trackers:
        tracker.require()
    made: list[tuple[Tracker, Any]] = []
    try:
        for tracker in trackers:
            made.append((tracker, tracker.logger(folder, name)))
        yield [logger for _, logger in made]
    finally:
        for tracker, logger in made:
            tracker.end(logger)


def logged(folder: Path) -> list[str]:
    """Return the names of what trackers wrote into a folder that was fitted in."""
    return sorted(str(p.relative_to(folder)) for p in (folder / LOGS).rglob("*") if p.is_file())
