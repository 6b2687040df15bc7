"""The regress objective against squared and Huber errors written out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from learning_fakes import SIGNAL, SUBJECTS, SmallModel, windows
from torch.nn.functional import huber_loss

from neural_foundation.core.errors import DataError, SpecError
from neural_foundation.core.specs import TargetSpec
from neural_foundation.learning.base import Bound
from neural_foundation.learning.fit import fit
from neural_foundation.learning.objectives.regress import Regress
from neural_foundation.learning.table import LEARNERS
from neural_foundation.sampling.batches import Source

TARGET = TargetSpec(task="regression", names=("x", "y"))


def _windows(n: int = 12) -> Any:
    some = windows(n)
    values = np.log(some.signal[:, :2].var(2) * 1e10).astype(np.float32)
    return replace(some, target=values)


def _loss(**fields: Any) -> tuple[Any, Any, Any]:
    network = SmallModel().build(SIGNAL, TARGET, subjects=3, seed=0).eval()
    bound = Bound(network, SIGNAL, TARGET, SUBJECTS, Source(_windows(), SUBJECTS), 0)
    return Regress(**fields).bind(bound), network, bound.source.batch(np.arange(6), seed=0)


@pytest.mark.parametrize("huber", [None, 0.5])
def test_errors_are_averaged_over_outputs_and_the_last_tokens(huber: float | None) -> None:
    loss, network, batch = _loss(from_s=1.8, rise=0.0, huber=huber)
    predicted = network(batch.signal, batch.subject).logits[:, 8:]  # those that end at 1.8 and 2.0 s
    target = batch.target[:, None].expand_as(predicted)
    errors = (predicted - target).square()
    if huber:
        errors = huber_loss(predicted, target, reduction="none", delta=huber)
    assert torch.allclose(loss(network, batch), errors.mean((1, 2)), atol=1e-5)


def test_a_target_of_another_width_is_named() -> None:
    loss, network, batch = _loss()
    with pytest.raises(DataError, match="The target has 1 values a window, the network 2 outputs"):
        loss(network, replace(batch, target=batch.target[:, 0]))


def test_fit_learns_it(tmp_path: Path) -> None:
    learner = LEARNERS.parse(
        {"kind": "gradient", "objective": {"kind": "regress"}, "max_epochs": 15, "batch_size": 8, "lr": 0.02}
    )
    asked: Any = {"signal": SIGNAL, "subjects": SUBJECTS, "folder": tmp_path, "seed": 0}
    history = fit(SmallModel(), learner, _windows(48), _windows(12), target=TARGET, **asked).history
    assert history[-1]["validation_loss"] < 0.5 * history[0]["validation_loss"]


def test_classes_cannot_be_regressed(tmp_path: Path) -> None:
    learner = LEARNERS.parse({"kind": "gradient", "objective": {"kind": "regress"}})
    asked: Any = {"signal": SIGNAL, "subjects": SUBJECTS, "folder": tmp_path, "seed": 0}
    with pytest.raises(SpecError, match="'regress' cannot learn a classification target. Allowed: 'regression'"):
        fit(SmallModel(), learner, windows(12), target=TargetSpec(classes=("a", "b")), **asked)
