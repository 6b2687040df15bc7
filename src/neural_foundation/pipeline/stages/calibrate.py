"""calibrate: a package with a confidence, fitted on the people that its fold kept from training and from the test."""

from __future__ import annotations

import shutil
from typing import Any, ClassVar, Literal

from pydantic import Field

from ...core.errors import DataError, SpecError, one_of
from ...core.lineage import Output
from ...core.store import atomic, read_json, write_json
from ...evaluation.confidence import Answers, confidence_scores
from ...evaluation.scores import Predictions
from ...models.confidence import Abstain, Confidence, Score, Unit, fit_confidence, fit_earlier
from ...models.package import Package, with_confidence
from ...sampling.windows import WindowSet, labelled
from ..stage import Job, Port, Stage
from .evaluate import predict
from .prepare import Prepared
from .split import Fold

KEPT = ("fold.json", "history.json")  # what other stages read beside the package


class Calibrate(Stage):
    """Fit temperature, sets of classes and the silence of a decoder on its fold's validation people."""

    kind: Literal["calibrate"] = "calibrate"
    alpha: float = Field(0.1, gt=0, lt=1, description="how often a set of classes may miss the true one")
    score: Score = Field("lac", description="lac: smallest sets; aps: sets that widen where the model is unsure")
    per_class: bool = Field(False, description="a threshold a class, so that no class is missed more often")
    unit: Unit = Field("window", description="what alpha counts; person: takes 1 / alpha - 1 people or more")
    abstain: Abstain = Field("set", description="silent where not exactly one class is left; or by risk; or never")
    risk: float = Field(0.1, gt=0, lt=1, description="share of wrong decisions that may be given, for abstain: risk")
    moments: int = Field(6, ge=1, description="parts of a window before its end that are calibrated each on its own")

    takes = {"data": Port("Prepared", many=True), "model": Port("Package")}
    gives: ClassVar[str] = "Package"

    def run(self, job: Job) -> None:
        source, data = job.one("model"), Prepared.of(job.inputs["data"])
        package, fold = Package.open(source.folder), Fold.model_validate(read_json(source.path("fold.json")))
        _check(job.stage, source, package, fold)
        # the recordings of other people are not even opened
        windows = labelled(data.paths_of(fold.validation), data.windows, data.classes)
        _check_roles(fold, windows)
        said = predict(source, windows, "validation")
        job.subjects.update(said.subject.tolist())
        confidence = self._fit(package, said, fold.choose(windows, "validation"))
        with_confidence(package, job.folder, confidence, name=job.stage)
        for name in KEPT:
            with atomic(job.folder / name) as temporary:
                shutil.copyfile(source.path(name), temporary)
        write_json(job.folder / "calibration.json", _facts(fold, said, confidence, job.seed))

    def _fit(self, package: Package, said: Predictions, windows: WindowSet) -> Confidence:
        options: dict[str, Any] = {
            n: getattr(self, n) for n in ("alpha", "score", "per_class", "unit", "abstain", "risk")
        }
        made = fit_confidence(said.probability, said.target, said.subject, **options)
        if self.abstain == "risk" and made.least > 1:
            raise DataError(
                f"No confidence keeps the risk at {self.risk:g} on {made.windows} calibration windows",
                remedy="Wish for a larger risk, or keep more people for validation",
            )
        if package.whole_windows:
            return made
        along, age_s = package.decide_along(windows)
        earlier = fit_earlier(along, age_s, said.target, said.subject, moments=self.moments, **options)
        return made.model_copy(update={"earlier": earlier})


def _check(stage: str, source: Output, package: Package, fold: Fold) -> None:
    if package.facts.target is None:
        raise SpecError(f"Stage '{stage}' cannot calibrate '{source.stage}': it has no classes", allowed="a classifier")
    if not fold.validation:
        raise DataError(
            f"Fold '{fold.name}' of '{source.stage}' keeps nobody for validation: there is nobody to calibrate on",
            allowed="people that the model neither learned from nor is tested on",
            remedy="Set the split's 'validation' above 0, and leave out the fit's 'train_subjects'",
        )
    shared = set(fold.validation) & {*fold.train, *fold.test, *package.facts.subjects}
    if shared and fold.blocks is None:
        raise DataError(
            f"Fold '{fold.name}' calibrates on {one_of(sorted(shared))}, who also trained or tests the model",
            remedy="Fit the model again on this split",
        )


def _check_roles(fold: Fold, windows: WindowSet) -> None:
    """Raise unless no window to calibrate on is of the test, nor of somebody outside the fold's validation."""

    def names(role: Literal["validation", "test"]) -> set[tuple[str, str, int]]:
        w = fold.choose(windows, role)
        return set(zip(w.subject.tolist(), w.session.tolist(), w.trial.tolist(), strict=True))

    strangers = {str(s) for s in windows.subject} - set(fold.validation)
    if strangers or names("validation") & names("test"):
        raise DataError(
            f"Fold '{fold.name}': windows to calibrate on are also in the test, or of {one_of(sorted(strangers))}",
            remedy="Prepare and split again",
        )


def _facts(fold: Fold, said: Predictions, confidence: Confidence, seed: int) -> dict[str, Any]:
    """Return what `calibration.json` holds; its scores are on the windows that the confidence was fitted on."""
    return {
        "fold": fold.name,
        "people": sorted(set(said.subject.tolist())),
        "within_people": fold.blocks is not None,
        "confidence": confidence.model_dump(mode="json"),
        "on_its_own_windows": confidence_scores(Answers.of(said, confidence), seed),
    }
