from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as reference

from neural_foundation.core.errors import DataError
from neural_foundation.metrics import (
    accuracy,
    balanced_accuracy,
    brier,
    calibration,
    calibration_error,
    confusion,
    log_loss,
    roc_auc,
)


def answers(seed: int, n: int = 60, k: int = 3) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    target = np.concatenate([np.arange(k), rng.integers(0, k, n - k)])
    return target, rng.dirichlet(np.ones(k), n)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 1000))
def test_counts_equal_scikit_learn(seed):
    target, probability = answers(seed)
    said = probability.argmax(1)
    assert accuracy(target, said) == pytest.approx(reference.accuracy_score(target, said))
    assert balanced_accuracy(target, said) == pytest.approx(reference.balanced_accuracy_score(target, said))
    np.testing.assert_array_equal(
        confusion(target, said, 3), reference.confusion_matrix(target, said, labels=[0, 1, 2])
    )


@pytest.mark.parametrize("k", [2, 3])
def test_probabilities_equal_scikit_learn(k):
    target, probability = answers(3, k=k)
    expected = reference.roc_auc_score(target, probability[:, 1] if k == 2 else probability, multi_class="ovo")
    # scikit-learn's binary area ranks by the positive class, the mean of both ways is the same number
    assert roc_auc(target, probability) == pytest.approx(expected)
    assert log_loss(target, probability) == pytest.approx(reference.log_loss(target, probability))
    truth = np.eye(k)[target]
    assert brier(target, probability) == pytest.approx(np.mean(np.sum((truth - probability) ** 2, 1)))


def test_roc_ties_count_half():
    assert roc_auc(np.array([0, 1, 0, 1]), np.full((4, 2), 0.5)) == 0.5


def test_balanced_accuracy_leaves_out_classes_that_do_not_occur():
    assert balanced_accuracy(np.array([0, 0, 2, 2]), np.array([0, 1, 2, 2])) == 0.75


def test_calibration_error_of_known_gap():
    # ten answers of confidence 0.8, six right: one bin, gap 0.2
    probability = np.tile([0.8, 0.2], (10, 1))
    target = np.array([0] * 6 + [1] * 4)
    assert calibration_error(target, probability) == pytest.approx(0.2)
    confidence, right, count = calibration(target, probability)
    assert (confidence[8], right[8], count[8]) == (pytest.approx(0.8), 0.6, 10)
    assert count.sum() == 10


def test_full_confidence_falls_in_the_last_bin():
    assert calibration(np.array([0]), np.array([[1.0, 0.0]]))[2][-1] == 1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: accuracy(np.zeros(3, int), np.zeros(2, int)), "do not match"),
        (lambda: balanced_accuracy(np.zeros(0, int), np.zeros(0, int)), "nothing to score"),
        (lambda: log_loss(np.zeros(0, int), np.zeros((0, 2))), "nothing to score"),
        (lambda: confusion(np.array([0, 3]), np.array([0, 1]), 3), "Targets run from 0 to 3. Allowed: 0 to 2."),
        (lambda: confusion(np.array([0, 1]), np.array([-1, 1]), 3), "Predictions run from -1 to 1"),
        (lambda: brier(np.array([0]), np.array([[2.0, 3.0]])), "Pass the softmax, not the logits"),
        (lambda: brier(np.array([2]), np.array([[0.5, 0.5]])), "Targets run from 2 to 2. Allowed: 0 to 1."),
        (lambda: brier(np.array([0, 1]), np.array([[0.5, 0.5]])), "do not match"),
        (lambda: roc_auc(np.array([0, 0]), np.full((2, 2), 0.5)), "needs two classes"),
    ],
)
def test_refusals_say_why(call, message):
    with pytest.raises(DataError, match=message):
        call()
