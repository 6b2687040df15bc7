"""The server: what a socket adds to a step, how many streams it carries, and what a crowd at the door does to them.

    python benchmarks/serving.py                 # about 4 minutes
    python benchmarks/serving.py --seconds 300   # the crowd for 5 minutes, as in the docs
    python benchmarks/serving.py --only memory --seconds 840   # a few streams for long, and the server's memory

The package of live_step.py: 64 channels at 1 kHz, under 1M parameters. The server is a process of its own; so is the
load. A round trip is timed on a thread that does nothing else, in turns with the same step in this process and with an
echo of the same bytes by the same uvicorn. Blocks of 20 ms are sent in real time, each answered. Delays are the
client's: from `send` to the answer. Watch the load: on a busy machine the tails say how busy it is.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np

SFREQ, CHANS, BLOCK_S, PAUSE_S = 1000, 64, 0.02, 0.0
RNG = np.random.default_rng(0)
SIGNAL = (RNG.standard_normal((CHANS, 60 * SFREQ)) * 1e-5).astype(np.float32)
ECHO = """
async def app(scope, receive, send):
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 404, "headers": []})
        await send({"type": "http.response.body"})
        return
    while True:
        message = await receive()
        if message["type"] == "websocket.connect":
            await send({"type": "websocket.accept"})
        elif message["type"] == "websocket.receive":
            await send({"type": "websocket.send", "bytes": message["bytes"][:64]})
        elif message["type"] in ("websocket.disconnect", "lifespan.shutdown"):
            return
        elif message["type"] == "lifespan.startup":
            await send({"type": "lifespan.startup.complete"})
"""


class Process:
    """A server of some command, until the block ends."""

    def __init__(self, command: list[str], port: int, path: str) -> None:
        self.port = port
        environment = dict(os.environ)
        self.process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        for _ in range(300):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=1).read()
                return
            except urllib.error.HTTPError:
                return
            except OSError:
                time.sleep(0.1)
        raise RuntimeError("the server did not start")

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *error: object) -> None:
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def memory_mb(self) -> float:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0]) / 1024


def free_port() -> int:
    import socket

    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def server(folder: Path, connections: int) -> Process:
    port = free_port()
    command = [sys.executable, "-m", "neural_foundation.cli", "serve", str(folder), "--port", str(port)]
    return Process([*command, "--connections", str(connections)], port, "/v2/health/ready")


def echo(folder: Path) -> Process:
    (folder / "echo_app.py").write_text(ECHO)
    port = free_port()
    options = ["--ws", "websockets-sansio", "--ws-per-message-deflate", "false", "--log-level", "critical"]
    command = [sys.executable, "-m", "uvicorn", "echo_app:app", "--app-dir", str(folder), "--port", str(port), *options]
    return Process(command, port, "/")


def _answers(message: bytes | str) -> bool:
    """Whether a frame is decisions; acknowledgements and notices come between."""
    return isinstance(message, bytes) and message[1] == 16


async def trips(port: int, path: str, frames: list[bytes], hello: bool) -> list[float]:
    """Return the seconds of each round trip, one at a time."""
    from websockets.asyncio.client import connect

    took = []
    async with connect(f"ws://127.0.0.1:{port}{path}", compression=None, max_size=None) as socket:
        if hello:
            await socket.send('{"type": "hello", "answer": "block"}')
            await socket.recv()
        for frame in frames:
            began = time.perf_counter()
            await socket.send(frame)
            while hello and not _answers(await socket.recv()):
                pass
            if not hello:
                await socket.recv()
            took.append(time.perf_counter() - began)
            await asyncio.sleep(PAUSE_S)
    return took


def steps(decoder: Any, blocks: list[np.ndarray]) -> list[float]:
    from neural_foundation.core.stream import Chunk

    state, at, took = decoder.start(), 0, []
    for block in blocks:
        began = time.perf_counter()
        _, state = decoder.step(Chunk.of(block, at), state)
        took.append(time.perf_counter() - began)
        at += block.shape[1]
        time.sleep(PAUSE_S) if PAUSE_S else None
    return took


def steps_of(port: int) -> tuple[float, float]:
    """Return the seconds that the server has spent in steps so far, and their number, as its metrics tell them."""
    text = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5).read().decode()
    lines = [line for line in text.splitlines() if line.startswith("neural_foundation_step_seconds_")]
    seconds, count = (sum(float(line.split()[-1]) for line in lines if part in line) for part in ("_sum", "_count"))
    return seconds, count


def frames_of(blocks: list[np.ndarray]) -> list[bytes]:
    from neural_foundation.serving import protocol

    at, out = 0, []
    for i, block in enumerate(blocks):
        out.append(protocol.samples(block, sequence=i + 1, start=at))
        at += block.shape[1]
    return out


def round_trip(folder: Path) -> None:
    """Print the step, the echo and the round trip, in turns, medians over the rounds."""
    from neural_foundation.realtime.live_model import LiveModel

    decoder, n = LiveModel.open(folder).decoder(), SFREQ // 10
    blocks = [SIGNAL[:, i * n : (i + 1) * n] for i in range(400)]
    frames, rounds, inside, woken = frames_of(blocks), [], [], []
    with server(folder, 4) as served, echo(folder) as echoed:
        for _ in range(5):
            alone = steps(decoder, blocks)[50:]
            bare = asyncio.run(trips(echoed.port, "/", frames, False))[50:]
            before = steps_of(served.port)
            whole = asyncio.run(trips(served.port, "/v1/stream", frames, True))
            seconds, count = np.subtract(steps_of(served.port), before)
            inside.append(1e3 * (np.mean(whole) - seconds / count))
            woken.append(1e3 * seconds / count)
            whole = whole[50:]
            rounds.append([1e3 * float(np.percentile(x, p)) for x in (alone, bare, whole) for p in (50, 99)])
    step, step99, bare, bare99, whole, whole99 = np.median(rounds, 0)
    overhead = [r[4] - r[0] for r in rounds]
    print("One block of 100 ms (a token), 64 channels at 1 kHz, ms:        p50    p99")
    print(f"  live step in process                                      {step:6.3f} {step99:6.3f}")
    print(f"  WebSocket echo of the same bytes                          {bare:6.3f} {bare99:6.3f}")
    print(f"  round trip through the server                             {whole:6.3f} {whole99:6.3f}")
    print(
        f"  the server's overhead over the step: p50 {statistics.median(overhead):.3f} ms "
        f"({min(overhead):.3f} to {max(overhead):.3f} over {len(rounds)} rounds), {whole / step:.2f} times the step"
    )
    print(
        f"  the step as the server takes it, woken for each block: mean {statistics.median(woken):.3f} ms; "
        f"mean overhead over it {statistics.median(inside):.3f} ms ({min(inside):.3f} to {max(inside):.3f})"
    )


async def stream(port: int, seconds: float, offset: float, delays: list[float], lost: list[int]) -> None:
    """One client in real time: a block every 20 ms, each answered; what is missing or out of order is noted."""
    from websockets.asyncio.client import connect

    from neural_foundation.serving import protocol

    n = round(BLOCK_S * SFREQ)
    sent: dict[int, float] = {}
    async with connect(f"ws://127.0.0.1:{port}/v1/stream", compression=None, max_size=None) as socket:
        await socket.send('{"type": "hello", "answer": "block"}')
        await socket.recv()
        count = round(seconds / BLOCK_S)

        async def read() -> None:
            expected, token = 1, 0
            while expected <= count:
                message = await socket.recv()
                if not _answers(message):
                    continue
                frame = protocol.unpack(message)
                delays.append(time.perf_counter() - sent.pop(frame.sequence))
                lost.append((frame.sequence != expected) + (frame.start != token))
                expected, token = frame.sequence + 1, frame.start + frame.count

        async def send() -> None:
            begin = time.perf_counter() + offset
            for i in range(count):
                await asyncio.sleep(max(0.0, begin + i * BLOCK_S - time.perf_counter()))
                at = (i * n) % (SIGNAL.shape[1] - n)
                frame = protocol.samples(SIGNAL[:, at : at + n], sequence=i + 1, start=i * n)
                sent[i + 1] = time.perf_counter()
                await socket.send(frame)

        async with asyncio.TaskGroup() as group:
            group.create_task(read())
            group.create_task(send())


async def crowd(port: int, connections: int, seconds: float) -> dict[str, Any]:
    delays: list[float] = []
    lost: list[int] = []
    began = time.perf_counter()
    tasks = [stream(port, seconds, i * BLOCK_S / connections, delays, lost) for i in range(connections)]
    failed = [r for r in await asyncio.gather(*tasks, return_exceptions=True) if r is not None]
    ms = 1e3 * np.array(delays or [np.nan])
    return {
        "connections": connections,
        "blocks": len(delays),
        "wanted": connections * round(seconds / BLOCK_S),
        "lost": int(sum(lost)),
        "failed": len(failed),
        "seconds": time.perf_counter() - began,
        **{f"p{p}": float(np.percentile(ms, p)) for p in (50, 95, 99)},
        "max": float(ms.max()),
    }


def told(r: dict[str, Any]) -> str:
    whole = r["blocks"] == r["wanted"] and not r["lost"] and not r["failed"]
    what = "nothing lost or reordered" if whole else f"{r['wanted'] - r['blocks']} lost, {r['lost']} out of order"
    return (
        f"{r['connections']:4d} connections  p50 {r['p50']:6.2f}  p95 {r['p95']:6.2f}  p99 {r['p99']:7.2f}  "
        f"max {r['max']:7.1f} ms  {what}"
    )


def load(port: int, connections: int, seconds: float) -> subprocess.Popen[str]:
    """Start the load in a process of its own; it prints its result as JSON."""
    command = [sys.executable, __file__, "--load", f"{port},{connections},{seconds}"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def result(process: subprocess.Popen[str]) -> dict[str, Any]:
    out, _ = process.communicate()
    found: dict[str, Any] = json.loads(out.splitlines()[-1])
    return found


def thirty(folder: Path, seconds: float) -> None:
    """Print 30 streams in real time, undisturbed and then with 300 more at the door; memory before and after."""
    print(f"Blocks of 20 ms in real time, {seconds:g} s:")
    with server(folder, 30) as served:
        print(f"  {told(result(load(served.port, 30, min(seconds, 20))))}  (warm-up)")
        before = served.memory_mb()
        print(f"  {told(result(load(served.port, 30, seconds)))}")
        print(f"  memory of the server: {before:.0f} MB before, {served.memory_mb():.0f} MB after")
        inside = load(served.port, 30, 30)
        time.sleep(5)
        surplus = result(load(served.port, 300, 10))
        asked = f"while 300 more asked: {surplus['failed']} refused, {surplus['blocks']} blocks let in"
        print(f"  {told(result(inside))}  {asked}")


def memory(folder: Path, seconds: float, connections: int = 12) -> None:
    """Print the memory of the server each minute while streams run; their states are full after 7 minutes."""
    print(f"Memory of the server with {connections} streams:")
    with server(folder, connections) as served:
        began, streams = time.monotonic(), load(served.port, connections, seconds)
        while streams.poll() is None:
            print(f"  {time.monotonic() - began:6.0f} s  {served.memory_mb():7.1f} MB", flush=True)
            with contextlib.suppress(subprocess.TimeoutExpired):
                streams.wait(timeout=60)
        print(f"  {told(result(streams))}")


def capacity(folder: Path) -> None:
    """Print how many streams there can be with p99 below the duration of a block."""
    print("Capacity, 15 s each (one process; the load runs beside it):")
    with server(folder, 400) as served:
        for n in (30, 40, 50, 60, 80, 100, 150, 200):
            found = result(load(served.port, n, 15))
            print(f"  {told(found)}")
            if found["p99"] > 1e3 * BLOCK_S or found["failed"]:
                return


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--load", help=argparse.SUPPRESS)
    parser.add_argument("--only", choices=("trip", "thirty", "memory", "capacity"))
    options = parser.parse_args()
    if options.load:
        port, connections, seconds = options.load.split(",")
        print(json.dumps(asyncio.run(crowd(int(port), int(connections), float(seconds)))))
        return
    from live_step import package

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        package(folder)
        if options.only in (None, "trip"):
            round_trip(folder)
        if options.only in (None, "thirty"):
            thirty(folder, options.seconds)
        if options.only == "memory":
            memory(folder, options.seconds)
        if options.only in (None, "capacity"):
            capacity(folder)


if __name__ == "__main__":
    main()
