"""Is a calibrated confidence deserved by people it never saw? Before beside after, as the window goes on, per person.

    python benchmarks/confidence.py [SHARE ...]

On 40 simulated people, 30 trials each, four folds by person; SHARE of those not tested are kept to calibrate on (0.3
and 0.1). Prints means over the tested people with their 95 % bootstrap interval.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

FOLDS: dict[str, Any] = {"for_each": "split", "inputs": {"data": "prepare"}}
SURE = {"kind": "calibrate", "for_each": "split"}
MODELS = ("adapt", "tangent", "bands")


def recipe(share: float) -> dict[str, Any]:
    """Return the quickstart without pre-training, with more people, and a confidence for each model."""
    from neural_foundation.pipeline.recipe import text_of
    from neural_foundation.pipeline.yaml12 import parse

    stages = parse(text_of("quickstart")[0], "quickstart")["stages"]
    kept = {name: stages[name] for name in ("prepare", "split", *MODELS)}
    kept["prepare"]["dataset"]["subjects"] = 40
    kept["split"]["validation"] = share
    kept["adapt"] = {**stages["adapt"], **FOLDS, "model": stages["pretrain"]["model"]}
    for model in MODELS:
        kept[f"{model}_sure"] = {**SURE, "inputs": {"data": "prepare", "model": model}}
    if share >= 0.3:
        kept["adapt_person"] = {**SURE, "inputs": {"data": "prepare", "model": "adapt"}, "unit": "person"}
    sure = [name for name in kept if name.endswith(("_sure", "_person"))]
    kept["evaluate"] = {"kind": "evaluate", "inputs": {"data": "prepare", "models": sure}, "permutations": 20}
    return {"name": "confidence", "stages": kept}


def study(share: float) -> None:
    """Run the recipe and print what each confidence is worth."""
    from neural_foundation.core.store import read_json
    from neural_foundation.pipeline.plan import make_plan
    from neural_foundation.pipeline.recipe import check
    from neural_foundation.pipeline.runner import run

    plan = make_plan(check(recipe(share)), Path("runs") / "confidence")
    run(plan, workers=os.cpu_count() or 1)
    output = plan.of_stage("evaluate")[0].output()
    assert output is not None
    for name, entry in read_json(output.path("scores.json"))["models"].items():
        print(f"\n{name}, {share:g} kept to calibrate on")
        show(entry["confidence"])


def show(c: dict[str, Any]) -> None:
    """Print one confidence: calibration, coverage, silence, and the moments before a window's end."""
    for when in ("before", "after"):
        e = c[when]
        print(f"  {when:<7} log loss {e['log_loss']['mean']:.3f}  calibration error {between(e['error'])}")
    v = c["coverage"]
    low, spread = min(v["subjects"].values()), f"{v['sd_subjects']:.3f} (alike {v['sd_alike']:.3f})"
    print(f"  coverage {between(v)} for {v['wished']:.2f}; worst {low:.2f}, spread {spread}")
    a = c["answered"]
    print(
        f"  decides {between(a['share'])}, right of those {a['pooled_accuracy']:.3f}, "
        f"right of all {a['accuracy_of_all']['mean']:.3f}; classes in a set {c['set_size']['mean']:.2f}"
    )
    for row in c.get("earlier", ()):
        held, held_at_end, loss, loss_at_end, decided = (
            f"{row[k]['mean']:.3f}"
            for k in ("coverage", "coverage_as_at_end", "log_loss", "log_loss_as_at_end", "decided")
        )
        print(
            f"    to {row['until_s']:.1f} s: coverage {held} (by the end's {held_at_end})  "
            f"log loss {loss} ({loss_at_end})  decides {decided}"
        )


def between(e: dict[str, float]) -> str:
    """Return a mean with its interval."""
    return f"{e['mean']:.3f} [{e['low']:.3f}, {e['high']:.3f}]"


def main() -> None:
    for share in [float(s) for s in sys.argv[1:]] or [0.3, 0.1]:
        study(share)


if __name__ == "__main__":
    main()
