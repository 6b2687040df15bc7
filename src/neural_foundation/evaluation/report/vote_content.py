"""What the report of models beside experts' votes holds: `ensemble.json` as it is, and a few windows drawn whole."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from .content import Array, LearningCurves, Provenance

Entry = Mapping[str, Any]
REFERENCES = {
    "class frequency": "class frequency",
    "uniform": "all classes alike",
    "truth": "true probabilities",
}


@dataclass(frozen=True, kw_only=True, eq=False)
class VoteExample:
    """One window.

    values (n_chans, n_times) is the labelled stretch, in `unit`; valid (n_times,). Of the whole window, `window_s`
    long, in which that stretch lies at `labelled_s`: spectrograms by chain of electrodes, (n_frequencies, n_steps) in
    decibels up to `high_hz`. votes (K,) counts; said : probabilities (K,) by model, the ensemble's first. evidence
    (n_chains, n_parts) : by chain and part of the labelled stretch, how far the answer's log probability falls without
    it; of whom and for which answer, `evidence_of` says.
    """

    title: str
    reading: str
    ch_names: tuple[str, ...]
    sfreq: float
    values: Array
    valid: Array
    unit: str
    window_s: float
    labelled_s: tuple[float, float]
    spectrograms: Mapping[str, Array]
    high_hz: float
    votes: Array
    said: Mapping[str, Array]
    evidence: Array | None = None
    evidence_of: str = ""


@dataclass(frozen=True, kw_only=True, eq=False)
class VoteReport:
    """Everything on the page. value : of `ensemble.json`; scored : where it comes from.

    deployed : of the `benchmark.json` of an export, and `exported`, where it comes from. gain : of the `scores.json` of
    pre-trained models beside the same ones from scratch (its baselines), and `gained`, where that comes from.
    """

    title: str
    provenance: Provenance
    value: Mapping[str, Any]
    examples: tuple[VoteExample, ...] = ()
    caveats: tuple[str, ...] = ()
    learning: tuple[LearningCurves, ...] = ()
    scored: Provenance | None = None
    prepared: Provenance | None = None
    deployed: Mapping[str, Any] | None = None
    exported: Provenance | None = None
    gain: Mapping[str, Any] | None = None
    gained: Provenance | None = None

    @property
    def classes(self) -> list[str]:
        return list(self.value["classes"])

    @property
    def scores(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.value["scores"]
        return found

    @property
    def method(self) -> str:
        """The ensemble that is deployed."""
        return str(self.value["method"])

    @property
    def main(self) -> Entry:
        """The scores of the ensemble that is deployed."""
        found: Entry = self.scores["ensembles"][self.method]
        return found

    @property
    def best(self) -> str:
        return str(self.scores["best_member"])

    def rows(self) -> Iterator[tuple[str, str, Entry]]:
        """Yield (group, name for people, scores): the deployed ensemble, the others, members, baselines, references.

        Within a group, the least divergence is first.
        """
        yield "ensembles", shown(self.method), self.main
        for group in ("ensembles", "members", "baselines"):
            there = sorted(self.scores[group].items(), key=lambda item: item[1]["kl"]["mean"])
            for name, entry in there:
                if (group, name) != ("ensembles", self.method):
                    yield group, shown(name) if group == "ensembles" else name, entry
        for name, words in REFERENCES.items():
            if name in self.scores["references"]:
                yield "references", words, self.scores["references"][name]


def shown(method: str) -> str:
    """Return an ensemble's name for people."""
    words = {"mean": "plain mean", "weighted": "weighted mean", "geometric": "geometric mean"}
    return words.get(method, "stacked regression")
