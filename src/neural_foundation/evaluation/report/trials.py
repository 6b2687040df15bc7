"""The report of encoding and decoding: its sections, each left out where it has nothing, and its first words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from neural_foundation.core.store import write_bytes
from neural_foundation.sampling.coverage import said_of_lacking

from . import heat, trial_examples, trial_position, trial_scores, trial_splits, trial_units
from .blocks import Block, Drawn, learning_section
from .markup import number, percent
from .page import Opening, framed
from .trial_content import WAYS, TrialReport, headline, title_of

SHORT = {
    "bits_per_spike": "bits per spike",
    "r2": "R2",
    "mean_error": "a mean error of",
    "balanced_accuracy": "balanced accuracy",
}
_MOST_PLACES = 3  # named in one sentence
STYLE = heat.STYLE + trial_examples.STYLE + trial_splits.STYLE


def write_trial_report(path: Path | str, report: TrialReport) -> None:
    """Write the report as one HTML file, atomically; equal content gives equal bytes. Raises StoreError."""
    write_bytes(path, page(report).encode())


def page(report: TrialReport) -> str:
    """Return the whole document."""
    opening = Opening(report.title, report.provenance, verdict(report), _facts(report), _caveats(report))
    return framed(opening, sections(report), style=STYLE, images=True)


def sections(report: TrialReport) -> list[Block]:
    """Return the sections that have content, the answer first."""
    made: list[tuple[str, str, Callable[[TrialReport], Drawn | None]]] = [
        ("scores", "Scores", trial_scores.section),
        ("units", "Units", trial_units.section),
        ("regions", "Regions", trial_units.regions_section),
        ("behaviour", "Behaviour", trial_examples.behaviour_section),
        ("classes", "Classes", trial_examples.classes_section),
        ("position", "Position", trial_position.section),
        ("population", "Population", trial_examples.population_section),
        ("rasters", "Rasters", trial_examples.raster_section),
        ("maps", "Encoding maps", trial_examples.maps_section),
        ("places", "Rate maps", trial_position.maps_section),
    ]
    scored = report.scored or report.provenance
    found = [Block(name, short, drawn, scored) for name, short, draw in made if (drawn := draw(report)) is not None]
    for i, curves in enumerate(report.learning):
        place = curves.provenance or report.provenance
        found.append(Block(f"learning-{i + 1}", f"{curves.title} curves", learning_section(curves), place))
    splits = trial_splits.section(report)
    found += [Block("splits", "Splits", splits, scored)] if splits is not None else []
    if report.sessions:
        found.append(Block("data", "Data", trial_splits.data_section(report), report.binned or report.provenance))
    return found


def verdict(report: TrialReport) -> str:
    """Return the report in one sentence, computed from its scores; the best baseline of each stands beside it."""
    ways: dict[str, list[str]] = {}
    for direction, words in (("encoding", "from behaviour"), ("decoding", "from neural activity")):
        model = _model_for(report, direction)
        told = _direction(report, model, direction)
        if told:
            ways.setdefault(model, []).append(f"{words} {_listed(told)}")
    if not ways:
        return ""
    said = [f"{model} predicts {' and '.join(parts)}" for model, parts in ways.items()]
    return f"On {WAYS[report.hold_out]} it never saw, {'; '.join(said)}."


def _model_for(report: TrialReport, direction: str) -> str:
    """Return the first model that has scores of a direction, the main one where it has."""
    models = report.scores["models"]
    mine = [m for m in report.order if models[m]["role"] == "model" and models[m]["hold_out"] == report.hold_out]
    there = [m for m in mine if any(n.startswith(direction) for n in models[m]["metrics"])]
    return report.main if report.main in there or not there else there[0]


def _direction(report: TrialReport, model: str, direction: str) -> list[str]:
    metrics, facts = report.scores["models"][model]["metrics"], report.scores["metrics"]
    there = [n for n in headline(report.scores) if n in metrics and n.startswith(direction)]
    placed = {facts[n]["modality"] for n in there if facts[n]["score"] == "mean_error"}
    kept = [n for n in there if not (facts[n]["score"] == "r2" and facts[n]["modality"] in placed)]
    return [_told(report, n, metrics[n]) for n in kept]


def _listed(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _told(report: TrialReport, name: str, entry: Mapping[str, Any]) -> str:
    facts = report.scores["metrics"][name]
    what = str(facts["modality"]).replace("_", " ")
    beside = []
    if entry["chance"]:
        beside.append(f"chance {number(entry['chance']['mean'])}")
    if entry["difference"]:
        d = entry["difference"]
        theirs = report.scores["models"][d["against"]]["metrics"][name]["mean"]
        beside.append(f"{d['against']} {number(theirs)}")
    score, value = SHORT[facts["score"]], number(entry["mean"])
    text = f"{what} at {value} {score}" if facts["score"] == "bits_per_spike" else f"{what} with {score} {value}"
    text += f" {facts['unit']}" if facts["unit"] else ""
    return text + (f" ({', '.join(beside)})" if beside else "")


def _facts(report: TrialReport) -> list[tuple[str, str]]:
    found = []
    for name in headline(report.scores):
        metrics = report.scores["models"][_model_for(report, name.partition(".")[0])]["metrics"]
        if name in metrics:
            share = (metrics[name]["ceiling"] or {}).get("share")
            of = "" if share is None else f"; {percent(share)} of the way to the ceiling"
            found.append((title_of(report.scores, name) + of, number(metrics[name]["mean"])))
    return found


def _caveats(report: TrialReport) -> tuple[str, ...]:
    made = [*report.caveats, *_lacking(report)]
    ways = {m["hold_out"] for m in report.scores["models"].values()}
    if "trial" in ways:
        made.append(
            "Trials held out at random have neighbours in time in the training part, which flatters every model; "
            "blocks of time are the honest test."
        )
    n = len(report.scores["sessions"])
    if n < 3:
        made.append(f"{'One session' if n == 1 else 'Two sessions'}: intervals say how fits differ, not sessions.")
    return tuple(made)


def _lacking(report: TrialReport) -> list[str]:
    """Return a sentence on each class that training never saw; where it is so, a few places by name."""
    places: dict[str, list[str]] = {}
    for way, folds in report.scores.get("not_in_training", {}).items():
        for fold, sessions in folds.items():
            for session, found in sessions.items():
                for said in said_of_lacking(found):
                    places.setdefault(said, []).append(f"{WAYS[way]}, fold {fold}, {session}")
    return [
        f"{said} ({'; '.join(where[:_MOST_PLACES])}"
        + (f"; and {len(where) - _MOST_PLACES} more)." if len(where) > _MOST_PLACES else ").")
        for said, where in places.items()
    ]
