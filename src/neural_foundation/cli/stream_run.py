"""What `stream` does: blocks of a source go to a server or a decoder here; what comes back is counted."""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.errors import SignalMismatchError
from ..core.specs import SignalSpec
from ..core.stream import Chunk
from ..realtime.decision import LiveDecision
from ..realtime.outlets.base import OpenOutlet, Outlet
from ..realtime.sources.base import OpenSource, Source

if TYPE_CHECKING:
    from ..serving.client import Client

WAIT_S = 0.25  # between two looks at whether it shall stop
ANSWER_S = 30.0  # for the last answers, after the end was sent


@dataclass(frozen=True)
class Job:
    """What the options ask for. source : None for the simulator as the model expects it, with `settings`."""

    url: str
    package: Path | None
    task: str
    source: Source | None
    settings: dict[str, Any]
    seconds: float | None
    connections: int
    key: str | None
    outlets: tuple[Outlet, ...] = ()


@dataclass
class Found:
    """What happened. latencies_s : of blocks that completed a token, from sending to the decision."""

    where: str
    classes: tuple[str, ...] = ()
    sfreq: float = 1.0
    connections: int = 1
    blocks: int = 0
    samples: int = 0
    decisions: int = 0
    lost: int = 0
    reordered: int = 0
    invalid: int = 0
    abstained: int = 0
    resumed: int = 0
    seconds: float = 0.0
    latencies_s: list[float] = field(default_factory=list)
    said: Counter[str] = field(default_factory=Counter)
    last: LiveDecision | None = None
    notes: list[str] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    measured_sfreq: float | None = None
    _next: dict[int, int] = field(default_factory=dict)

    def take(self, connection: int, decision: LiveDecision) -> None:
        """Count a decision, and whether it follows on the one before it."""
        step = decision.token - self._next.get(connection, 0)
        self.lost, self.reordered = self.lost + max(step, 0), self.reordered + (step < 0)
        self._next[connection] = max(decision.token + 1, self._next.get(connection, 0))
        self.decisions += 1
        self.invalid += not decision.valid
        self.abstained += decision.decision is None
        self.said[decision.decision or ""] += 1
        self.last = decision

    def sent(self, chunk: Chunk) -> None:
        """Count a block."""
        self.blocks, self.samples = self.blocks + 1, self.samples + chunk.n_times

    def finish(self, source: OpenSource, began_s: float) -> Found:
        """Take what the source knows of itself, and the time."""
        from dataclasses import asdict

        self.seconds = time.perf_counter() - began_s
        self.counts, self.measured_sfreq = asdict(source.counts), source.measured_sfreq
        self.notes += source.counts.notes()
        rate, declared = self.measured_sfreq, source.signal.sfreq
        if rate is not None and abs(rate / declared - 1) > 0.01:
            self.notes.append(f"the source gives {rate:.1f} samples a second, but says {declared:g}")
        return self


Show = Callable[[Found, float], None]  # what there is so far, and for how long nothing came


def run(job: Job, show: Show) -> Found:
    """Do the job until its source ends, `seconds` are over or Ctrl-C is pressed."""
    if job.package is not None:
        with stopping() as stop:
            return here(job, job.package, stop, show)
    return asyncio.run(through_server(job, show))


@contextmanager
def stopping() -> Iterator[threading.Event]:
    """Give an event that Ctrl-C sets, so that what was found until then is still told; a second one interrupts."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def asked(number: int, frame: Any) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    before = signal.signal(signal.SIGINT, asked)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before)


def here(job: Job, package: Path, stop: threading.Event, show: Show) -> Found:
    """Decode in this process."""
    from threadpoolctl import threadpool_limits

    from ..realtime.live_model import LiveModel
    from ..realtime.sources.decoding import Decoding, hand_out
    from ..serving.models import package_folder

    model = LiveModel.open(package_folder(package))
    spec = job.source or simulator_for(model.facts.raw, job)
    with ExitStack() as stack:
        source = stack.enter_context(spec.open())
        outlets = [stack.enter_context(o.open(model.classes, 1 / model.hop_s)) for o in job.outlets]
        decoding = Decoding(model, source)
        threadpool_limits(1)  # as a server does
        found = Found("here", model.classes, source.signal.sfreq)
        began = time.perf_counter()
        for chunk in blocks(source, job.seconds, stop):
            if chunk is not None:
                found.sent(chunk)
                decisions = decoding.take(chunk)
                if decisions:
                    found.latencies_s.append(decoding.step_s)
                for decision in hand_out(decisions, source, outlets):
                    found.take(0, decision)
            show(found, source.stalled_s)
        for decision in hand_out(decoding.flush(), source, outlets):
            found.take(0, decision)
        return found.finish(source, began)


def blocks(source: OpenSource, seconds: float | None, stop: threading.Event) -> Iterator[Chunk | None]:
    """Yield what a source gives, None where it gives nothing for a while, until it ends or shall stop."""
    most = float("inf") if seconds is None else round(seconds * source.signal.sfreq)
    while not (source.ended or stop.is_set()):
        chunk = source.read(WAIT_S)
        if chunk is not None and chunk.start + chunk.n_times > most:
            n = max(0, int(most) - chunk.start)
            chunk = Chunk(chunk.values[:, :n], chunk.valid[:n], chunk.start)
            if n:
                yield chunk
            return
        yield chunk


async def through_server(job: Job, show: Show) -> Found:
    """Send every block over all the connections, and count what comes back."""
    with stopping() as stop:
        async with AsyncExitStack() as stack:
            source = None if job.source is None else stack.enter_context(await asyncio.to_thread(job.source.open))
            clients = await _connected(job, source, stack)
            if source is None:
                expected = clients[0].welcome["signal"]
                spec = simulator_for(SignalSpec(**expected), job)
                source = stack.enter_context(await asyncio.to_thread(spec.open))
            rate = 1 / clients[0].welcome["hop_s"]
            outlets = [stack.enter_context(o.open(clients[0].classes, rate)) for o in job.outlets]
            found = Found(job.url, clients[0].classes, source.signal.sfreq, len(clients))
            return await _sent_and_counted(found, clients, source, outlets, job.seconds, stop, show)


async def _connected(job: Job, source: OpenSource | None, stack: AsyncExitStack) -> list[Client]:
    from ..serving.client import connect

    told = None if source is None else source.signal
    opened = (connect(job.url, task=job.task, signal=told, key=job.key) for _ in range(job.connections))
    return [await stack.enter_async_context(c) for c in opened]


async def _sent_and_counted(
    found: Found,
    clients: list[Client],
    source: OpenSource,
    outlets: list[OpenOutlet],
    seconds: float | None,
    stop: threading.Event,
    show: Show,
) -> Found:
    began = time.perf_counter()
    counting = [asyncio.create_task(_counted(found, i, c, source, outlets)) for i, c in enumerate(clients)]
    failed: asyncio.Future[Any] = asyncio.gather(*counting)
    sending = asyncio.create_task(_all_sent(found, clients, source, seconds, stop, show))
    both: set[asyncio.Future[Any]] = {sending, failed}
    await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
    if failed.done() and not sending.done():
        stop.set()
        with suppress(Exception):
            await sending
    else:
        await sending
    await asyncio.wait_for(failed, ANSWER_S)
    found.latencies_s = [seconds for client in clients for seconds in client.latencies_s]
    for client in clients:
        found.resumed += client.resumed
        found.notes += [str(n.get("message", n)) for n in client.notices]
    return found.finish(source, began)


async def _all_sent(
    found: Found,
    clients: list[Client],
    source: OpenSource,
    seconds: float | None,
    stop: threading.Event,
    show: Show,
) -> None:
    """Read in a thread of its own, so that the sockets are served while the source is waited for."""
    loop = asyncio.get_running_loop()
    most = int(clients[0].welcome.get("limits", {}).get("block_samples", 0)) or None
    with ThreadPoolExecutor(1, thread_name_prefix="source") as pool:
        coming = blocks(source, seconds, stop)
        while (chunk := await loop.run_in_executor(pool, next, coming, stop)) is not stop:
            for part in _parts(chunk, most):
                found.sent(part)
                valid = None if part.valid.all() else part.valid
                for client in clients:
                    await client.send(part.values, valid=valid, start=part.start)
            _live(found, clients)
            show(found, source.stalled_s)
    for client in clients:
        await client.end()


def _parts(chunk: Any, most: int | None) -> Iterator[Chunk]:
    """Yield a chunk in pieces that the server takes; a long gap's invalid samples come as one."""
    if not isinstance(chunk, Chunk):
        return
    step = most or max(chunk.n_times, 1)
    for at in range(0, chunk.n_times, step):
        stop = at + step
        yield Chunk(chunk.values[:, at:stop], chunk.valid[at:stop], chunk.start + at)


def _live(found: Found, clients: list[Client]) -> None:
    found.latencies_s = clients[0].latencies_s[-200:]  # for the live line alone; all of them are taken at the end


async def _counted(
    found: Found, connection: int, client: Client, source: OpenSource, outlets: list[OpenOutlet]
) -> None:
    from ..realtime.sources.decoding import hand_out

    async for decision in client.decisions():
        found.take(connection, decision)
        if connection == 0:
            hand_out([decision], source, outlets)


def simulator_for(expected: SignalSpec, job: Job) -> Source:
    """Return the simulator with the channels and rate that a model expects; SignalMismatchError where it has none."""
    from ..datasets.simulated.head import MONTAGES
    from ..realtime.sources.simulated import Simulated

    channels = next((n for n, names in MONTAGES.items() if tuple(names) == tuple(expected.ch_names)), None)
    if channels is None or expected.sfreq != int(expected.sfreq):
        raise SignalMismatchError(
            f"The simulator has no signal of {expected.n_chans} such channels at {expected.sfreq:g} Hz",
            remedy="Give --source of what the model expects: a recording, LSL, a board, simulated:sleep",
        )
    fields = {"channels": channels, "sfreq": int(expected.sfreq), "seconds": job.seconds, **job.settings}
    return Simulated.model_validate(fields)
