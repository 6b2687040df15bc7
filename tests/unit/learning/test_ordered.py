"""Training on windows in order: the state goes on, so that what is trained is one stream over each recording."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import ordered_fakes as fakes
import pytest
import torch
from learning_fakes import SmallModel
from ordered_fakes import MODEL, SIGNAL, STILL, WHOLE, Listening, cut, one_pass, recordings, run

from neural_foundation.core.errors import DataError, SpecError
from neural_foundation.core.specs import identity
from neural_foundation.learning.base import Bound, Drawn
from neural_foundation.learning.objectives.masked import Masked
from neural_foundation.learning.samplers.ordered import Ordered
from neural_foundation.learning.samplers.walk import Carry, Walk
from neural_foundation.learning.table import LEARNERS, OBJECTIVES
from neural_foundation.sampling.batches import Source
from neural_foundation.sampling.windows import WindowSet

STEPS = 20  # of WHOLE: two lanes of 10 and 6 windows, two epochs
CHILD = """
import sys, time
from pathlib import Path
sys.path[:0] = {paths!r}
import ordered_fakes
print("ready", flush=True)
ordered_fakes.run(Path(sys.argv[1]), Path(sys.argv[2]), progress=lambda *_: time.sleep(0.02))
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recordings")
    recordings(folder)
    return folder


def walk(windows: WindowSet, *, lanes: int = 2, held: bool = False, stretch_s: float | None = None) -> Walk:
    source = Source(windows, ("s0", "s1"), memory_bytes=0)
    return Walk(Drawn(source, lanes, "subject", order_seed=3, batch_seed=4, held=held), stretch_s)


def learner(**changes: Any) -> Any:
    return LEARNERS.parse({**WHOLE, **changes})


# which windows a step sees


def test_rows_follow_on_each_other_and_each_window_comes_once_an_epoch(data: Path) -> None:
    windows = cut(sorted(data.glob("*.h5")))
    made = walk(windows)
    before: dict[int, int] = {}
    seen: list[int] = []
    assert made.steps_per_epoch == 14  # 10 windows in one lane, 6 + 8 in the other
    for step in range(made.steps_per_epoch):
        (batch,) = made.parts(step)
        assert made.size(step) == len(batch)
        for lane, fresh, item in zip(batch.lane.tolist(), batch.fresh.tolist(), batch.items.tolist(), strict=True):
            at = int(windows.file[item]), int(windows.start[item])
            last = before.get(lane)
            assert fresh == (at[1] == 0)
            if not fresh:
                assert last is not None
                assert at == (windows.file[last], windows.start[last] + 100)
            before[lane] = item
        np.testing.assert_array_equal(batch.signal.numpy(), windows.load(batch.items))
        assert batch.subject.tolist() == [{"s0": 1, "s1": 2, "s2": 0}[windows.subject[i]] for i in batch.items]
        seen += batch.items.tolist()
    assert sorted(seen) == list(range(len(windows)))


def test_a_batch_is_a_function_of_its_step_alone(data: Path) -> None:
    windows = cut(sorted(data.glob("*.h5")))
    one, other = walk(windows), walk(windows)
    backwards = {step: next(iter(other.parts(step))) for step in reversed(range(4 * one.steps_per_epoch))}
    for step, batch in backwards.items():
        (same,) = one.parts(step)
        assert same.items.tolist() == batch.items.tolist()
        assert torch.equal(same.signal, batch.signal)
        assert (same.epoch, same.step, same.seed) == (batch.epoch, batch.step, batch.seed) == (step // 14, step, 4)
    epochs = {str([b.items.tolist() for s, b in sorted(backwards.items()) if s // 14 == e]) for e in range(4)}
    assert len(epochs) > 1


def test_validation_walks_in_the_same_order_each_time_as_nobody_known(data: Path) -> None:
    made = walk(cut(sorted(data.glob("*.h5"))), held=True)
    epochs = [[next(iter(made.parts(s + e * 14))) for s in range(14)] for e in range(5)]
    assert len({str([b.items.tolist() for b in epoch]) for epoch in epochs}) == 1
    assert {(b.epoch, b.step) for epoch in epochs for b in epoch} == {(0, -1)}
    assert not any(b.subject.any() for b in epochs[0])
    assert any(b.identity.any() for b in epochs[0])


def test_the_state_begins_anew_after_a_gap(tmp_path: Path) -> None:
    valid = np.ones(1000, bool)
    valid[330:350] = False
    windows = cut(recordings(tmp_path, (1000,), valid=valid))
    assert 300 not in windows.start
    made = walk(windows, lanes=1)
    batches = [next(iter(made.parts(step))) for step in range(made.steps_per_epoch)]
    assert sorted(windows.start[b.items[0]] for b in batches if b.fresh[0]) == [0, 400]


def test_overlapping_windows_walk_beside_each_other(data: Path) -> None:
    windows = cut(sorted(data.glob("*.h5"))[:1], hop_s=0.5)
    made = walk(windows)
    batches = [next(iter(made.parts(step))) for step in range(made.steps_per_epoch)]
    assert made.lanes == 2
    assert sorted(windows.start[i] for b in batches for i in b.items[b.fresh.numpy()]) == [0, 50]


def test_a_long_recording_can_fill_a_batch(data: Path) -> None:
    windows = cut(sorted(data.glob("*.h5"))[:1])
    assert (walk(windows, lanes=8).lanes, walk(windows, lanes=8).steps_per_epoch) == (1, 10)
    short = walk(windows, lanes=8, stretch_s=2.5)
    assert (short.lanes, short.steps_per_epoch) == (5, 2)


# the state


@pytest.mark.parametrize("lanes", [1, 2])
def test_what_the_network_says_in_training_is_one_pass_over_each_recording(
    data: Path, tmp_path: Path, lanes: int
) -> None:
    """The chunk law in training: with weights that stand still, windows with a carried state are the whole stream."""
    fakes.NOTED.clear()
    given = {"lr": 1e-30, "weight_decay": 0.0, "objective": Listening(), "augment": {}, "max_epochs": 1}
    fitted = run(tmp_path, data, {**WHOLE, **given, "batch_size": lanes}, model=STILL)
    windows = cut(sorted(data.glob("*.h5")))
    train = windows.select(np.isin(windows.file, [0, 1]))
    heard = {item: row for training, item, row in fakes.NOTED if training}
    assert len(heard) == len(train) == 16
    apart = []
    for file, path in enumerate(windows.paths[:2]):
        mine = np.flatnonzero(train.file == file)
        whole = one_pass(fitted.model, path, subject=file + 1)
        carried = torch.cat([heard[int(i)] for i in mine])
        torch.testing.assert_close(carried, whole[: len(carried)], rtol=1e-4, atol=1e-5)
        alone = fitted.model(torch.from_numpy(train.load(mine)), subject=torch.full((len(mine),), file + 1)).features
        apart.append((alone.flatten(0, 1) - carried).abs().amax(1).unflatten(0, (len(mine), -1)).amax(1))
    assert all(a[0] < 1e-5 for a in apart)  # the first window of a recording begins anew
    assert all((a[1:] > 0.1).all() for a in apart)  # all others know what came before


def test_validation_is_one_pass_too_and_its_loss_another_than_without_state(data: Path, tmp_path: Path) -> None:
    given = {"lr": 1e-30, "weight_decay": 0.0, "objective": Listening(), "augment": {}, "max_epochs": 1}
    fitted = run(tmp_path / "a", data, {**WHOLE, **given}, model=STILL)
    whole = one_pass(fitted.model, sorted(data.glob("*.h5"))[2])[:80]  # 8 whole windows
    want = float(whole.double().square().mean())
    got = fitted.history[-1]["validation_loss"]
    assert got == pytest.approx(want, rel=1e-4)
    alone = run(tmp_path / "b", data, {**WHOLE, **given, "sampler": "shuffled"}, model=STILL)
    assert abs(alone.history[-1]["validation_loss"] - want) > 0.01 * want
    assert abs(alone.history[-1]["train_loss"] - fitted.history[-1]["train_loss"]) > 0.01 * want


def test_what_is_hidden_or_changed_in_a_window_is_not_carried_on(data: Path) -> None:
    """States go on from the signal as recorded; the frozen copy, whose tokens are the target, has one of its own."""
    windows = cut(sorted(data.glob("*.h5"))[:1])
    made = walk(windows, lanes=1)
    source = made.drawn.source
    network = MODEL.build(SIGNAL, None, subjects=2, seed=0)
    network.calibrate([torch.from_numpy(windows.load())])
    loss = Masked(fraction=0.7, channel_dropout=0.5).bind(Bound(network, SIGNAL, None, ("s0", "s1"), source, 0))
    network.train()
    carry, told, losses = Carry(made.lanes), [], []
    for step in range(made.steps_per_epoch):
        torch.manual_seed(step)
        (plain,) = made.parts(step)
        batch = carry.begun(network, loss, replace(plain, signal=3 * plain.signal))  # as an augmentation would
        told.append(batch.told["frozen"].tokens)
        losses.append(loss(network, batch))
        carry.go_on(network, batch)
        assert network.training
    signal_whole = torch.from_numpy(windows.load().transpose(1, 0, 2).reshape(1, 3, -1))
    with torch.no_grad():
        out, after = network.eval().onward(signal_whole, network.start(1), torch.tensor([1]))
    torch.testing.assert_close(torch.cat(told, 1), out.tokens, rtol=1e-4, atol=1e-4)
    for name, value in after.items():
        torch.testing.assert_close(carry.states["network"][name], value, rtol=1e-4, atol=1e-5)
    torch.manual_seed(9)
    untold = loss(network.train(), replace(batch, told={}))
    assert abs(float(untold.detach() - losses[9].detach())) > 1e-3
    torch.manual_seed(9)
    (last,) = made.parts(9)
    alone = loss(network.train(), last)
    assert abs(float(alone.detach() - losses[9].detach())) > 1e-3
    assert all(not value.requires_grad for value in carry.states["network"].values())


def test_a_step_is_the_mean_over_the_windows_it_sees(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from neural_foundation.learning.loop import Training

    step, seen = Training.training_step, []

    def noted(self: Training, batch: Any, batch_idx: int) -> Any:
        fakes.NOTED.clear()
        made = step(self, batch, batch_idx)
        seen.append(
            (len(batch), float(made.detach()), np.mean([float(row.square().mean()) for _, _, row in fakes.NOTED]))
        )
        return made

    monkeypatch.setattr(Training, "training_step", noted)
    run(tmp_path, data, {**WHOLE, "objective": Listening(), "max_epochs": 1}, model=STILL)
    assert [n for n, _, _ in seen] == [2] * 6 + [1] * 4
    assert [loss for _, loss, _ in seen] == pytest.approx([mean for _, _, mean in seen], rel=1e-5)


def test_gradients_end_at_the_start_of_a_window(data: Path) -> None:
    windows = cut(sorted(data.glob("*.h5"))[:1])
    made, network = walk(windows, lanes=1), MODEL.build(SIGNAL, None, subjects=2, seed=0)
    carry = Carry(1)
    for step in range(2):
        batch = carry.begun(network, torch.nn.Identity(), next(iter(made.parts(step))))
        assert batch.begin is not None
        assert not any(v.requires_grad for v in batch.begin.values())
        carry.go_on(network, batch)
    assert float(batch.begin["age"][0]) == 10  # tokens of the window before


# a run that was cut off


def _bytes(fitted: Any, folder: Path) -> tuple[bytes, bytes, str]:
    from safetensors.torch import save

    disk = (folder / "checkpoints" / "checkpoint.safetensors").read_bytes()
    return save(dict(fitted.model.state_dict())), disk, json.dumps(fitted.history)


@pytest.fixture(scope="module")
def undisturbed(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("undisturbed")
    return _bytes(run(folder, data), folder)


class _CutError(Exception):
    pass


@pytest.mark.parametrize("step", [1, 4, 10, 13])
def test_cut_in_mid_epoch_and_resumed(data: Path, tmp_path: Path, undisturbed: Any, step: int) -> None:
    def stop(done: int, total: int, text: str) -> None:
        assert total == STEPS
        if done == step:
            raise _CutError

    with pytest.raises(_CutError):
        run(tmp_path, data, progress=stop)
    assert _bytes(run(tmp_path, data), tmp_path) == undisturbed


@pytest.mark.slow
def test_killed_in_mid_epoch_and_resumed(data: Path, tmp_path: Path, undisturbed: Any) -> None:
    here = Path(__file__).parent
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD.format(paths=[str(here), str(here.parents[1] / "helpers")]), str(tmp_path), data],
        stdout=subprocess.PIPE,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert child.stdout is not None
    child.stdout.readline()
    mark = tmp_path / "checkpoints" / "checkpoint.safetensors"
    while not mark.exists():  # the first step is done
        assert child.poll() is None
        time.sleep(0.005)
    time.sleep(random.Random(os.getpid()).uniform(0, 0.4))
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()
    assert child.returncode == -signal.SIGKILL
    assert _bytes(run(tmp_path, data), tmp_path) == undisturbed


def test_only_what_carries_a_state_has_one_in_its_checkpoint(data: Path, tmp_path: Path) -> None:
    from safetensors import safe_open

    for sampler, want in (("ordered", {"network", "frozen"}), ("shuffled", set())):
        run(tmp_path / sampler, data, {**WHOLE, "sampler": sampler, "max_steps": 1})
        with safe_open(tmp_path / sampler / "checkpoints" / "checkpoint.safetensors", "pt") as file:
            parts = [name.split("/") for name in file.keys()]  # noqa: SIM118 - not a dict
        assert {part[1] for part in parts if part[0] == "carried"} == want


# from disk, and what cannot be


def test_recordings_are_read_as_they_come(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[int] = []
    load = WindowSet.load

    def counted(self: WindowSet, indices: Any = None) -> Any:
        loaded.append(len(self) if indices is None else len(indices))
        return load(self, indices)

    monkeypatch.setattr(WindowSet, "load", counted)
    monkeypatch.setattr("neural_foundation.learning.training.CALIBRATION_WINDOWS", 4)
    run(tmp_path, data, {**WHOLE, "objective": {"kind": "masked", "power": 0}, "max_steps": 4})
    assert max(loaded) <= 4  # calibration's, and never all 16


def test_the_default_has_the_key_it_had() -> None:
    known = identity(LEARNERS.parse({"kind": "gradient", "objective": "masked"}))
    assert known == {"kind": "gradient", "objective": {"kind": "masked"}}
    assert identity(LEARNERS.parse({"kind": "gradient", "objective": "masked", "sampler": "shuffled"})) == known
    assert identity(learner())["sampler"] == {"kind": "ordered"}


def test_what_does_not_go_with_an_order_is_named() -> None:
    unable = {kind for kind in OBJECTIVES if OBJECTIVES.row(kind).load().not_ordered}  # type: ignore[attr-defined]
    assert unable == {"classify", "contrastive", "multimodal", "regress", "votes"}
    for objective in sorted(unable):
        with pytest.raises(SpecError, match=f"objective '{objective}' .* cannot have sampler 'ordered'; 'masked' can"):
            learner(objective=objective)
    with pytest.raises(SpecError, match="both views of one would be told by the past they share"):
        learner(objective="contrastive")
    with pytest.raises(SpecError, match="accumulate must be 1"):
        learner(accumulate=2)
    with pytest.raises(SpecError, match=r"augment.shift_s must be 0"):
        learner(augment={"shift_s": 0.1})


def test_an_objective_that_says_nothing_cannot_be_learned_in_order() -> None:
    class Silent(Listening):
        """Says nothing of order."""

        kind: Any = "silent"
        not_ordered = Listening.__mro__[1].not_ordered  # type: ignore[attr-defined]

    with pytest.raises(SpecError, match="does not say that a window of it may begin in a state"):
        learner(objective=Silent())


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (MODEL.model_copy(update={"context": "trial"}), r"Model 'multiscale' begins anew at each trial .*context to"),
        (SmallModel(), "Model 'small' has no state to carry on. Set sampler: shuffled"),
        (MODEL.model_copy(update={"hop_s": 0.3}), r"Windows have 100 samples, 3.33 tokens of 30. Allowed: whole"),
    ],
    ids=["trial", "stateless", "tokens"],
)
def test_a_model_that_cannot_is_refused(data: Path, tmp_path: Path, model: Any, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        run(tmp_path, data, model=model)


def test_windows_that_do_not_follow_are_refused(data: Path) -> None:
    paths = sorted(data.glob("*.h5"))
    for hop_s in (1.5, 0.7):
        windows = cut(paths, hop_s).select(cut(paths, hop_s).start < 700)
        with pytest.raises(DataError, match=r"None of \d+ windows of 1 s follows on another. Leave windows.hop_s out"):
            walk(windows)
    with pytest.raises(SpecError, match=r"stretch_s is 0.5 s. Allowed: at least a window, 1 s"):
        Ordered(stretch_s=0.5).bind(walk(cut(paths)).drawn)
