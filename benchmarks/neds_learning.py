"""What `neds` has learned after as many trials as the published architecture, beside the time it took.

    python benchmarks/neds_learning.py [--steps 600] [--width 64] [--layers 2] [--seeds 3] [--threads 2]
    python benchmarks/neds_learning.py --steps 200 --width 256 --layers 5 --seeds 1   # the published size, an hour

One simulated session (600 trials, 80 units) of the recipe `neds/single-session`, a fifth of its time held out. All see
the same trials in the same order, each hiding either the spikes or all that the animal does; the loss is Poisson +
squared (of standardised values) + cross-entropy, each over its hidden tokens. Each variant has the better of the
learning rates given. Lower is better; the floor is that of saying the training part's means.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from neds_training import BINS, Published, loss
from numpy.typing import NDArray
from torch import Tensor, nn

from neural_foundation.core.store import read_json
from neural_foundation.models.neds import Neds
from neural_foundation.pipeline.plan import make_plan
from neural_foundation.pipeline.recipe import load
from neural_foundation.pipeline.runner import run
from neural_foundation.pipeline.stages.split_trials import SPLIT, sets
from neural_foundation.sampling.binned import BinnedBatch, BinnedSession, BinnedSet
from neural_foundation.sampling.roles import TrialFold

VARIANTS = ("published", "per_bin", "one")
ROWS = 16


def data(folder: Path) -> tuple[BinnedSet, BinnedSet]:
    """Return the windows to learn from and those to judge by, behaviours standardised by the former."""
    run(make_plan(load("neds/single-session"), folder), stage="blocked")
    session = BinnedSession.read(next(folder.glob("bin/*/binned.json")).parent)
    fold = TrialFold.model_validate(read_json(next(folder.glob(f"blocked/*/{SPLIT}")))[0])
    train = sets(fold, [session], BINS)["train"]
    values = dict(session.values)
    for name in train.spec.of_kind("continuous"):
        seen = train.values(0, name)
        values[name] = ((values[name] - np.nanmean(seen)) / np.nanstd(seen)).astype(np.float32)
    parts = sets(fold, [replace(session, values=values)], BINS)
    return parts["train"], parts["test"]


def masks(spec: Any, encoding: NDArray[np.bool_]) -> dict[str, Tensor]:
    """Return what is hidden of each row: the spikes where `encoding`, all else where not."""
    rows = torch.from_numpy(encoding)[:, None]
    size = {m.name: 1 if m.classes else BINS for m in spec.modalities}
    return {n: (rows if n == "spikes" else ~rows).expand(len(encoding), k) for n, k in size.items()}


def batches(train: BinnedSet, steps: int, seed: int) -> Iterator[tuple[BinnedBatch, dict[str, Tensor]]]:
    source, rng = train.source((), 2**30), np.random.default_rng(seed)
    order = np.concatenate([rng.permutation(len(train)) for _ in range(steps * ROWS // len(train) + 1)])
    for step in range(steps):
        items = order[step * ROWS : (step + 1) * ROWS]
        yield source.batch(items, seed=0, step=step), masks(train.spec, rng.random(ROWS) < 0.5)


def network(variant: str, train: BinnedSet, options: argparse.Namespace, seed: int) -> nn.Module:
    torch.manual_seed(seed)
    if variant == "published":
        return Published(train.spec, options.width, options.layers, options.width // 16 if options.width < 256 else 8)
    heads = options.width // 16 if options.width < 256 else 8
    spec = Neds(width=options.width, layers=options.layers, heads=heads, static_tokens=variant)  # type: ignore[arg-type]
    made = spec.build(train.spec, seed=seed)
    made.calibrate_sets(train)
    return made


def learn(
    variant: str, train: BinnedSet, test: BinnedSet, options: argparse.Namespace, lr: float, seed: int
) -> tuple[float, float]:
    """Return the loss on what was held out, and the CPU seconds of training."""
    model = network(variant, train, options, seed).train()
    optimiser = torch.optim.AdamW(model.parameters(), lr=lr)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, lr, total_steps=options.steps)
    began = time.process_time()
    for batch, hidden in batches(train, options.steps, seed):
        value = loss(batch, model(batch, hidden)[0], hidden)
        optimiser.zero_grad(set_to_none=True)
        value.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
    return judged(model.eval(), test), time.process_time() - began


def judged(model: nn.Module, test: BinnedSet) -> float:
    """Return the mean loss over windows, each of which is predicted both ways round."""
    source, total = test.source((), 2**30), 0.0
    with torch.inference_mode():
        for first in range(0, len(test), ROWS):
            batch = source.batch(np.arange(first, min(first + ROWS, len(test))), seed=0)
            for encoding in (True, False):
                hidden = masks(test.spec, np.full(len(batch), encoding))
                total += len(batch) * float(loss(batch, model(batch, hidden)[0], hidden))
    return total / len(test)


class Means(nn.Module):
    """Says the training part's means, whatever it sees."""

    def __init__(self, train: BinnedSet) -> None:
        super().__init__()
        rates = np.log(np.maximum(train.values(0, "spikes").mean((0, 1)), 1e-3))
        self.said: dict[str, Tensor] = {"spikes": torch.tensor(rates, dtype=torch.float32)}
        for m in train.spec.modalities:
            if m.classes:
                counts = np.bincount(train.values(0, m.name), minlength=len(m.classes)) + 1e-9
                self.said[m.name] = torch.tensor(np.log(counts / counts.sum()), dtype=torch.float32)

    def forward(self, batch: BinnedBatch, hidden: dict[str, Tensor]) -> list[dict[str, Tensor]]:
        values = batch.groups[0].values
        return [
            {
                n: self.said[n].expand(*v.shape, -1) if v.ndim == 1 else self.said.get(n, torch.zeros(1)).expand_as(v)
                for n, v in values.items()
            }
        ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    for name, default in (("steps", 600), ("width", 64), ("layers", 2), ("seeds", 3), ("threads", 2)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--rates", type=float, nargs="+", default=[1e-3, 3e-3])
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as folder:
        train, test = data(Path(folder))
        print(f"{len(train)} trials, {options.steps} steps of {ROWS}, {options.layers} layers, {options.width} wide")
        print(f"saying the means: {judged(Means(train), test):.4f}")
        for variant in VARIANTS:
            found = {
                lr: [learn(variant, train, test, options, lr, seed) for seed in range(options.seeds)]
                for lr in options.rates
            }
            best = min(found, key=lambda lr: float(np.mean([value for value, _ in found[lr]])))
            values, seconds = zip(*found[best], strict=True)
            spread = f"{min(values):.4f} to {max(values):.4f}"
            print(
                f"{variant:10} held-out loss {np.mean(values):.4f} ({spread}), lr {best:g}, "
                f"{np.mean(seconds):.0f} CPU s",
                flush=True,
            )


if __name__ == "__main__":
    main()
