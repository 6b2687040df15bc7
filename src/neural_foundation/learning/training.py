"""Training by gradients: what is set up before the first step and handed back after the last.

The steps themselves are in `loop`, which is the Lightning module.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..core.errors import SpecError
from ..core.modalities import BinnedSpec
from ..core.seeds import derive
from ..core.specs import digest, identity
from ..sampling.batches import Source
from ..sampling.order import fixed_batches
from . import checkpoint
from .base import Bound, Drawn, Fitted, Task
from .checks import enough_for, known_target, labelled_part, streams
from .optimiser import adamw, averaged, freeze
from .processes import Ranks, first_of
from .quiet import gentle_interrupt, guest
from .trackers.base import tracked
from .weights import names_of, take

if TYPE_CHECKING:
    from .gradient import Gradient
    from .loop import Training

CALIBRATION_WINDOWS = 512
PROBE_WINDOWS = 4096


def train(learner: Gradient, task: Task) -> Fitted:
    """Return the trained network and its history; see `Gradient.fit` for the errors."""
    return train_as(learner, task, first_of(learner.processes))


def train_as(learner: Gradient, task: Task, ranks: Ranks, ready: Callable[[], None] = lambda: None) -> Fitted:
    """Train as one of the processes of a run; `ready` is called before the first step."""
    device = ranks.device(_device(task.device))
    with guest(device):
        training = _prepared(learner, task, ranks)
        saved = checkpoint.read(task.folder / checkpoint.FOLDER, training.run)
        if saved is not None:
            training.restore(*saved)
        ready()
        if not training.ledger.finished:
            with ranks.joined(learner, task):
                _run(training, learner, task, device)
        return Fitted(training.result(), training.ledger.history)


def _device(name: str) -> torch.device:
    try:
        device = torch.device(name)
    except RuntimeError:
        device = torch.device("meta")
    if device.type not in ("cpu", "cuda"):
        raise SpecError(f"device '{name}'", allowed="cpu, cuda or cuda:n")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        given = f"device '{name}': torch sees {torch.cuda.device_count()} GPU(s) here"
        raise SpecError(given, remedy="Use --device cpu, or install torch for your GPU")
    return device


def _prepared(learner: Gradient, task: Task, ranks: Ranks) -> Training:
    """Return the module with network, loss, optimiser and data as before the first step."""
    from .loop import Training

    objective = learner.objective
    known_target(objective, task.target)
    windows: Any = task.train
    held: Any = task.validation
    if objective.supervised and task.target is not None:
        windows = labelled_part(windows, task.target)
        held = _labelled_or_none(held, task)
    if learner.accumulate > len(windows):
        raise SpecError(f"accumulate is {learner.accumulate}, there are {len(windows)} windows")
    enough_for(learner, len(windows))
    source = _source(learner, task, windows)
    network = _network(learner, task, source)
    if learner.sampler.carries:
        streams(task.model, network, windows.n_times)
    if getattr(network, "aligned", False):
        _align(network, source, task)
    torch.manual_seed(derive(task.seed, "objective"))
    signal: Any = task.signal
    bound = Bound(network, signal, task.target, task.subjects, source, derive(task.seed, "objective"))
    loss = objective.bind(bound)
    freeze(network, learner.freeze)
    if learner.probe and not learner.keep_head and task.target is not None and task.target.task == "classification":
        _probe(network, source, _said(windows), np.asarray(windows.subject), task)
    return Training(
        learner=learner,
        network=network,
        loss=loss,
        optimiser=adamw(network, loss, learner, names_of(network, "front_end_names")),
        average=averaged(network, learner),
        feed=learner.sampler.bind(_drawn(learner, task, source)),
        held=None if held is None else _drawn(learner, task, _source(learner, task, held), held=True),
        task=task,
        run=_run_key(learner, task, len(windows)),
        ranks=ranks,
    )


def _source(learner: Gradient, task: Task, windows: Any) -> Any:
    """Return the source of windows; what is walked through in order is read as it comes, not kept."""
    kept = 0 if learner.sampler.carries else int(learner.memory_gb * 2**30)
    made = getattr(windows, "source", None)  # windows of another make are read as those of a signal
    return made(task.subjects, kept) if made else Source(windows, task.subjects, memory_bytes=kept)


def _drawn(learner: Gradient, task: Task, source: Any, *, held: bool = False) -> Drawn:
    return Drawn(
        source,
        batch_size=learner.batch_size,
        balance=learner.balance,
        order_seed=derive(task.seed, "order"),
        batch_seed=derive(task.seed, "held" if held else "batch"),
        held=held,
    )


def _labelled_or_none(held: Any, task: Task) -> Any:
    if held is None or task.target is None or task.target.task != "classification":
        return held
    kept = np.flatnonzero(np.asarray(held.target) >= 0)
    return held.select(kept) if len(kept) else None


def _network(learner: Gradient, task: Task, source: Any) -> nn.Module:
    """Return the network with its first weights: random and calibrated, or those of the start."""
    network = task.model.build(task.signal, task.target, subjects=len(task.subjects), seed=derive(task.seed, "network"))
    if learner.gradient_checkpointing:
        _checkpoint_activations(network, task)
    if isinstance(task.signal, BinnedSpec):
        return _of_sessions(network, task, source)
    if task.start is None:
        calibrate: Any = getattr(network, "calibrate", None)
        if calibrate is not None:
            calibrate(_calibration(source, task.seed))
        return network
    heads = () if learner.keep_head else names_of(network, "head_names")
    take(network, task.start, new=(*heads, *names_of(network, "subject_names")))
    return network


def _of_sessions(network: Any, task: Task, source: Any) -> nn.Module:
    """Set the scales of all sessions by the training windows; a start brings its own for those that it knows."""
    if hasattr(network, "calibrate_sets"):
        network.calibrate_sets(source.windows)
    if task.start is not None:
        network.adopt(task.start)
    made: nn.Module = network
    return made


def _align(network: nn.Module, source: Source, task: Task) -> None:
    """Set the mean that is taken out for each training subject."""
    able: Any = network
    parts = fixed_batches(len(source), 64)
    batches = (source.batch(p, seed=task.seed) for p in parts)
    able.calibrate_people((b.signal, b.identity) for b in batches)


def _said(windows: Any) -> NDArray[Any]:
    """Return the classes (n,), or the shares (n, K) that experts gave them where they voted."""
    votes = getattr(windows, "votes", None)  # windows of another make have none
    return np.asarray(windows.target) if votes is None else np.asarray(votes / votes.sum(1, keepdims=True))


def _probe(network: nn.Module, source: Source, target: Any, subject: Any, task: Task) -> None:
    """Set the network's direct path by a linear probe on (at most PROBE_WINDOWS of) the training windows."""
    able: Any = network
    if not hasattr(network, "probe_features") or task.target is None:
        return
    from ..models.layers.probe import probe

    chosen = np.sort(np.random.default_rng(derive(task.seed, "probe")).permutation(len(source))[:PROBE_WINDOWS])
    parts = fixed_batches(len(chosen), 64)
    able.calibrate_direct(_calibration(source, task.seed))
    batches = (source.batch(chosen[p], seed=task.seed) for p in parts)
    features = [able.probe_features(b.signal, b.identity) for b in batches]
    blocks = [torch.cat(block).numpy() for block in zip(*features, strict=True)]
    made = probe(blocks, target[chosen], subject[chosen], task.target.n_outputs)
    able.set_direct(torch.from_numpy(made.weight), torch.from_numpy(made.bias))


def _checkpoint_activations(network: nn.Module, task: Task) -> None:
    able: list[Any] = [module for module in network.modules() if hasattr(module, "checkpointing")]
    if not able:
        raise SpecError(f"Model '{_kind(task.model)}' has no gradient checkpointing", remedy="Set it to false")
    for module in able:
        module.checkpointing = True


def _calibration(source: Source, seed: int) -> Iterator[Tensor]:
    """Yield signals of a fixed choice of training windows, for the statistics of the front end."""
    chosen = np.random.default_rng(derive(seed, "calibration")).permutation(len(source))[:CALIBRATION_WINDOWS]
    for part in fixed_batches(len(chosen), 64):
        yield source.batch(np.sort(chosen)[part], seed=seed).signal


def _run(training: Training, learner: Gradient, task: Task, device: torch.device) -> None:
    """Run Lightning from the module's step to the end; KeyboardInterrupt comes through, with a checkpoint behind."""
    from .loop import Steps

    python_state, trackers = random.getstate(), () if training.ranks.rank else learner.tracking
    with (
        tracked(trackers, task.folder, _kind(task.model)) as loggers,
        gentle_interrupt(training.ask_to_stop),
    ):
        trainer = _trainer(learner, task, device, training.ranks, loggers)
        try:
            trainer.fit(training, train_dataloaders=Steps(training))
        except SystemExit as end:
            if not isinstance(end.__context__, KeyboardInterrupt):
                raise
            # what Lightning makes of Ctrl-C
            training.save_if_whole()
            raise KeyboardInterrupt from None
        finally:
            random.setstate(python_state)


def _trainer(learner: Gradient, task: Task, device: torch.device, ranks: Ranks, loggers: list[Any]) -> Any:
    from lightning.pytorch import Trainer

    return Trainer(
        accelerator="gpu" if device.type == "cuda" else "cpu",
        **ranks.settings(device),
        precision="bf16-mixed" if learner.precision == "bf16" else "32-true",
        max_epochs=1,
        accumulate_grad_batches=learner.accumulate,
        gradient_clip_val=learner.clip_norm or None,
        logger=loggers or False,
        default_root_dir=str(task.folder),
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        limit_val_batches=0,
        use_distributed_sampler=False,
    )


def _run_key(learner: Gradient, task: Task, n: int) -> str:
    facts = [identity(learner), identity(task.model), identity(task.signal), identity(task.target)]
    return digest([*facts, task.seed, n, list(task.subjects), sorted(task.start or ())])


def _kind(model: Any) -> str:
    return str(getattr(model, "kind", type(model).__name__))
