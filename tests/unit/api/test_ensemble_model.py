"""The published names take an ensemble as they take one model."""

from __future__ import annotations

import ensembles
import numpy as np
import pytest
from small_package import signal

from neural_foundation.api import NeuralFoundationModel
from neural_foundation.core.stream import run
from neural_foundation.realtime.sliding import SlidingDecoder


def test_an_ensemble_decodes_a_stream(tmp_path_factory: pytest.TempPathFactory) -> None:
    package = ensembles.shared(tmp_path_factory)
    model = NeuralFoundationModel.from_pretrained(package.folder)
    windows = ensembles.windows(3)
    np.testing.assert_array_equal(model.predict_proba(windows), package.predict_proba(windows))
    values = signal(400, 3)
    wanted = run(SlidingDecoder(package), values).values[:, -1]
    decision = model.get_decoder("hands").decode(values)
    assert decision is not None
    np.testing.assert_allclose(list(decision.probability.values()), wanted, rtol=0, atol=1e-6)
    unsure = package.uncertainty(ensembles.cleaned(400, 3)[None, :, -200:])
    np.testing.assert_allclose([decision.entropy, decision.disagreement], np.ravel(unsure), rtol=0, atol=1e-5)
    single = NeuralFoundationModel(package.members[1][0]).get_decoder("hands").decode(values)
    assert single is not None
    assert (single.entropy, single.disagreement) == (None, None)
    assert decision.label == package.facts.target.classes[int(wanted.argmax())]  # type: ignore[union-attr]
