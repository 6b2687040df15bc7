"""A folder of recordings, prepared file by file; what cannot be read is put aside with the reason.

The pipeline runs a recipe of one stage (folder_stage.py) and what became of its items is gathered. Equal files and an
equal config give the same sessions and the same lists, however the run was interrupted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from ..core.errors import SpecError, one_of
from ..core.kinds import spec_error
from ..core.lineage import Output
from ..core.store import read_json, remove, write_json
from ..pipeline.stages.quarantine import QUARANTINED
from ..sampling.windows import Windows
from .folder_data import Folder
from .folder_kept import totals
from .folder_quality import QualityReport, overall, report_of
from .folder_stage import FACTS, PrepareFolder

if TYPE_CHECKING:
    from ..pipeline.plan import Plan, Task

STAGE = "prepare"
CONFIG_FIELDS = ("dataset", "signals", "windows", "step", "quality", "quarantine")


@dataclass(frozen=True)
class Quarantined:
    """A file that could not be prepared. file : relative to the input. error : the class of the error."""

    file: str
    error: str
    reason: str


@dataclass(frozen=True)
class Prepared:
    """A file that was prepared: where its session lies, relative to the output, and the facts of it.

    raw, signal : the primary signal before and after; None where there is none.
    """

    file: str
    recording: str
    subject: str
    session: str
    raw: dict[str, Any] | None
    signal: dict[str, Any] | None
    facts: dict[str, Any]


@dataclass(frozen=True)
class FolderReport:
    """What became of a folder. made, fresh : files prepared in this run, and before it."""

    root: Path
    good: tuple[Prepared, ...]
    bad: tuple[Quarantined, ...]
    made: int
    fresh: int
    seconds: float


def folder_plan(source: Path, output: Path, config: Path | str | None = None) -> Plan:
    """Return the plan that prepares every recording under `source` into `output`; SpecError, DataError, StoreError."""
    from ..pipeline.plan import make_plan
    from ..pipeline.recipe import check

    stage = _stage(source, output, {} if config is None else config_of(config))
    return make_plan(check({"name": "data-prepare", "stages": {STAGE: stage}}), output)


def config_of(config: Path | str) -> dict[str, Any]:
    """Return the fields of a config file, those of CONFIG_FIELDS, or of the stage `prepare` of a recipe."""
    from ..pipeline.recipe import text_of
    from ..pipeline.yaml12 import parse

    text, name = text_of(config)
    value = parse(text, name)
    value = {} if value is None else value
    if isinstance(value, dict) and isinstance(value.get("stages"), dict):
        stages = [s for s in value["stages"].values() if isinstance(s, dict) and s.get("kind") == "prepare"]
        if len(stages) != 1:
            raise SpecError(f"{name} has {len(stages)} stages of kind 'prepare'", allowed="one")
        value = {k: v for k, v in stages[0].items() if k != "kind"}
    if not isinstance(value, dict) or (unknown := sorted(set(value) - set(CONFIG_FIELDS))):
        given = f"{name} holds {one_of(unknown)}" if isinstance(value, dict) else f"{name} holds no mapping"
        raise SpecError(given, allowed=f"{one_of(CONFIG_FIELDS)}, as in the stage 'prepare' of a recipe")
    return value


def _stage(source: Path, output: Path, config: dict[str, Any]) -> PrepareFolder:
    dataset = config.get("dataset") or {}
    if not isinstance(dataset, dict) or dataset.get("kind", "recordings") != "recordings":
        raise SpecError(f"The config's dataset is {dataset!r}", allowed="fields of dataset 'recordings'")
    try:
        windows = Windows.model_validate(config.get("windows", {}))
    except ValidationError as error:
        raise spec_error("windows", error, Windows) from None
    try:
        folder = Folder.model_validate({**dataset, "path": source, "skip": output})
    except ValidationError as error:
        raise spec_error("dataset", error, Folder) from None
    try:
        quality = report_of(config.get("quality", True))
    except ValidationError as error:
        raise spec_error("quality", error, QualityReport) from None
    signals = config.get("signals") or ()
    chains = {"others": signals, "signals": ()} if isinstance(signals, dict) else {"signals": signals}
    made = {"dataset": folder, "windows": windows, "step": config.get("step"), "quality": quality, **chains}
    try:
        return PrepareFolder.model_validate(made)
    except ValidationError as error:
        raise spec_error("config", error, PrepareFolder) from None


def prepare_folder(
    plan: Plan, *, workers: int = 1, command: str = "", report: Callable[[str, int, int, str], None] | None = None
) -> FolderReport:
    """Run the plan of a folder, write `summary.json` and `quarantine.json` into its output, and say what became of it.

    Raises what the pipeline raises: StoreError for an output that cannot be written, Interrupted.
    """
    from ..pipeline.runner import ignore, run

    ran = run(plan, workers=workers, device="cpu", command=command, report=report or ignore)
    outputs = [(task, _finished(task)) for task in plan.tasks]
    good = tuple(_good(task, o, plan.root) for task, o in outputs if not o.path(QUARANTINED).exists())
    bad = tuple(_bad(task, o) for task, o in outputs if o.path(QUARANTINED).exists())
    made = set(ran.made) - {task.name for task, o in outputs if o.path(QUARANTINED).exists()}
    found = FolderReport(plan.root, good, bad, len(made), len(good) - len(made), ran.seconds)
    write_json(plan.root / "quarantine.json", {"format_version": 1, "quarantined": [vars(b) for b in bad]})
    write_json(plan.root / "summary.json", summary(found))
    for _, output in outputs:
        if output.path(QUARANTINED).exists():
            remove(output.folder)
    return found


def _finished(task: Task) -> Output:
    output = task.output()
    assert output is not None, "the run has made every item, or raised"
    return output


def _file(task: Task) -> str:
    stage = task.spec
    assert isinstance(stage, PrepareFolder)
    return stage.dataset.name_of(stage.recording(task.item))


def _good(task: Task, output: Output, root: Path) -> Prepared:
    known = read_json(output.path("prepared.json"))
    facts = read_json(output.path(FACTS))
    session = output.path("session.h5").relative_to(root).as_posix()
    return Prepared(_file(task), known["recording"], known["subject"], session, known["raw"], known["signal"], facts)


def _bad(task: Task, output: Output) -> Quarantined:
    known = read_json(output.path(QUARANTINED))
    return Quarantined(_file(task), known["error"], known["reason"])


def summary(report: FolderReport) -> dict[str, Any]:
    """Return the JSON value of a report: the same for the same files and config, whenever and however it was run."""
    return {
        "format_version": 2,
        "files": {
            "found": len(report.good) + len(report.bad),
            "prepared": len(report.good),
            "quarantined": len(report.bad),
        },
        "hours": round(sum(p.facts["hours"] for p in report.good), 6),
        "subjects": sorted({p.subject for p in report.good}),
        "windows": sum(p.facts["windows"] for p in report.good),
        "trials": sum(p.facts["trials"] for p in report.good),
        "kept": totals(p.facts["kept"] for p in report.good),
        "quality": overall([(p.file, p.facts["quality"]) for p in report.good]),
        "shapes": _shapes(report.good),
        "recordings": [
            {"file": p.file, "recording": p.recording, "subject": p.subject, "session": p.session, **p.facts}
            for p in report.good
        ],
        "quarantined": [vars(b) for b in report.bad],
    }


def _shapes(good: Sequence[Prepared]) -> list[dict[str, Any]]:
    """Return how many files, and hours, have which primary signal before and after; those without one come last."""
    shapes: dict[Any, list[Prepared]] = {}
    for p in good:
        names = () if p.signal is None else tuple(p.signal["ch_names"])
        shapes.setdefault((_shape(p.raw), _shape(p.signal), names), []).append(p)
    return [
        {
            "files": len(group),
            "hours": round(sum(p.facts["hours"] for p in group), 6),
            "raw": _said(raw),
            "prepared": None if made is None else {**(_said(made) or {}), "ch_names": list(names)},
        }
        for (raw, made, names), group in sorted(shapes.items(), key=lambda s: (s[0][0] is None, -len(s[1])))
    ]


def _shape(signal: dict[str, Any] | None) -> tuple[int, float] | None:
    return None if signal is None else (len(signal["ch_names"]), float(signal["sfreq"]))


def _said(shape: tuple[int, float] | None) -> dict[str, Any] | None:
    return None if shape is None else {"channels": shape[0], "sfreq": shape[1]}
