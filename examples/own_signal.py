"""A signal operation of your own, registered in this process and used in a recipe that is written in Python.

python examples/own_signal.py [FOLDER]
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field

from neural_foundation import register
from neural_foundation.core.specs import SignalSpec
from neural_foundation.core.store import read_json
from neural_foundation.core.stream import Chunk, State, Transducer
from neural_foundation.pipeline.plan import make_plan
from neural_foundation.pipeline.recipe import check
from neural_foundation.pipeline.runner import run
from neural_foundation.signals.base import Operation, SignalOp


@register("signals", law="stream")
class Difference(SignalOp):
    """What changed since the sample before, times a gain; the first sample gives 0."""

    kind: Literal["difference"] = "difference"
    gain: float = Field(1.0, gt=0, description="the factor")

    def bind(self, signal: SignalSpec) -> Transducer:
        """Return the operation; any signal will do."""
        return Differences(signal, self.gain)


class Differences(Operation):
    """The bound `difference`. State: the last sample, once there was one."""

    def __init__(self, signal: SignalSpec, gain: float) -> None:
        super().__init__(signal)
        self._gain = np.float32(gain)

    def fresh(self) -> State:
        return {"last": np.zeros(self.input.n_chans, np.float32), "begun": False}

    def process(self, chunk: Chunk, state: State) -> tuple[Chunk, State]:
        if not chunk.n_times:
            return chunk, state
        last = state["last"] if state["begun"] else chunk.values[:, 0]
        after = {**state, "last": chunk.values[:, -1].copy(), "begun": True}
        chunk.values = self._gain * np.diff(chunk.values, axis=1, prepend=last[:, None])
        return chunk, after


RECIPE: dict[str, Any] = {
    "name": "own-signal",
    "stages": {
        "prepare": {
            "kind": "prepare",
            "dataset": {"kind": "simulated_motor_imagery", "subjects": 4, "trials": 20, "channels": 16},
            "signals": [
                {"kind": "bandpass", "low_hz": 4, "high_hz": 40},
                "reference",
                {"kind": "difference", "gain": 10},
            ],
            "windows": {"start_s": 0.5, "length_s": 3.0},
        },
        "split": {"kind": "split", "inputs": {"data": "prepare"}, "folds": 2},
        "bands": {
            "kind": "fit",
            "for_each": "split",
            "inputs": {"data": "prepare"},
            "model": {"kind": "band_power", "bands": [[8, 13], [13, 30]]},
            "learner": "estimator",
        },
        "evaluate": {"kind": "evaluate", "inputs": {"data": "prepare", "models": "bands"}},
    },
}


def main(folder: Path) -> None:
    """Run the recipe in this process and print the score of people held out."""
    plan = make_plan(check(RECIPE), folder)
    run(plan)
    scores = read_json(plan.of_stage("evaluate")[0].folder / "scores.json")
    found = scores["models"]["bands"]["balanced_accuracy"]
    print(f"balanced accuracy {found['mean']:.3f}, 95 % interval {found['low']:.3f} to {found['high']:.3f}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "runs/own-signal"))
