"""report_trials: one HTML page on how well counts and behaviour are predicted from each other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from ...core.lineage import Output, library_versions
from ...core.store import load_arrays, read_json
from ...evaluation.report import DataSource, Provenance
from ..stage import Job, Port, Stage
from .bin import Binned
from .report import learning_curves

if TYPE_CHECKING:
    from rich.table import Table

    from ..plan import Plan


class ReportTrials(Stage):
    """Gather what evaluate_trials found into `report.html`."""

    kind: Literal["report_trials"] = "report_trials"
    title: str = ""
    caveats: tuple[str, ...] = ()

    takes = {
        "data": Port("Binned", many=True),
        "scores": Port("TrialScores"),
        "learned": Port("BinnedPackage", many=True, required=False),
    }
    gives: ClassVar[str] = "Report"
    version: ClassVar[int] = 1

    def run(self, job: Job) -> None:
        from ...evaluation.report.trial_content import TrialReport
        from ...evaluation.report.trials import write_trial_report

        data, output = Binned.of(job.inputs["data"]), job.one("scores")
        sources = _Sources(job, data)
        scores = read_json(output.path("scores.json"))
        note = data.dataset["note"]
        report = TrialReport(
            title=self.title or f"{data.dataset['title']}: encoding and decoding",
            provenance=sources.of(None),
            scores=scores,
            truth=load_arrays(output.path("truth.npz")),
            predictions={m: load_arrays(output.path(f"predictions-{m}.npz")) for m in scores["order"]},
            sessions={s.spec.name: f for s, f in zip(data.sessions, data.facts, strict=True)},
            caveats=(*self.caveats, *([note] if note else [])),
            learning=learning_curves(job.inputs.get("learned", []), sources.of),
            scored=sources.of(output),
            binned=sources.of(data.outputs[0]),
        )
        write_trial_report(job.folder / "report.html", report)


class _Sources:
    """Makes the provenance of figures."""

    def __init__(self, job: Job, data: Binned) -> None:
        self.job, d = job, data.dataset
        words = {k: d[k] for k in ("title", "licence", "citation", "url")}
        self.data = (DataSource(**words, n_subjects=len(data.subjects)),)

    def of(self, output: Output | None) -> Provenance:
        """Return where a figure made from `output` comes from; of the whole report without one."""
        job = self.job
        facts: dict[str, Any] = {
            "command": job.command,
            "seed": job.seed,
            "stage": job.stage,
            "stage_key": job.key,
            "versions": library_versions(),
        }
        if output is not None:
            m = output.manifest
            facts = {
                "command": m["run"]["command"],
                "seed": m["facts"]["seed"],
                "stage": output.stage,
                "stage_key": output.key,
                "versions": m["libraries"],
            }
        return Provenance(**facts, data=self.data)


def terminal_tables(plan: Plan) -> list[Table]:
    """Return the score tables of a plan's finished evaluations of trials."""
    from ...evaluation.report.trial_terminal import trial_tables

    found = [t.output() for t in plan.tasks if t.spec.gives == "TrialScores"]
    return [table for o in found if o is not None for table in trial_tables(read_json(o.path("scores.json")))]
