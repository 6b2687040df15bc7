"""The quality of one recording: what `line_noise`, `drift`, `bad_channels` and `artefacts` would say of all of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..core.errors import SignalMismatchError
from ..core.specs import SignalSpec
from ..core.stream import Array, Chunk, Transducer
from ..recordings import Session, Signal, read
from .artefacts import KINDS, Artefacts
from .bad_channels import REASONS, BadChannels
from .blocks import eeg_of
from .drift import Drift

MAINS_HZ = (50.0, 60.0)
SEGMENT_S, CHUNK_BYTES = 2.0, 8 << 20


@dataclass(frozen=True)
class ChannelQuality:
    """One EEG channel: mains in dB by frequency (None where it cannot be told), seconds that it was bad by reason."""

    name: str
    line_db: dict[str, float | None]
    bad_s: dict[str, float]


@dataclass(frozen=True)
class Quality:
    """What one recording is worth; `json()` is it as plain values.

    duration_s : all of it; valid_s : what the file says can be trusted; usable_s : of that, what no artefact covers
    while at most half of the EEG channels are bad; usable : its share of the duration. artefacts : number of stretches
    by kind; artefact_s : their seconds. drift : largest score and times of the alarms, in seconds; None where the
    recording is shorter than the reference and one hop.
    """

    session_id: str
    duration_s: float
    valid_s: float
    usable_s: float
    usable: float
    channels: tuple[ChannelQuality, ...]
    artefacts: dict[str, int]
    artefact_s: dict[str, float]
    drift_score: float | None
    drift_alarms_s: tuple[float, ...]

    @property
    def bad_channels(self) -> dict[str, list[str]]:
        """Channel -> reasons, of channels that are bad for a tenth of the recording or more."""
        least = 0.1 * self.duration_s
        named = {c.name: [r for r, s in c.bad_s.items() if s >= least] for c in self.channels}
        return {name: reasons for name, reasons in named.items() if reasons}

    def json(self) -> dict[str, Any]:
        """Return it as JSON values, the bad channels among them."""
        plain: dict[str, Any] = asdict(self)
        return {**plain, "bad_channels": self.bad_channels}


def quality(
    recording: Session | Signal | str | Path,
    *,
    mains_hz: float = 50.0,
    artefacts: Artefacts | None = None,
    drift: Drift | None = None,
) -> Quality:
    """Return the quality of a recording's primary signal, streamed once in bounded memory.

    Give a session, a signal, or the path of a recording. `artefacts` and `drift` set other thresholds. The line noise
    is the mean power density within 1 Hz of 50 and of 60 Hz over that 2 to 5 Hz away, in dB (spectra of 2 s, Hann).
    SignalMismatchError without EEG channels or below 75 Hz; RecordingError where the file cannot be read.
    """
    if isinstance(recording, str | Path):
        with read(recording) as session:
            return quality(session, mains_hz=mains_hz, artefacts=artefacts, drift=drift)
    name = recording.session_id if isinstance(recording, Session) else ""
    signal = recording.signal if isinstance(recording, Session) else recording
    if not eeg_of(signal.spec):
        types = sorted(set(signal.spec.ch_types))
        raise SignalMismatchError(f"quality: no channel is EEG, the types are {types}", remedy="Correct the types")
    tallies = _Tallies(signal.spec, mains_hz, artefacts or Artefacts(), drift or Drift())
    for chunk in _chunks(signal):
        tallies.take(chunk)
    return tallies.result(name, signal)


def _chunks(signal: Signal) -> Iterator[Chunk]:
    yield from signal.chunks(max(1024, CHUNK_BYTES // (4 * signal.spec.n_chans)))


class _Tallies:
    """What is counted while the recording streams by."""

    def __init__(self, spec: SignalSpec, mains_hz: float, artefacts: Artefacts, drift: Drift) -> None:
        self.spec, self._artefacts = spec, artefacts
        self.eeg, self._heard = eeg_of(spec), eeg_of(spec, "eeg", "eog")
        mains = mains_hz if mains_hz < spec.sfreq / 2 else None
        bad = BadChannels(output="reasons", repair="none", mains_hz=mains)
        ops = (artefacts.model_copy(update={"output": "flags"}), bad, drift)
        self._bound: list[Transducer] = [op.bind(spec) for op in ops]
        self._states = [b.start() for b in self._bound]
        self.density = _Density(spec, self.eeg)
        self.bad = np.zeros((len(REASONS), len(self.eeg)), np.int64)
        self.counts, self.times = np.zeros((2, len(artefacts.find)), np.int64)
        self._on = np.zeros(len(artefacts.find), np.bool_)
        self.valid, self.usable = 0, 0
        self._waiting: list[Array] = [np.zeros(0, np.bool_) for _ in range(3)]
        self.score, self.alarms, self.n_columns = 0.0, [], 0  # type: ignore[var-annotated]

    def take(self, chunk: Chunk) -> None:
        """Count a chunk; a time whose EEG or EOG is not finite is no usable one, whatever the recording says of it."""
        finite: Array = np.all(np.isfinite(chunk.values[self._heard]), 0)
        chunk = Chunk(chunk.values, chunk.valid & finite, chunk.start)
        outs = []
        for i, bound in enumerate(self._bound):
            out, self._states[i] = bound.step(chunk, self._states[i])
            outs.append(out)
        self.density.take(chunk)
        self._tally(outs[0].values > 0, outs[1].values, outs[2], chunk.valid)

    def _tally(self, flags: Array, reasons: Array, columns: Chunk, valid: Array) -> None:
        codes = reasons.astype(np.int64)
        self.bad += np.stack([((codes >> r) & 1).sum(1) for r in range(len(REASONS))])
        before = np.concatenate([self._on[:, None], flags], 1)
        self.counts += (flags & ~before[:, :-1]).sum(1)
        self.times += flags.sum(1)
        self._on = before[:, -1].copy()
        self.valid += int(valid.sum())
        few = (codes > 0).sum(0) <= 0.5 * len(self.eeg)
        marked: Array = np.any(flags, 0)
        self._use(valid, ~marked, few)
        if columns.n_times:
            at = np.flatnonzero(columns.values[1])
            self.score = max(self.score, float(columns.values[0].max()))
            self.alarms += [(columns.start + int(k) + 1) / self._bound[2].output.sfreq for k in at]
            self.n_columns += columns.n_times

    def _use(self, *good: Array) -> None:
        """Count samples that are good in every way; the ways come at their own delays."""
        self._waiting = [np.concatenate([w, g]) for w, g in zip(self._waiting, good, strict=True)]
        n = min(map(len, self._waiting))
        self.usable += int(np.logical_and.reduce([w[:n] for w in self._waiting]).sum())
        self._waiting = [w[n:] for w in self._waiting]

    def result(self, name: str, signal: Signal) -> Quality:
        rests = [bound.flush(state) for bound, state in zip(self._bound, self._states, strict=True)]
        self._tally(rests[0].values > 0, rests[1].values, rests[2], np.zeros(0, np.bool_))
        rate, kinds = self.spec.sfreq, self._artefacts.find
        line = self.density.line_db()
        enough = self.n_columns > int(np.ceil(self._bound[2].settle_s * self._bound[2].output.sfreq))  # type: ignore[attr-defined]
        channels = tuple(
            ChannelQuality(
                self.spec.ch_names[i],
                {hz: values[k] for hz, values in line.items()},
                {r: float(self.bad[j, k] / rate) for j, r in enumerate(REASONS) if self.bad[j, k]},
            )
            for k, i in enumerate(self.eeg)
        )
        return Quality(
            session_id=name,
            duration_s=signal.duration_s,
            valid_s=self.valid / rate,
            usable_s=self.usable / rate,
            usable=self.usable / max(1, signal.n_times),
            channels=channels,
            artefacts={k: int(self.counts[kinds.index(k)]) for k in KINDS if k in kinds},
            artefact_s={k: float(self.times[kinds.index(k)] / rate) for k in KINDS if k in kinds},
            drift_score=self.score if enough else None,
            drift_alarms_s=tuple(float(t) + signal.start_s for t in self.alarms),
        )


class _Density:
    """The mean power density of segments of 2 s, valid ones only."""

    def __init__(self, spec: SignalSpec, rows: list[int]) -> None:
        self._n, self._rate, self._rows = round(SEGMENT_S * spec.sfreq), spec.sfreq, rows
        self._window = np.hanning(self._n)
        self._tail, self._ok = np.zeros((len(rows), 0), np.float32), np.zeros(0, np.bool_)
        self._sum, self._count = np.zeros((len(rows), self._n // 2 + 1)), 0

    def take(self, chunk: Chunk) -> None:
        values = np.concatenate([self._tail, chunk.values[self._rows]], 1)
        ok = np.concatenate([self._ok, chunk.valid])
        whole = values.shape[1] // self._n
        self._tail, self._ok = values[:, whole * self._n :].copy(), ok[whole * self._n :].copy()
        for k in range(whole):
            piece = values[:, k * self._n : (k + 1) * self._n].astype(np.float64)
            if ok[k * self._n : (k + 1) * self._n].all() and np.isfinite(piece).all():
                spectrum = np.fft.rfft((piece - piece.mean(1, keepdims=True)) * self._window)
                self._sum += np.abs(spectrum) ** 2
                self._count += 1

    def line_db(self) -> dict[str, list[float | None]]:
        """Return, by mains frequency, the ratio of each channel in dB; None where nothing can be told."""
        freqs = np.fft.rfftfreq(self._n, 1 / self._rate)
        return {f"{hz:g}": self._ratio(freqs, hz) for hz in MAINS_HZ}

    def _ratio(self, freqs: Array, hz: float) -> list[float | None]:
        away = np.abs(freqs - hz)
        if not self._count or hz + 5 >= self._rate / 2:
            return [None] * len(self._sum)
        at = self._sum[:, away <= 1].mean(1)
        beside = self._sum[:, (away >= 2) & (away <= 5)].mean(1)
        return [10 * float(np.log10(a / b)) if a > 0 and b > 0 else None for a, b in zip(at, beside, strict=True)]
