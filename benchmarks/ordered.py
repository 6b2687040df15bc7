"""Training on windows in time order, the state carried on, beside the same windows at random: speed and memory.

    python benchmarks/ordered.py [MINUTES [PAIRS [STEPS]]]

Writes 8 generated recordings of so many minutes (10; 16 channels at 250 Hz), and fits the tiny network (context
'stream') to windows of 4 s by the objective 'masked', batches of 8, once with `sampler: shuffled` and once with
`ordered`, each in a process of its own, PAIRS times (3), STEPS steps (40) each. Counted is the processor's time on one
thread, which other work on the machine hardly changes, from the end of the first step to that of the one before the
last, without validation and checkpoints. The shuffled windows lie in memory, the ordered ones are read from disk as
they come. Printed: the medians, their ratio, and the most memory that each took.
"""

from __future__ import annotations

import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

N, SFREQ, N_CHANS, WINDOW_S, BATCH = 8, 250.0, 16, 4.0, 8


def main() -> None:
    if sys.argv[1:2] == ["--fit"]:
        print(json.dumps(fitted(Path(sys.argv[2]), sys.argv[3], int(sys.argv[4]))))
        return
    minutes, pairs, steps = (float(a) for a in [*sys.argv[1:], *("10", "3", "40")[len(sys.argv) - 1 :]])
    with tempfile.TemporaryDirectory() as name:
        megabytes = sum(write(Path(name) / f"r{i}.h5", i, minutes) for i in range(N)) / 1e6
        found: dict[str, list[dict[str, float]]] = {"shuffled": [], "ordered": []}
        for _ in range(int(pairs)):
            for sampler, rows in found.items():
                command = [sys.executable, __file__, "--fit", name, sampler, str(int(steps))]
                rows.append(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
    print(f"{megabytes:.0f} MB of recordings, {int(pairs)} pairs of {int(steps)} steps")
    speed = {s: statistics.median(row["steps_a_second"] for row in rows) for s, rows in found.items()}
    for sampler, rows in found.items():
        print(f"{sampler:9} {speed[sampler]:6.2f} steps a CPU second  {max(row['memory_mb'] for row in rows):5.0f} MB")
    each = [o["steps_a_second"] / s["steps_a_second"] for o, s in zip(found["ordered"], found["shuffled"], strict=True)]
    print(f"ordered / shuffled: {statistics.median(each):.2f} ({min(each):.2f} to {max(each):.2f})")


def write(path: Path, seed: int, minutes: float) -> int:
    """Write a recording of noise; return its bytes."""
    from neural_foundation.core.specs import SignalSpec
    from neural_foundation.core.stream import Chunk
    from neural_foundation.recordings import Intervals, write_session
    from neural_foundation.recordings.montage import standard_1005

    positions = dict(list(standard_1005().items())[:N_CHANS])
    spec = SignalSpec(sfreq=SFREQ, ch_names=tuple(positions), positions=tuple(positions.values()))
    values = np.random.default_rng(seed).standard_normal((N_CHANS, int(minutes * 60 * SFREQ)), np.float32) * 1e-5
    chunks, trials = [Chunk(values, np.ones(values.shape[1], bool), 0)], Intervals.of([(0.0, 1.0, "x")])
    write_session(path, session_id=path.stem, subject=f"s{seed}", spec=spec, chunks=chunks, trials=trials)
    return path.stat().st_size


def fitted(folder: Path, sampler: str, steps: int) -> dict[str, float]:
    """Return the speed and the memory of one fit."""
    import torch

    from neural_foundation.learning.fit import fit
    from neural_foundation.learning.table import LEARNERS
    from neural_foundation.models.multiscale import Multiscale
    from neural_foundation.sampling.windows import continuous

    torch.set_num_threads(1)
    windows = continuous(sorted(folder.glob("*.h5")), WINDOW_S, WINDOW_S)
    given = {"kind": "gradient", "objective": "masked", "sampler": sampler, "batch_size": BATCH, "max_steps": steps}
    at: list[float] = []
    with tempfile.TemporaryDirectory() as out:
        fit(
            Multiscale(context="stream"),
            LEARNERS.parse({**given, "checkpoint_every_s": 1e9}),  # type: ignore[arg-type]
            windows,
            signal=windows.spec,
            target=None,
            subjects=sorted(set(windows.subject.tolist())),
            folder=Path(out),
            seed=0,
            progress=lambda done, *_: at.append(time.process_time()) if 0 < done < steps else None,
        )
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    return {"steps_a_second": (len(at) - 1) / (at[-1] - at[0]), "memory_mb": memory}


if __name__ == "__main__":
    main()
