"""Starting from a pre-trained network: front end and body are taken, heads and subject tables are new."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from learning_fakes import SIGNAL, SUBJECTS, TARGET, SmallModel, windows

from neural_foundation.core.errors import PackageError, SpecError
from neural_foundation.learning.fit import fit
from neural_foundation.learning.table import LEARNERS
from neural_foundation.learning.weights import take

LEARNER = {
    "kind": "gradient",
    "objective": {"kind": "classify"},
    "max_steps": 1,
    "lr": 1e-12,
    "weight_decay": 0.0,
}


def _start(subjects: int = 7) -> dict[str, torch.Tensor]:
    return SmallModel().build(SIGNAL, None, subjects=subjects, seed=99).state_dict()


def _fit(folder: Path, start: Any, **fields: Any) -> dict[str, torch.Tensor]:
    asked = {"signal": SIGNAL, "target": TARGET, "subjects": SUBJECTS, "folder": folder, "seed": 1, "start": start}
    learner = LEARNERS.parse(LEARNER | fields)
    weights: dict[str, torch.Tensor] = fit(SmallModel(), learner, windows(12), **asked).model.state_dict()  # type: ignore[arg-type]
    return weights


def test_body_and_front_end_are_taken(tmp_path: Path) -> None:
    start = _start()
    after = _fit(tmp_path, start)
    for name in ("spatial.weight", "body.0.weight", "body.3.bias", "mean"):
        assert torch.allclose(after[name], start[name], atol=1e-9)
    assert after["table.weight"].shape == (4, 8)
    assert not torch.allclose(after["reconstruct.weight"], start["reconstruct.weight"], atol=1e-3)


def test_a_head_is_kept_when_asked_for(tmp_path: Path) -> None:
    start = SmallModel().build(SIGNAL, TARGET, subjects=3, seed=99).state_dict()
    after = _fit(tmp_path, start, keep_head=True)
    assert torch.allclose(after["readout.weight"], start["readout.weight"], atol=1e-9)
    with pytest.raises(PackageError, match="'readout.weight' is missing"):
        _fit(tmp_path / "b", _start(), keep_head=True)


def test_every_tensor_that_does_not_fit_is_named(tmp_path: Path) -> None:
    start = _start()
    start["spatial.weight"] = torch.zeros(5, 5)
    start["extra"] = torch.zeros(1)
    del start["body.0.bias"]
    with pytest.raises(PackageError) as caught:
        _fit(tmp_path, start)
    message = str(caught.value)
    assert "'body.0.bias' is missing" in message
    assert "'extra' is unknown to the network" in message
    assert "'spatial.weight' has shape (5, 5), the network (3, 3)" in message
    assert "Pre-train with the same model" in message


def test_nothing_is_changed_where_something_does_not_fit() -> None:
    network = torch.nn.Linear(2, 2)
    before = {n: t.clone() for n, t in network.state_dict().items()}
    with pytest.raises(PackageError):
        take(network, {"weight": torch.ones(2, 2)})
    assert all(torch.equal(t, before[n]) for n, t in network.state_dict().items())


def test_the_start_is_left_alone(tmp_path: Path) -> None:
    start = _start()
    before = {n: t.clone() for n, t in start.items()}
    _fit(tmp_path, start, lr=0.1)
    assert all(torch.equal(t, before[n]) for n, t in start.items())


def test_an_estimator_has_no_start(tmp_path: Path) -> None:
    from neural_foundation.models.majority import Majority

    learner = LEARNERS.parse("estimator")
    asked: Any = {"signal": SIGNAL, "target": TARGET, "subjects": SUBJECTS, "folder": tmp_path, "seed": 1}
    with pytest.raises(SpecError, match="cannot start from a pre-trained network"):
        fit(Majority(), learner, windows(12), start=_start(), **asked)
