"""Faults injected into real recordings: how many are found, what is alarmed without one, what cleaning costs.

    NEURAL_FOUNDATION_DATA=... python benchmarks/artefacts.py [found alarms change line decoding roc]

One set of thresholds, the operations' defaults, for both data sets. Nothing here is in volts: 1 sd is the median over
the channels of a recording's robust standard deviation from 1 to 40 Hz, about 10 uV in eegmat.

Faults, each drawn with a seed, one at a time, at an onset anywhere from 2 s on; eegmat: each recording of 20 s twice;
ssvep_exo: 10 excerpts of 40 s of each recording, cut anywhere.

- flat: a channel stays at its value, in half of the draws with noise of up to 0.02 sd; 3 to 8 s.
- clipped: a channel amplified 4 to 15 times against rails of 3 to 6 sd, or cut on one side at its 70th to 90th
  percentile; 3 to 8 s.
- line: 49.9 to 50.1 Hz of 3 to 10 sd (30 to 100 uV), a third harmonic below half the rate of up to 30 %, slowly
  modulated, on 1 to 3 channels, each counted; 3 to 8 s.
- blink: 8 to 25 sd (80 to 250 uV) at the channel nearest to the eyes, 0.2 to 0.4 s, falling off by e every 5 cm.
  Occipital channels see no such blink; there it has the same size on all channels, as with a reference at the forehead.
- muscle: noise from 20 to 120 Hz (or 0.45 of the rate), rms 2 to 6 sd at a channel, falling off by e every 4 cm; 0.4
  to 2 s. In eegmat it goes through a low-pass at 45 Hz, as the recordings did.
- step: a jump by 10 to 50 sd on 1 to 3 channels that decays by e in 0.3 to 5 s, or stays.

Found: flat, clipped and line, if `bad_channels` names the channel for half of the time or more (clipped: of the samples
that it changed); blink, muscle and step, if `artefacts` clears half or more of the samples where the fault exceeds half
of its peak (step: its first 0.5 s).

Clean second: no channel's range (1 to 40 Hz, zero phase) exceeds 10 sd in it (the usual rejection at 100 uV peak to
peak) or the second before and after, its rms from 20 to 40 Hz stays below 3 times the median second's. False alarm: a
clean second in which any sample is cleared by `artefacts` or any channel is named by `bad_channels`.

`roc` (only when named): muscle found against false alarms over the threshold and over the length of the window, four
draws of each excerpt; then thresholds chosen on half of the people and measured on the others, 200 times.

ICA in `decoding` is fitted without labels and without the people it cleans: people lie in folds (eegmat 6, ssvep_exo
4), and a fold is cleaned by a matrix from the people of the other folds, 600 s in equal parts.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import sys  # noqa: E402 - the thread count must be set before numpy loads
import tempfile  # noqa: E402
from collections.abc import Iterator  # noqa: E402
from dataclasses import dataclass  # noqa: E402
from functools import cache  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import numpy as np  # noqa: E402
from scipy import signal as ss  # noqa: E402

from neural_foundation.core.seeds import generator  # noqa: E402
from neural_foundation.core.specs import SignalSpec  # noqa: E402
from neural_foundation.core.stream import Chunk, run  # noqa: E402
from neural_foundation.datasets import DATASETS  # noqa: E402
from neural_foundation.recordings import Intervals  # noqa: E402
from neural_foundation.signals import SIGNALS, artefacts, chain  # noqa: E402
from neural_foundation.signals.ica import Ica, fit_ica  # noqa: E402

SETS = {"eegmat": "eegmat", "ssvep_exo": "ssvep-exo"}
FAULTS = ("flat", "clipped", "line", "blink", "muscle", "step")
BANDS = {"theta": (4, 8), "alpha": (8, 13), "beta": (13, 30)}
EYES = np.array([0.0, 0.115, 0.0])
CHANNELS, TIMES = {"kind": "bad_channels", "repair": "none"}, {"kind": "artefacts"}
CLEAN: list[dict[str, Any]] = [{"kind": "bad_channels"}, {"kind": "line_noise"}, {"kind": "artefacts"}]
HIGH: list[dict[str, Any]] = [{"kind": "bandpass", "low_hz": 1, "order": 2}]
SUBSPACE = [*CLEAN, *HIGH, {"kind": "subspace"}]
ICA: dict[str, Any] = {"kind": "ica"}  # its matrix depends on who is left out
FOLDS = {"eegmat": 6, "ssvep_exo": 4}


@dataclass(frozen=True)
class Recording:
    """EEG of one recording: values (n_chans, n_times) and the size of 1 sd."""

    name: str
    subject: str
    spec: SignalSpec
    values: np.ndarray
    trials: Intervals
    sd: float

    def cut(self, start: int, stop: int) -> Recording:
        values = self.values[:, start:stop]
        return Recording(f"{self.name}@{start}", self.subject, self.spec, values, self.trials, self.sd)


@dataclass(frozen=True)
class Fault:
    """What was done: the values after it, on which channels, and which samples count."""

    values: np.ndarray
    channels: np.ndarray
    at: np.ndarray
    start: int
    stop: int


@cache
def recordings(kind: str) -> tuple[Recording, ...]:
    data = DATASETS.parse({"kind": kind, "path": str(Path(os.environ["NEURAL_FOUNDATION_DATA"]) / SETS[kind])})
    with tempfile.TemporaryDirectory() as folder:
        return tuple(_read(data, item, Path(folder)) for item in data.items())  # type: ignore[attr-defined]


def _read(data: Any, item: Any, folder: Path) -> Recording:
    with data.open(item, folder) as session:
        spec, values = session.signal.spec, session.signal.read()
        eeg = [i for i, t in enumerate(spec.ch_types) if t == "eeg"]
        spec = SignalSpec(
            sfreq=spec.sfreq,
            ch_names=tuple(spec.ch_names[i] for i in eeg),
            ch_types=("eeg",) * len(eeg),
            positions=tuple(spec.positions[i] for i in eeg),
        )
        trials = session.trials
    return Recording(item.id, item.subject, spec, values[eeg], trials, one_sd(values[eeg], spec.sfreq))


def band(values: np.ndarray, low: float, high: float, sfreq: float) -> np.ndarray:
    sos = ss.butter(4, [low, high], "bandpass", fs=sfreq, output="sos")
    return np.asarray(ss.sosfiltfilt(sos, values.astype(np.float64)))


def one_sd(values: np.ndarray, sfreq: float) -> float:
    return float(np.median(np.median(np.abs(band(values, 1, 40, sfreq)), 1)) * 1.4826)


def excerpts(kind: str) -> Iterator[tuple[Recording, int]]:
    """Yield what faults are drawn into: recordings or parts of them, with a number that makes the draws differ."""
    for recording in recordings(kind):
        n, length = recording.values.shape[1], int(40 * recording.spec.sfreq)
        if kind == "eegmat":
            yield from ((recording, draw) for draw in range(2))
            continue
        starts = generator(0, "excerpts", recording.name).integers(0, n - length, 10)
        yield from ((recording.cut(int(a), int(a) + length), 0) for a in starts)


# -- faults -----------------------------------------------------------------------------------------------------------


def inject(recording: Recording, kind: str, draw: int) -> Fault:
    rng = generator(1, kind, recording.name, draw)
    n, rate = recording.values.shape[1], recording.spec.sfreq
    longest = {"blink": (0.2, 0.4), "muscle": (0.4, 2.0), "step": (4.0, 4.0)}.get(kind, (3.0, 8.0))
    length = int(rng.uniform(*longest) * rate)
    start = int(rng.integers(int(2 * rate), n - length))
    x = recording.values.astype(np.float64)
    channels, at = globals()[f"_{kind}"](rng, recording, x[:, start : start + length])
    if kind == "step":  # it goes on to the end
        x[:, start + length :] += (x[:, start + length - 1] - recording.values[:, start + length - 1])[:, None]
    counted = np.zeros(n, bool)
    counted[start : start + length] = at
    return Fault(x.astype(np.float32), np.atleast_1d(channels), counted, start, start + length)


def _flat(rng: np.random.Generator, recording: Recording, x: np.ndarray) -> tuple[Any, np.ndarray]:
    channel = int(rng.integers(len(x)))
    noise = rng.uniform(0, 0.02) * recording.sd * (rng.random() < 0.5)
    x[channel] = x[channel, 0] + noise * rng.standard_normal(x.shape[1])
    return channel, np.ones(x.shape[1], bool)


def _clipped(rng: np.random.Generator, recording: Recording, x: np.ndarray) -> tuple[Any, np.ndarray]:
    channel = int(rng.integers(len(x)))
    before = x[channel].copy()
    if rng.random() < 0.5:
        middle, rail = np.median(x[channel]), rng.uniform(3, 6) * recording.sd
        x[channel] = middle + np.clip(rng.uniform(4, 15) * (x[channel] - middle), -rail, rail)
    else:
        x[channel] = np.minimum(x[channel], np.quantile(x[channel], rng.uniform(0.7, 0.9)))
    return channel, x[channel] != before


def _line(rng: np.random.Generator, recording: Recording, x: np.ndarray) -> tuple[Any, np.ndarray]:
    rate, n = recording.spec.sfreq, x.shape[1]
    channels = rng.choice(len(x), int(rng.integers(1, 4)), replace=False)
    phase = 2 * np.pi * rng.uniform(49.9, 50.1) * np.arange(n) / rate + rng.uniform(0, 2 * np.pi)
    hum = np.sin(phase) + (rng.uniform(0, 0.3) * np.sin(3 * phase) if rate > 330 else 0)
    hum *= 1 + 0.2 * np.sin(2 * np.pi * 0.3 * np.arange(n) / rate)
    x[channels] += rng.uniform(3, 10, (len(channels), 1)) * recording.sd * hum
    return channels, np.ones(n, bool)


def _blink(rng: np.random.Generator, recording: Recording, x: np.ndarray) -> tuple[Any, np.ndarray]:
    t = np.linspace(0, 1, x.shape[1])
    shape = np.where(t < 0.4, np.sin(np.pi * t / 0.8), np.cos(np.pi * (t - 0.4) / 1.2)) ** 2
    far = np.linalg.norm(np.array(recording.spec.positions) - EYES, axis=1)
    share = np.exp((far.min() - far) / 0.05) if far.min() < 0.08 else np.ones(len(x))
    x += rng.uniform(8, 25) * recording.sd * share[:, None] * shape
    return int(share.argmax()), shape > 0.5


def _muscle(rng: np.random.Generator, recording: Recording, x: np.ndarray) -> tuple[Any, np.ndarray]:
    rate, n = recording.spec.sfreq, x.shape[1]
    places = np.array(recording.spec.positions)
    focus = int(rng.integers(len(x)))
    share = np.exp(-np.linalg.norm(places - places[focus], axis=1) / 0.04)
    burst = band(rng.standard_normal((1, n + 200)), 20, min(120, 0.45 * rate), rate)[0, 100 : 100 + n]
    window = ss.windows.tukey(n, 0.4)
    burst = burst / burst.std() * window
    if rate == 500:
        burst = ss.sosfiltfilt(ss.butter(4, 45, fs=rate, output="sos"), burst)
    x += rng.uniform(2, 6) * recording.sd * share[:, None] * burst
    return focus, window > 0.5


def _step(rng: np.random.Generator, recording: Recording, x: np.ndarray) -> tuple[Any, np.ndarray]:
    rate, n = recording.spec.sfreq, x.shape[1]
    channels = rng.choice(len(x), int(rng.integers(1, 4)), replace=False)
    size = rng.uniform(10, 50) * recording.sd * rng.choice([-1, 1])
    decay = np.exp(-np.arange(n) / rate / rng.uniform(0.3, 5)) if rng.random() < 0.7 else np.ones(n)
    x[channels] += size * decay
    return channels, np.arange(n) < 0.5 * rate


# -- found, and alarmed -----------------------------------------------------------------------------------------------


def named(values: np.ndarray, spec: SignalSpec) -> np.ndarray:
    """Return which channels `bad_channels` names when, bool (n_chans, n_times)."""
    op = SIGNALS.parse({**CHANNELS, "output": "reasons"})
    return np.asarray(run(op.bind(spec), values).values > 0)  # type: ignore[attr-defined]


def cleared(values: np.ndarray, spec: SignalSpec) -> np.ndarray:
    """Return which samples `artefacts` clears."""
    return ~run(SIGNALS.parse(TIMES).bind(spec), values).valid  # type: ignore[attr-defined]


def found(kind: str) -> None:
    print(f"\n{kind}: share of faults found")
    for fault_kind in FAULTS:
        hits: list[bool] = []
        for recording, draw in excerpts(kind):
            fault = inject(recording, fault_kind, draw)
            if fault_kind in ("flat", "clipped", "line"):
                bad = named(fault.values, recording.spec)
                hits += [bool(bad[c, fault.at].mean() >= 0.5) for c in fault.channels]
            else:
                hits.append(bool(cleared(fault.values, recording.spec)[fault.at].mean() >= 0.5))
        print(f"  {fault_kind:8s} {100 * np.mean(hits):6.1f} %  of {len(hits)}")


def by_second(samples: np.ndarray, rate: float) -> np.ndarray:
    n = samples.shape[-1] // round(rate)
    return samples[..., : n * round(rate)].reshape(*samples.shape[:-1], n, round(rate))


def clean_seconds(recording: Recording) -> np.ndarray:
    rate = recording.spec.sfreq
    wide = by_second(band(recording.values, 1, 40, rate), rate)
    fast = by_second(band(recording.values, 20, 40, rate), rate).std(-1)
    good = (np.ptp(wide, axis=-1) < 10 * recording.sd).all(0)
    alone = good & np.r_[True, good[:-1]] & np.r_[good[1:], True]
    return np.asarray(alone & (fast < 3 * np.median(fast, 1, keepdims=True)).all(0))


def alarms(kind: str) -> None:
    rows = []
    for recording in recordings(kind):
        clean, rate = clean_seconds(recording), recording.spec.sfreq
        times = by_second(cleared(recording.values, recording.spec), rate).any(-1)
        channels = by_second(named(recording.values, recording.spec), rate).any((0, 2))
        either = times | channels
        rows.append([len(clean), clean.sum(), either[clean].sum(), times[clean].sum(), channels[clean].sum()])
        rows[-1].append(either.sum())
    n, clean, both, times, channels, all_of = np.sum(rows, 0)
    print(f"\n{kind}: {n} s without injected faults, {100 * clean / n:.1f} % of them clean")
    print(f"  alarmed clean seconds {100 * both / clean:.2f} % (artefacts {100 * times / clean:.2f} %, ", end="")
    print(f"bad_channels {100 * channels / clean:.2f} %); of all seconds {100 * all_of / n:.2f} %")


# -- muscle: found against false alarms --------------------------------------------------------------------------------


class Scored(artefacts.RunningArtefacts):
    """The operation, keeping each block's largest muscle ratio, and the verdicts of the other rules."""

    def scores(self, values: np.ndarray) -> np.ndarray:
        """Return (n_times,) the threshold up to which each sample is cleared; infinite where other rules clear it."""
        self.kept: list[np.ndarray] = []
        run(self, values)
        blocks = np.concatenate(self.kept)
        padded = np.r_[np.zeros(self.hold), blocks, np.zeros(self.ahead)]
        reach = np.lib.stride_tricks.sliding_window_view(padded, self.hold + self.ahead).max(1)
        return np.asarray(reach[np.minimum(np.arange(values.shape[1]) // self.block, len(reach) - 1)])

    def _verdicts(self, slow: np.ndarray, fast: np.ndarray, same: np.ndarray) -> dict[str, np.ndarray]:
        given = super()._verdicts(slow, fast, same)
        others = given["blink"] | given["movement"] | given["clipped"]
        self.kept.append(np.where(others, np.inf, fast.max(1)))
        return given


def _scored(kind: str) -> tuple[np.ndarray, ...]:
    """Return the threshold up to which each fault is found and whose it is, each clean second is alarmed and whose."""
    found_at, who, alarmed_at, whose = [], [], [], []
    for recording, draw in excerpts(kind):
        for more in range(4):
            fault = inject(recording, "muscle", draw + 2 * more)
            scores = Scored(recording.spec, artefacts.Artefacts()).scores(fault.values)[fault.at]
            found_at.append(np.sort(scores)[len(scores) // 2])
            who.append(recording.subject)
    for recording in recordings(kind):
        scores = Scored(recording.spec, artefacts.Artefacts()).scores(recording.values)
        seconds = by_second(scores, recording.spec.sfreq).max(-1)[clean_seconds(recording)]
        alarmed_at.append(seconds)
        whose += [recording.subject] * len(seconds)
    return np.array(found_at), np.array(who), np.concatenate(alarmed_at), np.array(whose)


def _lowest(alarms_at: list[np.ndarray]) -> float:
    """Return the lowest threshold, in hundredths, with at most 2 % of the clean seconds alarmed in each set."""
    grid = np.arange(2, 5, 0.01)
    return float(next(t for t in grid if all(np.mean(a > t) <= 0.02 for a in alarms_at)))


def roc(kind: str) -> None:
    """Print muscle found against false alarms, for both sets at once."""
    if kind != next(iter(SETS)):
        return
    usual = artefacts.MUSCLE_BLOCKS
    for blocks in (2, 3, 6, 8, usual):
        artefacts.MUSCLE_BLOCKS = blocks
        sets = [_scored(k) for k in SETS]
        at = [_lowest([s[2] for s in sets])] + (list(np.arange(2.5, 3.3, 0.1)) if blocks == usual else [])
        print(f"\nmuscle over {blocks / 10:.1f} s: threshold, then found and alarmed in {' and '.join(SETS)}, %")
        for t in at:
            rates = [f"{100 * np.mean(s[0] > t):5.1f} {100 * np.mean(s[2] > t):5.2f}" for s in sets]
            print(f"  {t:.2f}   " + "   ".join(rates) + ("   lowest with 2 % in both" if t == at[0] else ""))
    rng, rows = generator(3, "halves"), []
    for _ in range(200):
        halves = [rng.permutation(np.unique(s[1]))[: len(np.unique(s[1])) // 2] for s in sets]
        t = _lowest([s[2][np.isin(s[3], h)] for s, h in zip(sets, halves, strict=True)])
        rows.append([t])
        for s, h in zip(sets, halves, strict=True):
            rows[-1] += [100 * np.mean(s[0][~np.isin(s[1], h)] > t), 100 * np.mean(s[2][~np.isin(s[3], h)] > t)]
    print("chosen on half of the people, on the others: threshold, then found and alarmed in each; mean, then sd")
    for row in (np.mean(rows, 0), np.std(rows, 0)):
        print("  " + "  ".join(f"{v:6.2f}" for v in row))


# -- what cleaning changes --------------------------------------------------------------------------------------------


def cleaned(recording: Recording, specs: list[dict[str, Any]], values: np.ndarray | None = None) -> Chunk:
    ops = [independent(recording) if s is ICA else SIGNALS.parse(s) for s in specs]
    return run(chain(ops, recording.spec), recording.values if values is None else values)  # type: ignore[arg-type]


def independent(recording: Recording) -> Ica:
    """Return `ica` as fitted on the people of the other folds."""
    kind = next(k for k in SETS if recording.subject in people(k))
    return fitted(kind, people(kind).index(recording.subject) % FOLDS[kind])


@cache
def people(kind: str) -> list[str]:
    return sorted({r.subject for r in recordings(kind)})


@cache
def fitted(kind: str, fold: int) -> Ica:
    out = people(kind)[fold :: FOLDS[kind]]
    train = [r for r in recordings(kind) if r.subject not in out]
    n = int(600 / len(train) * train[0].spec.sfreq)
    op, _ = fit_ica((Chunk.of(r.values[:, :n]) for r in train), train[0].spec)
    print(f"    fold {fold}: {op.note}")
    return op


def band_db(values: np.ndarray, mask: np.ndarray, rate: float) -> np.ndarray:
    """Return the power of the masked samples in dB, (n_bands, n_chans)."""
    powers = [np.square(band(values, *edges, rate)[:, mask]).mean(1) for edges in BANDS.values()]
    return np.asarray(10 * np.log10(np.maximum(powers, 1e-30)))


def change(kind: str) -> None:
    """Print how the power of theta, alpha and beta in clean seconds changes, with no fault and beside a fault."""
    print(
        f"\n{kind}: |change| of band power in dB, over channels, bands and recordings: mean, 95th percentile, largest"
    )
    for name, specs, base in (("bad_channels, line_noise, artefacts", CLEAN, []), ("... and subspace", SUBSPACE, HIGH)):
        deltas = []
        for recording in recordings(kind):
            rate = recording.spec.sfreq
            mask = np.repeat(clean_seconds(recording), round(rate))
            if mask.sum() < 5 * rate:
                continue
            mask = np.r_[mask, np.zeros(recording.values.shape[1] - len(mask), bool)]
            before, after = cleaned(recording, base).values, cleaned(recording, specs).values
            deltas.append(np.abs(band_db(after, mask, rate) - band_db(before, mask, rate)).ravel())
        _print_change(f"no fault: {name}", np.concatenate(deltas))
    for fault_kind in FAULTS:
        deltas = []
        for recording, draw in excerpts(kind):
            fault, rate = inject(recording, fault_kind, draw), recording.spec.sfreq
            mask = np.ones(recording.values.shape[1], bool)
            mask[max(0, fault.start - round(0.5 * rate)) : fault.stop + round(2 * rate)] = False
            mask &= ~cleared(recording.values, recording.spec)
            if fault_kind == "step" or mask.sum() < 5 * rate:
                mask[fault.start :] = False
            if mask.sum() < 5 * rate:
                continue
            after = cleaned(recording, CLEAN, fault.values)
            mask &= after.valid
            deltas.append(np.abs(band_db(after.values, mask, rate) - band_db(recording.values, mask, rate)).ravel())
        _print_change(f"time beside {fault_kind}", np.concatenate(deltas))


def _print_change(name: str, delta: np.ndarray) -> None:
    low, high = np.mean(delta), np.percentile(delta, 95)
    print(f"  {name:50s} {low:6.2f} {high:6.2f} {delta.max():6.2f}")


def line(kind: str) -> None:
    """Print what is left of injected mains, and what removal does to 35 to 45 Hz, for `line_noise` and `notch`."""
    print(f"\n{kind}: mains injected into all channels for the whole recording (5 to 10 sd, 49.8 to 50.2 Hz)")
    for name in ("line_noise", "notch"):
        left, gamma = [], []
        for recording in recordings(kind):
            rate, n = recording.spec.sfreq, min(recording.values.shape[1], int(40 * recording.spec.sfreq))
            part, rng = recording.cut(0, n), generator(2, recording.name)
            phase = 2 * np.pi * rng.uniform(49.8, 50.2) * np.arange(n) / rate
            size = recording.sd * rng.uniform(5, 10, (len(part.values), 1))
            hum = size * np.sin(phase + rng.uniform(0, 2 * np.pi, (len(part.values), 1)))
            out = cleaned(part, [{"kind": name}], (part.values + hum).astype(np.float32)).values
            after = slice(int(5 * rate), None)
            rest, was = (band(v, 48, 52, rate)[:, after].std(1) for v in (out, hum))
            left.append(20 * np.log10(rest / was))
            powers = [np.square(band(v, 35, 45, rate)[:, after]).mean(1) for v in (out, part.values)]
            gamma.append(np.abs(10 * np.log10(powers[0] / powers[1])))
        print(f"  {name:10s} 48 to 52 Hz after 5 s {np.mean(left):6.1f} dB; |change| of 35 to 45 Hz ", end="")
        print(f"{np.mean(gamma):.2f} dB, largest {np.max(np.concatenate(gamma)):.2f}")


# -- decoding ---------------------------------------------------------------------------------------------------------


def decoding(kind: str) -> None:
    """Print the mean over subjects of balanced accuracy (eegmat) or accuracy (ssvep_exo), with and without cleaning."""
    score = _eegmat if kind == "eegmat" else _ssvep
    print(f"\n{kind}: decoding, mean over subjects")
    ways = {
        "nothing": [],
        "line_noise, bad_channels, artefacts": CLEAN,
        "... and subspace": SUBSPACE,
        "subspace alone": [*HIGH, {"kind": "subspace"}],
        "... and ica": [*CLEAN, *HIGH, ICA],
        "ica alone": [*HIGH, ICA],
    }
    base = None
    for name, specs in ways.items():
        by_subject = score(kind, specs)
        base = by_subject if base is None else base
        gain = by_subject - base
        error = gain.std(ddof=1) / np.sqrt(len(gain))
        print(f"  {name:40s} {by_subject.mean():.3f}   gain {gain.mean():+.3f} +- {error:.3f}")


def _eegmat(kind: str, specs: list[dict[str, Any]]) -> np.ndarray:
    """Leave one subject out: 4 s windows, log band power, logistic regression; dirty windows do not train."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    features, labels, subjects, trusted = [], [], [], []
    for recording in recordings(kind):
        rate, out = recording.spec.sfreq, cleaned(recording, specs)
        bands = [band(out.values, *edges, rate) for edges in ((1, 4), *BANDS.values(), (30, 45))]
        for a in range(0, out.n_times - int(4 * rate) + 1, int(4 * rate)):
            at = slice(a, a + int(4 * rate))
            power = np.stack(
                [
                    np.square(b[:, at])[:, out.valid[at]].mean(1)
                    if out.valid[at].any()
                    else np.square(b[:, at]).mean(1)
                    for b in bands
                ]
            )
            features.append(np.log(power + 1e-30).ravel())
            labels.append(recording.name.endswith("_2"))
            subjects.append(recording.subject)
            trusted.append(out.valid[at].mean() > 0.5)
    x, y, who, good = map(np.array, (features, labels, subjects, trusted))
    scores = []
    for subject in np.unique(who):
        train, test = (who != subject) & good, who == subject
        model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=2000)).fit(x[train], y[train])
        hit = model.predict(x[test]) == y[test]
        scores.append(np.mean([hit[y[test] == c].mean() for c in (False, True)]))
    return np.array(scores)


def _ssvep(kind: str, specs: list[dict[str, Any]]) -> np.ndarray:
    """Training-free CCA, 3 classes, 1 to 5 s of each trial, 2 harmonics; samples not valid do not count."""
    hits: dict[str, list[bool]] = {}
    for recording in recordings(kind):
        rate, out = recording.spec.sfreq, cleaned(recording, specs)
        x = band(out.values, 5, 45, rate)
        for start, label in zip(recording.trials.start_s, recording.trials.label, strict=True):
            at = np.arange(round((start + 1) * rate), min(round((start + 5) * rate), x.shape[1]))
            at = at[out.valid[at]] if out.valid[at].mean() > 0.25 else at
            rhos = [_cca(x[:, at], at / rate, hz) for hz in (13, 17, 21)]
            hits.setdefault(recording.subject, []).append((13, 17, 21)[int(np.argmax(rhos))] == int(label))
    return np.array([np.mean(h) for h in hits.values()])


def _cca(x: np.ndarray, t: np.ndarray, hz: float) -> float:
    waves = np.stack([f(2 * np.pi * hz * h * t) for h in (1, 2) for f in (np.sin, np.cos)])
    q = [np.linalg.qr((v - v.mean(1, keepdims=True)).T)[0] for v in (x, waves)]
    return float(np.linalg.svd(q[0].T @ q[1], compute_uv=False)[0])


def main() -> None:
    parts = sys.argv[1:] or ["found", "alarms", "change", "line", "decoding"]
    for kind in SETS:
        for part in parts:
            globals()[part](kind)


if __name__ == "__main__":
    main()
