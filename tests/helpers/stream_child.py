"""Streams sessions in a process of its own, so that it can be killed.

    python stream_child.py FOLDER KIND WORKERS STEPS LOG STATE

Writes a line a batch to LOG: epoch, step and a digest of its bytes; and where it stands to STATE. Goes on from there.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from pathlib import Path
from typing import Any

import torch

from neural_foundation.sampling.random_windows import RandomWindows
from neural_foundation.sampling.streaming import StreamingNeuralDataset
from neural_foundation.sampling.windows import continuous


def data_of(kind: str, folder: Path) -> Any:
    paths = sorted(folder.glob("*.h5"))
    if kind == "ordered":
        return StreamingNeuralDataset(paths, window_s=1.0, lanes=3, seed=11)
    return RandomWindows(continuous(paths, 1.0, 1.0), batch_size=3, balance="subject", seed=11)


def digest_of(batch: Any) -> str:
    tensors = [value for value in vars(batch).values() if isinstance(value, torch.Tensor)]
    return hashlib.sha256(b"".join(t.numpy().tobytes() for t in tensors)).hexdigest()[:16]


def main() -> None:
    folder, kind, workers, steps, log, state = sys.argv[1:]
    data, where = data_of(kind, Path(folder)), Path(state)
    if where.exists():
        data.load_state_dict(json.loads(where.read_text()))
    with Path(log).open("a") as lines:
        while data.epoch * len(data) + data.step < int(steps):
            for batch in data.loader(num_workers=int(workers)):
                lines.write(f"{batch.epoch} {batch.step} {digest_of(batch)}\n")
                lines.flush()
                saved = where.with_suffix(".new")
                saved.write_text(json.dumps(data.state_dict()))
                os.replace(saved, where)


if __name__ == "__main__":
    main()
