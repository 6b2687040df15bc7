"""Does pre-training earn its keep? From scratch beside pre-trained, with the labels of 1, 5 and all subjects.

    python benchmarks/pretraining.py [SEED ...]

Runs the recipe `pretraining-gain` (on the simulator; with NEURAL_FOUNDATION_DATA also on EEGMAT) once a seed and prints
balanced accuracy on held-out people and the paired difference with its 95 % bootstrap interval over people.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np

EEGMAT = (
    "prepare.dataset={kind: eegmat}",
    "prepare.signals=[{kind: pick, types: [eeg]}, {kind: bandpass, low_hz: 1, high_hz: 45}, {kind: reference},"
    " {kind: resample, sfreq: 250}]",
    "prepare.windows={length_s: 4.0, hop_s: 2.0}",
    "pretrain.model.resonators=[4, 6, 16, 43]",
    "scratch_few.model.resonators=[4, 6, 16, 43]",
    "scratch_all.model.resonators=[4, 6, 16, 43]",
)


def study(name: str, changes: tuple[str, ...], seeds: list[int]) -> None:
    """Run the recipe for each seed and print the gain by labelled subjects."""
    from neural_foundation.core.store import read_json
    from neural_foundation.metrics import paired_difference
    from neural_foundation.pipeline.plan import make_plan
    from neural_foundation.pipeline.recipe import load
    from neural_foundation.pipeline.runner import run

    tables: dict[str, list[np.ndarray]] = {}
    for seed in seeds:
        plan = make_plan(load("pretraining-gain", changes=[*changes, f"seed={seed}"]), Path("runs") / f"gain-{name}")
        run(plan, workers=os.cpu_count() or 1)
        output = plan.of_stage("evaluate")[0].output()
        assert output is not None
        for model, entry in read_json(output.path("scores.json"))["models"].items():
            tables.setdefault(model, []).append(np.array([entry["subjects"][s] for s in sorted(entry["subjects"])]))
    print(f"{name}, {len(tables['adapt_all'][0])} people, seeds {seeds}")
    for label, pre, scratch in (
        ("1 subject", "adapt_few.train_subjects-1", "scratch_few.train_subjects-1"),
        ("5 subjects", "adapt_few.train_subjects-5", "scratch_few.train_subjects-5"),
        ("all", "adapt_all", "scratch_all"),
    ):
        a, b = np.mean(tables[pre], 0), np.mean(tables[scratch], 0)
        gain = paired_difference(a, b, 0)
        print(
            f"  {label:<10} scratch {b.mean():.3f}  pre-trained {a.mean():.3f}  "
            f"difference {gain.mean:+.3f} [{gain.low:+.3f}, {gain.high:+.3f}]"
        )


def main() -> None:
    seeds = [int(s) for s in sys.argv[1:]] or [0]
    study("simulated", (), seeds)
    if os.environ.get("NEURAL_FOUNDATION_DATA"):
        study("eegmat", EEGMAT, seeds)


if __name__ == "__main__":
    main()
