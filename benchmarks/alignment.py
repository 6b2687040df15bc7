"""Does subject alignment hide who somebody is? A subject-identity probe on the features, with and without it.

    python benchmarks/alignment.py [SEED ...]

On the simulated set of `quickstart`, the network is trained for the task in three ways: without alignment, with the
adversarial subject classifier (gradient reversal), and with the running mean of each person taken out (`align_s`).
A linear probe then guesses which training subject a window is from, given the network's features, each window after
those before it in its recording, as a stream would meet them; it learns from the first half of each subject's trials
and is judged on the second. Beside it the task's balanced accuracy on people never seen.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

# name: (fields of the model, weight of the adversary)
WAYS: dict[str, tuple[dict[str, float], float]] = {
    "no alignment": ({}, 0.0),
    "adversary": ({}, 1.0),
    "running mean": ({"align_s": 3.0}, 0.0),
}


def main() -> None:
    from neural_foundation.pipeline.plan import make_plan
    from neural_foundation.pipeline.recipe import load
    from neural_foundation.pipeline.runner import run
    from neural_foundation.pipeline.stages.prepare import Prepared
    from neural_foundation.pipeline.stages.split import read_fold
    from neural_foundation.sampling.windows import labelled

    seeds = [int(s) for s in sys.argv[1:]] or [0]
    plan = make_plan(load("quickstart"), Path("runs/quickstart"))
    run(plan, stage="split")
    data = Prepared.of([o for t in plan.of_stage("prepare") if (o := t.output())])
    split = plan.of_stage("split")[0].output()
    assert split is not None
    windows = labelled(data.paths, data.windows, data.classes)
    for name, way in WAYS.items():
        rows = [judged(windows, read_fold(split, str(f)), data.classes, way, s) for s in seeds for f in range(4)]
        found, chance, task = np.mean(rows, 0)
        print(f"{name}: subject found {found:.3f} (chance {chance:.3f}, {found - chance:+.3f} above), task {task:.3f}")


def judged(windows: Any, fold: Any, classes: tuple[str, ...], way: Any, seed: int) -> tuple[float, float, float]:
    """Return (accuracy of the subject probe, its chance, balanced accuracy of the task on held-out people)."""
    import torch

    from neural_foundation.core.specs import TargetSpec
    from neural_foundation.learning.fit import fit
    from neural_foundation.learning.table import LEARNERS
    from neural_foundation.metrics import balanced_accuracy
    from neural_foundation.models.layers.probe import probe
    from neural_foundation.models.people import people, rows
    from neural_foundation.models.table import MODELS

    fields, weight = way
    model = MODELS.parse({"kind": "multiscale", "resonators": [2, 4, 16, 8], **fields})
    objective = {"kind": "classify", "subject_adversary": weight}
    learner = LEARNERS.parse({"kind": "gradient", "objective": objective, "max_epochs": 10, "front_end_lr": 0.1})
    train, test = fold.choose(windows, "train"), fold.choose(windows, "test")
    names = sorted(set(train.subject.tolist()))
    with tempfile.TemporaryDirectory() as folder:
        fitted = fit(
            model,
            learner,
            train,
            None,
            signal=windows.spec,
            target=TargetSpec(classes=classes),
            subjects=names,
            folder=Path(folder),
            seed=seed,
        )  # type: ignore[arg-type]
    network = fitted.model.eval()

    def outputs(part: Any) -> tuple[np.ndarray, np.ndarray]:
        def load(items: np.ndarray) -> torch.Tensor:
            return torch.from_numpy(part.load(items))

        begin = people(network, load, part.file, part.start, part.n_times)
        parts = [np.arange(a, min(a + 64, len(part))) for a in range(0, len(part), 64)]
        with torch.inference_mode():
            made = [network(load(p), begin=rows(begin, p)) for p in parts]
        return tuple(torch.cat([getattr(o, n)[:, -1] for o in made]).numpy() for n in ("features", "logits"))  # type: ignore[return-value]

    features, _ = outputs(train)
    identity = np.searchsorted(names, train.subject)
    early = np.zeros(len(train), bool)
    for k in range(len(names)):
        mine = np.flatnonzero(identity == k)
        early[mine[: len(mine) // 2]] = True
    made = probe([features[early]], identity[early], train.trial[early], len(names))
    said = (features[~early] @ made.weight.T + made.bias).argmax(1)
    _, logits = outputs(test)
    task = np.mean(
        [
            balanced_accuracy(test.target[m], logits[m].argmax(1))
            for s in set(test.subject.tolist())
            if (m := test.subject == s).any()
        ]
    )
    return float(np.mean(said == identity[~early])), 1 / len(names), float(task)


if __name__ == "__main__":
    main()
