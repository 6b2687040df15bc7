"""One hop over the lab streaming layer: amplifier -> LSL -> our source, decoder, outlet -> LSL -> receiver.

    python benchmarks/lsl_hop.py [TOKENS]

Beside it, in the same run and in turn with it, the bare hop: the same blocks into a process that pulls them with
pylsl and pushes one sample back. 64 channels at 1 kHz in blocks of 20 ms; both answer on each fifth block, when a
token of 100 ms is complete. Timed from the push of that block to the sample that comes back. Nothing spins: all wait
inside liblsl. The decoder's own step is timed in its process and given with and without.

Ratios are of the medians, and of the 99th percentiles, a round; the medians over the rounds are printed last.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

SFREQ, N_CHANS, BLOCK, PER_TOKEN, ROUNDS, WARM = 1000, 64, 20, 5, 5, 10
PACE_S = 0.004  # between blocks: quicker than life, slow enough for queues to be empty
CONFIG = "[multicast]\nResolveScope = machine\n[lab]\nKnownPeers = {127.0.0.1}\n[log]\nlevel = -3\n"


def library() -> Any:
    """Return pylsl; the configuration keeps it inside this machine."""
    import pylsl

    return pylsl


def bare(stream: str, answers: str) -> None:
    """Pull blocks, push one sample back for each token: the least that any decoder behind LSL does."""
    lsl = library()
    outlet = lsl.StreamOutlet(lsl.StreamInfo(answers, "Probability", 3, 0, lsl.cf_float32, answers))
    inlet = lsl.StreamInlet(lsl.resolve_byprop("source_id", stream, 1, 10.0)[0])
    buffer, n = np.zeros((BLOCK, N_CHANS), np.float32), 0
    while True:
        _, stamps = inlet.pull_chunk(10.0, max_samples=BLOCK, dest_obj=buffer)
        if not stamps:
            return
        n += len(stamps)
        if n % (BLOCK * PER_TOKEN) == 0:
            outlet.push_sample([0.5, 0.5, 1.0], stamps[-1])


def ours(stream: str, answers: str, package: str, took: str) -> None:
    """Pull, decode and push by the package; keep how long each step took."""
    from neural_foundation.realtime.live_model import LiveModel
    from neural_foundation.realtime.outlets.lsl import Lsl as Outlet
    from neural_foundation.realtime.sources.decoding import Decoding, hand_out
    from neural_foundation.realtime.sources.lsl import Lsl

    model, steps = LiveModel.open(package), []
    with (
        Outlet(name=answers).open(model.classes, 10) as outlet,
        Lsl(source_id=stream, block_s=BLOCK / SFREQ, timeout_s=20).open() as source,
    ):
        decoding = Decoding(model, source)
        while (chunk := source.read(10.0)) is not None:
            decisions = decoding.take(chunk)
            hand_out(decisions, source, [outlet])
            if decisions:
                steps.append(decoding.step_s)
        np.save(took, np.array(steps))


class Peer:
    """One process behind a stream of its own, and its answers."""

    def __init__(self, role: str, *arguments: str) -> None:
        lsl = library()
        self.stream, self.answers = f"hop-{role}-{os.getpid()}", f"hop-{role}-back-{os.getpid()}"
        info = lsl.StreamInfo(self.stream, "EEG", N_CHANS, SFREQ, "float32", self.stream)
        from neural_foundation.datasets.simulated.head import MONTAGES

        info.set_channel_labels(list(MONTAGES[N_CHANS]))
        info.set_channel_units("volts")
        self.outlet, self.stamp = lsl.StreamOutlet(info), lsl.local_clock()
        words = [sys.executable, __file__, role, self.stream, self.answers, *arguments]
        self.process = subprocess.Popen(words)
        self.inlet = lsl.StreamInlet(lsl.resolve_byprop("name", self.answers, 1, 30.0)[0])
        self.inlet.open_stream(10.0)
        assert self.outlet.wait_for_consumers(30)

    def hop(self, blocks: np.ndarray) -> float:
        """Push one token's blocks; return the seconds from the last push to the answer."""
        for block in blocks[:-1]:
            self.push(block)
            time.sleep(PACE_S)
        began = time.perf_counter()
        self.push(blocks[-1])
        row, _ = self.inlet.pull_sample(5.0)
        took = time.perf_counter() - began
        assert row is not None, "no answer came"
        return took

    def push(self, block: np.ndarray) -> None:
        """Push a block, stamped by the clock of its samples as amplifiers do."""
        self.stamp += len(block) / SFREQ
        self.outlet.push_chunk(block, self.stamp)


def main(tokens: int) -> None:
    """Time both in turn, round after round."""
    sys.path.insert(0, str(Path(__file__).parent))
    from live_step import package

    with tempfile.TemporaryDirectory() as folder:
        os.environ["LSLAPICFG"] = str(Path(folder) / "lsl_api.cfg")
        Path(os.environ["LSLAPICFG"]).write_text(CONFIG)
        _, count = package(Path(folder) / "package")
        peers = [Peer("bare"), Peer("ours", str(Path(folder) / "package"), str(Path(folder) / "took.npy"))]
        seconds = timed(peers, tokens)
        for peer in peers:
            peer.process.wait(30)
        took = np.load(Path(folder) / "took.npy")[WARM:].reshape(ROUNDS, tokens)
    print(f"{count:,} parameters, {N_CHANS} channels at {SFREQ} Hz, blocks of {BLOCK} ms, {ROUNDS} x {tokens} tokens")
    tell(seconds[0], seconds[1], took)


def timed(peers: list[Peer], tokens: int) -> np.ndarray:
    """Return the seconds (peer, round, token), the two in turn."""
    rng = np.random.default_rng(0)
    blocks = (1e-5 * rng.standard_normal((PER_TOKEN, BLOCK, N_CHANS))).astype(np.float32)
    seconds = np.zeros((len(peers), WARM + ROUNDS * tokens))
    for i in range(seconds.shape[1]):
        for k in (i % 2, 1 - i % 2):
            seconds[k, i] = peers[k].hop(blocks)
    return seconds[:, WARM:].reshape(len(peers), ROUNDS, tokens)


def tell(bare_s: np.ndarray, ours_s: np.ndarray, took: np.ndarray) -> None:
    """Print the hops and their ratios."""
    rows = {"bare": bare_s, "ours": ours_s, "ours, its step left out": ours_s - took, "its step": took}
    for name, values in rows.items():
        p50, p99 = (np.median(np.percentile(values, p, axis=1)) * 1e3 for p in (50, 99))
        print(f"{name:<26} p50 {p50:.3f} ms   p99 {p99:.3f} ms")
    for name in ("ours", "ours, its step left out"):
        ratios = [np.percentile(rows[name], p, axis=1) / np.percentile(bare_s, p, axis=1) for p in (50, 99)]
        each = " ".join(f"{r:.2f}" for r in ratios[0])
        print(f"{name} over bare: median {np.median(ratios[0]):.2f} ({each}), p99 {np.median(ratios[1]):.2f}")


if __name__ == "__main__":
    roles = {"bare": bare, "ours": ours}
    if sys.argv[1:] and sys.argv[1] in roles:
        roles[sys.argv[1]](*sys.argv[2:])
    else:
        main(int(sys.argv[1]) if sys.argv[1:] else 200)
