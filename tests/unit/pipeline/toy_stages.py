"""Small stages for tests of the pipeline: they write text, and can be told to fail or to wait."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from neural_foundation.core.errors import DataError
from neural_foundation.core.kinds import register
from neural_foundation.core.specs import off_key
from neural_foundation.core.store import write_bytes, write_json
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


@register("stages")
class Pass(Stage):
    """Passes words on: what it gives, another of its kind can take."""

    kind: Literal["toy_pass"] = "toy_pass"
    takes = {"data": Port("Word", many=True)}
    gives = "Word"

    def run(self, job: Job) -> None:
        write_bytes(job.folder / "word.txt", b"".join(o.path("word.txt").read_bytes() for o in job.inputs["data"]))
