"""The steps of training as one Lightning module.

Lightning runs the loop, precision, clipping and accumulation. What it sees is ONE epoch of all steps, from wherever
the run stands: its own way to resume in the middle of an epoch would give other batches. Our epochs, validation,
stopping and checkpoints hang on the end of a step. All random choices are functions of (seed, epoch, step, item),
torch's own (dropout) of (seed, step), so a checkpoint needs no generator's state.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import lightning.pytorch as pl
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from ..core.errors import DataError
from ..core.seeds import derive
from ..core.specs import SignalSpec
from ..metrics.classification import balanced_accuracy
from ..models.people import people, rows
from ..sampling.batches import Batch
from . import checkpoint
from .base import Drawn, Feed, Task
from .checkpoint import Ledger
from .listening import tell
from .optimiser import averages_at, rate
from .processes import Ranks
from .samplers.walk import Carry, Walked

if TYPE_CHECKING:
    from ..sampling.binned import BinnedBatch
    from .gradient import Gradient

    AnyBatch = Batch | BinnedBatch
CHOSEN, TRUE = " chosen", " true"  # beside the figures of a validation: the class chosen, and the true one


class Steps:
    """The micro-batches of a run from its next step to its last; each batch comes in `accumulate` parts."""

    def __init__(self, training: Training) -> None:
        self.training = training
        self.first = training.ledger.step

    def __len__(self) -> int:
        return (self.training.total - self.first) * self.training.learner.accumulate

    def __iter__(self) -> Iterator[AnyBatch]:
        for step in range(self.first, self.training.total):
            yield from self.training.parts(step)


class Training(pl.LightningModule):  # type: ignore[misc]
    """Network, loss and all that changes while they learn."""

    def __init__(
        self,
        *,
        learner: Gradient,
        network: nn.Module,
        loss: nn.Module,
        optimiser: torch.optim.Optimizer,
        average: AveragedModel | None,
        feed: Feed,
        held: Drawn | None,
        task: Task,
        run: str,
        ranks: Ranks,
    ) -> None:
        super().__init__()
        self.ranks = ranks
        if ranks.many:  # DDP looks for parameters that a share does not use, and complains where it finds none
            self.unused = nn.Parameter(torch.zeros(()))
        self.learner, self.task, self.run = learner, task, run
        self.network, self.loss, self.average = network, loss, average
        self.optimiser, self.feed = optimiser, feed
        self.held = None if held is None else held.source
        self.held_feed: Feed | None = None if held is None else learner.sampler.bind(held)
        self.carry = carry_of(feed)
        self.ledger, self.best = Ledger(), dict[str, Tensor]()
        epochs = learner.max_epochs * feed.steps_per_epoch
        self.total = min(epochs, learner.max_steps or epochs)
        self._sum: Tensor | float = 0.0
        self._saved_at, self._asked, self._whole = time.monotonic(), False, True

    # what Lightning calls

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return self.optimiser

    def transfer_batch_to_device(self, batch: AnyBatch, device: torch.device, dataloader_idx: int) -> AnyBatch:
        return batch.to(device)

    def on_fit_start(self) -> None:
        if self.average is not None:
            self.average.to(self.device)
        self._say("training")
        if self.learner.probe and self.held is not None and self.ledger.step == 0:
            self._keep_best(self._validate())  # a start that training does not improve on is kept

    def on_train_batch_start(self, batch: AnyBatch, batch_idx: int) -> int | None:
        if self.ledger.finished:
            return -1
        self._whole = False
        factor = rate(self.learner, batch.step, self.total)
        for group in self.optimiser.param_groups:
            group["lr"] = self.learner.lr * factor * group["factor"]
        part = batch_idx % self.learner.accumulate * self.ranks.world + self.ranks.rank
        torch.manual_seed(derive(self.task.seed, "step", batch.step, part))
        return None

    def training_step(self, batch: AnyBatch, batch_idx: int) -> Tensor:
        losses = self._losses(self.network, batch, self.carry)[0]
        self._sum = self._sum + losses.detach().double().sum()
        self.ledger.loss_count += len(batch)
        # Lightning divides by the number of parts, and of processes; they need not be of one size
        share = self.learner.accumulate * self.ranks.world / self.feed.size(batch.step)
        return losses.float().sum() * share

    def on_train_batch_end(self, outputs: Any, batch: AnyBatch, batch_idx: int) -> None:
        if (batch_idx + 1) % self.learner.accumulate == 0:
            self._end_step()

    # a step, an epoch

    def parts(self, step: int) -> Iterator[AnyBatch]:
        """Yield this process's micro-batches of a step, on the CPU."""
        n, every = self.learner.accumulate * self.ranks.world, self.ranks.world
        for batch in self.feed.parts(step, n, every=every, first=self.ranks.rank):
            if self.learner.augment.active and isinstance(batch, Batch) and isinstance(self.task.signal, SignalSpec):
                draws = batch.draws("augment")
                signal = self.learner.augment.apply(batch.signal, draws, self.task.signal.sfreq)
                batch = replace(batch, signal=signal)
            yield batch

    def _end_step(self) -> None:
        if self.average is not None and averages_at(self.learner, self.ledger.step, self.total):
            self.average.update_parameters(self.network)
        if self.ranks.many:
            self._add_up()
        self.ledger.step += 1
        done = self.ledger.step
        if done % self.feed.steps_per_epoch == 0 or done == self.total:
            self._end_epoch()
        if self.ranks.rank:  # the first process holds what was added up, the others what comes on top
            self._sum, self.ledger.loss_count = 0.0, 0
        self._whole = True
        self._say(self._summary())
        if self._asked or self._due():
            self._save()
        if self._asked:
            raise KeyboardInterrupt

    def _add_up(self) -> None:
        """Add up the losses of all processes; all stop where one was asked to."""
        mine = [float(self._sum), float(self.ledger.loss_count), float(self._asked)]
        self._sum, count, asked = self.ranks.summed(mine, self.device)
        self.ledger.loss_count, self._asked = round(count), asked > 0

    def _end_epoch(self) -> None:
        ledger = self.ledger
        row: dict[str, Any] = {"epoch": self.feed.epoch(ledger.step - 1), "step": ledger.step}
        row["learning_rate"] = self.learner.lr * rate(self.learner, ledger.step - 1, self.total)
        row["train_loss"] = float(self._sum) / ledger.loss_count
        self._sum, ledger.loss_count = 0.0, 0
        row |= self._validate() if self.held is not None else {}
        for name, value in row.items():
            if not math.isfinite(value):
                remedy = "Lower lr, or check the signals for values that are far too large"
                raise DataError(f"{name} is {value} after step {ledger.step}", allowed="finite", remedy=remedy)
        ledger.history.append(row)
        for logger in self.trainer.loggers:
            logger.log_metrics({k: v for k, v in row.items() if k != "step"}, ledger.step)
        self._keep_best(row)
        out_of_patience = self.learner.patience is not None and ledger.waited >= self.learner.patience
        ledger.finished = ledger.step == self.total or out_of_patience
        tell(ledger.history)

    def _keep_best(self, row: dict[str, Any]) -> None:
        if self.held is None:
            return
        score = -row["balanced_accuracy"] if self.learner.monitor == "balanced_accuracy" else row["validation_loss"]
        if self.ledger.best is None or score < self.ledger.best:
            self.ledger.best, self.ledger.waited = score, 0
            self.best = {n: t.detach().clone() for n, t in self._current().state_dict().items()}
        else:
            self.ledger.waited += 1

    @torch.no_grad()
    def _validate(self) -> dict[str, float]:
        """Return loss and, where the loss decides, balanced accuracy over the held windows as of new subjects.

        Further figures, where the loss gives any, are means over the windows that have them.
        """
        assert self.held_feed is not None
        network, carry = self._current(), carry_of(self.held_feed)
        modes = [(m, m.training) for m in (*network.modules(), *self.loss.modules())]
        network.eval()
        self.loss.eval()
        judged: list[dict[str, Tensor]] = []
        begin = self._known_people(network)
        for step in range(self.ranks.rank, self.held_feed.steps_per_epoch, self.ranks.world):
            batch: Any
            (batch,) = self.held_feed.parts(step)
            batch = replace(batch, begin=rows(begin, batch.items) if begin else None).to(self.device)
            with self.trainer.precision_plugin.val_step_context():
                loss, further = self._losses(network, batch, carry, judge=True)
            judged.append({"validation_loss": loss.double().cpu(), **{n: v.cpu() for n, v in further.items()}})
        for module, mode in modes:
            module.training = mode
        return means(self.ranks.gathered(judged))

    def _known_people(self, network: nn.Module) -> dict[str, Tensor]:
        """Return what the network knows of each held person before each window; nothing without alignment."""
        if self.held is None or not getattr(network, "aligned", False):
            return {}
        held: Any = self.held
        windows, device = held.windows, self.device

        def load(items: NDArray[np.int64]) -> Tensor:
            signal: Tensor = held.batch(items, seed=0).signal
            return signal.to(device)

        return people(network, load, np.asarray(windows.file), np.asarray(windows.start), int(windows.n_times))

    def _losses(
        self, network: nn.Module, batch: AnyBatch, carry: Carry | None, *, judge: bool = False
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss (B,) and, to `judge`, what else the loss says; states that are carried go on."""
        if carry is not None and isinstance(batch, Walked):
            batch = carry.begun(network, self.loss, batch)
        decisions = getattr(self.loss, "decisions", None) if judge else None
        figures = getattr(self.loss, "figures", None) if judge else None
        if decisions is not None and isinstance(batch, Batch):
            loss, decided = decisions(network, batch)
            found: tuple[Tensor, dict[str, Tensor]] = loss, {CHOSEN: decided, TRUE: batch.target}
        else:
            found = figures(network, batch) if figures is not None else (self.loss(network, batch), {})
        if carry is not None and isinstance(batch, Walked):
            carry.go_on(network, batch)
        return found

    def _current(self) -> nn.Module:
        """Return the network as it would be handed back now: the average, once it has begun."""
        begun = self.average is not None and int(self.average.n_averaged) > 0
        return self.average.module if begun and self.average is not None else self.network

    # on disk and back

    def ask_to_stop(self) -> None:
        """Stop after the step under way, with a checkpoint."""
        self._asked = True

    def save_if_whole(self) -> None:
        """Write a checkpoint, unless a step is half done."""
        if self._whole:
            self._save()

    def restore(self, ledger: Ledger, parts: dict[str, dict[str, Tensor]]) -> None:
        """Take a checkpoint's place in the run."""
        self.ledger, self.best, self._sum = ledger, parts["best"], ledger.loss_sum
        if self.ranks.rank:
            self._sum, self.ledger.loss_count = 0.0, 0
        self.network.load_state_dict(parts["network"])
        self.loss.load_state_dict(parts["loss"])
        checkpoint.restore_optimiser(self.optimiser, parts["optimiser"])
        if self.average is not None:
            self.average.load_state_dict(parts["average"])
        if self.carry is not None:
            self.carry.restore(parts["carried"])

    def result(self) -> nn.Module:
        """Return the best network of the validation, or the last, in eval mode on the CPU."""
        network = self.network.cpu()
        network.load_state_dict(self.best or self._current().state_dict())
        return network.eval().requires_grad_(True)

    def _due(self) -> bool:
        every, done = self.learner.checkpoint_every_steps, self.ledger.step
        in_steps = every is not None and done % every == 0
        return self.ledger.finished or in_steps or time.monotonic() - self._saved_at >= self.learner.checkpoint_every_s

    def _save(self) -> None:
        if self.ranks.rank:
            return
        self.ledger.loss_sum = float(self._sum)
        tensors = {
            "network": self.network.state_dict(),
            "loss": self.loss.state_dict(),
            "optimiser": checkpoint.optimiser_tensors(self.optimiser),
            "average": self.average.state_dict() if self.average is not None else {},
            "best": self.best,
            **({"carried": self.carry.tensors()} if self.carry is not None else {}),
        }
        checkpoint.write(self.task.folder / checkpoint.FOLDER, self.run, self.ledger, tensors)
        self._saved_at = time.monotonic()

    def _say(self, text: str) -> None:
        self.task.progress(self.ledger.step, self.total, text)

    def _summary(self) -> str:
        if not self.ledger.history:
            return "training"
        row = self.ledger.history[-1]
        names = ("train_loss", "validation_loss", "balanced_accuracy")
        return ", ".join(f"{n.replace('_', ' ')} {row[n]:.3f}" for n in names if n in row)


def means(judged: list[dict[str, Tensor]]) -> dict[str, float]:
    """Return the mean of each named value (batch,) over all windows that have it; of classes the balanced accuracy."""
    names = dict.fromkeys(name for part in judged for name in part)
    values = {name: torch.cat([part[name] for part in judged if name in part]) for name in names}
    chosen, true = values.pop(CHOSEN, None), values.pop(TRUE, None)
    found = {"validation_loss": float(values.pop("validation_loss").mean())}
    if chosen is not None and true is not None:
        found["balanced_accuracy"] = balanced_accuracy(true.numpy(), chosen.numpy())
    known = {name: value[~value.isnan()].double() for name, value in values.items()}
    return found | {name: float(value.mean()) for name, value in known.items() if len(value)}


def carry_of(feed: Feed) -> Carry | None:
    """Return the states of a feed's lanes before its first step; None where each window begins anew."""
    return Carry(feed.lanes) if feed.lanes else None
