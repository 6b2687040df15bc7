"""Send signal to a decoding server and take its decisions as they come.

neural-foundation serve runs/quickstart          # in one terminal
python examples/stream_to_a_server.py ws://localhost:8080
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from neural_foundation.realtime.decision import LiveDecision
from neural_foundation.serving.client import Client, connect


async def decisions(url: str, blocks: Iterable[NDArray[np.float32]], key: str | None = None) -> list[LiveDecision]:
    """Return the decisions on blocks (n_chans, n_times), volts, sent while answers come."""
    try:
        async with connect(url, key=key) as client, asyncio.TaskGroup() as tasks:
            tasks.create_task(send(client, blocks))
            return [decision async for decision in client.decisions()]
    except BaseExceptionGroup as failed:  # sending or listening: the first to fail ends both
        raise failed.exceptions[0] from None


async def send(client: Client, blocks: Iterable[NDArray[np.float32]]) -> None:
    for block in blocks:
        await client.send(block)
    await client.end()


async def main(url: str) -> None:
    async with connect(url) as client:  # only to hear what the model expects
        n_chans, sfreq = len(client.welcome["signal"]["ch_names"]), client.sfreq
    noise = np.random.default_rng(0).standard_normal((n_chans, round(10 * sfreq))).astype(np.float32) * 1e-5
    step = round(0.1 * sfreq)
    for decision in await decisions(url, [noise[:, i : i + step] for i in range(0, noise.shape[1], step)]):
        print(f"{decision.time_s:6.1f} s  {decision.decision}  {max(decision.probability.values()):.2f}")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "ws://localhost:8080"))
