"""Training speed of `neds` at the published single-session configuration, beside the published architecture.

    python benchmarks/neds_training.py [--threads 2] [--steps 5] [--batch 16] [--units 600]

A batch is 16 trials of 100 bins with 600 units, two behaviours, choice and block; the network is 256 wide, 5 layers,
8 heads. A step is forward, Poisson + squared + cross-entropy loss over hidden tokens, backward, clipping and fused
AdamW. Variants take turns, one step each, so that what else the machine does falls on all of them. CPU seconds are
what to compare where others compute too; with one thread they hold no waiting.

`published` renders the architecture of arXiv 2504.08201 as its code has it: 5 x 100 tokens, units through a layer
twice as wide, separate query, key and value, rotation on strided heads, dropout 0.4 within attention. The published
code itself (data preparation, masks, loss as they are there) took 8.9 CPU seconds a step and 4.8 GB; a constant here.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from neural_foundation.core.modalities import BinnedSessionSpec, BinnedSpec, ModalitySpec
from neural_foundation.models.neds import Neds
from neural_foundation.sampling.binned import BinnedBatch, BinnedSession, BinnedSet, Spans

PUBLISHED_CPU_S, PUBLISHED_TRIALS_S, PUBLISHED_GB = 8.9, 2.5, 4.8
BINS, WIDTH, LAYERS, HEADS = 100, 256, 5, 8
CLASSES = {"choice": 2, "block": 3}
MODALITIES = (
    ModalitySpec(name="spikes", kind="counts"),
    *(ModalitySpec(name=n, kind="continuous") for n in ("wheel", "whisker")),
    *(ModalitySpec(name=n, kind="classes", classes=tuple("abc"[:k])) for n, k in CLASSES.items()),
)
Loss = Callable[[BinnedBatch, dict[str, Tensor]], Tensor]


class PublishedLayer(nn.Module):
    """A layer as published: dropout within attention keeps torch from its fused kernel."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads, self.norm_1, self.norm_2 = heads, nn.LayerNorm(width), nn.LayerNorm(width)
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))
        self.up, self.down, self.dropout = nn.Linear(width, 2 * width), nn.Linear(2 * width, width), nn.Dropout(0.4)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        y = self.norm_1(x)
        q, k, v = (m(y).unflatten(-1, (self.heads, -1)).transpose(1, 2) for m in (self.query, self.key, self.value))
        q, k = (t * cos + torch.cat([-t.chunk(2, -1)[1], t.chunk(2, -1)[0]], -1) * sin for t in (q, k))
        y = functional.scaled_dot_product_attention(q, k, v, dropout_p=0.4)
        x = x + self.out(self.dropout(y.transpose(1, 2).flatten(2)))
        return x + self.dropout(self.down(functional.gelu(self.up(self.norm_2(x)))))


class Published(nn.Module):
    """What the published network computes for a batch of one session, with our own loss."""

    def __init__(self, spec: BinnedSpec, width: int = WIDTH, layers: int = LAYERS, heads: int = HEADS) -> None:
        super().__init__()
        self.classes = {m.name: len(m.classes) for m in spec.modalities if m.classes}
        sizes = {n: 1 if n in self.classes else len(spec.channels(0, n)) for n in spec.names}
        outs = sizes | self.classes
        spread = {n: BINS if n in self.classes else 1 for n in sizes}
        self.stitch = nn.ModuleDict({n: nn.Linear(c, 2 * c * spread[n]) for n, c in sizes.items()})
        self.project = nn.ModuleDict({n: nn.Linear(2 * c, width) for n, c in sizes.items()})
        self.place = nn.ParameterDict({n: nn.Parameter(torch.zeros(BINS, width)) for n in sizes})
        self.share = nn.ParameterDict({n: nn.Parameter(torch.rand(BINS)) for n in self.classes})
        self.read = nn.ModuleDict({n: nn.Linear(width, k) for n, k in outs.items()})
        self.layers = nn.ModuleList(PublishedLayer(width, heads) for _ in range(layers))
        self.norm, self.dropout = nn.LayerNorm(width), nn.Dropout(0.2)
        half = torch.arange(0, width // heads, 2) / (width // heads)
        angle = (torch.arange(BINS)[:, None] * 10_000.0**-half).repeat(len(sizes), 2)
        self.register_buffer("cos", angle.cos())
        self.register_buffer("sin", angle.sin())

    def forward(self, batch: BinnedBatch, hidden: dict[str, Tensor]) -> list[dict[str, Tensor]]:
        values, tokens = batch.groups[0].values, []
        for name, stitch in self.stitch.items():
            given = values[name] if values[name].ndim == 3 else values[name][:, None].float()
            made = functional.softsign(stitch(given))
            made = self.project[name](made.unflatten(-1, (BINS, 2)) if name in self.classes else made)
            made = self.dropout(made).masked_fill(hidden[name].expand(-1, BINS)[..., None], 0.0)
            tokens.append(made + self.place[name])
        x = torch.cat(tokens, 1)
        for layer in self.layers:
            x = layer(x, self.cos, self.sin)
        rows = dict(zip(self.stitch, self.norm(x).split(BINS, 1), strict=True))
        pooled = {n: (rows[n] * self.share[n][:, None]).sum(1) if n in self.classes else rows[n] for n in rows}
        return [{n: self.read[n](y) for n, y in pooled.items()}]


def session(units: int, trials: int = 64) -> BinnedSession:
    """Return a session of noise in the published shape."""
    rng = np.random.default_rng(0)
    names = (tuple(f"unit{i}" for i in range(units)), *((m.name,) for m in MODALITIES[1:]))
    values = {
        "spikes": rng.poisson(0.1, (trials * BINS, units)).astype(np.uint16),
        **{n: rng.standard_normal((trials * BINS, 1)).astype(np.float32) for n in ("wheel", "whisker")},
        **{n: rng.integers(0, k, trials).astype(np.int16) for n, k in CLASSES.items()},
    }
    first, spec = np.arange(trials) * BINS, BinnedSessionSpec(name="one", subject="one", channels=names)
    return BinnedSession(spec, 0.02, MODALITIES, values, first, np.full(trials, BINS), np.arange(trials) * 3.0)


def windows(units: int) -> BinnedSet:
    one = session(units)
    spans = Spans(np.zeros(one.n_trials, np.int64), np.arange(one.n_trials), one.first, one.length)
    return BinnedSet.cut([one], spans, BINS)


def loss(batch: BinnedBatch, made: dict[str, Tensor], hidden: dict[str, Tensor]) -> Tensor:
    """Return the sum over modalities of the mean over hidden tokens."""
    values, total = batch.groups[0].values, torch.zeros(())
    for name, given in values.items():
        if name == "spikes":
            each = functional.poisson_nll_loss(made[name], given, reduction="none").mean(-1, keepdim=True)
        elif given.ndim == 1:
            each = functional.cross_entropy(made[name].float(), given, reduction="none")[:, None]
        else:
            each = (made[name] - given).square().mean(-1, keepdim=True)
        weight = hidden[name].to(each.dtype).view(each.shape)
        total = total + (each * weight).sum() / weight.sum().clamp(min=1)
    return total


class Variant:
    """A network with its optimiser; `step()` returns CPU and wall seconds."""

    def __init__(self, name: str, data: BinnedSet, batch: BinnedBatch) -> None:
        self.name, self.batch = name, batch
        self.bf16 = name.endswith("bf16")
        torch.manual_seed(0)
        if name == "published":
            self.network: nn.Module = Published(data.spec)
        else:
            network = Neds(size="small", static_tokens="per_bin" if "per_bin" in name else "one").build(data.spec)
            network.calibrate_sets(data)
            self.network = network
        self.optimiser = torch.optim.AdamW(self.network.train().parameters(), lr=1e-4, fused=name != "published")
        rows = len(batch)
        self.hidden = {m.name: torch.rand(rows, 1 if m.classes else BINS) < 0.3 for m in MODALITIES}

    def step(self) -> tuple[float, float]:
        cpu, wall = time.process_time(), time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled=self.bf16):
            made = self.network(self.batch, self.hidden)[0]
        value = loss(self.batch, made, self.hidden)
        self.optimiser.zero_grad(set_to_none=True)
        value.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimiser.step()
        return time.process_time() - cpu, time.perf_counter() - wall


VARIANTS = ("published", "per_bin", "per_bin bf16", "one", "one bf16")


def loading(data: BinnedSet, rows: int, folder: Path, repeats: int = 20) -> float:
    """Return CPU seconds a batch, read from a folder on disk that is mapped, windows in random order."""
    data.sessions[0].write(folder)
    mapped = BinnedSession.read(folder)
    spans = Spans(data.session, data.trial, data.first, np.full(len(data), BINS))
    source = BinnedSet.cut([mapped], spans, BINS).source((), 0)
    order, spent = np.random.default_rng(0), []
    for i in range(repeats):
        items, began = order.permutation(len(data))[:rows], time.process_time()
        source.batch(items, seed=0, step=i)
        spent.append(time.process_time() - began)
    return statistics.median(spent)


def memory(name: str, options: argparse.Namespace) -> float:
    """Return the peak of resident memory in GB of a process that takes two steps of one variant."""
    command = [sys.executable, __file__, "--only", name, "--units", str(options.units), "--batch", str(options.batch)]
    done = subprocess.run([*command, "--threads", str(options.threads)], check=True, capture_output=True, text=True)
    return float(done.stdout) / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--units", type=int, default=600)
    parser.add_argument("--only", choices=VARIANTS, help="print this variant's peak memory in KiB, and nothing else")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    data = windows(options.units)
    batch = data.source((), 2**30).batch(np.arange(options.batch), seed=0)
    if options.only:
        variant = Variant(options.only, data, batch)
        variant.step()
        variant.step()
        print(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])
        return
    variants = [Variant(name, data, batch) for name in VARIANTS]
    spent: dict[str, list[tuple[float, float]]] = {v.name: [] for v in variants}
    for turn in range(options.steps + 1):
        for variant in variants:
            seconds = variant.step()
            if turn:  # the first step warms up
                spent[variant.name].append(seconds)
    cpu = {n: statistics.median(c for c, _ in s) for n, s in spent.items()}
    wall = {n: statistics.median(w for _, w in s) for n, s in spent.items()}
    print(f"{options.batch} trials x {BINS} bins x {options.units} units, {options.threads} thread(s)")
    print("variant        CPU s/step  of published  trials/s (wall)  trials/s (CPU s / threads)  peak GB")
    for name in VARIANTS:
        alone = options.batch * options.threads / cpu[name]
        print(
            f"{name:13}  {cpu[name]:10.2f}  {cpu['published'] / cpu[name]:11.1f}x  {options.batch / wall[name]:15.1f}  "
            f"{alone:26.1f}  {memory(name, options):7.2f}"
        )
    print(f"the published code: {PUBLISHED_CPU_S} CPU s/step, {PUBLISHED_TRIALS_S} trials/s, {PUBLISHED_GB} GB")
    with tempfile.TemporaryDirectory() as folder:
        seconds = loading(data, options.batch, Path(folder))
    print(f"loading a batch: {1000 * seconds:.1f} ms, {100 * seconds / cpu['one']:.1f} % of a step of 'one'")


if __name__ == "__main__":
    main()
