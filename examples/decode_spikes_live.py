"""Decode behaviour from spikes as they come: events are counted in bins, and each bin is decoded when it has ended.

    python examples/decode_spikes_live.py [FOLDER]

A small causal model is trained on a simulated session and exported; that takes about a minute, once. Then the trials
it never saw are played: spikes arrive 50 ms at a time, and after each bin of 20 ms there is a wheel speed and the
probability of each choice. After each piece the state is saved and read again, as if the program had been moved.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np

from neural_foundation.core.stream import load_state, save_state
from neural_foundation.models.binned_package import BinnedPackage
from neural_foundation.pipeline.plan import make_plan
from neural_foundation.pipeline.recipe import load
from neural_foundation.pipeline.runner import run
from neural_foundation.pipeline.stages.split_trials import sets
from neural_foundation.realtime.binned_decoder import BinnedDecoder
from neural_foundation.recordings import Spikes
from neural_foundation.sampling.binned import BinnedSession, BinnedSet
from neural_foundation.signals.spikes import SpikeBinner

PIECE_S = 0.05
RECIPE = """
name: spikes-live
seed: 0
stages:
  bin: {kind: bin, dataset: {kind: simulated_sessions, sessions: 1, trials: 120, units: 40, tuning: 2.0}}
  trials: {kind: split_trials, inputs: {data: bin}, hold_out: trial}
  decoding:
    kind: fit_trials
    for_each: trials
    inputs: {data: bin}
    model: {kind: neds, size: tiny, causal: true, dropout: 0.1}
    learner:
      kind: gradient
      objective: {kind: multimodal, mode: decoding}
      max_epochs: 40
      max_steps: 150
      batch_size: 16
      lr: 3e-3
      averaging: ema
  export: {kind: export_trials, inputs: {model: decoding}}
"""


def exported(folder: Path) -> tuple[Path, BinnedSet, Spikes]:
    """Return the exported package, the trials it never saw, and the spikes of the whole recording."""
    source = folder / "spikes-live.yaml"
    source.write_text(RECIPE, encoding="utf-8")
    plan = make_plan(load(source), folder)
    run(plan, stage="export")
    package, binned = plan.of_stage("export")[0].folder, plan.of_stage("bin")[0]
    facts, session = BinnedPackage.open(package).facts, BinnedSession.read(binned.folder)
    assert facts.fold is not None
    unseen = sets(facts.fold, [session], facts.binned.n_bins)["test"]
    dataset = binned.spec.dataset  # type: ignore[attr-defined]
    recording = dataset.open(dataset.items()[0], folder / "recording")
    (spikes,) = recording.spikes.values()
    return package, unseen, spikes


def decode_trial(decoder: BinnedDecoder, spikes: Spikes, start_s: float, n_bins: int) -> tuple[np.ndarray, list[float]]:
    """Return what is decoded in each bin of a trial (n_outputs, n_bins), and the seconds each piece took."""
    binner = SpikeBinner(decoder.input.ch_names, 1 / decoder.input.sfreq, start_s)
    counting, state = binner.start(), decoder.start()
    columns: list[np.ndarray] = []
    took: list[float] = []
    now = start_s
    while sum(c.shape[1] for c in columns) < n_bins:
        before, now = now, now + PIECE_S
        began = time.perf_counter()
        counts, counting = binner.step(spikes.slice(before, now), now, counting)
        out, state = decoder.step(counts, state)
        took.append(time.perf_counter() - began)
        columns.append(out.values)
        state = load_state(save_state(state))  # anywhere, or in another process
    return np.concatenate(columns, 1)[:, :n_bins], took


def main() -> None:
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "runs")
    folder.mkdir(parents=True, exist_ok=True)
    package, unseen, recorded = exported(folder)
    decoder = BinnedDecoder.open(package)
    spikes = Spikes.of({unit: recorded.train(unit) for unit in decoder.input.ch_names})
    session, words = unseen.sessions[0], unseen.spec.modality("choice").classes
    wheel, choice = decoder.parts["wheel_speed"], decoder.parts["choice"]
    true, said, right = [], [], 0
    took: list[float] = []
    for k, trial in enumerate(unseen.trial):
        out, seconds = decode_trial(decoder, spikes, float(session.start_s[trial]), unseen.spec.n_bins)
        was = words[int(unseen.values(0, "choice", np.array([k]))[0])]
        likely = int(out[choice, -1].argmax())
        true.append(unseen.values(0, "wheel_speed", np.array([k]))[0, :, 0])
        said.append(out[wheel][0])
        right, took = right + (words[likely] == was), took + seconds
        print(f"trial {trial:3d}  {words[likely]:<5} {out[choice, -1][likely]:4.0%}  was {was}")
    error = np.nanmean((np.array(said) - np.array(true)) ** 2) / np.nanvar(np.array(true))
    print(f"choice: {right} of {len(said)} right")
    print(f"wheel speed: R2 {1 - error:.2f}")
    print(f"{PIECE_S * 1e3:g} ms of spikes took {np.median(took) * 1e3:.1f} ms")


if __name__ == "__main__":
    main()
