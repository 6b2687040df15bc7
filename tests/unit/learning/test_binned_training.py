"""Learning from binned sessions: the loss falls, a cut run goes on, starts are taken by name, processes agree."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from binned import made_session, made_set
from binned_model import SmallBinned
from learning_fakes import SIGNAL, SUBJECTS, SmallModel, windows

from neural_foundation.core.errors import SpecError
from neural_foundation.learning.estimator import EstimatorLearner
from neural_foundation.learning.fit import fit
from neural_foundation.learning.table import LEARNERS
from neural_foundation.models.base import ModelSpec
from neural_foundation.sampling.binned import BinnedSet

LEARNER = {"kind": "gradient", "objective": "multimodal", "max_epochs": 4, "batch_size": 8, "lr": 0.01}
WHO = ("animal-a", "animal-b")


def parts(*, held_of_b: int = 4) -> tuple[BinnedSet, BinnedSet]:
    """Return training and validation windows of two sessions, so many of the second's held."""
    whole = made_set([made_session("a", 0, 6, 24), made_session("b", 1, 5, 24, gaps=0.1, unknown=0.1)])
    held = np.concatenate([np.arange(4), 24 + np.arange(held_of_b)])
    return whole.select(np.setdiff1d(np.arange(48), held)), whole.select(held)


def run(folder: Path, *, model: Any = None, data: Any = None, **fields: Any) -> Any:
    train, held = data or parts()
    asked = {n: fields.pop(n) for n in ("progress", "start", "seed") if n in fields}
    learner: Any = LEARNERS.parse({**LEARNER, **fields})
    settings: Any = {"signal": train.spec, "target": None, "subjects": WHO, "folder": folder, "seed": 1, **asked}
    return fit(model or SmallBinned(), learner, train, held, **settings)


def weights(fitted: Any) -> bytes:
    from safetensors.torch import save

    return bytes(save(dict(fitted.model.state_dict())))


def test_the_loss_falls_and_its_parts_are_told(tmp_path: Path) -> None:
    history = run(tmp_path, max_epochs=10, lr=0.02).history
    assert history[-1]["train_loss"] < 0.9 * history[0]["train_loss"]
    assert min(row["validation_loss"] for row in history) < 0.95 * history[0]["validation_loss"]
    named = {n for n in history[0] if n.startswith(("encoding_", "decoding_"))}
    assert named == {"encoding_spikes", *(f"decoding_{n}" for n in ("wheel_speed", "motion_energy", "choice", "block"))}
    json.dumps(history, allow_nan=False)


def test_a_session_with_one_held_trial_is_not_dropped(tmp_path: Path) -> None:
    train, held = parts(held_of_b=1)
    row = run(tmp_path, data=(train, held), max_epochs=1, lr=1e-9, batch_size=4).history[0]
    alone = run(tmp_path / "alone", data=(train, held.select([4])), max_epochs=1, lr=1e-9).history[0]
    others = run(tmp_path / "others", data=(train, held.select([0, 1, 2, 3])), max_epochs=1, lr=1e-9).history[0]
    assert alone["validation_loss"] > 0
    together = (4 * others["validation_loss"] + alone["validation_loss"]) / 5
    assert row["validation_loss"] == pytest.approx(together, rel=1e-4)


class _CutError(Exception):
    pass


def test_cut_and_resumed_to_the_same_bytes(tmp_path: Path) -> None:
    model = SmallBinned(dropout=0.2)
    fields: Any = {"model": model, "accumulate": 2, "averaging": "ema", "checkpoint_every_steps": 1, "max_epochs": 3}
    whole = run(tmp_path / "whole", **fields)
    for step in (2, 7, 11):  # one folder, cut again and again

        def cut(done: int, total: int, text: str, step: int = step) -> None:
            if done == step:
                raise _CutError

        with pytest.raises(_CutError):
            run(tmp_path / "cut", progress=cut, **fields)
    again = run(tmp_path / "cut", **fields)
    assert weights(again) == weights(whole)
    assert again.history == whole.history


def test_jitter_is_a_function_of_the_step(tmp_path: Path) -> None:
    sessions = [made_session("a", 0, 4, 1, lengths=[200]), made_session("b", 1, 4, 1, lengths=[160])]
    data = made_set(sessions, 20, jitter=True), None
    first, second = (run(tmp_path / n, data=data) for n in "xy")
    assert weights(first) == weights(second)
    assert weights(first) != weights(run(tmp_path / "z", data=(made_set(sessions, 20), None)))


def test_bf16(tmp_path: Path) -> None:
    fitted = run(tmp_path, precision="bf16", max_epochs=6)
    assert fitted.history[-1]["train_loss"] < fitted.history[0]["train_loss"]
    assert all(p.dtype == torch.float32 for p in fitted.model.parameters())


class TestStart:
    def test_known_sessions_are_taken_by_name_and_new_ones_are_new(self, tmp_path: Path) -> None:
        before = dict(run(tmp_path / "before").model.state_dict())
        new = made_set([made_session("c", 2, 7, 12), made_session("b", 1, 5, 24, gaps=0.1, unknown=0.1)])
        after = dict(run(tmp_path / "after", data=(new, None), start=before, lr=1e-9).model.state_dict())
        assert not any("a/" in name for name in after)
        assert torch.allclose(after["read.b/spikes.weight"], before["read.b/spikes.weight"], atol=1e-5)
        assert torch.allclose(after["body.0.weight"], before["body.0.weight"], atol=1e-5)
        assert torch.equal(after["mean.b/wheel_speed"], before["mean.b/wheel_speed"])  # the scale it was trained in
        speeds = new.values(0, "wheel_speed")
        assert after["mean.c/wheel_speed"].item() == pytest.approx(speeds.mean(), rel=1e-5)


class _Counter(ModelSpec):
    """Fits itself: remembers what it was given."""

    family = "estimator"
    data = "binned"

    def binned_estimator(self, signal: Any, *, seed: int = 0) -> Any:
        return _Remembers(signal)


class _Remembers:
    def __init__(self, signal: Any) -> None:
        self.signal = signal

    def fit(self, train: Any, validation: Any) -> Any:
        self.given = train, validation
        return self


class TestEstimators:
    def test_are_given_the_sets(self, tmp_path: Path) -> None:
        train, held = parts()
        asked: Any = {"signal": train.spec, "target": None, "subjects": WHO, "folder": tmp_path, "seed": 0}
        fitted = fit(_Counter(), EstimatorLearner(), train, held, **asked)
        assert fitted.model.given == (train, held)
        assert fitted.model.signal == train.spec
        with pytest.raises(SpecError, match="cannot start from"):
            fit(_Counter(), EstimatorLearner(), train, held, start={}, **asked)


class TestRefusals:
    def test_a_model_of_a_signal_on_binned_sessions(self, tmp_path: Path) -> None:
        with pytest.raises(SpecError, match=r"Model 'small' cannot learn from windows of binned sessions.*stage 'fit'"):
            run(tmp_path, model=SmallModel())

    def test_an_objective_of_a_signal_on_binned_sessions(self, tmp_path: Path) -> None:
        with pytest.raises(SpecError, match="Objective 'masked' cannot learn from windows of binned sessions"):
            run(tmp_path, objective="masked")

    @pytest.mark.parametrize(
        ("model", "objective", "what"),
        [(SmallBinned(), "masked", "Model 'small_binned'"), (SmallModel(), "multimodal", "Objective 'multimodal'")],
    )
    def test_binned_kinds_on_a_signal(self, tmp_path: Path, model: Any, objective: str, what: str) -> None:
        learner: Any = LEARNERS.parse({**LEARNER, "objective": objective})
        asked: Any = {"signal": SIGNAL, "target": None, "subjects": SUBJECTS, "folder": tmp_path, "seed": 0}
        with pytest.raises(SpecError, match=f"{what} cannot learn from windows of a signal.*'fit_trials'"):
            fit(model, learner, windows(12), **asked)

    def test_augmentation(self, tmp_path: Path) -> None:
        with pytest.raises(SpecError, match=r"augment cannot change windows of binned sessions.*jitter"):
            run(tmp_path, augment={"gain": 0.1})

    def test_other_sessions_than_the_model_s(self, tmp_path: Path) -> None:
        train, _ = parts()
        with pytest.raises(SpecError, match="other sessions than the model is built on"):
            run(tmp_path, data=(train, made_set([made_session("c", 2)])))


class TestProcesses:
    @pytest.mark.parametrize(
        ("fields", "message"),
        [
            ({"processes": 8, "accumulate": 2}, "processes 8 x accumulate 2 is more than batch_size 8"),
            ({"processes": 2, "objective": "contrastive"}, "'contrastive' needs all of a batch in one place"),
            ({"processes": 2, "objective": "masked", "sampler": "ordered"}, "'ordered' needs all of a batch"),
        ],
    )
    def test_what_cannot_be_shared(self, fields: dict[str, Any], message: str) -> None:
        with pytest.raises(SpecError, match=message):
            LEARNERS.parse({**LEARNER, **fields})

    def test_too_few_windows_for_all(self, tmp_path: Path) -> None:
        few = parts()[0].select(np.arange(3))
        with pytest.raises(SpecError, match="share batches of 3 windows"):
            run(tmp_path, data=(few, None), processes=4, balance="none")

    @pytest.mark.slow
    def test_two_are_as_one_with_twice_the_parts_and_go_on_where_they_were_cut(self, tmp_path: Path) -> None:
        # one more held trial than the processes share evenly, and a session that one of them may miss
        data, model = parts(held_of_b=3), SmallBinned(dropout=0.2)
        fields: Any = {"data": data, "model": model, "max_steps": 8, "averaging": "ema", "balance": "none"}
        one = run(tmp_path / "one", accumulate=2, **fields)

        def cut(done: int, total: int, text: str) -> None:
            if done == 6:
                raise _CutError

        fields |= {"processes": 2, "checkpoint_every_steps": 1}
        with pytest.raises(_CutError):
            run(tmp_path / "two", progress=cut, **fields)
        two = run(tmp_path / "two", **fields)
        for name, value in one.model.state_dict().items():
            assert torch.allclose(two.model.state_dict()[name], value, rtol=1e-3, atol=1e-5), name
        for mine, theirs in zip(two.history, one.history, strict=True):
            assert mine == pytest.approx(theirs, rel=1e-4)
        assert not torch.distributed.is_initialized()

    @pytest.mark.slow
    def test_what_goes_wrong_in_another_process_is_said(self, tmp_path: Path) -> None:
        from neural_foundation.core.errors import NeuralFoundationError

        with pytest.raises(NeuralFoundationError, match="Process 1 of 2 ended with exit code 3"):
            run(tmp_path, model=_Ends(), processes=2)


class _Ends(SmallBinned):
    """Cannot be made in a process that is not the first."""

    def build(self, signal: Any, target: Any, *, subjects: int = 0, seed: int = 0) -> Any:
        import multiprocessing
        import os

        if multiprocessing.parent_process() is not None:
            os._exit(3)
        return super().build(signal, target, subjects=subjects, seed=seed)


def test_arrays_on_disk_are_sent_to_other_processes_as_their_place(tmp_path: Path) -> None:
    from multiprocessing.reduction import ForkingPickler

    from neural_foundation.learning.processes import _mapped_again

    values = np.arange(100_000, dtype=np.uint16).reshape(1000, 100)
    np.save(tmp_path / "x.npy", values)
    ForkingPickler.register(np.memmap, _mapped_again)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    sent = bytes(ForkingPickler.dumps(mapped))
    assert len(sent) < 1000
    again = ForkingPickler.loads(sent)
    assert isinstance(again, np.memmap)
    assert (again == values).all()
    part = ForkingPickler.loads(bytes(ForkingPickler.dumps(mapped[10:20, 3:])))  # a part of one is sent as it is
    assert (part == values[10:20, 3:]).all()
