"""Order: a function of (seed, step), every window once an epoch, equal weight where balance is asked for."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neural_foundation.core.errors import DataError, SpecError
from neural_foundation.sampling.order import fixed_batches, training_order


def _order(n: int, batch_size: int, seed: int = 0, **kwargs: object):  # type: ignore[no-untyped-def]
    return training_order(np.full(n, "s"), np.zeros(n, int), batch_size=batch_size, seed=seed, **kwargs)  # type: ignore[arg-type]


@settings(max_examples=30, deadline=None)
@given(n=st.integers(1, 60), batch_size=st.integers(1, 70), epoch=st.integers(0, 5))
def test_an_epoch_holds_every_window_once_in_even_batches(n: int, batch_size: int, epoch: int) -> None:
    order = _order(n, batch_size)
    steps = range(epoch * order.steps_per_epoch, (epoch + 1) * order.steps_per_epoch)
    batches = [order.indices(step) for step in steps]
    assert sorted(np.concatenate(batches)) == list(range(n))
    assert max(map(len, batches)) <= batch_size
    assert max(map(len, batches)) - min(map(len, batches)) <= 1
    assert {order.epoch(step) for step in steps} == {epoch}


def test_a_step_does_not_depend_on_the_steps_before() -> None:
    a, b = _order(50, 8), _order(50, 8)
    forwards = [a.indices(step) for step in range(20)]
    backwards = [b.indices(step) for step in reversed(range(20))][::-1]
    assert all(np.array_equal(x, y) for x, y in zip(forwards, backwards, strict=True))


def test_epochs_and_seeds_are_shuffled_differently() -> None:
    first, again = _order(50, 50).indices(0), _order(50, 50).indices(1)
    assert not np.array_equal(first, again)
    assert not np.array_equal(first, _order(50, 50, seed=1).indices(0))


def test_balance_gives_each_subject_the_same_weight() -> None:
    subject = np.asarray(["many"] * 90 + ["few"] * 10)
    order = training_order(subject, np.zeros(100, int), batch_size=20, seed=0, balance="subject")
    for step in range(10):
        assert np.sum(subject[order.indices(step)] == "few") == 10


def test_balance_by_class_works_within_each_subject() -> None:
    rng = np.random.default_rng(0)
    subject, target = rng.choice(["a", "b"], 100), (rng.random(100) < 0.1).astype(int)
    order = training_order(subject, target, batch_size=16, seed=0, balance="subject_class")
    drawn = np.concatenate([order.indices(step) for step in range(10)])
    for who in ("a", "b"):
        for label in (0, 1):
            assert np.sum((subject[drawn] == who) & (target[drawn] == label)) == 40


def test_balance_shows_every_window_of_a_stratum_before_any_again() -> None:
    subject = np.asarray(["a"] * 12 + ["b"] * 3)
    order = training_order(subject, np.zeros(15, int), batch_size=6, seed=0, balance="subject")
    drawn = np.concatenate([order.indices(step) for step in range(4)])
    of_a = [i for i in drawn if i < 12]
    assert sorted(of_a) == list(range(12))


def test_fixed_batches_keep_the_order() -> None:
    assert [b.tolist() for b in fixed_batches(5, 2)] == [[0, 1], [2, 3], [4]]
    assert fixed_batches(0, 2) == []


def test_nothing_to_learn_from_and_wrong_batch_size_are_named() -> None:
    with pytest.raises(DataError, match="no windows to learn from"):
        _order(0, 4)
    with pytest.raises(SpecError, match=r"batch_size is 0\. Allowed: 1 or more"):
        _order(3, 0)
