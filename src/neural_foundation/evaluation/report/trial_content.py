"""What the report of encoding and decoding holds: `scores.json` as it is, and the arrays that were kept beside it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from .content import Array, LearningCurves, Provenance

WAYS = {"trial": "random trials", "block": "blocks of time"}


@dataclass(frozen=True, kw_only=True, eq=False)
class TrialReport:
    """Everything on the page.

    scores : the value of `scores.json`. truth : arrays of `truth.npz`. predictions : arrays by model. sessions : by
    name, what the data stage says of what was left out. scored, binned : where scores and data come from.
    """

    title: str
    provenance: Provenance
    scores: Mapping[str, Any]
    truth: Mapping[str, Array]
    predictions: Mapping[str, Mapping[str, Array]]
    sessions: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    caveats: tuple[str, ...] = ()
    learning: tuple[LearningCurves, ...] = ()
    scored: Provenance | None = None
    binned: Provenance | None = None

    @cached_property
    def main(self) -> str:
        """The model that the report is about: the first that is no baseline."""
        models: Mapping[str, Any] = self.scores["models"]
        return next((m for m in self.order if models[m]["role"] == "model"), self.order[0])

    @property
    def order(self) -> list[str]:
        """The models in the order they were given; JSON sorts their names."""
        return list(self.scores["order"])

    def speaker(self, *parts: str) -> str | None:
        """Return whose predictions are shown: the main model's, else those of the first that made any.

        parts : beginnings of the names of what is shown. Baselines come last; all are tested as the main model is.
        """
        models = self.scores["models"]
        there = [m for m in self.order if models[m]["hold_out"] == self.hold_out]
        for model in sorted(there, key=lambda m: (m != self.main, models[m]["role"] != "model")):
            names = [k.partition("/")[2] for k in self.predictions.get(model, {})]
            if any(n.startswith(parts) for n in names):
                return model
        return None

    @property
    def hold_out(self) -> str:
        return str(self.scores["models"][self.main]["hold_out"])

    def best_baseline(self, model: str) -> str | None:
        """Return what a model's encoding is compared with; None where there is nothing."""
        for name in headline(self.scores):
            entry = self.scores["models"][model]["metrics"].get(name)
            if name.startswith("encoding.") and entry and entry["difference"]:
                return str(entry["difference"]["against"])
        return None

    def shown(self) -> Iterator[tuple[int, str]]:
        """Yield place and name of the sessions of which examples were kept."""
        yield from enumerate(self.scores["shown"])

    def true(self, session: int, name: str) -> Array | None:
        """Return what is true of a shown session under the main model's way of holding out; None where not kept."""
        return self.truth.get(f"{self.hold_out}/{session}/{name}")

    def said(self, session: int, name: str, model: str = "") -> Array | None:
        """Return what a model (the main one) said of a shown session; None where it said nothing."""
        return self.predictions.get(model or self.main, {}).get(f"{session}/{name}")

    def kinds(self, *kinds: str) -> list[Mapping[str, Any]]:
        """Return the modalities of some kinds."""
        return [m for m in self.scores["modalities"] if m["kind"] in kinds]

    def behaviours(self) -> list[Mapping[str, Any]]:
        """Return the continuous behaviours: LFP is told from them, and is none."""
        return [m for m in self.kinds("continuous") if not m.get("neural")]


def headline(scores: Mapping[str, Any]) -> list[str]:
    """Return the scores that stand for their modality, in the order of the modalities."""
    wanted = ("bits_per_spike", "r2", "mean_error", "balanced_accuracy")
    names = [m["name"] for m in scores["modalities"]]
    facts = scores["metrics"]
    chosen = [n for n, f in facts.items() if f["score"] in wanted and not f["channel"]]
    return sorted(chosen, key=lambda n: (names.index(facts[n]["modality"]), wanted.index(facts[n]["score"])))


def units_out(entry: Mapping[str, Any]) -> str:
    """Return how many units a pooled score is without, in all sessions, as what stands behind it; '' for none."""
    many = sum(entry.get("left_out", {}).values())
    return f" ({many} out)" if many else ""


def out_note(entries: Iterable[Mapping[str, Any]]) -> str:
    """Return what `units_out` says in words; '' where it says nothing of any entry."""
    if not any(units_out(e) for e in entries):
        return ""
    return "(n out): without n units, silent in the test part or where the null is from; the most of a session's folds"


def title_of(scores: Mapping[str, Any], name: str) -> str:
    """Return a score's name for people: "wheel speed: R2, single trial"."""
    facts = scores["metrics"][name]
    what = str(facts["modality"]).replace("_", " ") + (f" {facts['channel']}" if facts["channel"] else "")
    unit = f", {facts['unit']}" if facts["unit"] else ""
    return f"{what}: {facts['title']}{unit}"
