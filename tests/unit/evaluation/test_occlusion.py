"""Occlusion of a model whose answer is known in closed form."""

import numpy as np
import pytest

from neural_foundation.core.errors import DataError
from neural_foundation.evaluation.ensembling_solvers import softmax
from neural_foundation.evaluation.occlusion import occluded, occlusion, seconds


def test_what_the_answer_rests_on_is_found() -> None:
    signal = np.ones((3, 100), np.float32)
    weight = np.zeros((3, 100))
    weight[1, 20:40] = 0.1  # only this speaks for class 1

    def predict(windows: np.ndarray) -> np.ndarray:
        z = np.einsum("nct,ct->n", windows, weight)
        return softmax(np.stack([np.zeros(len(z)), z], 1))

    found = occlusion(predict, signal, [[0], [1, 2]], [(0, 20), (20, 40), (40, 100)], 1)
    fall = np.log(softmax(np.array([0.0, 2.0]))[1]) - np.log(softmax(np.array([0.0, 0.02]))[1])
    assert found == pytest.approx(np.array([[0, 0, 0], [0, fall, 0]]), abs=1e-6)
    assert occlusion(predict, signal, [[1]], [(20, 30)], 0)[0, 0] < 0  # without it the other answer is likelier
    assert (signal == 1).all()


def test_in_batches_it_is_the_same_and_no_more_are_in_memory() -> None:
    signal = np.random.default_rng(0).normal(size=(3, 40)).astype(np.float32)
    sizes: list[int] = []

    def predict(windows: np.ndarray) -> np.ndarray:
        sizes.append(len(windows))
        return softmax(np.stack([windows.sum((1, 2)), windows[:, 0].sum(1)], 1))

    given = ([[0], [1], [2]], [(0, 20), (20, 40)])
    said, without = occluded(predict, signal, *given)
    few = occluded(predict, signal, *given, batch=3)
    assert sizes == [7, 3, 3, 1]
    np.testing.assert_allclose(few[1], without, rtol=1e-6)
    np.testing.assert_allclose(few[0], said, rtol=1e-6)
    assert without.shape == (3, 2, 2)


def test_stretches_are_seconds() -> None:
    assert seconds(100, 1100, 100.0) == [(100 + 100 * k, 200 + 100 * k) for k in range(10)]
    assert len(seconds(0, 5000, 100.0)) == 10
    assert seconds(0, 30, 100.0) == [(0, 30)]


def test_stretches_outside_of_the_window() -> None:
    with pytest.raises(DataError, match="within 0 to 100"):
        occlusion(lambda w: w, np.ones((1, 100), np.float32), [[0]], [(50, 101)], 0)
