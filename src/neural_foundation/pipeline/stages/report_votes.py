"""report_votes: one HTML page on models and their ensemble beside experts' votes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ...core.errors import DataError
from ...core.lineage import Output
from ...core.store import load_arrays, read_json
from ..stage import Job, Port, Stage
from .ensemble_benchmark import BENCHMARK
from .evaluate import model_name
from .prepare import Prepared
from .report import _Sources, learning_curves

if TYPE_CHECKING:
    from rich.table import Table

    from ...evaluation.report.vote_content import VoteExample
    from ...sampling.windows import WindowSet
    from ..plan import Plan

Array = NDArray[Any]
LEAST_VOTES = 3  # of a typical example, where there are such windows
HIGH_HZ, SEGMENT_S, STEPS = 20.0, 2.0, 120  # of a spectrogram


class ReportVotes(Stage):
    """Gather what `ensemble` found into `report.html`, with example windows.

    `explained` : the folds of one member, whose evidence is shaded in the examples. `exported` : what the ensemble was
    deployed as, whose latency and size are shown. `gain` : scores of pre-trained models, and as baselines of the same
    ones from scratch.
    """

    kind: Literal["report_votes"] = "report_votes"
    title: str = ""
    caveats: tuple[str, ...] = ()
    typical: int = Field(1, ge=0, description="example windows of each class, of middling divergence")
    worst: int = Field(2, ge=0, description="example windows of the largest divergence")

    takes = {
        "data": Port("Prepared", many=True),
        "ensemble": Port("Ensemble"),
        "explained": Port("Package", many=True, required=False),
        "learned": Port("Package", many=True, required=False),
        "exported": Port("EnsemblePackage", required=False),
        "gain": Port("Scores", required=False),
    }
    gives: ClassVar[str] = "Report"
    version: ClassVar[int] = 1

    def run(self, job: Job) -> None:
        from ...evaluation.report.vote_content import VoteReport
        from ...evaluation.report.vote_page import write_vote_report

        data, output = Prepared.of(job.inputs["data"]), job.one("ensemble")
        sources, value = _Sources(job, data), read_json(output.path("ensemble.json"))
        exported, gain = (next(iter(job.inputs.get(name, [])), None) for name in ("exported", "gain"))
        report = VoteReport(
            title=self.title or f"{data.dataset['title']}: {', '.join(data.classes)}",
            provenance=sources.of(None),
            value=value,
            examples=self._examples(job, data, output, value),
            caveats=(*self.caveats, *data.caveats),
            learning=learning_curves(job.inputs.get("learned", []), sources.of),
            scored=sources.of(output),
            prepared=sources.of(data.outputs[0]),
            deployed=read_json(exported.path(BENCHMARK)) if exported else None,
            exported=sources.of(exported) if exported else None,
            gain=_gain(job, gain) if gain else None,
            gained=sources.of(gain) if gain else None,
        )
        write_vote_report(job.folder / "report.html", report)
        if exported:
            job.measured.append("report.html")  # it shows measured latencies

    def _examples(self, job: Job, data: Prepared, output: Output, value: dict[str, Any]) -> tuple[VoteExample, ...]:
        from ...metrics.votes import kl_each, vote_shares

        oof = load_arrays(output.path("oof.npz"))
        voted = np.flatnonzero(oof["votes"].sum(1) > 0)
        said = oof[f"ensemble_{value['method']}"]
        kl = np.full(len(said), np.nan)
        kl[voted] = kl_each(vote_shares(oof["votes"][voted]), said[voted])
        windows = data.labelled()
        place = {key: i for i, key in enumerate(_keys(windows.session, windows.trial, windows.start))}
        keys = _keys(oof["session"], oof["trial"], oof["start"])
        chosen = choose(kl, oof["target"], oof["votes"].sum(1), self.typical, self.worst, data.classes)
        made = []
        for done, (row, why) in enumerate(chosen):
            job.progress(done, len(chosen), "example windows")
            text = f"{why}: {kl[row]:.2f} nats from {_votes(oof['votes'][row])}."
            window = windows.select([place[keys[row]]])
            example = _example(window, oof, row, value, text)
            made.append(
                replace(example, **evidence(job.inputs.get("explained", []), window, example, value["classes"]))
            )
        return tuple(made)


def _gain(job: Job, output: Output) -> dict[str, Any]:
    """Return scores of pre-trained models and those from scratch; DataError where they are none."""
    made: dict[str, Any] = read_json(output.path("scores.json"))
    if "kl" not in made or not made["baselines"]:
        raise DataError(
            f"Stage '{job.stage}': inputs.gain holds no models beside others from scratch, judged by votes",
            allowed="scores of data with votes, whose baselines are those from scratch",
            remedy="Give the stage of 'evaluate' its baselines, or leave out inputs.gain",
        )
    return made


def choose(
    kl: Array, target: Array, n_votes: Array, typical: int, worst: int, classes: tuple[str, ...]
) -> list[tuple[int, str]]:
    """Return (row, why) of example windows: of each class those nearest to its median divergence, then the worst.

    kl : (n,), NaN where nobody voted. Typical windows have 3 votes or more where there are such.
    """
    found: list[tuple[int, str]] = []
    for k, name in enumerate(classes):
        mine = np.flatnonzero(np.isfinite(kl) & (target == k))
        if len(many := mine[n_votes[mine] >= LEAST_VOTES]):
            mine = many
        order = mine[np.argsort(np.abs(kl[mine] - np.median(kl[mine])), kind="stable")] if len(mine) else mine
        found += [(int(i), f"A window of {name} with a divergence in the middle of its class") for i in order[:typical]]
    rest = np.flatnonzero(np.isfinite(kl) & ~np.isin(np.arange(len(kl)), [i for i, _ in found]))
    order = rest[np.argsort(-kl[rest], kind="stable")][:worst]
    return found + [(int(i), "One of the largest divergences") for i in order]


def _votes(votes: Array) -> str:
    return f"{votes.sum():g} vote{'' if votes.sum() == 1 else 's'}"


def _keys(session: Array, trial: Array, start: Array) -> list[tuple[str, int, int]]:
    return list(zip(session.tolist(), trial.tolist(), start.tolist(), strict=True))


def evidence(
    outputs: Sequence[Output], window: WindowSet, example: VoteExample, classes: Sequence[str]
) -> dict[str, Any]:
    """Return `evidence` and `evidence_of` of an example: of the packages whose fold held its person out, their mean."""
    from ...evaluation.chains import chains
    from ...evaluation.occlusion import occlusion, seconds
    from ...models.package import Package

    mine = [o for o in outputs if str(window.subject[0]) in read_json(o.path("fold.json"))["test"]]
    if not mine:
        return {}
    opened, signal = [Package.open(o.folder) for o in mine], window.load()[0]
    packages = [(p, window.samples(p.facts.windows) if p.facts.span_s else slice(None)) for p in opened]

    def predict(parts: NDArray[np.float32]) -> Array:
        return np.asarray(np.mean([p.predict_proba(parts[..., at]) for p, at in packages], axis=0))

    answer = int(predict(signal[None])[0].argmax())
    first, last = (round(s * window.spec.sfreq) for s in example.labelled_s)
    parts = seconds(first, last, window.spec.sfreq)
    found = occlusion(predict, signal, chains(example.ch_names), parts, answer)
    return {"evidence": found, "evidence_of": f"{model_name(mine[0])} says {classes[answer]}"}


def _example(windows: WindowSet, oof: dict[str, Array], row: int, value: dict[str, Any], text: str) -> VoteExample:
    from ...evaluation.report.vote_content import VoteExample
    from ...recordings import read

    first, last = int(windows.start[0]), int(windows.start[0]) + windows.n_times
    with read(windows.paths[int(windows.file[0])]) as session:
        signal, trial = session.signal, int(windows.trial[0])
        spec = signal.spec
        span = [(float(t[trial]) - signal.start_s) * spec.sfreq for t in (session.trials.start_s, session.trials.end_s)]
        begin, end = max(first, round(span[0])), min(last, round(span[1]))
        if end <= begin:  # the trial lies outside of its window: the window is what was judged
            begin, end = first, last
        values, valid = signal.read(first, last), signal.valid(first, last)
        onset = float(session.trials.start_s[trial])
    shown = slice(begin - first, end - first)
    return VoteExample(
        title=f"{value['classes'][int(oof['target'][row])]}, recording {windows.session[0]} at {onset:g} s",
        reading=text,
        ch_names=spec.ch_names,
        sfreq=spec.sfreq,
        values=values[:, shown],
        valid=valid[shown],
        unit=next(iter(spec.units), "V"),
        window_s=windows.n_times / spec.sfreq,
        labelled_s=((begin - first) / spec.sfreq, (end - first) / spec.sfreq),
        spectrograms=spectrograms(values, valid, spec.ch_names, spec.sfreq),
        high_hz=min(HIGH_HZ, spec.sfreq / 2),
        votes=oof["votes"][row],
        said={value["method"]: oof[f"ensemble_{value['method']}"][row]},
    )


def spectrograms(values: Array, valid: Array, ch_names: tuple[str, ...], sfreq: float) -> dict[str, Array]:
    """Return decibels (n_frequencies, n_steps) of each chain of electrodes, mean power over its channels, up to 20 Hz.

    Segments of 2 s under a Hann window, about 120 of them, NaN where a sample is not valid; {} where the window is
    shorter than 4 s.
    """
    from scipy.signal import spectrogram

    from ...evaluation.chains import chain_name, chains

    length = round(SEGMENT_S * sfreq)
    if values.shape[1] < 2 * length:
        return {}
    hop = max(1, (values.shape[1] - length) // STEPS)
    trusted = np.where(valid, values, 0.0).astype(np.float64)
    hz, _, power = spectrogram(trusted, sfreq, "hann", length, length - hop, axis=-1)
    bad = np.lib.stride_tricks.sliding_window_view(~valid, length)[::hop][: power.shape[-1]].any(1)
    kept = (hz >= 0.5) & (hz <= HIGH_HZ)
    made = {}
    for chain in chains(ch_names):
        decibels = 10 * np.log10(np.maximum(power[chain][:, kept].mean(0), 1e-30))
        made[chain_name(ch_names, chain)] = np.where(bad, np.nan, decibels)
    return made


def terminal_tables(plan: Plan) -> list[Table]:
    """Return the score tables of a plan's finished ensembles."""
    from ...evaluation.report.vote_terminal import vote_table

    found = [t.output() for t in plan.tasks if t.spec.gives == "Ensemble"]
    return [vote_table(read_json(o.path("ensemble.json"))) for o in found if o is not None]
