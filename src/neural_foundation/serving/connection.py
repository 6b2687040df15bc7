"""One stream of one client: frames in, frames out, and all of its state; it knows nothing of sockets.

Shapes: C channels, n samples, K classes, T tokens. What a connection answers depends on the frames alone, in their
order, so a connection that goes on from a saved state gives what it would have given.
"""

from __future__ import annotations

import random
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from ..core.errors import StreamError
from ..core.stream import Chunk, State, load_state, save_state
from ..realtime.adaptation import AdaptingDecoder
from ..realtime.adaptation_journal import Journal
from ..realtime.decoder import LiveDecoder
from ..realtime.live_model import LiveModel
from ..realtime.live_stream import LiveStream, Tokens
from ..realtime.watch import Alarm, Watch
from . import protocol
from .hello import Hello
from .protocol import Frame, ProtocolError
from .settings import Limits

FORMAT_VERSION = 1
REMEMBERED = 4096  # decisions that feedback can still speak of, and that a client can still be told again


@dataclass(slots=True)
class Answer:
    """What one frame led to: frames to send back, and what those who watch want to know."""

    frames: list[bytes | str] = field(default_factory=list)
    rows: NDArray[Any] | None = None
    values: NDArray[np.float32] | None = None
    alarms: tuple[Alarm, ...] = ()
    feedback: bool | None = None
    updates: tuple[str, ...] = ()
    ended: bool = False


class Connection:
    """A stream that is being decoded.

    `name` is public, `secret` is what its client proves with that it may go on; of the secret only a hash is kept.
    `owner` : the principal it belongs to. `journal` : the folder in which its adaptation, if any, is written down.
    """

    def __init__(
        self, model: LiveModel, hello: Hello, owner: str, limits: Limits, journal: Path | None = None, name: str = ""
    ) -> None:
        if len(model.classes) > protocol.MOST_CLASSES:
            raise ProtocolError("task", f"{len(model.classes)} classes", allowed=f"up to {protocol.MOST_CLASSES}")
        self.model, self.hello, self.owner, self.limits = model, hello, owner, limits
        self.name, self.secret = name or secrets.token_urlsafe(9), secrets.token_urlsafe(24)
        self.secret_hash = sha256(self.secret.encode()).hexdigest()
        self._updates: list[str] = []
        self._journal: Journal | None = None
        decoder = self._adapting(journal) if hello.adapt else model.decoder(hello.signal)
        self.signal = decoder.input
        self.stream = LiveStream(decoder, model.facts.confidence, bridge_s=limits.gap_s, unsure=model.unsure)
        self.watch = Watch(model.facts, self.signal, phase=random.random())
        self.sequence, self.finished = 0, False
        self.failed = False  # by a fault of ours in the middle of a frame: this state is not to be kept
        self._rows = protocol.row_type(len(model.classes), unsure=model.unsure is not None)
        self._kept = bytearray(2 * REMEMBERED * self._rows.itemsize)  # rows; as much memory from the first on
        self._n_kept = 0
        self._most = max(1, round(limits.block_s * self.signal.sfreq))
        self._handlers: dict[int, Callable[[Frame, float], Answer]] = {
            protocol.SAMPLES: self._samples,
            protocol.RESET: self._reset,
            protocol.FEEDBACK: self._feedback,
            protocol.END: self._end,
        }

    def _adapting(self, folder: Path | None) -> LiveDecoder:
        if folder is not None:
            self._journal = Journal(folder / f"{self.name}.jsonl", self.model.digest)
        decoder = AdaptingDecoder(self.model, self.hello.signal, journal=self._journal, name=self.name)
        decoder.on_update = self._updates.append
        return decoder

    def close(self) -> None:
        """Let go of the journal."""
        if self._journal is not None:
            self._journal.close()

    @property
    def n_samples(self) -> int:
        return self.stream.n_samples

    @property
    def n_tokens(self) -> int:
        return self.stream.n_tokens

    @property
    def token(self) -> str:
        """What a client shows to go on with this connection."""
        return f"{self.name}.{self.secret}"

    def welcome(self) -> str:
        """Return the server's first frame."""
        model, limits = self.model, self.limits
        facts = {
            "type": "welcome",
            "format_version": protocol.FORMAT_VERSION,
            "connection": self.name,
            "resume": self.token,
            "next_sequence": self.sequence + 1,
            "n_samples": self.n_samples,
            "n_tokens": self.n_tokens,
            "task": model.task,
            "classes": model.classes,
            "signal": {"sfreq": self.signal.sfreq, "ch_names": self.signal.ch_names},
            "hop_s": model.hop_s,
            "lookahead_s": model.lookahead_s,
            **({"past_s": model.past_s} if model.past_s else {}),
            "context": model.facts.model.context,
            "limits": {"block_samples": self._most, "frame_bytes": limits.frame_bytes, "gap_s": limits.gap_s},
        }
        return orjson.dumps(facts).decode()

    def told_again(self, n_tokens: int) -> bytes | None:
        """Return the decisions from token `n_tokens` on, for a client that did not get them; None where there are none.

        ProtocolError where they are too old to be remembered.
        """
        missing = self.n_tokens - n_tokens
        if missing <= 0:  # after a crash the client can have more than the saved state: they are made again
            return None
        recent = self._recent
        if missing > len(recent):
            allowed = f"{self.n_tokens - len(recent)} or more: no older ones are remembered"
            raise ProtocolError("resume", f"The client has {n_tokens} tokens", allowed=allowed)
        return protocol.decisions(recent[-missing:], sequence=0, first=n_tokens)

    def take(self, frame: Frame, now_s: float) -> Answer:
        """Return the answer to a frame; ProtocolError, and nothing changed, where it may not come.

        A frame that came before (sent again after a break) is left out. `now_s` : any clock, for the watch on the rate.
        """
        handler = self._handlers.get(frame.type)
        if self.finished:
            raise ProtocolError("order", "A frame after END", remedy="Close the connection")
        if handler is None:
            names = ", ".join(f"{n} {k}" for k, n in protocol.FROM_CLIENT.items())
            raise ProtocolError("frame", f"Frame type {frame.type}", allowed=names)
        if frame.sequence <= self.sequence:
            return Answer()
        if frame.sequence != self.sequence + 1:
            raise ProtocolError(
                "sequence",
                f"Frame {frame.sequence} came after {self.sequence}",
                allowed=f"{self.sequence + 1}",
                remedy="Connect again with the resume token and send what is missing",
            )
        try:
            answer = handler(frame, now_s)
        except ProtocolError:
            raise
        except BaseException:
            self.failed = True
            raise
        self.sequence = frame.sequence
        if self._updates:
            answer.updates, self._updates[:] = tuple(self._updates), []
        return answer

    def _samples(self, frame: Frame, now_s: float) -> Answer:
        if not 0 < frame.count <= self._most:
            raise ProtocolError("size", f"A block of {frame.count} samples", allowed=f"1 to {self._most}")
        hello = self.hello
        values, valid = protocol.read_samples(frame, self.signal.n_chans, hello.dtype, hello.step)
        ok = np.ones(frame.count, np.bool_) if valid is None else valid
        return self.decoded(Chunk(values, ok, frame.start), now_s, frame.sequence)

    def decoded(self, chunk: Chunk, now_s: float, sequence: int) -> Answer:
        """Return the answer to samples (C, n); `chunk.start` counts from the first sample of the stream."""
        try:
            tokens = self.stream.take(chunk)
        except StreamError as error:
            raise ProtocolError("order", error.given, allowed=error.allowed) from None
        alarms = self.watch.block(chunk, now_s)
        answer = self._told(tokens, sequence)
        answer.values, answer.alarms = chunk.values, (*alarms, *answer.alarms)
        answer.frames += [notice(alarm) for alarm in answer.alarms]
        return answer

    def _told(self, tokens: list[Tokens], sequence: int, *, last: bool = False) -> Answer:
        """Return the answer that carries new tokens."""
        made = [self._as_rows(t) for t in tokens]
        rows = made[0] if len(made) == 1 else np.concatenate([np.zeros(0, self._rows), *made])
        alarms: list[Alarm] = []
        if len(rows):
            self._remember(rows)
        for row in rows:
            alarms += self.watch.decision(row["probability"], bool(row["valid"]))
        answer = Answer(rows=rows, alarms=tuple(alarms), ended=last)
        if len(rows) or last or self.hello.answer == "block":
            first = self.n_tokens - len(rows)
            answer.frames.append(protocol.decisions(rows, sequence=sequence, first=first, last=last))
        return answer

    def _remember(self, rows: NDArray[Any]) -> None:
        rows = rows[-REMEMBERED:]
        if self._n_kept + len(rows) > 2 * REMEMBERED:
            last = self._recent.tobytes()
            self._kept[: len(last)], self._n_kept = last, len(last) // self._rows.itemsize
        at = self._n_kept * self._rows.itemsize
        self._kept[at : at + rows.nbytes] = rows.tobytes()
        self._n_kept += len(rows)

    @property
    def _recent(self) -> NDArray[Any]:
        """The last decisions; good until the next ones are remembered."""
        first = max(0, self._n_kept - REMEMBERED)
        return np.frombuffer(self._kept, self._rows, self._n_kept - first, first * self._rows.itemsize)

    def _as_rows(self, tokens: Tokens) -> NDArray[Any]:
        rows = np.zeros(len(tokens), self._rows)
        rows["sample"], rows["valid"], rows["probability"] = tokens.sample, tokens.valid, tokens.probability.T
        if tokens.sets is not None:
            rows["set"] = protocol.bits(tokens.sets)
        if tokens.abstained is not None:
            rows["abstained"] = tokens.abstained
        if tokens.entropy is not None:
            rows["entropy"], rows["disagreement"] = tokens.entropy, tokens.disagreement
        return rows

    def _reset(self, frame: Frame, now_s: float) -> Answer:
        if frame.start != self.n_samples:
            raise ProtocolError("order", f"RESET at sample {frame.start}", allowed=f"{self.n_samples}, the next one")
        self.stream.reset()
        return Answer()

    def _feedback(self, frame: Frame, now_s: float) -> Answer:
        if frame.count >= len(self.model.classes):
            raise ProtocolError(
                "class", f"FEEDBACK of class {frame.count}", allowed=f"0 to {len(self.model.classes) - 1}"
            )
        if frame.start > self.n_samples:
            raise ProtocolError("order", f"FEEDBACK at sample {frame.start}", allowed=f"up to {self.n_samples}")
        recent = self._recent
        before = int(np.searchsorted(recent["sample"], frame.start, side="right"))
        said = int(recent["probability"][before - 1].argmax()) if before else None
        if self.hello.adapt:
            self.stream.feedback(frame.start, frame.count)
        return Answer(feedback=None if said is None else said == frame.count)

    def _end(self, frame: Frame, now_s: float) -> Answer:
        self.finished = True
        return self._told(self.stream.flush(), frame.sequence, last=True)

    def snapshot(self) -> bytes:
        """Return all of it as bytes; `Connection.restored` goes on from them, here or in another process."""
        head = {
            "format_version": FORMAT_VERSION,
            "name": self.name,
            "secret": self.secret_hash,
            "owner": self.owner,
            "digest": self.model.digest,
            "task": self.model.task,
            "hello": self.hello.model_dump(mode="json", exclude={"resume", "n_tokens"}),
        }
        state: State = {
            "head": np.frombuffer(orjson.dumps(head), np.uint8),
            "counts": np.array([self.sequence, *self.stream.counts], np.int64),
        }
        if self.sequence:  # before the first frame all is as it begins, and a state is a few hundred bytes
            state["recent"] = np.zeros(
                REMEMBERED * self._rows.itemsize, np.uint8
            )  # of one size: freed memory fits again
            state["recent"][: self._recent.nbytes] = self._recent.view(np.uint8)
            state |= {"decoder": self.stream.state, "watch": self.watch.state()}
        return save_state(state)

    @classmethod
    def restored(
        cls, saved: State, head: dict[str, Any], model: LiveModel, limits: Limits, journal: Path | None = None
    ) -> Connection:
        """Return the connection of an opened snapshot (`opened`); its secret stays the one its client has.

        StreamError where its decisions are of another form: of an ensemble, saved before they said how unsure it is.
        """
        made = cls(model, Hello.model_validate(head["hello"]), head["owner"], limits, journal, head["name"])
        made.secret, made.secret_hash = "", head["secret"]
        if "decoder" not in saved:
            return made
        if len(saved["recent"]) != REMEMBERED * made._rows.itemsize:
            raise StreamError("The state of a connection holds decisions of another form", remedy="Start a new one")
        made.sequence, *counts = (int(n) for n in saved["counts"])
        made.stream.go_on(saved["decoder"], counts)
        made._n_kept = min(made.n_tokens, REMEMBERED)
        made._kept[: len(saved["recent"])] = saved["recent"].tobytes()
        made.watch.restore(saved["watch"])
        return made


def notice(alarm: Alarm) -> str:
    """Return an alarm as the frame that tells a client of it."""
    told = {"type": "notice", "kind": alarm.kind, "what": alarm.what, "score": alarm.score, "at_s": alarm.at_s}
    return orjson.dumps(told).decode()


def opened(data: bytes) -> tuple[State, dict[str, Any]]:
    """Return a snapshot's state and head; StreamError where the bytes are none of this version."""
    saved = load_state(data)
    try:
        head: dict[str, Any] = orjson.loads(saved["head"].tobytes())
        version = head["format_version"]
    except (KeyError, TypeError, AttributeError, orjson.JSONDecodeError):
        raise StreamError("These bytes are not the state of a connection") from None
    if version != FORMAT_VERSION:
        raise StreamError(f"The state of a connection has format_version {version}", allowed=f"{FORMAT_VERSION}")
    return saved, head
