"""What a stage is: a spec with inputs, the items it fans out into, and `run(job)` that fills one item's folder."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field

from ..core.errors import SpecError
from ..core.lineage import Output
from ..core.progress import Progress, silent
from ..core.specs import Spec

Item = dict[str, str]  # axis -> value, e.g. {"fold": "0", "seed": "1"}
ForEach = str | dict[str, list[Any]] | list[Any]


@dataclass
class Job:
    """One item of one stage, about to run. `folder` is where its files go; it survives a kill, so work resumes."""

    stage: str
    item: Item
    seed: int
    folder: Path
    inputs: dict[str, list[Output]]
    device: str = "auto"
    progress: Progress = silent
    command: str = ""
    key: str = ""
    measured: list[str] = field(default_factory=list)
    subjects: set[str] = field(default_factory=set)

    def one(self, name: str) -> Output:
        """Return the only output of an input."""
        outputs = self.inputs[name]
        if len(outputs) != 1:
            raise SpecError(
                f"Stage '{self.stage}': input '{name}' brings {len(outputs)} outputs",
                allowed="one",
                remedy="Name one with 'fold', or use for_each",
            )
        return outputs[0]


@dataclass(frozen=True)
class Port:
    """What an input takes: an output type, perhaps several outputs, perhaps none."""

    type: str
    many: bool = False
    required: bool = True


class Stage(Spec):
    """Base of all stage kinds.

    `version` changes when the same fields would give another result. `takes` names the inputs, `gives` the output's
    type. `inputs` name stages; `for_each` names a split or a stage with an axis of its own, or lists values of a field.
    """

    kind: str
    inputs: dict[str, str | list[str]] = Field(default_factory=dict)
    for_each: ForEach | None = None

    version: ClassVar[int] = 1
    takes: ClassVar[Mapping[str, Port]] = {}
    gives: ClassVar[str] = ""
    own_axis: ClassVar[str] = ""
    resumes: ClassVar[bool] = False  # True: `run` goes on from what an interrupted run left in its folder

    def own_values(self) -> list[str]:
        """Return the values of the stage's own axis (recordings of a dataset); one nameless item by default."""
        return []

    def chosen_axes(self) -> Item:
        """Return the values of axes that the stage picks from inputs that fan out, e.g. one fold."""
        return {}

    def rows_digest(self, item: Item) -> str:
        """Return a digest of what else than `raw_files` decides what an item gives; '' for nothing."""
        return ""

    def raw_files(self, item: Item) -> Sequence[Path]:
        """Return the files outside the store that an item reads; their content enters its key."""
        return ()

    @abstractmethod
    def run(self, job: Job) -> None:
        """Fill `job.folder`; everything in it belongs to the output when this returns."""

    def input_stages(self) -> dict[str, list[str]]:
        """Return input name -> stage names."""
        return {n: [s] if isinstance(s, str) else list(s) for n, s in self.inputs.items()}


def item_name(item: Item) -> str:
    """Return the folder-safe name of an item: '' for the only one."""
    return ".".join(f"{axis}-{value}" for axis, value in sorted(item.items()))
