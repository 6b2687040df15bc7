from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neural_foundation.core.errors import DataError, SpecError
from neural_foundation.evaluation.protocols import hold_out, leave_out, within

NAMES = [f"s{i:02d}" for i in range(11)]


@settings(deadline=None, max_examples=30)
@given(n=st.integers(2, 30), folds=st.integers(2, 30), seed=st.integers(0, 99), share=st.sampled_from([0.0, 0.1, 0.4]))
def test_every_subject_is_tested_once_and_nobody_is_shared(n, folds, seed, share):
    names = [f"s{i}" for i in range(n)]
    if folds > n or (n == 2 and share):
        with pytest.raises(DataError):
            hold_out(names, folds=folds, seed=seed, validation=share)
        return
    made = hold_out(names, folds=folds, seed=seed, validation=share)
    assert sorted(s for f in made for s in f.test) == sorted(names)
    sizes = [len(f.test) for f in made]
    assert max(sizes) - min(sizes) <= 1
    for f in made:
        assert sorted((*f.train, *f.validation, *f.test)) == sorted(names)
        assert f.train
        assert bool(f.validation) == (share > 0)


def test_names_and_seed_alone_decide():
    made = hold_out(NAMES, folds=4, seed=3)
    assert made == hold_out([*reversed(NAMES), "s00"], folds=4, seed=3)
    assert made != hold_out(NAMES, folds=4, seed=4)


def test_named_subjects_make_one_fold():
    (fold,) = hold_out(NAMES, folds=4, seed=0, named=("s07", "s02"))
    assert fold.test == ("s02", "s07")
    assert len(fold.validation) == 2


@pytest.mark.parametrize(("k", "sizes"), [(1, [1] * 11), (4, [4, 4, 3]), (10, [6, 5])])
def test_leave_out_tests_k_at_most(k, sizes):
    assert [len(f.test) for f in leave_out(NAMES, k, seed=0)] == sizes


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: hold_out(NAMES[:3], folds=4, seed=0),
            DataError,
            "3 subjects cannot make 4 folds. Set folds to 3 or less.",
        ),
        (lambda: hold_out(NAMES, folds=1, seed=0), SpecError, "leaves nobody to learn from"),
        (lambda: hold_out(NAMES, folds=2, seed=0, validation=1.0), SpecError, "validation=1.0"),
        (lambda: hold_out(NAMES, folds=2, seed=0, named=("s7",)), DataError, "Did you mean 's07'"),
        (lambda: hold_out(NAMES, folds=2, seed=0, named=tuple(NAMES)), DataError, "leaves 0 for training"),
        (lambda: leave_out(NAMES, 11, seed=0), SpecError, "Allowed: 1 to 10"),
        (lambda: within(np.zeros(9), np.arange(9), folds=2), SpecError, "folds >= 3"),
        (lambda: within(np.zeros(9), np.arange(9) // 5, folds=3), DataError, r"2 trial\(s\) for 3 folds"),
        (lambda: within(np.zeros(9), np.arange(8), folds=3), DataError, "do not match"),
    ],
)
def test_refusals_say_what_to_do(call, error, message):
    with pytest.raises(error, match=message):
        call()


def windows() -> tuple[np.ndarray, np.ndarray]:
    """Two sessions of 13 and 10 trials, three windows each, shuffled."""
    session = np.repeat(["a", "b"], [39, 30])
    trial = np.concatenate([np.arange(39) // 3, 100 + np.arange(30) // 3])
    order = np.random.default_rng(0).permutation(69)
    return session[order], trial[order]


def test_blocks_are_whole_consecutive_trials_of_every_session():
    session, trial = windows()
    folds = within(session, trial, folds=5)
    np.testing.assert_array_equal(np.sort(np.concatenate([f.test for f in folds])), np.arange(69))
    for f in folds:
        parts = [set(zip(session[i], trial[i], strict=True)) for i in (f.train, f.validation, f.test)]
        assert len(set.union(*parts)) == sum(len(p) for p in parts)
        assert len(f.train) + len(f.validation) + len(f.test) == 69
        for name in "ab":
            tested = sorted(t for s, t in parts[2] if s == name)
            assert 2 <= len(tested) <= 3
            assert tested == list(range(tested[0], tested[0] + len(tested)))


def test_gap_keeps_neighbours_out_of_training():
    session, trial = windows()
    for f in within(session, trial, folds=5, gap=1):
        for name in "ab":
            tested = trial[f.test][session[f.test] == name]
            seen = np.concatenate([trial[i][session[i] == name] for i in (f.train, f.validation)])
            assert np.abs(seen[:, None] - tested[None]).min() >= 2
