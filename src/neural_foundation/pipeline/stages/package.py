"""package: a package from elsewhere, such as another recipe's, as the output of a stage."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Literal

from ...core.errors import PackageError
from ...core.specs import off_key
from ...core.store import atomic
from ...models.binned_package import BinnedPackage
from ...models.packed import CARD, FACTS, WEIGHTS
from ..stage import Item, Job, Stage


class GivenPackage(Stage):
    """Copy a package of binned sessions; its files, not where they lay, make the key."""

    kind: Literal["package"] = "package"
    path: Path = off_key(..., description="folder of a package that 'fit_trials' wrote")

    gives: ClassVar[str] = "BinnedPackage"

    def raw_files(self, item: Item) -> Sequence[Path]:
        BinnedPackage.open(self.path)  # says what is wrong with it before anything starts
        if not (self.path / WEIGHTS).is_file():
            raise PackageError(f"{self.path} holds no {WEIGHTS}", remedy="Take the package from its source again")
        return [self.path / name for name in (FACTS, WEIGHTS)]

    def run(self, job: Job) -> None:
        package = BinnedPackage.open(self.path)
        job.subjects.update(package.facts.subjects)
        for name in (FACTS, WEIGHTS, *([CARD] if (self.path / CARD).is_file() else [])):
            with atomic(job.folder / name) as temporary:
                shutil.copyfile(self.path / name, temporary)
        job.progress(1, 1, "copied")
