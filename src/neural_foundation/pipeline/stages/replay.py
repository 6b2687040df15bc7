"""replay: a held-out recording, raw, sample block by sample block through the exported decoder, as if it were live."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ...core.errors import DataError, did_you_mean, one_of
from ...core.specs import SignalSpec
from ...core.store import read_json, save_arrays, write_json
from ...core.stream import Chunk
from ...evaluation.scores import Predictions
from ...metrics import coherence
from ...models.package import Package
from ...realtime.decoder import StreamDecoder
from ...realtime.sliding import SlidingDecoder
from ...recordings import Session
from ...sampling.windows import apart, labelled
from ..stage import Job, Port, Stage
from .prepare import Prepared, raw_session
from .split import Fold


class Replay(Stage):
    """Stream a recording of somebody the package never saw; keep the decision's trace and each step's time."""

    kind: Literal["replay"] = "replay"
    subject: str = Field("held_out", description="whose recording; held_out: the first the package never saw")
    block_s: float = Field(0.1, gt=0, description="seconds of signal handed over at a time")

    takes = {"package": Port("Exported"), "data": Port("Prepared", many=True), "scores": Port("Scores", required=False)}
    gives: ClassVar[str] = "Replay"

    def run(self, job: Job) -> None:
        data = Prepared.of(job.inputs["data"])
        output = job.one("package")
        package = Package.open(output.folder)
        fold = Fold.model_validate(read_json(output.path("fold.json")))
        subject = self._subject(fold)
        job.subjects.add(subject)
        prepared, facts = data.of_subject(subject)[0]
        every = labelled([prepared.path("session.h5")], data.windows, data.classes, one_class="allow")
        windows = package.seen_of(every)
        kept = apart(windows.start, windows.n_times)
        windows = windows.select(kept)
        onsets = windows.start / windows.spec.sfreq
        trial = package.facts.model.context == "trial"
        with raw_session(prepared, facts) as session:
            decoder = live_decoder(package, session.signal.spec, onsets.tolist() if trial else ())
            probability, valid, seconds = stream(decoder, session, self.block_s, job)
            duration_s = session.signal.n_times / session.signal.spec.sfreq
        ends = decoder.token_ends(round(duration_s * windows.spec.sfreq))[: probability.shape[1]]
        at = np.searchsorted(ends, windows.start + _decided_after(decoder, windows.n_times))
        final = probability[:, at].T
        arrays = {
            "time_s": ends / windows.spec.sfreq,
            "probability": probability,
            "valid": valid,
            "onset_s": onsets,
            "end_s": onsets + windows.n_times / windows.spec.sfreq,
            "target": windows.target,
            "final": final,
        }
        save_arrays(job.folder / "trace.npz", arrays)
        save_arrays(job.folder / "latency.npz", {"seconds": seconds})
        job.measured.append("latency.npz")
        write_json(
            job.folder / "replay.json",
            {
                "subject": subject,
                "recording": facts["recording"],
                "classes": list(data.classes),
                "block_s": self.block_s,
                "hop": decoder.hop,
                "delay_s": decoder.lookahead_s,
                "coherence": _coherence(probability, _spans(ends, windows.start, at)),
                "accuracy": float(np.mean(final.argmax(1) == windows.target)),
                "largest_difference": _difference(job, subject, str(windows.session[0]), kept, final),
            },
        )

    def _subject(self, fold: Fold) -> str:
        if self.subject == "held_out":
            if not fold.test:
                raise DataError(
                    "The package saw everybody; nobody is held out to replay",
                    remedy="Name a subject, or fit on a split",
                )
            return fold.test[0]
        known = {*fold.train, *fold.validation, *fold.test}
        if self.subject not in known:
            raise DataError(
                f"No subject '{self.subject}'.{did_you_mean(self.subject, known)}", allowed=one_of(sorted(known))
            )
        return self.subject


def live_decoder(package: Package, signal: SignalSpec, resets_s: Sequence[float]) -> StreamDecoder | SlidingDecoder:
    """Return what decodes a package live: a network's step graph, or a model of whole windows on the latest one."""
    if package.whole_windows:
        return SlidingDecoder(package, signal, resets_s=resets_s)
    return StreamDecoder(package, signal, resets_s=resets_s)


def _decided_after(decoder: StreamDecoder | SlidingDecoder, n_times: int) -> int:
    """Return how many samples of a window of `n_times` are in when the decision about it falls."""
    return n_times if isinstance(decoder, SlidingDecoder) else n_times // decoder.hop * decoder.hop


def stream(
    decoder: StreamDecoder | SlidingDecoder, session: Session, block_s: float, job: Job
) -> tuple[NDArray[Any], NDArray[np.bool_], NDArray[Any]]:
    """Return probability (n_classes, n_tokens), validity (n_tokens,) and the seconds of each step (n_steps,)."""
    signal, state = session.signal, decoder.start()
    block = max(1, round(block_s * signal.spec.sfreq))
    starts = range(0, signal.n_times, block)
    values, valid, seconds = [], [], np.zeros(len(starts))
    raw, mask = signal.read(), signal.valid(0, signal.n_times)
    for i, at in enumerate(starts):
        chunk = Chunk(raw[:, at : at + block], mask[at : at + block], at)
        began = time.perf_counter()
        out, state = decoder.step(chunk, state)
        seconds[i] = time.perf_counter() - began
        values.append(out.values)
        valid.append(out.valid)
        if i % 100 == 0:
            job.progress(i, len(starts), f"live: {at / signal.spec.sfreq:.0f} s of {session.session_id}")
    rest = decoder.flush(state)
    return np.concatenate([*values, rest.values], 1), np.concatenate([*valid, rest.valid]), seconds


def _coherence(probability: NDArray[Any], spans: list[tuple[int, int]]) -> float:
    """Return the mean coherence within trials; of the whole trace where a trial has one decision."""
    within = [coherence(probability[:, i : j + 1].argmax(0)) for i, j in spans if j > i]
    return float(np.mean(within)) if within else coherence(probability.argmax(0))


def _spans(ends: NDArray[np.int64], starts: NDArray[np.int64], at: NDArray[np.int64]) -> list[tuple[int, int]]:
    return [(int(i), int(j)) for i, j in zip(np.searchsorted(ends, starts, side="right"), at, strict=True)]


def _difference(job: Job, subject: str, session: str, kept: NDArray[np.int64], final: NDArray[Any]) -> float | None:
    """Return the largest difference between streamed and evaluated probabilities; None without an evaluation."""
    if not job.inputs.get("scores"):
        return None
    source = Package.open(job.one("package").folder).facts.name
    evaluated = Predictions.load(job.one("scores").path(f"predictions-{source}.npz"))
    mine = evaluated.pick((evaluated.subject == subject) & (evaluated.session == session))
    return float(np.abs(mine.probability[kept] - final).max())
