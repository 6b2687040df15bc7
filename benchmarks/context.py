"""Context of 100,000 samples: ten times the length costs at most eleven times the time, in flat memory.

    python benchmarks/context.py [--size tiny] [--channels 64] [--rate 1000]

Streams 10,000 and 100,000 samples in chunks of 16 tokens from a carried state, without gradients, on one thread.
Time is the CPU time of the process, the least of five runs in turns (ten short streams against one long one);
memory is the peak the process ever held.
Exit code 1 where a bound is broken.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time

import torch

from neural_foundation.core.specs import SignalSpec, TargetSpec
from neural_foundation.models.layers.spatial import canonical_sites
from neural_foundation.models.multiscale import Multiscale
from neural_foundation.models.network import Network

SHORT, LONG = 10_000, 100_000
CHUNK = 16


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--size", default="tiny")
    parser.add_argument("--channels", type=int, default=64)
    parser.add_argument("--rate", type=float, default=1000.0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    places = tuple(tuple(map(float, 0.09 * p)) for p in canonical_sites(options.channels))
    signal = SignalSpec(sfreq=options.rate, ch_names=tuple(f"E{i}" for i in range(options.channels)), positions=places)
    net = Multiscale(size=options.size).build(signal, TargetSpec(classes=("a", "b"))).eval()
    stream(net, SHORT)
    seconds: dict[int, list[float]] = {SHORT: [], LONG: []}
    peaks: dict[int, int] = {}
    for _ in range(5):
        for length in (SHORT, LONG):
            times = LONG // length
            seconds[length].append(sum(stream(net, length) for _ in range(times)) / times)
            peaks.setdefault(length, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    ratio = min(seconds[LONG]) / min(seconds[SHORT])
    growth = peaks[LONG] / peaks[SHORT]
    print(
        f"size {options.size}, {net.n_parameters():,} parameters, "
        f"{options.channels} channels at {options.rate:g} Hz, hop {net.hop}"
    )
    for length in (SHORT, LONG):
        print(f"{length:>8,} samples: {min(seconds[length]):7.3f} s CPU, peak {peaks[length] / 1024:.0f} MiB")
    print(f"10 times the length: {ratio:.2f} times the time (bound 11), {growth:.3f} times the memory (bound 1.02)")
    return int(ratio > 11 or growth > 1.02)


def stream(net: Network, samples: int) -> float:
    """Return the CPU seconds that `samples` take, made chunk by chunk outside the clock."""
    generator, state, spent = torch.Generator().manual_seed(0), net.start(1), 0.0
    with torch.inference_mode(), net.fixed():
        for first in range(0, samples // net.hop, CHUNK):
            tokens = min(CHUNK, samples // net.hop - first)
            chunk = 1e-5 * torch.randn(1, net.n_chans, tokens * net.hop, generator=generator)
            before = time.process_time()
            out, state = net.stream(chunk, state)
            spent += time.process_time() - before
    assert out.logits is not None
    assert out.logits.isfinite().all()
    return spent


if __name__ == "__main__":
    sys.exit(main())
