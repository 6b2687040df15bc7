"""split: who is held out, before anything learns."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, model_validator

from ...core.errors import DataError, one_of
from ...core.lineage import Output
from ...core.seeds import generator
from ...core.specs import Spec
from ...core.store import read_json, write_json
from ...evaluation.protocols import hold_out, within
from ...sampling.windows import WindowSet
from ..stage import Job, Port, Stage
from .prepare import Prepared
from .quarantine import in_quarantine

Role = Literal["train", "validation", "test"]


class Fold(Spec):
    """Who plays which role. With `blocks`, everybody is in all three, and blocks of their time are kept apart.

    blocks : (number of blocks, which of them is held out); see `evaluation.protocols.within`.
    """

    name: str
    train: tuple[str, ...]
    validation: tuple[str, ...] = ()
    test: tuple[str, ...] = ()
    blocks: tuple[int, int] | None = None

    def choose(self, windows: WindowSet, role: Role) -> WindowSet:
        """Return the windows of one role."""
        windows = windows.of_subjects(getattr(self, role))
        if self.blocks is None or not len(windows):
            return windows
        count, held_out = self.blocks
        return windows.select(getattr(within(windows.session, windows.trial, folds=count)[held_out], role))

    def with_train_subjects(self, count: float, seed: int) -> Fold:
        """Return a fold that knows the labels of only some of its training subjects, and of nobody for validation.

        count : how many, or, below 1, which share of them, rounded, one or more.
        """
        count = int(count) if count >= 1 else max(1, round(count * len(self.train)))
        if count > len(self.train):
            raise DataError(
                f"Fold '{self.name}' has {len(self.train)} training subjects, fewer than train_subjects: {count}"
            )
        chosen = generator(seed, "train-subjects", self.name).permutation(len(self.train))[:count]
        return self.model_copy(update={"train": tuple(self.train[i] for i in sorted(chosen)), "validation": ()})


class Split(Stage):
    """Hold out whole subjects (`subject`), or blocks of each subject's time (`block`)."""

    kind: Literal["split"] = "split"
    hold_out: Literal["subject", "block"] = "subject"
    folds: int = Field(4, ge=1, description="every subject (block) is held out in one of them")
    subjects: tuple[str, ...] = Field((), description="hold out just these, in one fold")
    validation: float = Field(0.2, ge=0, lt=1, description="share of the other subjects kept for early stopping")

    takes = {"data": Port("Prepared", many=True)}
    gives: ClassVar[str] = "Split"

    @model_validator(mode="after")
    def _one_way(self) -> Split:
        if self.subjects and self.hold_out == "block":
            raise ValueError("'subjects' names people to hold out, but hold_out is 'block'")
        if self.hold_out == "block" and self.folds < 3:
            raise ValueError("blocks of time need 3 folds or more: some to learn from, one to stop by, one to test")
        if self.folds < 2 and not self.subjects:
            raise ValueError("one fold leaves nobody to learn from; give 2 or more, or name 'subjects'")
        return self

    def fold_names(self) -> list[str]:
        """Return the names of the folds, known before anything runs."""
        return ["named"] if self.subjects else [str(k) for k in range(self.folds)]

    def run(self, job: Job) -> None:
        data = Prepared.of(job.inputs["data"])
        everybody = data.subjects
        if bad := [b for b in data.quarantined if b["subject"] in set(self.subjects) - set(everybody)]:
            raise DataError(f"subjects names {one_of(sorted({b['subject'] for b in bad}))}, but {in_quarantine(bad)}")
        folds = self._blocks(everybody) if self.hold_out == "block" else self._subjects(everybody, job.seed)
        job.subjects.update(everybody)
        write_json(job.folder / "split.json", [f.model_dump(mode="json") for f in folds])

    def _subjects(self, everybody: tuple[str, ...], seed: int) -> list[Fold]:
        count = 1 if self.subjects else self.folds
        made = hold_out(everybody, folds=count, seed=seed, validation=self.validation, named=self.subjects)
        return [
            Fold(name=name, train=f.train, validation=f.validation, test=f.test)
            for name, f in zip(self.fold_names(), made, strict=True)
        ]

    def _blocks(self, everybody: tuple[str, ...]) -> list[Fold]:
        roles = {"train": everybody, "validation": everybody, "test": everybody}
        return [Fold(name=name, blocks=(self.folds, k), **roles) for k, name in enumerate(self.fold_names())]


def read_fold(split: Output, name: str) -> Fold:
    """Return one fold of a split stage's output."""
    folds = [Fold.model_validate(f) for f in read_json(split.path("split.json"))]
    return next(f for f in folds if f.name == name)
