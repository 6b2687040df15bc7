"""report: one HTML page with figures, and where each comes from."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from ...core.lineage import Output, library_versions
from ...core.store import load_arrays, read_json
from ...evaluation.report import (
    Confusion,
    DataSource,
    DecisionTrace,
    Estimate,
    HeldOutScores,
    Latency,
    LearningCurve,
    LearningCurves,
    ModelScores,
    PairedDifference,
    Provenance,
    ReportContent,
    ScalpMap,
    ScalpMaps,
    TemporalCoherence,
    Trial,
    terminal_table,
    write_report,
)
from ..stage import Job, Port, Stage
from .prepare import Prepared
from .report_alarms import alarms
from .report_confidence import calibration, certainty, estimate

if TYPE_CHECKING:
    from rich.table import Table

    from ..plan import Plan


class Report(Stage):
    """Gather what the other stages found into `report.html`."""

    kind: Literal["report"] = "report"
    title: str = ""
    task: str = Field("the target", description="completes: decodes ... on people it never saw")
    held_out: str = Field("people it never saw", description="who or what was held out")
    caveats: tuple[str, ...] = ()

    takes = {
        "data": Port("Prepared", many=True),
        "scores": Port("Scores"),
        "learned": Port("Package", many=True, required=False),
        "replay": Port("Replay", required=False),
    }
    gives: ClassVar[str] = "Report"
    version: ClassVar[int] = 1

    def run(self, job: Job) -> None:
        data = Prepared.of(job.inputs["data"])
        scores = job.one("scores")
        replay = job.inputs["replay"][0] if job.inputs.get("replay") else None
        made = read_json(scores.path("scores.json"))
        main = next(iter(m for m in made["models"] if m not in made["baselines"]))
        here = _Sources(job, data)
        content = ReportContent(
            title=self.title or f"{data.dataset['title']}: {', '.join(data.classes)}",
            provenance=here.of(None),
            task=self.task,
            held_out=self.held_out,
            caveats=(*self.caveats, *data.caveats),
            scores=held_out_scores(made, here.of(scores)),
            difference=_difference(made, main, here.of(scores)),
            confusion=Confusion(
                classes=tuple(made["classes"]),
                counts=np.array(made["models"][main]["confusion"]),
                model=main,
                kappa=estimate(made["models"][main]["kappa"]),
                provenance=here.of(scores),
            ),
            alarms=alarms(made, main, here.of(scores)),
            calibration=calibration(made["models"][main], here.of(scores)),
            certainty=certainty(made["models"][main].get("confidence"), here.of(scores)),
            scalp=_scalp(scores, made, data, here),
            trace=_trace(replay, here) if replay else None,
            latency=_latency(replay, here) if replay else None,
            coherence=_coherence(replay, here) if replay else None,
            learning=learning_curves(job.inputs.get("learned", []), here.of),
        )
        write_report(job.folder / "report.html", content)
        job.measured.append("report.html")  # it shows measured latencies


class _Sources:
    """Makes the provenance of figures."""

    def __init__(self, job: Job, data: Prepared) -> None:
        self.job = job
        d = data.dataset
        self.data = (
            DataSource(
                title=d["title"],
                licence=d["licence"],
                citation=d["citation"],
                url=d["url"],
                n_subjects=len(data.subjects),
            ),
        )

    def of(self, output: Output | None) -> Provenance:
        """Return where a figure made from `output` comes from; of the whole report without one."""
        if output is None:
            return Provenance(
                command=self.job.command,
                seed=self.job.seed,
                stage=self.job.stage,
                stage_key=self.job.key,
                versions=library_versions(),
                data=self.data,
            )
        m = output.manifest
        return Provenance(
            command=m["run"]["command"],
            seed=m["facts"]["seed"],
            stage=output.stage,
            stage_key=output.key,
            versions=m["libraries"],
            data=self.data,
        )


def held_out_scores(made: dict[str, Any], provenance: Provenance | None = None) -> HeldOutScores:
    """Return scores.json as the report and the terminal table take it."""
    subjects = tuple(next(iter(made["models"].values()))["subjects"])
    models = [
        ModelScores(
            model=name,
            by_subject=tuple(entry["subjects"][s] for s in subjects),
            mean=estimate(entry["balanced_accuracy"]),
            role="baseline" if name in made["baselines"] else "model",
        )
        for name, entry in made["models"].items()
    ]
    if made.get("ceiling") and set(subjects) <= set(made["ceiling"]["subjects"]):
        values = tuple(made["ceiling"]["subjects"][s] for s in subjects)
        mean = float(np.mean(values))
        models.append(
            ModelScores(model="true sources", by_subject=values, mean=Estimate(mean, mean, mean), role="ceiling")
        )
    main = next(e for n, e in made["models"].items() if n not in made["baselines"])
    chance = main["chance"]
    return HeldOutScores(
        subjects=subjects,
        group=made.get("group", "subject"),
        models=tuple(models),
        chance=Estimate(chance["mean"], 2 * chance["mean"] - chance["level_95"], chance["level_95"]),
        provenance=provenance,
    )


def _difference(made: dict[str, Any], main: str, provenance: Provenance) -> PairedDifference | None:
    entry = made["models"][main]
    if entry["difference"] is None:
        return None
    other = made["models"][entry["difference"]["against"]]["subjects"]
    subjects = tuple(entry["subjects"])
    by_subject = tuple(entry["subjects"][s] - other[s] for s in subjects)
    return PairedDifference(
        model=main,
        baseline=entry["difference"]["against"],
        difference=estimate(entry["difference"]),
        subjects=subjects,
        by_subject=by_subject,
        provenance=provenance,
    )


def _scalp(scores: Output, made: dict[str, Any], data: Prepared, here: _Sources) -> ScalpMaps | None:
    from ...core.specs import SignalSpec

    spec = SignalSpec.model_validate(data.facts[0]["signal"])
    if "patterns" not in made or any(p is None for p in spec.positions) or not spec.positions:
        return None
    arrays, facts = load_arrays(scores.path("patterns.npz")), made["patterns"]
    classes, silent = made["classes"], facts.get("silent", ())
    maps = []
    for way, label in (("negative", classes[1]), ("positive", classes[0])):
        truth = arrays.get(f"true_{facts.get(f'{way}_source', '')}")
        maps.append(
            ScalpMap(
                title=f"less power here: {label}",
                values=arrays[way],
                reference=truth,
                correlation=facts.get(f"{way}_correlation"),
            )
        )
    return ScalpMaps(
        ch_names=spec.ch_names,
        positions=np.array(spec.positions, float),
        maps=tuple(maps),
        note="Activation patterns (Haufe et al. 2014) of the decision in the space of power: "
        "mean over held-out people"
        + (f", without {len(silent)} about whom the decision never changed." if silent else "."),
        provenance=here.of(scores),
    )


def _trace(replay: Output, here: _Sources) -> DecisionTrace:
    a, facts = load_arrays(replay.path("trace.npz")), read_json(replay.path("replay.json"))
    classes = tuple(facts["classes"])
    trials = tuple(
        Trial(start_s=float(s), end_s=float(e), label=classes[t], decided=classes[int(p.argmax())])
        for s, e, t, p in zip(a["onset_s"], a["end_s"], a["target"], a["final"], strict=True)
    )
    difference = facts["largest_difference"]
    note = "" if difference is None else f"Streamed and evaluated probabilities differ by at most {difference:.1e}."
    step_s = float(np.median(np.diff(a["time_s"])))
    span_s = 60.0 if step_s < 1 else 240 * step_s  # of decisions that are far apart, more than a minute
    shown = a["time_s"] <= a["time_s"][0] + span_s
    last = a["time_s"][shown][-1]
    kept = tuple(t for t in trials if t.end_s <= last)
    return DecisionTrace(
        title=f"Subject {facts['subject']}, first {'minute' if span_s == 60 else f'{span_s / 60:g} minutes'}",
        classes=classes,
        time_s=a["time_s"][shown],
        probability=a["probability"].T[shown],
        trials=kept,
        resets_s=tuple(t.start_s for t in kept) if step_s < 1 else (),
        excerpt_s=max(240.0, span_s),
        note=note,
        provenance=here.of(replay),
    )


def _latency(replay: Output, here: _Sources) -> Latency:
    facts = read_json(replay.path("replay.json"))
    return Latency(
        seconds=load_arrays(replay.path("latency.npz"))["seconds"],
        step=f"{facts['block_s'] * 1000:g} ms of raw signal, through chain and graph",
        deadline_s=facts["block_s"],
        provenance=here.of(replay),
    )


def _coherence(replay: Output, here: _Sources) -> TemporalCoherence:
    value = read_json(replay.path("replay.json"))["coherence"]
    return TemporalCoherence(
        value=value, definition="1 - switches per possible switch, within trials", provenance=here.of(replay)
    )


def learning_curves(outputs: list[Output], place: Callable[[Output], Provenance]) -> tuple[LearningCurves, ...]:
    """Return the learning curves of fits, a figure a stage; `place` says where one comes from."""
    by_stage: dict[str, list[Output]] = {}
    for output in outputs:
        by_stage.setdefault(output.stage, []).append(output)
    made = []
    for stage, group in by_stage.items():
        curves = tuple(c for o in group if (c := _curve(o)) is not None)
        if curves:
            made.append(
                LearningCurves(
                    title=stage, curves=curves, validation_label="validation loss", provenance=place(group[0])
                )
            )
    return tuple(made)


def _curve(output: Output) -> LearningCurve | None:
    history = read_json(output.path("history.json"))
    if not history:
        return None
    step = np.array([h["step"] for h in history])
    validation = [h.get("validation_loss") for h in history]
    known = all(v is not None for v in validation)
    return LearningCurve(
        name=output.item or output.stage,
        step=step,
        loss=np.array([h["train_loss"] for h in history]),
        validation_step=step if known else None,
        validation=np.array(validation) if known else None,
    )


def terminal_tables(plan: Plan) -> list[Table]:
    """Return the score tables of a plan's finished evaluations."""
    found = [t.output() for t in plan.tasks if t.spec.gives == "Scores"]
    return [terminal_table(held_out_scores(read_json(o.path("scores.json")))) for o in found if o is not None]
