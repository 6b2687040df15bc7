"""fit: model + learner + data -> package. One item a fold; goes on from its checkpoints after a kill."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from ...core.device import resolve
from ...core.errors import DataError, SpecError
from ...core.kinds import of
from ...core.specs import TargetSpec
from ...core.store import write_json
from ...learning.base import Learner
from ...learning.table import LEARNERS
from ...models.base import ModelSpec
from ...models.packed import learned
from ...models.table import MODELS
from ...sampling.windows import Windows, WindowSet, continuous
from ..stage import Job, Port, Stage
from .prepare import Prepared
from .split import Fold, read_fold

if TYPE_CHECKING:
    from torch import Tensor


Some = Annotated[int, Field(ge=1, strict=True)] | Annotated[float, Field(gt=0, lt=1)]


class Fit(Stage):
    """Fit a model to the training subjects of a fold (to all, without a split)."""

    kind: Literal["fit"] = "fit"
    model: of(MODELS, ModelSpec) | None = Field(None, description="left out where 'start' brings one")  # type: ignore[valid-type]
    learner: of(LEARNERS, Learner)  # type: ignore[valid-type]
    windows: Windows | None = Field(None, description="for learning without labels: cut over whole recordings")
    span_s: tuple[float, float] | None = Field(
        None, description="the model sees this part of the prepared windows, in seconds after the onset; None: all"
    )
    task: str = Field("", description="the name that a decoder of this model is asked for by")
    train_subjects: Some | None = Field(None, description="use only so many training subjects; below 1, that share")

    takes = {"data": Port("Prepared", many=True), "start": Port("Package", required=False)}
    version: ClassVar[int] = 3
    gives: ClassVar[str] = "Package"
    resumes: ClassVar[bool] = True

    @model_validator(mode="after")
    def _of_trials(self) -> Fit:
        if self.windows is not None and self.span_s is not None:
            raise ValueError("span_s is a part of the windows of trials, and 'windows' are cut over whole recordings")
        return self

    @model_validator(mode="after")
    def _in_order(self) -> Fit:
        sampler = getattr(self.learner, "sampler", None)
        if sampler is None or not sampler.carries:
            return self
        if self.windows is None:
            raise ValueError(
                f"sampler '{sampler.kind}' walks through whole recordings: give windows: {{length_s: ...}}"
            )
        if self.windows.start_s:
            raise ValueError(f"sampler '{sampler.kind}' walks through whole recordings: windows.start_s must be 0")
        if self.windows.least_valid < 1:
            raise ValueError(f"sampler '{sampler.kind}' takes valid stretches alone: windows.least_valid must be 1")
        if self.model is not None and self.model.context != "stream":
            raise ValueError(f"sampler '{sampler.kind}' carries the model's state: model.context must be 'stream'")
        return self

    def run(self, job: Job) -> None:
        from ...learning.fit import discard_checkpoints, fit
        from ...learning.trackers.base import logged
        from ...models.package import Facts, save

        data = Prepared.of(job.inputs["data"])
        fold = self._fold(job, data)
        start, weights = self._start(job)
        model = self.model or start
        if model is None:
            raise SpecError(f"Stage '{job.stage}' has no model", remedy="Give it 'model', or 'inputs.start'")
        train, validation, target, windows = self._windows(data, fold)
        names = sorted(set(train.subject.tolist()))
        job.subjects.update(fold.train + fold.validation)
        fitted = fit(
            model,
            self.learner,
            train,
            validation,
            signal=train.spec,
            target=target,
            subjects=names,
            folder=job.folder,
            seed=job.seed,
            start=weights,
            device=resolve(job.device),
            progress=job.progress,
        )
        facts = Facts(
            model=model,
            chain=data.chain,
            raw=data.raw,
            signal=train.spec,
            target=target,
            windows=windows,
            subjects=tuple(names),
            span_s=self.span_s,
            name=job.stage,
            task=self.task or job.stage,
            trained=_trained(job, train, data) | (fitted.model.origin() if model.family == "network" else {}),
        )
        save(job.folder, facts, learned(model, fitted.model))
        if target is not None:
            _reference(job, data, fold)
        write_json(job.folder / "history.json", fitted.history)
        write_json(job.folder / "fold.json", fold.model_dump(mode="json"))
        discard_checkpoints(job.folder)
        job.measured += logged(job.folder)

    def _fold(self, job: Job, data: Prepared) -> Fold:
        if "split" in job.inputs:
            fold = read_fold(job.one("split"), job.item["fold"])
        else:
            fold = Fold(name="all", train=data.subjects, validation=(), test=())
        return (
            fold.with_train_subjects(self.train_subjects, int(job.item.get("seed", 0))) if self.train_subjects else fold
        )

    def _start(self, job: Job) -> tuple[ModelSpec | None, dict[str, Tensor] | None]:
        from ...models.package import Package

        if not job.inputs.get("start"):
            return None, None
        package = Package.open(job.one("start").folder)
        return package.facts.model, dict(package.network().state_dict())

    def _windows(self, data: Prepared, fold: Fold) -> tuple[WindowSet, WindowSet | None, TargetSpec | None, Windows]:
        if self.windows is not None:
            cut = self.windows
            paths, hop_s = data.paths_of(fold.train + fold.validation), cut.hop_s or cut.length_s
            every = continuous(paths, cut.length_s, hop_s, least_valid=cut.least_valid)
            target = None
        else:
            cut = data.windows.spanning(*self.span_s) if self.span_s else data.windows
            every = data.labelled().within(cut)
            target = TargetSpec(classes=data.classes)
        train, validation = fold.choose(every, "train"), fold.choose(every, "validation")
        if not len(train):
            raise DataError(
                f"Fold '{fold.name}' has no training windows",
                remedy="Check the split's subjects against the prepared ones",
            )
        return train, validation if len(validation) else None, target, cut


def _reference(job: Job, data: Prepared, fold: Fold) -> None:
    """Write what an adapting decoder steers back to.

    None where blocks of time are held out, whose recordings hold the test, too; nor where no recording is long enough
    for a covariance: such a decoder takes the beginning of its own session.
    """
    from ...models.reference import write_reference

    if fold.blocks is None:
        with suppress(DataError):
            write_reference(job.folder, data.paths_of(fold.train))


def _trained(job: Job, train: WindowSet, data: Prepared) -> dict[str, Any]:
    return {
        "seed": job.seed,
        "windows": len(train),
        "dataset": data.dataset["title"],
        "licence": data.dataset["licence"],
        "stage": job.stage,
        "key": job.key,
    }
