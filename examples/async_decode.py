"""Decode in an asyncio loop: an amplifier delivers, the decoder decides, and the loop stays free for others.

    python examples/async_decode.py [FOLDER]

The amplifier is played by a recording, 20 times as fast as it was.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

from tiny_model import tiny_model

from neural_foundation import NeuralDataLoader, NeuralFoundationModel

CHUNK_S, SPEED, SHOWN_S = 0.1, 20, 20


async def amplifier(recording: Path, queue: asyncio.Queue[Any]) -> None:
    """Put chunks of a recording into the queue at the pace of a clock, then None."""
    loader = NeuralDataLoader(data_path=recording, temporal_window=CHUNK_S)
    for number, chunk in enumerate(loader.stream()):
        if number * CHUNK_S >= SHOWN_S:
            break
        await queue.put(chunk)
        await asyncio.sleep(CHUNK_S / SPEED)
    await queue.put(None)


async def main(package: Path, recording: Path) -> None:
    """Decode what the amplifier delivers."""
    decoder = NeuralFoundationModel.from_pretrained(package).get_decoder("motor_imagery")
    queue: asyncio.Queue[Any] = asyncio.Queue()
    source = asyncio.create_task(amplifier(recording, queue))
    said = ""
    while (sample := await queue.get()) is not None:
        decision = await decoder.decode_sample(sample)
        if decision is not None and decision.label != said:
            said = decision.label
            print(f"{decision.sample / 250:5.1f} s  {said} ({decision.probability[said]:.2f})")
    await source
    print("The stream ended.")


if __name__ == "__main__":
    asyncio.run(main(*tiny_model(Path(sys.argv[1] if len(sys.argv) > 1 else "runs/examples"))))
