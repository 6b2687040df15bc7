"""What a tracker is: it writes down the losses of a fit for people to look at, and never enters a result."""

from __future__ import annotations

import warnings
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from ...core.errors import MissingExtraError
from ...core.lineage import LOGS
from ...core.specs import Spec

WORKING = ".partial"  # a folder's name ends so while it is made


class Tracker(Spec):
    """Base of the trackers' descriptions. `library` : what has to be installed, by the extra 'tracking'."""

    kind: str
    library: ClassVar[str]

    @abstractmethod
    def logger(self, folder: Path, name: str, model: str) -> Any:
        """Return the Lightning logger of one fit of a kind of model, writing under `folder` what it writes to disk.

        SpecError where the run cannot be begun.
        """

    def end(self, *, whole: bool) -> None:
        """Let go of the run; not `whole` where the fit broke off."""

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
def tracked(trackers: Sequence[Tracker], folder: Path, model: str) -> Iterator[list[Any]]:
    """Give the loggers of one fit in `folder`, and let go of them at its end, however it ends."""
    for tracker in trackers:
        tracker.require()
    name = "/".join((folder.parent.name, folder.name.removesuffix(WORKING)))
    with ExitStack() as stack:
        loggers = []
        for tracker in trackers:
            stack.push(partial(_end, tracker))
            loggers.append(tracker.logger(folder / LOGS, name, model))
        yield loggers


def _end(tracker: Tracker, error: type[BaseException] | None, *_: object) -> None:
    tracker.end(whole=error is None)


def logged(folder: Path) -> list[str]:
    """Return the names of what trackers wrote into a folder that was fitted in."""
    return sorted(str(p.relative_to(folder)) for p in (folder / LOGS).rglob("*") if p.is_file())
