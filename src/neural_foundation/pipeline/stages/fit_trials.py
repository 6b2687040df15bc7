"""fit_trials: model + learner + binned sessions -> package. One item a fold; it goes on from its checkpoints."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator

from ...core.device import resolve
from ...core.errors import DataError, SpecError
from ...core.kinds import of
from ...core.seeds import generator
from ...core.store import write_json
from ...learning.base import Learner
from ...learning.table import LEARNERS
from ...models.base import ModelSpec
from ...models.binned_package import BinnedFacts, BinnedPackage, fitting, save_binned
from ...models.packed import learned
from ...models.table import MODELS
from ...sampling.binned import BinnedSession, BinnedSet, Spans
from ...sampling.roles import TrialFold
from ..stage import Job, Port, Stage
from .bin import Binned
from .split_trials import read_trial_fold, sets

if TYPE_CHECKING:
    from torch import Tensor


class FitTrials(Stage):
    """Fit a model to the training part of binned sessions (to all of them, without a split)."""

    kind: Literal["fit_trials"] = "fit_trials"
    model: of(MODELS, ModelSpec) | None = Field(None, description="left out where 'start' brings one")  # type: ignore[valid-type]
    learner: of(LEARNERS, Learner)  # type: ignore[valid-type]
    n_bins: int | None = Field(None, ge=1, description="bins a window; None: those of a trial, or of the start")
    hop: int | None = Field(None, ge=1, description="bins from one window to the next; None: n_bins")
    jitter: bool = Field(False, description="a training window begins up to a hop later, at random, as far as it can")
    train_fraction: float = Field(
        1.0, gt=0, le=1, description="share of each session's training trials, at random; less is always part of more"
    )

    takes = {"data": Port("Binned", many=True), "start": Port("BinnedPackage", required=False)}
    gives: ClassVar[str] = "BinnedPackage"
    resumes: ClassVar[bool] = True

    @model_validator(mode="after")
    def _of_sessions(self) -> FitTrials:
        objective = getattr(self.learner, "objective", None)
        for what, spec in (("model", self.model), ("objective", objective)):
            if spec is not None and spec.data != "binned":
                raise ValueError(
                    f"{what} '{getattr(spec, 'kind', '')}' learns from windows of a signal, in stage 'fit'"
                )
        return self

    def run(self, job: Job) -> None:
        from ...learning.fit import discard_checkpoints, fit
        from ...learning.trackers.base import logged

        data = Binned.of(job.inputs["data"])
        start = BinnedPackage.open(job.one("start").folder) if job.inputs.get("start") else None
        model = self.model or (start.facts.model if start else None)
        if model is None:
            raise SpecError(f"Stage '{job.stage}' has no model", remedy="Give it 'model', or 'inputs.start'")
        fold = read_trial_fold(job.one("split"), job.item["fold"]) if "split" in job.inputs else None
        train, validation = self._sets(data.sessions, fold, start, job)
        job.subjects.update(data.subjects)
        fitted = fit(
            model,
            self.learner,
            train,
            validation,
            signal=train.spec,
            target=None,
            subjects=data.subjects,
            folder=job.folder,
            seed=job.seed,
            start=_weights(start),
            device=resolve(job.device),
            progress=job.progress,
        )
        facts = BinnedFacts(
            model=model,
            binned=train.spec,
            subjects=data.subjects,
            name=job.stage,
            fold=fold,
            trained=self._trained(job, train, data, start),
        )
        save_binned(job.folder, facts, learned(model, fitted.model))
        write_json(job.folder / "history.json", fitted.history)
        write_json(job.folder / "fold.json", None if fold is None else fold.model_dump(mode="json"))
        discard_checkpoints(job.folder)
        job.measured += logged(job.folder)

    def _sets(
        self, sessions: Sequence[BinnedSession], fold: TrialFold | None, start: BinnedPackage | None, job: Job
    ) -> tuple[BinnedSet, BinnedSet | None]:
        """Return the windows to learn from and those to choose by."""
        n_bins = self.n_bins or (start.facts.binned.n_bins if start else trial_bins(sessions))
        if fold is None:
            train, validation = BinnedSet.cut(sessions, _all(sessions), n_bins, self.hop, jitter=self.jitter), None
        else:
            made = sets(fold, sessions, n_bins, self.hop, jitter=self.jitter)
            train, validation = made["train"], made["validation"]
        if start is not None:
            fitting(start.facts.binned, train.spec, new=True)
            _not_tested(start, fold, sessions)
        if self.train_fraction < 1:
            train = train.select(share_of(train, self.train_fraction, int(job.item.get("seed", 0))))
        return train, validation

    def _trained(self, job: Job, train: BinnedSet, data: Binned, start: BinnedPackage | None) -> dict[str, Any]:
        facts = {
            "seed": job.seed,
            "windows": len(train),
            "dataset": data.dataset.get("title", ""),
            "licence": data.dataset.get("licence", ""),
            "stage": job.stage,
            "key": job.key,
        }
        if self.train_fraction < 1:
            facts["train_fraction"] = self.train_fraction
        if start is not None:
            facts["started_from"] = f"{start.facts.name}, {len(start.facts.binned.sessions)} sessions"
        return facts


def trial_bins(sessions: Sequence[BinnedSession]) -> int:
    """Return the bins of a trial; DataError where trials differ, or a session is one long recording."""
    lengths = {int(n) for s in sessions for n in s.length}
    whole = [s.spec.name for s in sessions if s.n_trials == 1]
    if whole:
        given = f"Session '{whole[0]}' has no trials: it is one stretch of {max(lengths)} bins"
        raise DataError(given, remedy="Give 'n_bins', how many bins a window has")
    if len(lengths) > 1:
        given = f"Trials have {min(lengths)} to {max(lengths)} bins"
        raise DataError(given, remedy=f"Give 'n_bins', up to {min(lengths)}")
    return lengths.pop()


def share_of(train: BinnedSet, share: float, seed: int) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Return which windows, (n,), are of a share of each session's training trials, drawn by seed and session name.

    A smaller share is part of a larger one. Of a session that is one long trial, it is a share of the windows.
    """
    kept = np.zeros(len(train), np.bool_)
    for index, session in enumerate(train.spec.sessions):
        mine = np.flatnonzero(train.session == index)
        units = train.trial[mine] if train.sessions[index].n_trials > 1 else np.arange(len(mine))
        names = np.unique(units)
        order = generator(seed, "train-fraction", session.name).permutation(names)
        kept[mine] = np.isin(units, order[: max(1, round(share * len(names)))])
    return kept


def _all(sessions: Sequence[BinnedSession]) -> Spans:
    parts = []
    for index, session in enumerate(sessions):
        trials = np.arange(session.n_trials)
        parts.append(Spans(np.full(len(trials), index, np.int64), trials, session.first, session.length))
    return Spans.join(parts)


def _not_tested(start: BinnedPackage, fold: TrialFold | None, sessions: Sequence[BinnedSession]) -> None:
    """Raise DataError where the start has learned from, or was chosen by, what a fold tests of a session it knows."""
    theirs, known = start.facts.fold, {s.name for s in start.facts.binned.sessions}
    for session in sessions if fold is not None else ():
        if session.spec.name not in known:
            continue
        tested = fold.shows(session, "test")  # type: ignore[union-attr]
        seen = tested if theirs is None else theirs.shows(session, "train") | theirs.shows(session, "validation")
        if (seen & tested).any():
            given = f"Package '{start.facts.name}' has learned from what is tested of session '{session.spec.name}'"
            raise DataError(given, remedy="Start from a package of the same fold, or of other sessions")


def _weights(start: BinnedPackage | None) -> dict[str, Tensor] | None:
    if start is None:
        return None
    if start.facts.model.family != "network":
        raise SpecError(f"Package '{start.facts.name}' holds an estimator", remedy="Remove inputs.start")
    return start.weights()
