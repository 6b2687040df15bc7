"""The watch of a live connection: how often it is wrong, and how soon it notices; beside a fixed threshold.

    python benchmarks/drift.py [--quick] [--figure docs/images/drift.png] [parts ...]

Parts: simulated, ssvep_exo, ratgps, output, rate. The real ones need NEURAL_FOUNDATION_DATA and are left out without
it. The fixed threshold is one number per hop: the largest |z| of the same features against the same first minute. It
is set on the undisturbed recordings so that as many of them raise a false alarm as with the watch. A delay that
exceeds the rest of the recording counts as that rest.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from neural_foundation.core.seeds import generator
from neural_foundation.core.specs import SignalSpec, TargetSpec
from neural_foundation.core.stream import Chunk
from neural_foundation.datasets.simulated import person
from neural_foundation.datasets.simulated.changes import Change, changed, turn
from neural_foundation.datasets.simulated.generate import simulate
from neural_foundation.datasets.simulated.motor_imagery import SimulatedMotorImagery
from neural_foundation.realtime.watch import Alarm, Watch
from neural_foundation.realtime.watch_output import BATCH_S, OutputWatch
from neural_foundation.realtime.watch_rate import RateWatch
from neural_foundation.recordings import read
from neural_foundation.recordings.montage import standard_1005

DATA = Path(os.environ.get("NEURAL_FOUNDATION_DATA", ""))
STATED_S = 3600.0
DAYS = {
    "gain 0.15": Change(gain_sd=0.15),
    "gain 0.3": Change(gain_sd=0.3),
    "impedance 5 uV": Change(impedance_v=5e-6),
    "impedance 15 uV": Change(impedance_v=15e-6),
    "shift 1 cm": Change(shift_m=0.01),
    "shift 2 cm": Change(shift_m=0.02),
    "shift 3 cm": Change(shift_m=0.03),
    "2 lost": Change(lost=2),
}
CLASSES = ("a", "b", "c")


@dataclass
class Run:
    """What the watch said of one stream: alarm times of the input and of any detector; the fixed threshold's number."""

    input_s: list[float]
    any_s: list[float]
    z: np.ndarray  # (n_hops,) largest |z|, 0 in the reference
    hop_s: float
    watched_s: float

    def first(self, at_s: float, of: list[float]) -> float | None:
        return next((t - at_s for t in of if t > at_s), None)

    def crossed(self, threshold: float) -> list[float]:
        return [float((k + 1) * self.hop_s) for k in np.flatnonzero(self.z > threshold)]


def facts(classes: tuple[str, ...] = CLASSES) -> Any:
    return SimpleNamespace(target=TargetSpec(classes=classes), trained={})


def watched(values: np.ndarray, signal: SignalSpec) -> Run:
    """Return what the watch said of a recording, and the features' largest |z| against their first reference."""
    watch, rows = Watch(facts(), signal), []
    cusum = watch._input.cusum
    take = cusum.take
    first: dict[str, np.ndarray] = {}

    def spy(features: np.ndarray, state: Any) -> Any:
        heard = take(features, state)
        if not cusum.learning(state) and not first:
            first.update(centre=state["centre"].copy(), spread=state["spread"].copy())
        rows.append(features)
        return heard

    cusum.take = spy  # type: ignore[assignment]
    alarms: list[Alarm] = []
    for a in range(0, values.shape[1], 256):
        alarms += watch.block(Chunk.of(values[:, a : a + 256], a))
    of_input = [x.at_s for x in alarms if x.kind == "input"]
    hop_s = watch._input._hop * watch._spectra.length_s
    z = np.abs(np.array(rows) - first["centre"]) / first["spread"]
    z[: cusum.enough] = 0
    learned = cusum.enough * hop_s * (1 + len(of_input))
    watched_s = max(0.0, values.shape[1] / signal.sfreq - learned)
    return Run(of_input, [x.at_s for x in alarms], z.max(1), hop_s, watched_s)


# -- what is said of the figures ---------------------------------------------------------------------------------------


def poisson(n: int, hours: float) -> str:
    """Return a rate and its exact 95 % interval (Garwood 1936), a line of text."""
    from scipy.stats import chi2

    low = chi2.ppf(0.025, 2 * n) / 2 if n else 0.0
    high = chi2.ppf(0.975, 2 * n + 2) / 2
    verdict = "within" if low / hours <= 3600 / STATED_S else "ABOVE"
    return (
        f"{n} in {hours:.2f} h = {n / hours:.2f} an hour (95 %: {low / hours:.2f} to {high / hours:.2f}), "
        f"stated {3600 / STATED_S:.1f}: {verdict}"
    )


def paired(name: str, ours: list[float | None], theirs: list[float | None], rest_s: list[float]) -> str:
    """Return one line: medians, shares found and restricted means, and the sign test of the paired delays."""
    from scipy.stats import binomtest

    a, b = (np.array([r if d is None else min(d, r) for d, r in zip(x, rest_s, strict=True)]) for x in (ours, theirs))
    sooner, later = int((a < b).sum()), int((a > b).sum())
    p = binomtest(sooner, sooner + later).pvalue if sooner + later else 1.0
    found = [np.mean([d is not None for d in x]) for x in (ours, theirs)]
    return (
        f"  {name:16s} n={len(a):3d}  found {found[0]:4.0%} / {found[1]:4.0%}   median {np.median(a):5.0f} / "
        f"{np.median(b):5.0f} s   mean {a.mean():5.0f} / {b.mean():5.0f} s   sooner {sooner:3d}, later {later:3d}, "
        f"p={p:.2g}"
    )


@dataclass
class Study:
    """Undisturbed and changed runs of one set of recordings."""

    at_s: float
    null: list[Run] = field(default_factory=list)
    days: dict[str, list[tuple[Run, float]]] = field(default_factory=dict)

    def threshold(self) -> float:
        """Return the fixed threshold that as many undisturbed recordings cross as alarmed the watch."""
        alarmed = sum(bool(r.input_s) for r in self.null)
        peaks = sorted((r.z.max() for r in self.null), reverse=True)
        return float(peaks[min(alarmed, len(peaks) - 1)])

    def tell(self, title: str) -> None:
        hours = sum(r.watched_s for r in self.null) / 3600
        others = sum(len(r.any_s) - len(r.input_s) for r in self.null)
        print(f"\n{title}: {len(self.null)} undisturbed recordings")
        print(f"  input: false alarms {poisson(sum(len(r.input_s) for r in self.null), hours)}")
        whole = sum(len(r.z) * r.hop_s for r in self.null) / 3600
        print(f"  quality: alarms {poisson(others, whole)}")
        threshold = self.threshold()
        print(f"  delays: watch / fixed threshold |z| > {threshold:.1f}")
        for name, runs in self.days.items():
            ours = [r.first(self.at_s, r.input_s) for r, _ in runs]
            theirs = [r.first(self.at_s, r.crossed(threshold)) for r, _ in runs]
            print(paired(name, ours, theirs, [rest for _, rest in runs]))
        for name in [n for n in self.days if "lost" in n or "impedance" in n]:
            any_of = [r.first(self.at_s, r.any_s) for r, _ in self.days[name]]
            seen = [d for d in any_of if d is not None]
            median = np.median(seen or [np.nan])
            print(f"  {name}, input or quality: found {len(seen)} of {len(any_of)}, median {median:.0f} s")


def study(recordings: Iterator[tuple[np.ndarray, SignalSpec, dict[str, np.ndarray]]], at_s: float) -> Study:
    """Watch recordings as they are, with each of the `DAYS` from `at_s` on, and as they come changed already."""
    out = Study(at_s)
    for seed, (values, signal, more) in enumerate(recordings):
        rest_s = values.shape[1] / signal.sfreq - at_s
        out.null.append(watched(values, signal))
        if rest_s < 30:
            continue
        for name, change in DAYS.items():
            run = watched(changed(values, signal, change, seed=seed, from_s=at_s), signal)
            out.days.setdefault(name, []).append((run, rest_s))
        for name, other in more.items():
            out.days.setdefault(name, []).append((watched(other, signal), rest_s))
    return out


# -- the parts ---------------------------------------------------------------------------------------------------------


def simulated(quick: bool) -> Study:
    """Simulated days of simulated people: 32 channels, trials throughout, blinks and muscle."""

    def people() -> Iterator[tuple[np.ndarray, SignalSpec, dict[str, np.ndarray]]]:
        for seed in range(4 if quick else 24):
            spec = SimulatedMotorImagery(seed=1000 + seed, trials=60, channels=32, subjects=1)
            recording = simulate(spec, "sim001")
            at, more = round(200 * spec.sfreq), {}
            for centimetres in (1, 3):
                later = moved(spec, 0.01 * centimetres, seed)
                both = np.concatenate([recording.values[:, :at], later[:, at:]], 1)
                more[f"head {centimetres} cm"] = both
            yield recording.values, recording.spec, more

    out = study(people(), 200.0)
    for seed in range(1 if quick else 8):  # long undisturbed sessions
        spec = SimulatedMotorImagery(seed=2000 + seed, trials=300, channels=32, subjects=1)
        recording = simulate(spec, "sim001")
        out.null.append(watched(recording.values, recording.spec))
    out.tell("simulated, change at 200 s of 377 s")
    return out


def moved(spec: SimulatedMotorImagery, shift_m: float, seed: int) -> np.ndarray:
    """Return a simulated recording again, its electrodes moved over the head: the same sources, the head's own fields.

    `Change.shift_m` interpolates, which takes a part of each sensor's own noise away; this does not.
    """
    leadfield = person.leadfield

    def turned(head: Any, positions: np.ndarray, orientations: np.ndarray) -> np.ndarray:
        rotation = turn(shift_m / head.radius, seed)
        electrodes = head.centre + (head.electrodes - head.centre) @ rotation.T
        return leadfield(replace(head, electrodes=electrodes), positions, orientations)

    person.leadfield = turned
    try:
        return np.asarray(simulate(spec, "sim001").values)
    finally:
        person.leadfield = leadfield


def ssvep_exo(quick: bool) -> None:
    """Real EEG: 8 occipital channels of 8 people, trials of rest and of lights that flicker."""
    files = sorted((DATA / "ssvep-exo").glob("subject*/*_raw.fif*"))

    def people() -> Iterator[tuple[np.ndarray, SignalSpec, dict[str, np.ndarray]]]:
        for path in files[:: 4 if quick else 1]:
            with read(path) as session:
                yield *in_volts(session.signal.read(), session.signal.spec), {}

    study(people(), 150.0).tell("ssvep-exo, change at 150 s of 215 to 305 s")


def in_volts(values: np.ndarray, signal: SignalSpec) -> tuple[np.ndarray, SignalSpec]:
    """Return the recording with its median channel at 12 uV (1 to 40 Hz), and places by name: its file has neither."""
    from scipy.signal import butter, sosfilt

    x = values - np.median(values, 1, keepdims=True)
    heard = sosfilt(butter(2, (1, 40), "bandpass", fs=signal.sfreq, output="sos"), x, axis=1)[:, 500:]
    sd = 1.4826 * np.median(np.abs(heard))
    places = tuple(tuple(float(v) for v in standard_1005()[n]) for n in signal.ch_names)
    return (x * (12e-6 / sd)).astype(np.float32), signal.replace(positions=places)


def rats() -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Yield name, spike counts (n_units, n_bins) in bins of 1.4 s, and position (n_bins, 1 or 2)."""
    for path in sorted((DATA / "ratgps").rglob("*1x1400*_feat.dat")):
        where = np.loadtxt(str(path).replace("_feat.dat", "_pos.dat"))
        counts = np.loadtxt(path)[::7]  # windows of 1.4 s, one every 0.2 s: every 7th stands alone
        yield path.name[:5], counts.T.astype(np.float32), where.reshape(len(where), -1)[::7]


def ratgps(quick: bool) -> None:
    """Real counts of place cells (no EEG): half of the units fall silent, or all lose half of their spikes."""
    out, at_s = Study(600.0), 600.0
    decided: list[tuple[int, float]] = []
    for seed, (_, counts, where) in enumerate(rats()):
        signal = SignalSpec(
            sfreq=1 / 1.4, ch_names=tuple(f"u{k}" for k in range(len(counts))), units=("",) * len(counts)
        )
        at, rest_s = round(at_s / 1.4), counts.shape[1] * 1.4 - at_s
        rng = generator(seed, "ratgps")
        silent, halved = counts.copy(), counts.copy()
        silent[rng.permutation(len(counts))[: len(counts) // 2], at:] = 0
        halved[:, at:] = rng.binomial(counts[:, at:].astype(int), 0.5)
        out.null.append(watched(counts, signal))
        for name, values in (("half silent", silent), ("all halved", halved)):
            out.days.setdefault(name, []).append((watched(values, signal), rest_s))
        decided.append(place_decisions(counts, where))
    out.tell("ratgps, change at 600 s of 1,080 to 1,930 s")
    hours = sum(s for _, s in decided) / 3600
    print(f"  output (which quarter of the places, naive Bayes): alarms {poisson(sum(n for n, _ in decided), hours)}")


def place_decisions(counts: np.ndarray, where: np.ndarray) -> tuple[int, float]:
    """Return alarms of the output, and seconds watched, of a decoder learned on the first third, over the rest."""
    first = len(where) // 3
    quarter = (where > np.median(where[:first], 0)).astype(int)
    label = quarter @ np.array([1, 2])[: where.shape[1]]
    k = label.max() + 1
    rates = np.stack([counts[:, :first][:, label[:first] == c].mean(1) + 0.05 for c in range(k)])
    logs = 0.2 * (np.log(rates) @ counts[:, first:] - rates.sum(1, keepdims=True))
    p = np.exp(logs - logs.max(0))
    n, seconds = decisions(p / p.sum(0), 1.4)
    return len(n), seconds


def decisions(p: np.ndarray, token_s: float) -> tuple[list[float], float]:
    """Return when a stream of decisions (K, n_tokens) alarmed, and for how long it was watched."""
    watch = OutputWatch([str(k) for k in range(len(p))], STATED_S)
    state, alarms = watch.fresh(), []
    for k in range(p.shape[1]):
        watch.decision(p[:, k], True, state)
        at_s = (k + 1) * token_s
        alarms += [at_s for h, _ in watch.due(at_s, state) if h.score >= 1]
    return alarms, max(0.0, p.shape[1] * token_s - watch.cusum.enough * BATCH_S * (1 + len(alarms)))


def decided(seed: int, seconds: float, at_s: float, change: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Return simulated decisions (3, n), 20 a second: trials of 4 s, evidence that wanders over half a second."""
    rng, n = generator(seed, "decisions"), int(20 * seconds)
    target = np.repeat(rng.integers(0, 3, n // 80 + 1), 80)[:n]
    noise = np.zeros((3, n))
    steps = rng.standard_normal((3, n)) * np.sqrt(1 - 0.9**2)
    for k in range(1, n):
        noise[:, k] = 0.9 * noise[:, k - 1] + steps[:, k]
    logits = 1.2 * (target == np.arange(3)[:, None]) + 1.2 * noise
    at = int(20 * at_s)
    logits[:, at:] = change(logits[:, at:])
    p = np.exp(logits - logits.max(0))
    return np.asarray(p / p.sum(0))


def output(quick: bool) -> None:
    """Simulated decisions: a class that is favoured, evidence that is lost, a decoder that is too sure."""
    changes: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        "bias 0.7": lambda x: x + np.array([[0.7], [0.0], [0.0]]),
        "bias 1.5": lambda x: x + np.array([[1.5], [0.0], [0.0]]),
        "evidence x 0.7": lambda x: 0.7 * x,
        "evidence x 1.5": lambda x: 1.5 * x,
    }
    n_null, n = (6, 10) if quick else (30, 40)
    null = [decided(seed, 3600, 3600, lambda x: x) for seed in range(n_null)]
    told = [decisions(p, 0.05) for p in null]
    print(f"\noutput, simulated decisions: {n_null} undisturbed hours")
    print(f"  false alarms {poisson(sum(len(a) for a, _ in told), sum(s for _, s in told) / 3600)}")
    alarmed = sum(bool(a) for a, _ in told)
    threshold = sorted((batch_z(p).max() for p in null), reverse=True)[min(alarmed, n_null - 1)]
    print(
        f"  delays: watch / fixed threshold |z| > {threshold:.1f} of batches of {BATCH_S:g} s; change at 400 s of 1,000"
    )
    for name, change in changes.items():
        ours: list[float | None] = []
        theirs: list[float | None] = []
        for seed in range(n):
            p = decided(5000 + seed, 1000, 400, change)
            ours.append(next((t - 400 for t in decisions(p, 0.05)[0] if t > 400), None))
            crossed = (np.flatnonzero(batch_z(p) > threshold) + 1) * BATCH_S
            theirs.append(next((float(t) - 400 for t in crossed if t > 400), None))
        print(paired(name, ours, theirs, [600.0] * n))


def batch_z(p: np.ndarray) -> np.ndarray:
    batches, enough = batches_of(p, round(BATCH_S / 0.05)), round(180 / BATCH_S)
    z = np.abs(batches - batches[:enough].mean(0)) / batches[:enough].std(0, ddof=1)
    z[:enough] = 0
    return np.asarray(z.max(1))


def batches_of(p: np.ndarray, m: int) -> np.ndarray:
    """Return the features (n_batches, K + 2) of decisions (K, n_tokens), `m` tokens a batch."""
    k, whole = len(p), p.shape[1] // m
    share = (p.argmax(0) == np.arange(k)[:, None]).astype(np.float64)
    entropy = -(p * np.log(np.maximum(p, 1e-300))).sum(0) / np.log(max(k, 2))
    rows = np.vstack([share, p.max(0), entropy])[:, : whole * m]
    return np.asarray(rows.reshape(k + 2, whole, m).mean(-1).T)


def rate(quick: bool) -> None:
    """Simulated arrivals: blocks of 20 ms, late by 3 ms on average, held up for 0.3 s once a minute."""
    n_null, n = (6, 10) if quick else (30, 40)
    null = [arrivals(seed, 1.0, 3600) for seed in range(n_null)]
    told = [rated(t) for t in null]
    print(f"\nrate, simulated arrivals: {n_null} undisturbed hours")
    print(f"  false alarms {poisson(sum(map(len, told)), n_null * (1 - 60 / 3600))}")
    alarmed = sum(map(bool, told))
    threshold = sorted((window_error(t).max() for t in null), reverse=True)[min(alarmed, n_null - 1)]
    print(f"  delays: watch / fixed threshold on samples in 2 s, off by {threshold:.1%}; change at 120 s of 420")
    for ratio in (0.95, 0.99, 1.005, 1.01, 1.05):
        ours: list[float | None] = []
        theirs: list[float | None] = []
        for seed in range(n):
            times = arrivals(7000 + seed, ratio, 420, 120)
            ours.append(next((t - 120 for t in rated(times) if t > 120), None))
            crossed = (np.flatnonzero(window_error(times) > threshold) + 1) * 2.0
            theirs.append(next((float(t) - 120 for t in crossed if t > 120), None))
        print(paired(f"rate x {ratio:g}", ours, theirs, [300.0] * n))


def arrivals(seed: int, ratio: float, seconds: float, at_s: float = 0.0) -> np.ndarray:
    """Return when blocks of 20 ms arrive, of a device `ratio` times as fast as declared from `at_s` on."""
    rng = generator(seed, "arrivals")
    before = np.arange(0.02, at_s, 0.02)
    made = np.concatenate([before, np.arange(at_s + 0.02 / ratio, seconds, 0.02 / ratio)])
    late = rng.gamma(1.0, 0.003, len(made)) + 0.3 * (rng.random(len(made)) < 0.02 / 60)
    return np.maximum.accumulate(made + late)


def rated(times: np.ndarray) -> list[float]:
    watch = RateWatch(1000.0, STATED_S)
    state, alarms = watch.fresh(), []
    for t in times.tolist():
        score = watch.block(20, t, state)
        if score is not None and watch.news(score, state):
            alarms.append(t)
    return alarms


def window_error(times: np.ndarray) -> np.ndarray:
    """Return by what share the samples of each 2 s differ from the declared 2,000; 0 in the first minute."""
    counts = np.histogram(times, np.arange(0, times[-1], 2.0))[0] * 20
    error = np.abs(counts / 2000 - 1)
    error[:30] = 0
    return np.asarray(error)


# -- the figure --------------------------------------------------------------------------------------------------------


def figure(path: Path, shown: Study) -> None:
    """Draw how many of the simulated days were noticed within which time."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    threshold = shown.threshold()
    rest = next(iter(shown.days.values()))[0][1]
    drawn = ("gain 0.15", "gain 0.3", "impedance 5 uV", "head 3 cm")
    fig, axes = plt.subplots(1, len(drawn), figsize=(10, 2.6), sharey=True)
    for axis, name in zip(axes, drawn, strict=True):
        runs = [r for r, _ in shown.days[name]]
        for label, colour, of in (
            ("watch", "#1b5e9b", [r.first(shown.at_s, r.input_s) for r in runs]),
            ("fixed threshold", "#b0643c", [r.first(shown.at_s, r.crossed(threshold)) for r in runs]),
        ):
            delays = np.sort([np.inf if d is None else d for d in of])
            share = [100 * np.mean(delays <= t) for t in np.arange(0, rest)]
            axis.step(np.arange(0, rest), share, color=colour, label=label, where="post")
        axis.set_title(name, fontsize=10)
        axis.set_xlabel("seconds after the change", fontsize=8)
        axis.tick_params(labelsize=8)
    axes[0].set_ylabel("% noticed", fontsize=8)
    axes[0].set_ylim(0, 102)
    axes[-1].legend(fontsize=8, frameon=False)
    fig.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    fig.savefig(path, dpi=110, metadata={"Software": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", default=["simulated", "ssvep_exo", "ratgps", "output", "rate"])
    parser.add_argument("--quick", action="store_true", help="a minute, fewer of everything")
    parser.add_argument("--figure", type=Path, help="where to draw the simulated days")
    args = parser.parse_args()
    for part in args.parts:
        if part in ("ssvep_exo", "ratgps") and not (DATA / part.replace("_", "-")).is_dir():
            print(f"\n{part}: left out, NEURAL_FOUNDATION_DATA does not hold it")
            continue
        begun = time.perf_counter()
        result = globals()[part](args.quick)
        print(f"  ({time.perf_counter() - begun:.0f} s)", flush=True)
        if part == "simulated" and args.figure:
            figure(args.figure, result)


if __name__ == "__main__":
    main()
