"""The models that a server serves, by task; a new version takes new connections while the old one ends its own."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from pathlib import Path

from ..core.errors import PackageError, SpecError, did_you_mean, one_of
from ..models.packed import FACTS
from ..realtime.live_model import LiveModel
from .protocol import ProtocolError
from .settings import Served

log = logging.getLogger(__name__)
KEPT = 4  # versions of a task's package that stay open


class ServedModels:
    """Opened packages: the current one of each task, and the last ones before it, for states that go on with them."""

    def __init__(self, packages: Sequence[Served], device: str = "auto") -> None:
        self._device = device
        self._lock = threading.Lock()
        self._folders: dict[str, Path] = {}
        self._current: dict[str, LiveModel] = {}
        self._opened: dict[str, list[LiveModel]] = {}
        for package in packages:
            self._take(package.task, package.folder, LiveModel.open(package.folder, device=device))

    def _take(self, task: str, folder: Path, model: LiveModel) -> None:
        name = task or model.task
        if name in self._folders and self._folders[name] != folder:
            raise SpecError(
                f"Two packages decode the task '{name}'",
                remedy="Name one of them in a --config file: packages: [{folder: ..., task: ...}]",
            )
        model.task = name
        self._folders[name], self._current[name] = folder, model
        self._opened[name] = [*self._opened.get(name, []), model][-KEPT:]

    @property
    def tasks(self) -> tuple[str, ...]:
        return tuple(self._current)

    def __getitem__(self, task: str) -> LiveModel:
        """Return the current model of a task; ProtocolError where there is none."""
        if not task and len(self._current) == 1:
            return next(iter(self._current.values()))
        if task not in self._current:
            raise ProtocolError(
                "task", f"No task '{task}'.{did_you_mean(task, self.tasks)}", allowed=one_of(self.tasks)
            )
        return self._current[task]

    def of_digest(self, digest: str) -> LiveModel | None:
        """Return the model that a saved state belongs to, current or older; None where it is not (or no more) open."""
        every = (m for models in self._opened.values() for m in models)
        return next((m for m in every if m.digest == digest), None)

    def reload(self, task: str) -> bool:
        """Open a task's package again; return whether it is another one now. Old connections keep the old model.

        PackageError, and the old model goes on, where the folder holds no good package.
        """
        old = self[task]
        new = LiveModel.open(self._folders[old.task], device=self._device)
        if new.digest == old.digest:
            return False
        with self._lock:
            self._take(old.task, self._folders[old.task], new)
        log.info("reloaded", extra={"event": "reloaded", "task": old.task, "digest": new.digest[:12]})
        return True


def package_folder(path: Path) -> Path:
    """Return the package at a path: the folder itself, or the only exported one of a run's folder.

    PackageError where there is none, or there are several.
    """
    if not path.is_dir():
        raise PackageError(f"There is no folder {path}", remedy="Give the folder of an exported package, or of a run")
    if (path / FACTS).is_file():
        return path
    every = {p.parent for p in path.glob(f"export*/**/{FACTS}")}
    found = sorted(p for p in every if not every.intersection(p.parents))  # an ensemble's members are in its folder
    if len(found) == 1:
        return found[0]
    what = "no exported package" if not found else f"{len(found)} exported packages"
    raise PackageError(
        f"{path} holds {what}", allowed=", ".join(map(str, found[:8])), remedy="Give the folder of one package"
    )
