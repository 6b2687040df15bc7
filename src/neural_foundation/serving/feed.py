"""A stream that the server takes in by itself: a source is read, decoded, and its decisions go to outlets and pages."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.stream import Chunk
from ..realtime.outlets import parse_outlet
from ..realtime.sources import parse_source
from . import protocol
from .auth import Principal
from .connection import Answer, Connection
from .counting import Counting
from .hello import Hello
from .registry import DELAY_EDGES_S, OWN, Open

if TYPE_CHECKING:
    from .app import Service

log = logging.getLogger(__name__)
OWNER = Principal(OWN, frozenset(), "open")
WAIT_S = 0.5


class Feed:
    """One source, opened when made; `start` reads it in a thread of its own until it ends or `stop` is called.

    Raises
    ------
    StreamError, SignalMismatchError, MissingExtraError, SpecError : the source or an outlet cannot be opened, or the
    source is not what the model expects.
    """

    def __init__(self, service: Service, source: str, outlets: tuple[str, ...], task: str = "") -> None:
        self.service, self._open = service, ExitStack()
        with ExitStack() as opened:
            model = service.models[task]
            self.source = opened.enter_context(parse_source(source).open())
            self.connection = Connection(model, Hello(signal=self.source.signal), OWN, service.settings.limits)
            rate = 1 / model.hop_s
            self.outlets = [opened.enter_context(parse_outlet(o).open(model.classes, rate)) for o in outlets]
            self._open = opened.pop_all()
        self.there = Open(self.connection, OWNER)
        self._counts = Counting(service.metrics, self.connection)
        self._stopping, self._thread = threading.Event(), threading.Thread(target=self._run, daemon=True)

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin to read; what watches is told on the event loop."""
        self._loop = loop
        self.service.registry.open[self.connection.name] = self.there
        self._counts.opened(resumed=False)
        self._thread.start()

    def stop(self) -> None:
        """Stop reading, and close source and outlets."""
        self._stopping.set()
        self._thread.join()
        self._open.close()

    def _run(self) -> None:
        why = "ended"
        try:
            while not self._stopping.is_set() and not self.source.ended:
                chunk = self.source.read(WAIT_S)
                if chunk is not None:
                    self._take(chunk)
        except Exception:  # of a library's too: the thread ends, and it is told
            why = "failed"
            log.exception("source failed", extra={"event": "source_failed"})
        log.info("source ended: %s", self.source.reason or why, extra={"event": "source_ended"})
        self._counts.closed(why)
        with contextlib.suppress(RuntimeError):  # the loop has ended before
            self._loop.call_soon_threadsafe(self._gone)

    def _gone(self) -> None:
        self.there.left.set()
        self.service.registry.open.pop(self.connection.name, None)

    def _take(self, chunk: Chunk) -> None:
        began, first = time.perf_counter(), self.connection.n_tokens
        answer = self.connection.decoded(chunk, began, 0)
        stepped = time.perf_counter()
        self._put_out(answer, first)
        took = time.perf_counter() - began
        self._counts.block(chunk.values.nbytes, answer, stepped - began, took)
        self._loop.call_soon_threadsafe(self._tell, answer, took)

    def _put_out(self, answer: Answer, first: int) -> None:
        rows: Any = answer.rows if answer.rows is not None and self.outlets else ()
        for i, row in enumerate(rows):
            sfreq = self.connection.signal.sfreq
            decision = protocol.decision(row, first + i, self.connection.model.classes, sfreq)
            stamp_s = self.source.stamp_of(decision.sample - 1)
            for outlet in self.outlets:
                outlet.put(decision, stamp_s)

    def _tell(self, answer: Answer, took_s: float) -> None:
        self.there.heard_s = time.monotonic()
        self.there.delays[np.searchsorted(DELAY_EDGES_S, took_s)] += 1
        for listener in self.there.listeners:
            listener(answer)
