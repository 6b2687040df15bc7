"""split_trials: which trials, or which time, of each binned session is held out, before anything learns."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from ...core.errors import DataError, one_of
from ...core.lineage import Output
from ...core.seeds import derive
from ...core.store import read_json, write_json
from ...sampling.binned import BinnedSession, BinnedSet, Spans
from ...sampling.coverage import Lacking, check_learnable, not_in_training, said_of_lacking
from ...sampling.roles import ROLES, Role, TrialFold
from ..stage import Job, Port, Stage
from .bin import Binned

log = logging.getLogger(__name__)
SPLIT = "split.json"
LACKING = "not_in_training"  # beside the fields of a fold, where there is something to say


class SplitTrials(Stage):
    """Hold out trials at random (`trial`, as most published work does), or consecutive blocks of time (`block`)."""

    kind: Literal["split_trials"] = "split_trials"
    hold_out: Literal["trial", "block"] = "block"
    folds: int = Field(5, ge=3, description="blocks of time; each is tested once, the next one is for validation")
    only: int | None = Field(None, ge=1, description="run only so many of the folds of blocks")
    draws: int = Field(1, ge=1, description="of trials held out at random, how many draws: a fold each")
    test: float = Field(0.2, gt=0, lt=1, description="of trials held out at random, the share tested")
    validation: float = Field(0.1, gt=0, lt=1, description="of trials held out at random, the share for choosing")
    gap_s: float = Field(0.0, ge=0, description="time beside the tested block that has no role")

    takes = {"data": Port("Binned", many=True)}
    gives: ClassVar[str] = "Split"

    @model_validator(mode="after")
    def _possible(self) -> SplitTrials:
        if self.test + self.validation >= 1:
            raise ValueError(f"test {self.test:g} and validation {self.validation:g} leave nothing to learn from")
        if self.only is not None and self.only > self.folds:
            raise ValueError(f"only: {self.only} is more than there are folds ({self.folds})")
        return self

    def fold_names(self) -> list[str]:
        """Return the names of the folds, known before anything runs."""
        many = self.draws if self.hold_out == "trial" else self.only or self.folds
        return [str(k) for k in range(many)]

    def run(self, job: Job) -> None:
        data = Binned.of(job.inputs["data"])
        self._check(data)
        folds = [self._fold(name, job.seed) for name in self.fold_names()]
        for fold in folds:
            for index, session in enumerate(data.sessions):
                for role in ROLES:
                    _check_role(fold, session, index, role)
                check_learnable(fold, session)
        job.subjects.update(data.subjects)
        write_json(job.folder / SPLIT, [_told(fold, data.sessions) for fold in folds])

    def _fold(self, name: str, seed: int) -> TrialFold:
        return TrialFold(
            name=name,
            hold_out=self.hold_out,
            seed=derive(seed, "draw", name),
            folds=self.folds,
            block=int(name) if self.hold_out == "block" else 0,
            test=self.test,
            validation=self.validation,
            gap_s=self.gap_s,
        )

    def _check(self, data: Binned) -> None:
        """Raise DataError where what is held out would share spikes with what is learned from."""
        window_s = max(float(f.get("window_s", 0.0)) for f in data.facts)
        if window_s and self.hold_out == "trial":
            given = f"These counts were taken in windows that overlap, of {window_s:g} s, but hold_out is 'trial'"
            raise DataError(given, allowed="hold_out: block", remedy="Neighbours share spikes")
        if self.gap_s < window_s:
            given = f"These counts were taken in windows that overlap, of {window_s:g} s, but gap_s is {self.gap_s:g}"
            raise DataError(given, allowed=f"gap_s of {window_s:g} or more", remedy="Neighbours share spikes")


def _check_role(fold: TrialFold, session: BinnedSession, index: int, role: Role) -> None:
    if not len(fold.spans(session, index, role)):
        given = f"Fold '{fold.name}' leaves session '{session.spec.name}' nothing for '{role}'"
        raise DataError(given, remedy="Set fewer folds, a shorter gap_s, or leave the session out")


def _told(fold: TrialFold, sessions: Sequence[BinnedSession]) -> dict[str, Any]:
    """Return a fold as it is written; classes that training lacks are stated by session, and logged."""
    lacking: dict[str, Lacking] = {}
    for session in sessions:
        if found := not_in_training(fold, session):
            lacking[session.spec.name] = found
            for said in said_of_lacking(found):
                log.warning("Fold '%s', session '%s': %s", fold.name, session.spec.name, said)
    return fold.model_dump(mode="json") | ({LACKING: lacking} if lacking else {})


def read_trial_fold(split: Output, name: str) -> TrialFold:
    """Return one fold of the output of a split_trials stage; DataError where there is none of that name."""
    rows = [{k: v for k, v in row.items() if k != LACKING} for row in read_json(split.path(SPLIT))]
    folds = {f.name: f for f in map(TrialFold.model_validate, rows)}
    if name not in folds:
        raise DataError(f"{split.path(SPLIT)} has no fold '{name}'", allowed=one_of(folds))
    return folds[name]


def sets(
    fold: TrialFold,
    sessions: Sequence[BinnedSession],
    n_bins: int,
    hop: int | None = None,
    *,
    jitter: bool = False,
) -> dict[Role, BinnedSet]:
    """Return the windows of each role, of all sessions; only those for training may begin later (`jitter`)."""
    made: dict[Role, BinnedSet] = {}
    for role in ROLES:
        spans = Spans.join([fold.spans(session, index, role) for index, session in enumerate(sessions)])
        made[role] = BinnedSet.cut(sessions, spans, n_bins, hop, jitter=jitter and role == "train", role=role)
    return made
