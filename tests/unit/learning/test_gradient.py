"""The gradient learner: it learns, says so, stops in time, leaves the process as it was, and refuses what cannot be."""

from __future__ import annotations

import logging
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from learning_fakes import SIGNAL, SUBJECTS, TARGET, MemoryWindows, SmallModel, windows

from neural_foundation.core.errors import DataError, SpecError
from neural_foundation.learning.fit import discard_checkpoints, fit
from neural_foundation.learning.gradient import Gradient
from neural_foundation.learning.table import LEARNERS


def _learner(**fields: Any) -> Any:
    return LEARNERS.parse(
        {"kind": "gradient", "objective": {"kind": "classify", "from_s": 0.4}, "max_epochs": 3, "batch_size": 8}
        | fields
    )


def _fit(folder: Path, learner: Any = None, train: Any = None, held: Any = None, **fields: Any) -> Any:
    asked = {"signal": SIGNAL, "target": TARGET, "subjects": SUBJECTS, "folder": folder, "seed": 1} | fields
    return fit(SmallModel(), learner or _learner(), windows() if train is None else train, held, **asked)


def _weights(fitted: Any) -> dict[str, bytes]:
    return {n: t.numpy().tobytes() for n, t in fitted.model.state_dict().items()}


def test_it_learns_and_keeps_the_best_validation(tmp_path: Path) -> None:
    learner = _learner(max_epochs=30, lr=0.02, monitor="balanced_accuracy")
    fitted = _fit(tmp_path, learner, windows(48), windows(24, seed=3))
    best = max(row["balanced_accuracy"] for row in fitted.history)
    held = windows(24, seed=3)
    chosen = fitted.model(torch.from_numpy(held.signal)).logits[:, -1].argmax(1).numpy()
    assert best >= 0.9
    assert np.mean([np.mean(chosen[held.target == k] == k) for k in (0, 1)]) == pytest.approx(best)
    assert not fitted.model.training


def test_the_same_seed_gives_the_same_bytes_and_another_does_not(tmp_path: Path) -> None:
    first, again = _fit(tmp_path / "a"), _fit(tmp_path / "b")
    assert _weights(first) == _weights(again)
    assert first.history == again.history
    assert _weights(first) != _weights(_fit(tmp_path / "c", seed=2))


def test_history_has_one_row_an_epoch_without_times(tmp_path: Path) -> None:
    history = _fit(tmp_path, held=windows(6, seed=2)).history
    assert [row["epoch"] for row in history] == [0, 1, 2]
    assert [row["step"] for row in history] == [3, 6, 9]
    assert set(history[0]) == {
        "epoch", "step", "learning_rate", "train_loss", "validation_loss", "balanced_accuracy"
    }  # fmt: skip


def test_max_steps_ends_earlier_and_progress_counts_steps(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    fitted = _fit(tmp_path, _learner(max_steps=4), progress=lambda done, total, text: seen.append((done, total)))
    assert seen == [(0, 4), (1, 4), (2, 4), (3, 4), (4, 4)]
    assert fitted.history[-1]["step"] == 4


def test_patience_stops_training(tmp_path: Path) -> None:
    fitted = _fit(tmp_path, _learner(max_epochs=40, lr=1e-9, patience=2, monitor="balanced_accuracy"), held=windows(6))
    assert len(fitted.history) == 2  # neither epoch was better than the start


def test_accumulation_changes_the_memory_not_the_step(tmp_path: Path) -> None:
    whole = _fit(tmp_path / "a", _learner(objective={"kind": "classify"}, freeze=["body", "table"], max_steps=3))
    parts = _fit(
        tmp_path / "b", _learner(objective={"kind": "classify"}, freeze=["body", "table"], max_steps=3, accumulate=3)
    )
    a, b = (f.model.state_dict()["readout.weight"] for f in (whole, parts))
    # dropout is drawn anew for every part, so equal only nearly
    assert torch.allclose(a, b, atol=2e-3)
    assert [r["step"] for r in whole.history] == [r["step"] for r in parts.history]


@pytest.mark.parametrize("averaging", ["ema", "swa"])
def test_averaged_weights_are_handed_back(tmp_path: Path, averaging: str) -> None:
    plain, mean = _fit(tmp_path / "a"), _fit(tmp_path / "b", _learner(averaging=averaging))
    assert mean.history[-1]["train_loss"] == plain.history[-1]["train_loss"]
    assert _weights(mean) != _weights(plain)


def test_bf16_trains_and_keeps_float32_weights(tmp_path: Path) -> None:
    fitted = _fit(tmp_path, _learner(precision="bf16"))
    assert {p.dtype for p in fitted.model.parameters()} == {torch.float32}
    assert _weights(fitted) != _weights(_fit(tmp_path / "b"))


def test_frozen_parameters_stay(tmp_path: Path) -> None:
    fresh = SmallModel().build(SIGNAL, TARGET, subjects=3, seed=0)
    start = fresh.state_dict()
    learner = _learner(freeze=["spatial", "body"])
    after = _fit(tmp_path, learner, start=start).model.state_dict()
    assert all(torch.equal(after[n], start[n]) for n in start if n.startswith(("spatial", "body")))
    assert not torch.equal(after["readout.weight"], start["readout.weight"])


def test_a_front_end_rate_of_zero_keeps_the_front_end(tmp_path: Path) -> None:
    start = SmallModel().build(SIGNAL, TARGET, subjects=3, seed=0).state_dict()
    after = _fit(tmp_path, _learner(front_end_lr=0, weight_decay=0), start=start).model.state_dict()
    assert torch.equal(after["spatial.weight"], start["spatial.weight"])
    assert not torch.equal(after["body.0.weight"], start["body.0.weight"])


def test_gradient_checkpointing_is_passed_on(tmp_path: Path) -> None:
    assert _fit(tmp_path, _learner(gradient_checkpointing=True, max_steps=1)).model.checkpointing


def test_augmentation_changes_what_is_learned(tmp_path: Path) -> None:
    plain = _fit(tmp_path / "a")
    changed = _fit(tmp_path / "b", _learner(augment={"channel_dropout": 0.3, "shift_s": 0.2}))
    assert _weights(plain) != _weights(changed)


def test_the_process_is_left_as_it_was(tmp_path: Path, capfd: Any, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    before = random.getstate(), torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    numpy_before = np.random.get_state()[1].tolist()  # noqa: NPY002 - this is what must not change
    _fit(tmp_path / "out")
    assert torch.equal(torch.rand(1), expected)
    assert (random.getstate(), torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()) == before
    assert np.random.get_state()[1].tolist() == numpy_before  # noqa: NPY002
    assert capfd.readouterr() == ("", "")
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["checkpoint.safetensors", "checkpoints", "out"]
    assert logging.getLogger("lightning.pytorch").level == logging.INFO


def test_a_recipe_is_parsed_without_torch_and_lightning() -> None:
    code = (
        "import sys; from neural_foundation.learning.table import LEARNERS, OBJECTIVES\n"
        "[OBJECTIVES.row(k).load() for k in OBJECTIVES]; [LEARNERS.row(k).load() for k in LEARNERS]\n"
        "import neural_foundation.learning.fit\n"
        "print([m for m in ('torch', 'lightning', 'scipy', 'sklearn') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_discarding_removes_the_checkpoints(tmp_path: Path) -> None:
    _fit(tmp_path, _learner(max_steps=1))
    discard_checkpoints(tmp_path)
    assert list(tmp_path.iterdir()) == []


def _unlabelled() -> MemoryWindows:
    some = windows(12)
    some.target[:] = -1
    return some


def _of_one_class() -> MemoryWindows:
    some = windows(12)
    some.target[6:] = -1
    some.target[:6] = 1
    return some


def test_unlabelled_windows_are_left_out_of_a_supervised_fit(tmp_path: Path) -> None:
    some = windows(24)
    some.target[12:] = -1
    a = _fit(tmp_path / "a", train=some)
    b = _fit(tmp_path / "b", train=some.select(np.arange(12)))
    assert _weights(a) == _weights(b)


def test_data_that_cannot_serve_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="None of 12 training windows is labelled"):
        _fit(tmp_path, train=_unlabelled())
    with pytest.raises(DataError, match=r"All 6 training windows are of one class, 'right'\. Allowed: at least two of"):
        _fit(tmp_path, train=_of_one_class())
    bad = windows()
    bad.signal[0] = np.nan
    with pytest.raises(DataError, match=r"train_loss is nan after step 3\. Allowed: finite\. Lower lr"):
        _fit(tmp_path, train=bad)


def test_settings_that_cannot_be_are_named(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="accumulate is 9, more than batch_size 8"):
        _learner(accumulate=9)
    with pytest.raises(SpecError, match="'contrastive' compares the samples of a batch: accumulate must be 1"):
        _learner(objective={"kind": "contrastive"}, accumulate=2)
    with pytest.raises(SpecError, match="'masked' has no balanced accuracy: monitor must be 'loss'"):
        _learner(objective={"kind": "masked"}, monitor="balanced_accuracy")
    with pytest.raises(SpecError, match="freeze: no parameter begins with 'heads'.*'adversary'"):
        _fit(tmp_path, _learner(freeze=["heads"]))
    with pytest.raises(SpecError, match="Objective 'classify' needs a target"):
        _fit(tmp_path, target=None)
    with pytest.raises(SpecError, match=r"device 'tpu'\. Allowed: cpu, cuda or cuda:n"):
        _fit(tmp_path, device="tpu")


def test_an_objective_is_required() -> None:
    with pytest.raises(SpecError, match="field 'objective' is missing"):
        LEARNERS.parse({"kind": "gradient"})
    assert Gradient.family == "network"
