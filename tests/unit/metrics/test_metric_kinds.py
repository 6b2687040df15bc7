from __future__ import annotations

import numpy as np
import pytest

from neural_foundation.core.errors import UnknownKindError
from neural_foundation.metrics.table import METRICS


@pytest.mark.parametrize("kind", list(METRICS))
def test_every_kind_prefers_the_better_answer(kind):
    metric = METRICS.parse(kind)
    target = np.array([0, 1, 0, 1])
    good = np.eye(2)[target] * 0.8 + 0.1
    bad = good[:, ::-1]
    better, worse = metric.score(target, good), metric.score(target, bad)
    assert metric.kind == kind
    assert better > worse if metric.better == "higher" else better < worse


def test_unknown_kinds_are_refused():
    with pytest.raises(UnknownKindError, match="Did you mean 'brier'"):
        METRICS.parse("briar")
