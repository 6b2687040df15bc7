"""Small stages for tests of the pipeline: they write text, and can be told to fail or to wait."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import Field

from neural_foundation.core.errors import DataError
from neural_foundation.core.kinds import register
from neural_foundation.core.specs import Spec, off_key
from neural_foundation.core.store import write_bytes, write_json
from neural_foundation.learning.listening import tell
from neural_foundation.pipeline.stage import Item, Job, Port, Stage


@register("stages")
class Source(Stage):
    """Writes a word for each of its items."""

    kind: Literal["toy_source"] = "toy_source"
    words: tuple[str, ...] = ("a", "b")
    file: Path | None = off_key(None)
    workers: int = off_key(1)
    gives = "Word"
    own_axis = "word"

    def own_values(self) -> list[str]:
        return list(self.words)

    def raw_files(self, item: Item) -> Sequence[Path]:
        return [self.file] if self.file else []

    def run(self, job: Job) -> None:
        job.subjects.add(job.item["word"])
        write_bytes(job.folder / "word.txt", job.item["word"].encode())


@register("stages")
class Divide(Stage):
    """A split into folds."""

    kind: Literal["toy_split"] = "toy_split"
    folds: int = 2
    takes = {"data": Port("Word", many=True)}
    gives = "Split"

    def fold_names(self) -> list[str]:
        return [str(k) for k in range(self.folds)]

    def run(self, job: Job) -> None:
        write_json(job.folder / "split.json", self.fold_names())


@register("stages")
class Join(Stage):
    """Joins all words, a fold."""

    kind: Literal["toy_join"] = "toy_join"
    sign: str = "+"
    repeat: int = 1
    wait_s: float = off_key(0.0)
    fail: bool = off_key(False)
    takes = {"data": Port("Word", many=True)}
    gives = "Text"

    def run(self, job: Job) -> None:
        write_bytes(job.folder / "half.txt", b"first")
        time.sleep(self.wait_s)
        if self.fail:
            raise DataError("Told to fail")
        text = self.sign.join(o.path("word.txt").read_text() for o in job.inputs["data"]) * self.repeat
        write_bytes(job.folder / "text.txt", f"{job.item} {job.seed} {text}".encode())
        write_json(job.folder / "timing.json", time.time())
        job.measured.append("timing.json")


class Learner(Spec):
    """Stands for a learner with epochs."""

    lr: float = Field(0.1, gt=0)
    max_epochs: int = 4
    wait_s: float = off_key(0.0)
    fail_above: float = off_key(10.0)


@register("stages")
class Learn(Stage):
    """Writes a history whose validation loss is best at lr = 0.01."""

    kind: Literal["toy_learn"] = "toy_learn"
    learner: Learner = Learner()
    takes = {"data": Port("Word", many=True)}
    gives = "Learned"
    resumes = True

    def run(self, job: Job) -> None:
        if self.learner.lr > self.learner.fail_above:
            raise DataError(f"lr {self.learner.lr:g} is too high")
        history: list[dict[str, float]] = []
        for epoch in range(self.learner.max_epochs):
            time.sleep(self.learner.wait_s)
            loss = abs(math.log10(self.learner.lr) + 2) + 1 / (epoch + 1)
            history.append({"epoch": epoch, "train_loss": loss / 2, "validation_loss": loss})
            tell(history)
        write_json(job.folder / "history.json", history)


@register("stages")
class Pass(Stage):
    """Passes words on: what it gives, another of its kind can take."""

    kind: Literal["toy_pass"] = "toy_pass"
    takes = {"data": Port("Word", many=True)}
    gives = "Word"

    def run(self, job: Job) -> None:
        write_bytes(job.folder / "word.txt", b"".join(o.path("word.txt").read_bytes() for o in job.inputs["data"]))
