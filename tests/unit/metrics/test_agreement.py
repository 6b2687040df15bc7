"""Agreement beyond chance, against scikit-learn and closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score, precision_recall_fscore_support

from neural_foundation.core.errors import DataError
from neural_foundation.metrics import by_class, cohen_kappa, confusion


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=2, max_size=60))
def test_as_scikit_learn(pairs: list[tuple[int, int]]) -> None:
    was, said = (np.array(x) for x in zip(*pairs, strict=True))
    counts = confusion(was, said, 4)
    if len(np.unique(np.concatenate([was, said]))) > 1:
        assert cohen_kappa(counts) == pytest.approx(cohen_kappa_score(was, said), abs=1e-12)
    made = by_class(counts)
    expected = precision_recall_fscore_support(was, said, labels=range(4), zero_division=np.nan)
    np.testing.assert_allclose(made.precision, expected[0])
    np.testing.assert_allclose(made.recall, expected[1])
    np.testing.assert_allclose(made.f1, expected[2])


def test_what_kappa_is() -> None:
    assert cohen_kappa(np.diag([3, 5])) == 1
    assert cohen_kappa(np.array([[10, 10], [10, 10]])) == pytest.approx(0)
    assert cohen_kappa(np.array([[0, 0], [10, 0]])) == 0, "one class was, another was said"
    assert cohen_kappa(np.array([[7, 0], [0, 0]])) == 1
    assert cohen_kappa(np.array([[0, 4], [4, 0]])) == -1


@pytest.mark.parametrize("counts", [np.zeros((2, 2)), np.ones((2, 3)), -np.eye(2)])
def test_what_are_no_counts(counts: np.ndarray) -> None:
    with pytest.raises(DataError, match=r"Allowed: \(k, k\) counts"):
        cohen_kappa(counts)
