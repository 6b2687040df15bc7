from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import r2_score

from neural_foundation.core.errors import DataError
from neural_foundation.metrics import pearson, r2


def test_equal_references():
    rng = np.random.default_rng(0)
    target = rng.normal(size=(50, 2))
    predicted = target + rng.normal(size=(50, 2))
    assert r2(target, predicted) == pytest.approx(r2_score(target, predicted))
    expected = np.mean([np.corrcoef(target[:, i], predicted[:, i])[0, 1] for i in range(2)])
    assert pearson(target, predicted) == pytest.approx(expected)


def test_the_mean_scores_nothing_and_scale_does_not_matter_to_correlation():
    target = np.arange(5.0)
    assert r2(target, np.full(5, 2.0)) == 0
    assert pearson(target, 3 - 7 * target) == pytest.approx(-1)


@pytest.mark.parametrize("score", [r2, pearson])
def test_refusals(score):
    with pytest.raises(DataError, match="constant"):
        score(np.ones(4), np.arange(4.0))
    with pytest.raises(DataError, match=r"\(4,\).*\(3,\)"):
        score(np.arange(4.0), np.arange(3.0))
