"""Which stretches of a session are for learning, for choosing, and for the test.

Two ways. `trial`: whole trials at random, as in most published work; neighbours in time resemble each other, so it
flatters. `block`: consecutive blocks of time, a gap between them left out; the honest one. In both, a trial that shares
time with a tested one has no role but the test's. A session's roles depend on its own trials, its name and the seed
alone, never on which other sessions there are.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from ..core.errors import DataError
from ..core.seeds import generator
from ..core.specs import Spec
from .binned import BinnedSession, Indices, Spans

Role = Literal["train", "validation", "test"]
ROLES: tuple[Role, ...] = ("train", "validation", "test")
SAME_S = 1e-6  # trials that share less follow on each other


class TrialFold(Spec):
    """How one fold gives each session's trials (or, of a recording without trials, its time) their roles.

    name : of the fold. block : which of `folds` consecutive blocks is tested; the next one is for validation.
    """

    name: str
    hold_out: Literal["trial", "block"]
    seed: int = 0
    folds: int = Field(5, ge=3)
    block: int = Field(0, ge=0)
    test: float = Field(0.2, gt=0, lt=1, description="of trials drawn at random, the share tested")
    validation: float = Field(0.1, gt=0, lt=1, description="of trials drawn at random, the share for choosing")
    gap_s: float = Field(0.0, ge=0, description="time on both sides of the tested block that has no role")

    @model_validator(mode="after")
    def _some_left(self) -> TrialFold:
        if self.test + self.validation >= 1:
            raise ValueError(f"test {self.test:g} and validation {self.validation:g} leave nothing to learn from")
        if self.block >= self.folds:
            raise ValueError(f"block {self.block} is not one of {self.folds}")
        return self

    def spans(self, session: BinnedSession, index: int, role: Role) -> Spans:
        """Return the stretches of a session, `index` among its set, that have a role.

        DataError where the session has too few trials for this.
        """
        if self.hold_out == "trial":
            return _of_trials(session, index, np.flatnonzero(self._drawn(session) == role))
        return self._in_time(session, index, role)

    def shows(self, session: BinnedSession, role: Role) -> NDArray[np.bool_]:
        """Return which bins of a session, (n_bins_in_all,), have a role."""
        made = self.spans(session, 0, role)
        shown = np.zeros(int((session.first + session.length).max()), np.bool_)
        for first, length in zip(made.first.tolist(), made.length.tolist(), strict=True):
            shown[first : first + length] = True
        return shown

    def _drawn(self, session: BinnedSession) -> NDArray[np.str_]:
        n = session.n_trials
        counts = [max(1, round(share * n)) for share in (self.test, self.validation)]
        if sum(counts) >= n:
            given = f"Session '{session.spec.name}' has {n} trial(s), none are left to learn from"
            raise DataError(given, remedy="Hold out blocks of time (hold_out: block), or leave the session out")
        order = generator(self.seed, "trials", session.spec.name).permutation(n)
        roles = np.full(n, "train", "<U10")
        roles[order[: counts[0]]] = "test"
        roles[order[counts[0] : sum(counts)]] = "validation"
        roles[_meets(session, roles == "test") & (roles != "test")] = ""
        return roles

    def _in_time(self, session: BinnedSession, index: int, role: Role) -> Spans:
        if session.n_trials == 1:
            return self._within_one(session, index, role)
        if session.n_trials < self.folds:
            given = f"Session '{session.spec.name}' has {session.n_trials} trials for {self.folds} blocks of time"
            raise DataError(given, remedy=f"Set folds to {session.n_trials} or less")
        edges = np.linspace(0, session.n_trials, self.folds + 1).round().astype(int)
        block = np.searchsorted(edges, np.arange(session.n_trials), side="right") - 1
        roles = self._roles(block)
        ends = session.start_s + session.length * session.bin_s
        tested = roles == "test"
        low, high = session.start_s[tested].min() - self.gap_s, ends[tested].max() + self.gap_s
        near = (ends > low) & (session.start_s < high) & ~tested
        return _of_trials(session, index, np.flatnonzero((roles == role) & ~near))

    def _within_one(self, session: BinnedSession, index: int, role: Role) -> Spans:
        n, gap = int(session.length[0]), round(self.gap_s / session.bin_s)
        edges = np.linspace(0, n, self.folds + 1).round().astype(int)
        roles = np.repeat(self._roles(np.arange(self.folds)), np.diff(edges))
        low, high = edges[self.block], edges[self.block + 1]
        roles[max(0, low - gap) : low] = roles[high : high + gap] = ""
        inside = np.concatenate([[False], roles == role, [False]])
        begins = np.flatnonzero(inside[1:] & ~inside[:-1])
        stops = np.flatnonzero(~inside[1:] & inside[:-1])
        many = np.zeros(len(begins), np.int64)
        return Spans(many + index, many, session.first[0] + begins, stops - begins)

    def _roles(self, block: Indices) -> NDArray[np.str_]:
        roles = np.full(len(block), "train", "<U10")
        roles[block == self.block] = "test"
        roles[block == (self.block + 1) % self.folds] = "validation"
        return roles


def _meets(session: BinnedSession, tested: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return which trials (n,) share time with one that is tested."""
    start, end = session.start_s, session.start_s + session.length * session.bin_s
    order = np.flatnonzero(tested)[np.argsort(start[tested], kind="stable")]
    latest = np.concatenate([[-np.inf], np.maximum.accumulate(end[order])])  # end of the tested that have begun
    shared: NDArray[np.bool_] = latest[np.searchsorted(start[order], end - SAME_S)] > start + SAME_S
    return shared


def _of_trials(session: BinnedSession, index: int, trials: Indices) -> Spans:
    many = np.full(len(trials), index, np.int64)
    return Spans(many, trials.astype(np.int64), session.first[trials], session.length[trials])
