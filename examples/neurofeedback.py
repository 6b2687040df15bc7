"""Close the loop: decoder -> feedback -> a simulated brain that learns from it -> decoder; beside it, sham feedback.

    python examples/neurofeedback.py [FOLDER] [PEOPLE] [MINUTES]

Each simulated person is trained twice: with the feedback of their own decoder, and with that of somebody else's
session (sham, yoked). Some people cannot learn at all, and here it is known who. Everything is simulated: the loop is
real, the learning is a model (see neural_foundation.datasets.simulated.neurofeedback_brain).
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from neural_foundation.core.stream import Chunk
from neural_foundation.datasets.simulated.neurofeedback_brain import HOP_S, Brain, Person, person
from neural_foundation.metrics import bootstrap_mean
from neural_foundation.models.package import Package
from neural_foundation.pipeline.plan import make_plan
from neural_foundation.pipeline.recipe import load
from neural_foundation.pipeline.runner import run
from neural_foundation.realtime.sliding import SlidingDecoder

SEED = 7  # these people are not those of the calibration
REST_S = 60.0
Floats = NDArray[np.float64]


def decoder_of(folder: Path) -> SlidingDecoder:
    """Return the live decoder of the tiny recipe's first fold, with a decision every hop of the loop."""
    plan = make_plan(load("neurofeedback", tiny=True), folder)
    run(plan, stage="alpha")
    return SlidingDecoder(Package.open(plan.of_stage("alpha")[0].folder), hop_s=HOP_S)


def session(
    decoder: SlidingDecoder, who: Person, name: str, minutes: float, sham: Floats | None = None
) -> tuple[Floats, Floats]:
    """Return the alpha amplitude and the feedback shown, a value a hop: a minute of rest, then the training.

    sham : feedback to show in place of the decoder's.
    """
    brain = Brain(who, SEED, name, sfreq=decoder.input.sfreq)
    up, state, seen = decoder.classes.index("up"), decoder.start(), 0
    rest, hops = round(REST_S / HOP_S), round((REST_S + 60 * minutes) / HOP_S)
    amplitude, shown = np.zeros(hops), np.full(hops, 0.5)
    for k in range(hops):
        feedback = None if k <= rest else float(shown[k - 1] if sham is None else sham[k - 1])
        values = brain.step(HOP_S, trying=k >= rest, feedback=feedback)
        out, state = decoder.step(Chunk.of(values, seen), state)
        seen += values.shape[1]
        if out.n_times and out.valid[-1]:
            shown[k] = out.values[up, -1]
        amplitude[k] = brain.amplitude
    return amplitude, shown


def gain_db(amplitude: Floats) -> float:
    """Return how far alpha in the last quarter of the training lies over that of the rest before it, dB."""
    level, rest = 20 * np.log10(amplitude), round(REST_S / HOP_S)
    return float(level[-(len(level) - rest) // 4 :].mean() - level[:rest].mean())


def told(name: str, gains: Floats) -> str:
    """Return one line on the gains of a group."""
    if not len(gains):
        return f"{name:<34} nobody"
    found = bootstrap_mean(gains, SEED)
    return f"{name:<34} {found.mean:+.1f} dB, 95 % interval {found.low:+.1f} to {found.high:+.1f} ({len(gains)} people)"


def main(folder: Path, people: int = 8, minutes: float = 5.0) -> None:
    """Train everybody twice and print the gain of alpha in both arms."""
    decoder = decoder_of(folder)
    names = [f"person{k:02d}" for k in range(people)]
    who = [person(SEED, name) for name in names]
    own = [session(decoder, w, f"{n} own", minutes) for w, n in zip(who, names, strict=True)]
    yoked = [own[(k + 1) % people][1] for k in range(people)]
    sham = [session(decoder, w, f"{n} sham", minutes, y) for w, n, y in zip(who, names, yoked, strict=True)]
    gains = np.array([[gain_db(a) for a, _ in arm] for arm in (own, sham)])
    learns = np.array([w.responds for w in who])
    print("Simulated people; alpha at the end of the training over alpha at rest:")
    for text, mask in (("responders", learns), ("non-responders", ~learns)):
        print(told(f"{text}, own feedback", gains[0, mask]))
        print(told(f"{text}, sham feedback", gains[1, mask]))
    print(told("everybody, own minus sham", gains[0] - gains[1]))


if __name__ == "__main__":
    given = sys.argv[1:]
    main(
        Path(given[0] if given else "runs/neurofeedback"),
        *([int(given[1])] if given[1:] else []),
        *([float(given[2])] if given[2:] else []),
    )
