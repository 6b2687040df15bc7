"""The report of models beside experts' votes: its sections, each left out where it has nothing, and its first words."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from neural_foundation.core.store import write_bytes

from . import heat, trial_examples, vote_deployed, vote_examples, vote_gain, vote_scores
from .blocks import Block, Drawn, learning_section
from .markup import count, number, percent
from .page import Opening, framed
from .vote_content import VoteReport, shown

STYLE = heat.STYLE + trial_examples.STYLE + vote_examples.STYLE


def write_vote_report(path: Path | str, report: VoteReport) -> None:
    """Write the report as one HTML file, atomically; equal content gives equal bytes. Raises StoreError."""
    write_bytes(path, page(report).encode())


def page(report: VoteReport) -> str:
    """Return the whole document."""
    opening = Opening(report.title, report.provenance, verdict(report), _facts(report), _caveats(report))
    return framed(opening, sections(report), style=STYLE, images=True)


def sections(report: VoteReport) -> list[Block]:
    """Return the sections that have content, the answer first."""
    made: list[tuple[str, str, Callable[[VoteReport], Drawn | None]]] = [
        ("scores", "Scores", vote_scores.scores_section),
        ("difference", "Best member", vote_scores.difference_section),
        ("weights", "Weights", vote_scores.weights_section),
        ("agreement", "Experts", vote_scores.agreement_section),
        ("calibration", "Calibration", vote_scores.calibration_section),
        ("confusion", "Confusion", vote_scores.confusion_of),
        ("examples", "Examples", vote_examples.section),
    ]
    scored = report.scored or report.provenance
    found = [Block(name, short, drawn, scored) for name, short, draw in made if (drawn := draw(report)) is not None]
    if (gain := vote_gain.section(report)) is not None:
        found.append(Block("gain", "Pre-training", gain, report.gained or report.provenance))
    if (costs := vote_deployed.section(report)) is not None:
        found.append(Block("deployed", "Deployed", costs, report.exported or report.provenance))
    for i, curves in enumerate(report.learning):
        place = curves.provenance or report.provenance
        found.append(Block(f"learning-{i + 1}", f"{curves.title} curves", learning_section(curves), place))
    return found


def verdict(report: VoteReport) -> str:
    """Return the report in one sentence: the deployed ensemble beside the classes' shares and its best member."""
    kl, frequency = report.main["kl"]["mean"], report.scores["references"]["class frequency"]["kl"]["mean"]
    members = count(len(report.value["members"]), "model")
    text = f"On patients it never saw, the {shown(report.method)} of {members} diverges "
    text += f"from the experts by {number(kl)} nats (class frequency {number(frequency)})"
    d = report.main["difference"]
    if d is None:
        return f"{text}."
    best = number(report.scores["members"][report.best]["kl"]["mean"])
    standing = "better than" if d["high"] < 0 else "worse than" if d["low"] > 0 else "not clearly apart from"
    return f"{text}: {standing} {report.best}, its best member, at {best}."


def _facts(report: VoteReport) -> list[tuple[str, str]]:
    scores = report.scores
    windows = f"{count(scores['n_windows'], 'window')} of {count(scores['n_patients'], 'patient')}"
    facts = [
        (f"KL divergence, {windows}", number(report.main["kl"]["mean"], 3)),
        (f"best member, {report.best}", number(scores["members"][report.best]["kl"]["mean"], 3)),
        ("class frequency", number(scores["references"]["class frequency"]["kl"]["mean"], 3)),
        ("agrees with the consensus", percent(report.main["accuracy"]["mean"])),
    ]
    truth = scores["references"].get("truth")
    return [*facts, *([("true probabilities", number(truth["kl"]["mean"], 3))] if truth else [])]


def _caveats(report: VoteReport) -> tuple[str, ...]:
    made = list(report.caveats)
    for failed in report.value["failed"]:
        where = f" ({failed['item']})" if failed["item"] else ""
        made.append(
            f"{failed['model']}{where} gave no numbers for {failed['windows']:,} windows and is left out there."
        )
    if report.value["n_unvoted"]:
        made.append(f"{count(report.value['n_unvoted'], 'window')} without votes are predicted, not scored.")
    if report.scores["n_patients"] < 20:
        made.append(f"{report.scores['n_patients']} patients: intervals over so few are too narrow.")
    return tuple(made)
