"""Move a cursor by imagined hands, in a closed loop: where it should have gone goes back in after each trial.

    python examples/cursor.py [FOLDER]              decode here, with the tiny quickstart's decoder under FOLDER
    python examples/cursor.py ws://127.0.0.1:8080   decode on a server, which gets the feedback too

The person is simulated, so the truth is known. The cursor moves with each decision, from the middle to an edge; after
a trial, its middle moves to halfway between what left and right trials gave so far (the decoder's bias).
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path

from neural_foundation.core.stream import Chunk
from neural_foundation.realtime.decision import LiveDecision
from neural_foundation.realtime.live_model import LiveModel
from neural_foundation.realtime.sources.base import OpenSource, Trial
from neural_foundation.realtime.sources.decoding import Decoding
from neural_foundation.realtime.sources.simulated import Simulated

PERSON = {"subject": "sim001", "trials": 20, "seconds": 126}
GAIN, WINDOW_START_S = 0.1, 0.5  # of the cursor; where the decoder's windows begin, after the cue


class Cursor:
    """Its place is -1 at the left edge, 1 at the right one; `middle` is learned from the trials that are over."""

    def __init__(self, source: OpenSource, classes: tuple[str, ...]) -> None:
        self.source, (self.left, self.right) = source, classes
        self.place = self.middle = 0.0
        self.given: dict[str, list[float]] = {name: [] for name in classes}
        self.hits: list[bool] = []
        self._trials = iter(source.trials(0, 1 << 62))
        self.trial: Trial | None = next(self._trials, None)

    def move(self, decision: LiveDecision) -> Trial | None:
        """Move by a decision; return the trial that is over with it."""
        trial = self.trial
        if trial is None or decision.sample <= trial.start + WINDOW_START_S * self.source.signal.sfreq:
            return None
        evidence = decision.probability[self.right] - decision.probability[self.left]
        self.given[trial.label].append(evidence)
        self.place = max(-1.0, min(1.0, self.place + GAIN * (evidence - self.middle)))
        if decision.sample < trial.stop and abs(self.place) < 1:
            return None
        self.trial = next(self._trials, None)
        return trial

    def feedback(self, trial: Trial) -> None:
        """Tell whether it was a hit, learn where the middle is, and go back there."""
        hit = (self.place > 0) == (trial.label == self.right)
        bar = "".join("o" if i == round(10 * self.place) else "." for i in range(-10, 11))
        print(f"{len(self.hits) + 1:3}  {trial.label:<10}  {bar}  {'hit' if hit else 'miss'}")
        self.hits.append(hit)
        means = [sum(g) / len(g) for g in self.given.values() if g]
        self.middle = sum(means) / 2 if len(means) == 2 else 0.0
        self.place = 0.0


def blocks(source: OpenSource) -> Iterator[tuple[Chunk, bool]]:
    """Yield the blocks of a source, and whether a trial's window begins with each."""
    offset = round(WINDOW_START_S * source.signal.sfreq)
    while not source.ended:
        chunk = source.read()
        if chunk is not None:
            first = chunk.start - offset
            yield chunk, bool(source.trials(first, first + chunk.n_times))


def play_here(package: Path) -> Cursor:
    """Decode in this process."""
    model = LiveModel.open(package)
    with Simulated(**PERSON, speed="max").open() as source:
        decoding, cursor = Decoding(model, source), Cursor(source, model.classes)
        for chunk, begins in blocks(source):
            if begins:
                decoding.reset()
            for decision in decoding.take(chunk):
                if (trial := cursor.move(decision)) is not None:
                    cursor.feedback(trial)
    return cursor


async def play_there(url: str) -> Cursor:
    """Decode on a server; 20 times as fast as life, so that the feedback is there before the next trial."""
    from neural_foundation.serving.client import connect

    with Simulated(**PERSON, speed=20).open() as source:
        async with connect(url, signal=source.signal) as client:
            cursor, over = Cursor(source, client.classes), asyncio.Event()

            async def listen() -> None:
                async for decision in client.decisions():
                    if (trial := cursor.move(decision)) is not None:
                        await client.feedback(decision.sample, trial.label)
                        cursor.feedback(trial)
                    if cursor.trial is None:
                        over.set()

            listening = asyncio.create_task(listen())
            coming = blocks(source)
            while (block := await asyncio.to_thread(next, coming, None)) is not None:
                chunk, begins = block
                if begins:
                    await client.reset()
                await client.send(chunk.values)
            await asyncio.wait_for(over.wait(), 10)  # the last feedback comes before the end
            await client.end()
            await listening
    return cursor


def main(where: str) -> None:
    """Play, and say how often the cursor went where it should."""
    if where.startswith(("ws://", "wss://", "http://", "https://")):
        cursor = asyncio.run(play_there(where))
    else:
        from tiny_model import tiny_model

        cursor = play_here(tiny_model(Path(where))[0])
    print(f"{sum(cursor.hits)} of {len(cursor.hits)} hits")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "runs/examples")
