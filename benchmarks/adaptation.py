"""What adaptation regains on simulated days: accuracy before a change, after it frozen, after it adapted.

    python benchmarks/adaptation.py [--quick] [--folder runs/adaptation] [--people N] [--changes NAME ...]

The package of `quickstart` (fold 0; with --quick its tiny form), and people it never saw. A person's recording is cut
in two: day one, unchanged, from which only a snapshot of the covariance is kept; and day two, changed from its first
sample, on which the decoder starts anew. Adaptation has the first FEEDBACK_TRIALS trials of day two; each mode is
judged on the trials after them alone. `lost` is what the change costs the frozen decoder on those same trials.

Modes: `alignment` without any feedback, towards the person's own day one, or towards the training people's mean
(`package`); `readout`, feedback at each trial's end, alone; `both`. The guard is tried with feedback that is random, or
wrong throughout. Differences to frozen are paired over people, with 95 % bootstrap intervals.
"""

from __future__ import annotations

import argparse
import shutil
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

DAY_ONE_TRIALS, FEEDBACK_TRIALS, JUDGED_TRIALS = 20, 40, 40
CHANGES: dict[str, dict[str, Any]] = {
    "none": {},
    "gain": {"gain_sd": 1.0},
    "contacts": {"impedance_v": 40e-6},
    "shift": {"shift_m": 0.03},
    "lost": {"lost": 6},
    "clock": {"rate": 1.05},
    "all but clock": {"gain_sd": 0.5, "impedance_v": 20e-6, "shift_m": 0.015, "lost": 2},
}
# name: (settings, day one's snapshot, feedback: right, random, wrong, or none)
MODES: dict[str, tuple[dict[str, Any], bool, str]] = {
    "alignment": ({"readout": False}, True, ""),
    "package": ({"readout": False, "reference": "package"}, False, ""),
    "readout": ({"alignment": False}, False, "right"),
    "both": ({}, True, "right"),
    "random": ({}, True, "random"),
    "wrong": ({}, True, "wrong"),
}
FEWER = ("package", "random", "wrong")  # modes that are tried on some changes only
ON = ("none", "gain", "all but clock")


def package(folder: Path, quick: bool) -> Path:
    """Return a folder with the exported package and its reference, made where it is not there yet."""
    from neural_foundation.models.reference import REFERENCE
    from neural_foundation.pipeline.plan import make_plan
    from neural_foundation.pipeline.recipe import load
    from neural_foundation.pipeline.runner import run

    made = folder / ("package-tiny" if quick else "package")
    if (made / REFERENCE).is_file():
        return made
    plan = make_plan(load("quickstart", tiny=quick), folder / ("quickstart-tiny" if quick else "quickstart"))
    run(plan, stage="export")
    exported = plan.of_stage("export")[0].output()
    assert exported is not None
    shutil.copytree(exported.folder, made, dirs_exist_ok=True)
    return made


def person(task: tuple[str, str, list[str], list[str]]) -> list[dict[str, Any]]:
    """Return one row for each change and mode: who, change, mode, accuracies on the judged trials."""
    import torch

    from neural_foundation.core.seeds import derive
    from neural_foundation.datasets.simulated.changes import Change, changed, moved_s
    from neural_foundation.datasets.simulated.generate import simulate
    from neural_foundation.datasets.simulated.motor_imagery import SimulatedMotorImagery
    from neural_foundation.realtime.live_model import LiveModel

    folder, who, changes, modes = task
    torch.set_num_threads(1)
    model = LiveModel.open(folder)
    trials = DAY_ONE_TRIALS + FEEDBACK_TRIALS + JUDGED_TRIALS
    channels: Any = model.facts.raw.n_chans
    made = simulate(SimulatedMotorImagery(subjects=999, trials=trials, snr=4, channels=channels), who)
    sfreq, onset_s, right = made.spec.sfreq, made.truth.onset_s, made.truth.label
    begin = round((onset_s[DAY_ONE_TRIALS] - 1.0) * sfreq)
    snapshot = day_one(model, made.values[:, :begin])
    rows = []
    for name in changes:
        change = Change(**CHANGES[name])
        raw = changed(made.values, made.spec, change, seed=derive(1, who, name), from_s=begin / sfreq)[:, begin:]
        at_s = moved_s(onset_s, change, from_s=begin / sfreq)[DAY_ONE_TRIALS:] - begin / sfreq
        for mode in modes:
            if mode in FEWER and name not in ON:
                continue
            settings, own, feedback = MODES[mode]
            said, frozen = day_two(
                model, raw, at_s, right[DAY_ONE_TRIALS:], settings, snapshot if own else None, feedback
            )
            judged = right[DAY_ONE_TRIALS:][: len(said)] == np.stack([frozen, said])
            judged = judged[:, FEEDBACK_TRIALS:].mean(1)
            rows.append({"who": who, "change": name, "mode": mode, "frozen": judged[0], "adapted": judged[1]})
    return rows


def day_one(model: Any, raw: np.ndarray) -> np.ndarray:
    """Return the snapshot of an unchanged stretch."""
    from neural_foundation.core.stream import Chunk
    from neural_foundation.realtime.adaptation import Adaptation, AdaptingDecoder

    decoder = AdaptingDecoder(model, settings=Adaptation(reference="own"))
    state = decoder.start()
    for at in range(0, raw.shape[1], 1000):
        _, state = decoder.step(Chunk.of(raw[:, at : at + 1000], at), state)
    return decoder.snapshot(state)


def day_two(
    model: Any,
    raw: np.ndarray,
    onset_s: np.ndarray,
    right: np.ndarray,
    settings: dict[str, Any],
    reference: np.ndarray | None,
    feedback: str,
) -> tuple[np.ndarray, np.ndarray]:
    """Return what the adapting and the frozen decoder say at the end of each trial's window."""
    from neural_foundation.core.seeds import generator
    from neural_foundation.core.stream import Chunk
    from neural_foundation.realtime.adaptation import Adaptation, AdaptingDecoder

    windows, sfreq = model.facts.windows, model.facts.raw.sfreq
    starts = np.round((onset_s + windows.start_s) * sfreq).astype(np.int64)
    ends = starts + round(windows.length_s * sfreq)
    decoder = AdaptingDecoder(
        model, settings=Adaptation(**settings), reference=reference, resets_s=(starts / sfreq).tolist()
    )
    told = {"right": right, "wrong": 1 - right, "random": generator(0, "random").integers(0, 2, len(right))}
    state, at, said, frozen = decoder.start(), 0, [], []
    for k, end in enumerate(ends[ends <= raw.shape[1]]):
        out, state = decoder.step(Chunk.of(raw[:, at:end], at), state)
        at, tokens = int(end), state["tokens"]
        said.append(int(out.values[:, -1].argmax()))
        frozen.append(int(tokens["frozen"][(tokens["n"] - 1) % len(tokens["frozen"])].argmax()))
        if feedback and k < FEEDBACK_TRIALS:
            state = decoder.feedback(at, int(told[feedback][k]), state)
    return np.array(said), np.array(frozen)


def table(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return one line for each change and mode, with intervals over people."""
    from neural_foundation.metrics import paired_difference

    names = sorted({r["who"] for r in rows})
    found = {(r["who"], r["change"], r["mode"]): r for r in rows}
    lines = []
    for change, mode in dict.fromkeys((r["change"], r["mode"]) for r in rows):
        frozen = np.array([found[n, change, mode]["frozen"] for n in names])
        adapted = np.array([found[n, change, mode]["adapted"] for n in names])
        before = np.array([found[n, "none", mode]["frozen"] for n in names])
        lost, gained = paired_difference(before, frozen, 0), paired_difference(adapted, frozen, 0)
        lines.append(
            {
                "change": change,
                "mode": mode,
                "before": before.mean(),
                "frozen": frozen.mean(),
                "adapted": adapted.mean(),
                "lost": lost,
                "gained": gained,
            }
        )
    return lines


def show(lines: list[dict[str, Any]]) -> None:
    print("| change | mode | before | frozen | adapted | adapted - frozen | of what was lost |")
    print("|---|---|---|---|---|---|---|")
    for r in lines:
        g, clear = r["gained"], r["lost"].low > 0
        share = f"{g.mean / r['lost'].mean:.0%}" if clear else "nothing clear was lost"
        print(
            f"| {r['change']} | {r['mode']} | {r['before']:.3f} | {r['frozen']:.3f} | {r['adapted']:.3f} "
            f"| {g.mean:+.3f} ({g.low:+.3f} to {g.high:+.3f}) | {share} |"
        )


def plot(lines: list[dict[str, Any]], path: Path) -> None:
    """Write the accuracies as bars."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    names = list(dict.fromkeys(r["change"] for r in lines))
    found = {(r["change"], r["mode"]): r for r in lines}
    fig, ax = plt.subplots(figsize=(9, 3.6), layout="constrained")
    bars = [("frozen", "0.75"), ("alignment", "#4c78a8"), ("readout", "#eeca3b"), ("both", "#54a24b")]
    for i, (mode, colour) in enumerate(bars):
        heights = [found[n, "both"]["frozen"] if mode == "frozen" else found[n, mode]["adapted"] for n in names]
        ax.bar(np.arange(len(names)) + 0.2 * (i - 1.5), heights, 0.19, color=colour, label=mode)
    ax.axhline(found["none", "both"]["before"], color="0.2", lw=1, ls="--", label="frozen, nothing changed")
    ax.set_xticks(np.arange(len(names)), names)
    ax.set(ylim=(0.5, 1.0), ylabel="accuracy after the adaptation", title="Simulated days: people never seen")
    ax.legend(ncols=5, frameon=False, loc="upper center", fontsize=8)
    ax.spines[["top", "right"]].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    fig.savefig(path, dpi=110, metadata={"Software": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="the tiny package, two people, two changes")
    parser.add_argument("--folder", type=Path, default=Path("runs/adaptation"))
    parser.add_argument("--people", type=int, default=12)
    parser.add_argument("--first", type=int, default=401, help="number of the first person; training had 1 to 24")
    parser.add_argument("--changes", nargs="+", choices=list(CHANGES), default=list(CHANGES), help="besides 'none'")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--plot", type=Path)
    given = parser.parse_args()
    made = package(given.folder, given.quick)
    changes = list(dict.fromkeys(["none", *(["gain"] if given.quick else given.changes)]))
    people = 2 if given.quick else given.people
    tasks = [(str(made), f"sim{k}", changes, list(MODES)) for k in range(given.first, given.first + people)]
    with ProcessPoolExecutor(given.workers) as pool:
        rows = [row for found in pool.map(person, tasks) for row in found]
    lines = table(rows)
    print(f"{people} people, {JUDGED_TRIALS} judged trials each, after {FEEDBACK_TRIALS} trials of adaptation")
    show(lines)
    if given.plot:
        plot(lines, given.plot)


if __name__ == "__main__":
    main()
