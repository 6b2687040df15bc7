"""Training speed: steps a second on batches of 64 x 22 channels x 4.5 s at 250 Hz, at the size of LaBraM-base.

    python benchmarks/training_speed.py [--threads 2] [--steps 5] [--size small] [--precision fp32] [--hop-s 0.1]

A step is forward, backward, gradient clipping and AdamW on one fixed batch, with adapters and adversary for nine
subjects. The median step is reported, in wall time and in CPU time: on a machine that others use too, threads over
CPU time is what wall time would be alone. Peers were measured with braindecode's models and the same step on two
cores; the figures below are constants, not run here.
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch
from torch.nn import functional

from neural_foundation.core.specs import SignalSpec, TargetSpec
from neural_foundation.models.layers.spatial import canonical_sites
from neural_foundation.models.multiscale import Multiscale

PEERS = {"LaBraM-base, braindecode (5.8M)": 0.54, "EEGConformer, braindecode (0.87M)": 0.84}
BATCH, CHANNELS, SECONDS, RATE, SUBJECTS = 64, 22, 4.5, 250.0, 9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--size", default="small")
    parser.add_argument("--hop-s", type=float, default=0.1, help="seconds a token; LaBraM's patches are 1 s")
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    places = tuple(tuple(map(float, 0.09 * p)) for p in canonical_sites(CHANNELS))
    signal = SignalSpec(sfreq=RATE, ch_names=tuple(f"E{i}" for i in range(CHANNELS)), positions=places)
    net = (
        Multiscale(size=options.size, hop_s=options.hop_s)
        .build(signal, TargetSpec(classes=("a", "b", "c", "d")), subjects=SUBJECTS)
        .train()
    )
    generator = torch.Generator().manual_seed(0)
    batch = 1e-5 * torch.randn(BATCH, CHANNELS, int(SECONDS * RATE), generator=generator)
    target, subject = torch.arange(BATCH) % 4, torch.arange(BATCH) % SUBJECTS + 1
    net.calibrate([batch])
    optimiser = torch.optim.AdamW(net.parameters(), lr=1e-3)

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=options.precision == "bf16"):
            out = net(batch, subject)
        assert out.logits is not None
        assert out.subject_logits is not None
        loss = functional.cross_entropy(out.logits[:, -1].float(), target) + 0.1 * functional.cross_entropy(
            out.subject_logits.float(), subject - 1
        )
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimiser.step()

    step()
    wall, cpu = [], []
    for _ in range(options.steps):
        before = time.perf_counter(), time.process_time()
        step()
        wall.append(time.perf_counter() - before[0])
        cpu.append(time.process_time() - before[1])
    print(
        f"batch {BATCH} x {CHANNELS} channels x {SECONDS} s at {RATE:g} Hz, "
        f"{options.threads} threads, {options.precision}, hop {options.hop_s:g} s"
    )
    print(
        f"{'multiscale ' + options.size:36s} {net.n_parameters() / 1e6:6.2f}M "
        f"{1 / statistics.median(wall):6.2f} steps/s"
    )
    print(
        f"{'':36s} {statistics.median(cpu):.2f} s CPU a step: "
        f"{options.threads / statistics.median(cpu):.2f} steps/s on idle cores"
    )
    for name, rate in PEERS.items():
        print(f"{name:36s} {'':7s} {rate:6.2f} steps/s (measured before)")


if __name__ == "__main__":
    main()
