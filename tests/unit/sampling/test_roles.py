"""Who is learned from, chosen by and tested on: every trial once, no time shared, nothing of other sessions."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from binned import BIN_S, made_session
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from neural_foundation.core.errors import DataError
from neural_foundation.sampling.binned import BinnedSession
from neural_foundation.sampling.roles import ROLES, TrialFold


def trials(fold: TrialFold, session: BinnedSession) -> dict[str, set[int]]:
    return {role: set(fold.spans(session, 0, role).trial.tolist()) for role in ROLES}


def bins(fold: TrialFold, session: BinnedSession) -> dict[str, set[int]]:
    """Return the bins of each role."""
    held = {role: fold.spans(session, 0, role) for role in ROLES}
    return {
        role: {b for f, n in zip(s.first, s.length, strict=True) for b in range(f, f + n)} for role, s in held.items()
    }


@settings(deadline=None, max_examples=20)
@given(n=st.integers(10, 60), seed=st.integers(0, 99), test=st.floats(0.05, 0.45), validation=st.floats(0.05, 0.45))
def test_random_trials_have_one_role_each(n: int, seed: int, test: float, validation: float) -> None:
    session = made_session(trials=n, bins=3)
    fold = TrialFold(name="0", hold_out="trial", seed=seed, test=test, validation=validation)
    found = trials(fold, session)
    assert set.union(*found.values()) == set(range(n))
    assert sum(map(len, found.values())) == n
    assert len(found["test"]) == max(1, round(test * n))
    assert len(found["validation"]) == max(1, round(validation * n))


@pytest.mark.parametrize("hold_out", ["trial", "block"])
@settings(deadline=None, max_examples=20)
@given(every=st.integers(1, 6), seed=st.integers(0, 99))
def test_no_trial_shares_time_with_a_tested_one(hold_out: Any, every: int, seed: int) -> None:
    session = made_session(trials=40, bins=4)
    start_s = np.arange(40) * every * BIN_S  # with 1, 2 and 3 trials reach into those that follow
    session = replace(session, start_s=start_s)
    fold = TrialFold(name="0", hold_out=hold_out, seed=seed)
    found = trials(fold, session)
    for trial in found["train"] | found["validation"]:
        assert all(abs(trial - tested) * every >= 4 for tested in found["test"])
    if every > 4:
        assert set.union(*found.values()) == set(range(40))
    if hold_out == "trial":
        assert len(found["test"]) == 8
        shares = {t for t in range(40) if any(abs(t - u) * every < 4 for u in found["test"])}
        assert set.union(*found.values()) == set(range(40)) - (shares - found["test"])


def test_the_bins_of_a_role() -> None:
    session, fold = made_session(trials=20), TrialFold(name="0", hold_out="block", block=1)
    for role in ROLES:
        assert set(np.flatnonzero(fold.shows(session, role)).tolist()) == bins(fold, session)[role]


def test_the_draw_is_of_the_session_and_the_seed() -> None:
    fold = TrialFold(name="0", hold_out="trial")
    alone = trials(fold, made_session("a"))
    assert trials(fold.model_copy(update={"name": "1"}), made_session("a", seed=9)) == alone
    assert trials(fold, made_session("b")) != alone
    assert trials(fold.model_copy(update={"seed": 1}), made_session("a")) != alone
    np.testing.assert_array_equal(fold.spans(made_session("a"), 3, "test").session, 3)


@settings(deadline=None, max_examples=20)
@given(n=st.integers(5, 60), folds=st.integers(3, 5), gap_s=st.sampled_from([0.0, 0.5, 2.0]))
def test_blocks_are_tested_once_each_and_lie_in_time(n: int, folds: int, gap_s: float) -> None:
    session = made_session(trials=n, bins=4)
    tested: list[int] = []
    for block in range(folds):
        found = trials(TrialFold(name="x", hold_out="block", folds=folds, block=block, gap_s=gap_s), session)
        test = sorted(found["test"])
        assert test == list(range(test[0], test[-1] + 1))
        tested += test
        low, high = session.start_s[test[0]] - gap_s, session.start_s[test[-1]] + 4 * BIN_S + gap_s
        for trial in found["train"] | found["validation"]:
            assert session.start_s[trial] + 4 * BIN_S <= low + 1e-9 or session.start_s[trial] >= high - 1e-9
        assert not found["train"] & found["validation"]
        if not gap_s:
            assert set.union(*found.values()) == set(range(n))
    assert tested == list(range(n))


@settings(deadline=None, max_examples=20)
@given(n=st.integers(30, 300), folds=st.integers(3, 6), gap=st.integers(0, 4))
def test_a_recording_without_trials_is_cut_in_time(n: int, folds: int, gap: int) -> None:
    session = made_session(lengths=[n])
    tested: set[int] = set()
    for block in range(folds):
        found = bins(TrialFold(name="x", hold_out="block", folds=folds, block=block, gap_s=gap * BIN_S), session)
        low, high = min(found["test"]), max(found["test"])
        assert len(found["test"]) == high - low + 1
        others = found["train"] | found["validation"]
        assert all(b < low - gap or b > high + gap for b in others)
        assert not found["train"] & found["validation"]
        assert len(others) + len(found["test"]) == n - min(gap, low) - min(gap, n - 1 - high)
        assert not tested & found["test"]
        tested |= found["test"]
    assert tested == set(range(n))


def test_validation_is_the_block_after_the_test() -> None:
    session = made_session(trials=20)
    found = trials(TrialFold(name="4", hold_out="block", block=4), session)
    assert (found["test"], found["validation"]) == ({16, 17, 18, 19}, {0, 1, 2, 3})


@pytest.mark.parametrize(
    ("fields", "n", "message"),
    [
        ({"hold_out": "trial"}, 2, "Session 'a' has 2 trial.s., none are left to learn from.*blocks of time"),
        ({"hold_out": "block"}, 4, "Session 'a' has 4 trials for 5 blocks of time.*Set folds to 4"),
    ],
)
def test_too_few_trials(fields: dict[str, Any], n: int, message: str) -> None:
    with pytest.raises(DataError, match=message):
        TrialFold(name="0", **fields).spans(made_session(trials=n), 0, "train")


@pytest.mark.parametrize(
    ("fields", "message"), [({"test": 0.7, "validation": 0.3}, "nothing to learn"), ({"block": 5}, "not one of 5")]
)
def test_settings_that_leave_nothing(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        TrialFold(name="0", hold_out="trial", **fields)
