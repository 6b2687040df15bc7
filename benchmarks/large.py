"""A recording too large for the memory: written, prepared, streamed, killed and gone on with.

    python benchmarks/large.py [GB ...]

Writes generated recordings of so many GB (0.5, 1 and 2; `2 20` for the full test) of int16 samples, none of them 0, 64
channels at 1 kHz. Each is prepared as the stage `prepare` does it (notch, band-pass and common average, kept as int16)
and removed; what was prepared is then streamed once, from the disk (its pages are dropped from the cache before), as
batches of 8 lanes of windows of 10 s. Printed: seconds, seconds a GB, and the memory of all its processes at its peak:
the largest resident set of one, and the sum in which shared pages count once. Then the largest is streamed with 1 and
with 2 workers, each killed with kill -9 three times in the middle of the epoch, and the digests of all batches are held
against those of one undisturbed process. Ends with an error where a batch differs, memory exceeds 1 GB, or the time a
GB at full length is more than 1.5 times that at a quarter. Takes 2 GB of disk for each GB, below the folder for
temporary files (TMPDIR).
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

SFREQ, N_CHANS, LANES, WINDOW_S, KILLS = 1000.0, 64, 8, 10.0, 3
BLOCK, STEP = 1 << 16, 2.0**-26  # samples written at a time; volts of a step
CHAIN = ({"kind": "notch"}, {"kind": "bandpass", "low_hz": 1.0, "high_hz": 40.0}, {"kind": "reference"})
MOST_MEMORY, MOST_RATIO = 1.0, 1.5


def main() -> None:
    if sys.argv[1:2] in (["--stream"], ["--prepare"]):
        print({"--stream": stream, "--prepare": prepare}[sys.argv[1]](*sys.argv[2:]))
        return
    sizes = sorted(map(float, sys.argv[1:])) or [0.5, 1.0, 2.0]
    with tempfile.TemporaryDirectory() as name:
        source, path = Path(name) / "source.h5", Path(name) / "recording.h5"
        costs: list[tuple[str, float, float, float, float]] = []
        for part in sizes:
            write(source, round(part * 1e9 / (2 * N_CHANS)))
            drop(source)
            costs.append(("prepare", part, *measured("--prepare", source, path)))
            source.unlink()
            for workers in (0, 2):
                drop(path)
                costs.append((f"stream, {workers} workers", part, *measured("--stream", path, workers, "-")))
        report(costs)
        killed_and_resumed(path, Path(name))


def report(costs: list[tuple[str, float, float, float, float]]) -> None:
    """Print (what, GB, seconds, largest process, all processes) of each, and hold them against the limits."""
    for what, part, seconds, largest, total in costs:
        memory = f"largest process {largest:.2f} GB, together {total:.2f} GB"
        print(f"{what:17} {part:5g} GB: {seconds:6.1f} s, {seconds / part:5.2f} s a GB, {memory}")
    assert max(cost[4] for cost in costs) < MOST_MEMORY, "more than 1 GB of memory"
    for what in dict.fromkeys(cost[0] for cost in costs):
        each = [seconds / part for kind, part, seconds, _, _ in costs if kind == what]
        first, last = each[0], each[-1]
        print(f"{what}: a GB of the longest takes {last / first:.2f} times one of the shortest")
        assert last <= MOST_RATIO * first, "the time is not linear in the length"


def write(path: Path, n_times: int) -> Path:
    """Write a session of int16 samples."""
    from neural_foundation.core.specs import SignalSpec
    from neural_foundation.recordings import write_session

    spec = SignalSpec(sfreq=SFREQ, ch_names=tuple(f"E{i}" for i in range(N_CHANS)), ch_types=("eeg",) * N_CHANS)
    write_session(path, session_id=path.stem, subject="s", spec=spec, chunks=chunks(n_times), step=STEP)
    return path


def chunks(n_times: int) -> Iterator[Any]:
    """Yield noise in steps of int16, none of them 0, each block another."""
    from neural_foundation.core.stream import Chunk

    noise = np.random.default_rng(0).integers(1, 16_000, (N_CHANS, BLOCK)).astype(np.float32)
    for i, at in enumerate(range(0, n_times, BLOCK)):
        values = noise[:, : min(BLOCK, n_times - at)] + np.float32(i % 16_000)
        yield Chunk.of(np.float32(STEP) * values, at)


def prepare(source: str, path: str) -> float:
    """Write a recording cleaned, as the stage `prepare` does; return the seconds."""
    from neural_foundation.core.progress import silent
    from neural_foundation.pipeline.stages.prepare import cleaned
    from neural_foundation.recordings import read, write_session
    from neural_foundation.signals.chain import chain
    from neural_foundation.signals.table import SIGNALS

    began = time.perf_counter()
    with read(Path(source)) as session:
        bound = chain([SIGNALS.parse(op) for op in CHAIN], session.signal.spec)
        chunks = cleaned(bound, session.signal, silent, session.session_id)
        write_session(path, session_id="r", subject="s", spec=bound.output, chunks=chunks, step=STEP)
    return time.perf_counter() - began


def data_of(path: Path) -> Any:
    from neural_foundation.sampling.streaming import StreamingNeuralDataset

    return StreamingNeuralDataset([path], window_s=WINDOW_S, lanes=LANES, stretch_s=6 * WINDOW_S, seed=1)


def stream(path: str, workers: str, log: str) -> float:
    """Stream an epoch from where LOG.state says; with a LOG, write a digest of each batch; return the seconds."""
    data, where = data_of(Path(path)), Path(f"{log}.state")
    if log != "-" and where.exists():
        data.load_state_dict(json.loads(where.read_text()))
    began = time.perf_counter()
    for batch in data.loader(num_workers=int(workers)) if data.epoch == 0 else ():
        if log != "-":
            with Path(log).open("a") as lines:
                places = [*batch.recording.tolist(), *batch.start.tolist(), *batch.begin.tolist()]
                lines.write(f"{batch.step} {zlib.crc32(batch.signal.numpy())} {places}\n")
            new = where.with_suffix(".new")
            new.write_text(json.dumps(data.state_dict()))
            os.replace(new, where)
    return time.perf_counter() - began


def child(*arguments: Any) -> subprocess.Popen[str]:
    command = [sys.executable, __file__, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)


def drop(path: Path) -> None:
    """Have a file's pages on the disk, and not in the cache."""
    file = os.open(path, os.O_RDONLY)
    os.fsync(file)
    os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(file)


def measured(*arguments: Any) -> tuple[float, float, float]:
    """Return the seconds that a child says, and its largest resident set and largest sum of shares in GB."""
    process, largest, total = child(*arguments), 0.0, 0.0
    while process.poll() is None:
        sizes = [memory(pid) for pid in tree(process.pid)]
        largest = max([largest, *(rss for rss, _ in sizes)])
        total = max(total, sum(pss for _, pss in sizes))
        time.sleep(0.05)
    assert process.stdout is not None
    assert process.returncode == 0
    return float(process.stdout.read()), largest, total


def tree(pid: int) -> Iterator[int]:
    yield pid
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for found in (task / "children").read_text().split():
                yield from tree(int(found))


def memory(pid: int) -> tuple[float, float]:
    """Return resident set and proportional share of a process in GB, 0 where it has ended."""
    found = {"Rss:": 0.0, "Pss:": 0.0}
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            words = line.split()
            if words[0] in found:
                found[words[0]] = 1024e-9 * float(words[1])
    return found["Rss:"], found["Pss:"]


def killed_and_resumed(path: Path, folder: Path) -> None:
    reference = folder / "undisturbed"
    assert child("--stream", path, 0, reference).wait() == 0
    want = reference.read_text().splitlines()
    moments = random.Random(0)
    for workers in (1, 2):
        log, kills = folder / f"{workers} workers", 0
        while True:
            process, seen = child("--stream", path, workers, log), n_lines(log)
            goal = seen + moments.randint(1, max(1, len(want) // (KILLS + 2)))
            while process.poll() is None and (kills == KILLS or n_lines(log) < goal):
                time.sleep(0.002)
            if process.poll() is not None:
                break
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            kills += 1
        assert process.returncode == 0
        got = list(dict.fromkeys(log.read_text().splitlines()))
        assert got == want, f"{workers} workers, killed {kills} times: other batches"
        print(f"{workers} workers, killed {kills} times and gone on with: the same {len(want)} batches")


def n_lines(log: Path) -> int:
    return log.read_bytes().count(b"\n") if log.exists() else 0


if __name__ == "__main__":
    main()
