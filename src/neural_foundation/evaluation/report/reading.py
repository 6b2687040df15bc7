"""What the numbers say, in sentences. Nothing is claimed that an interval does not carry."""

from __future__ import annotations

import math

import numpy as np

from .content import (
    Calibration,
    Certainty,
    Confusion,
    DecisionTrace,
    Estimate,
    HeldOutScores,
    Latency,
    PairedDifference,
    PretrainingGain,
    ReportContent,
    ScalpMaps,
)
from .curves import quantiles
from .markup import budget, count, duration, interval, number, percent, sentence, signed
from .topomap import correlation
from .trace import excerpt


def verdict(content: ReportContent) -> str:
    """Return the report in one sentence: above chance or not, and how it stands to the best baseline."""
    scores = content.scores
    if scores is None:
        return ""
    main = scores.main
    numbers = f"{scores.metric} {number(main.mean.value)} ({_beside(content, scores)})"
    if above_chance(scores):
        return f"{sentence(main.model)} decodes {content.task} on {content.held_out}: {numbers}."
    return f"{sentence(main.model)} does not decode {content.task} above chance on {content.held_out}: {numbers}."


def above_chance(scores: HeldOutScores) -> bool:
    """Whether the mean lies above the permutation interval of chance, and its own interval above chance itself."""
    return scores.main.mean.value > scores.chance.high and scores.main.mean.low > scores.chance.value


def _beside(content: ReportContent, scores: HeldOutScores) -> str:
    chance = f"chance {number(scores.chance.value)}"
    if not above_chance(scores):
        chance += f", by shuffled labels up to {number(scores.chance.high)}"
    best = scores.best_baseline
    if best is None:
        return chance
    text = f"{chance}, best baseline {number(best.mean.value)} by {best.model}"
    d = content.difference
    if d is None or d.baseline != best.model or d.model != scores.main.model:
        return text
    return f"{text}; {_standing(d)}"


def _standing(d: PairedDifference) -> str:
    if d.difference.low > 0:
        return f"better by {number(d.difference.value, 3)}"
    return f"worse by {number(-d.difference.value, 3)}" if d.difference.high < 0 else "no clear difference"


def scores_reading(scores: HeldOutScores) -> str:
    main, n = scores.main, len(scores.subjects)
    finite = [v for v in main.by_subject if math.isfinite(v)]
    reach = f"{number(min(finite))} to {number(max(finite))}" if finite else "undefined"
    text = (
        f"{sentence(main.model)} scores {number(main.mean.value)} on average, 95 % interval "
        f"{interval(main.mean.low, main.mean.high)}, and {reach} by {scores.group}."
    )
    if scores.chance_by_subject is None:
        return f"{text} Grey: where 95 in 100 means of shuffled labels fall."
    passed = sum(v > c.high for v, c in zip(main.by_subject, scores.chance_by_subject, strict=True))
    above = f"{passed} of {count(n, scores.group)} lie above what shuffled labels reach on their own trials"
    return f"{text} {above} (grey: 95 in 100 shuffles)."


def difference_reading(d: PairedDifference) -> str:
    e = d.difference
    pair = f"{sentence(d.model)} minus {d.baseline}"
    text = f"{pair}: {signed(e.value)} {d.metric}, 95 % interval {interval(e.low, e.high)} ({d.method})."
    if e.low <= 0 <= e.high:
        text += " The interval holds zero: these data do not tell the two apart."
    better = sum(v > 0 for v in d.by_subject)
    return text + (f" Higher in {better} of {len(d.by_subject)}." if d.by_subject else "")


def gain_reading(gain: PretrainingGain) -> str:
    clear = [b.label for b in gain.budgets if b.difference is not None and b.difference.low > 0]
    worse = [b.label for b in gain.budgets if b.difference is not None and b.difference.high < 0]
    known = any(b.difference is not None for b in gain.budgets)
    parts = []
    if clear:
        parts.append(f"Pre-training helps clearly with {', '.join(clear)}.")
    if worse:
        parts.append(f"It hurts with {', '.join(worse)}.")
    if known and not clear and not worse:
        parts.append("No amount of data shows a clear effect of pre-training: every interval holds zero.")
    return " ".join([*parts, gain.note] if gain.note else parts)


def latency_reading(latency: Latency) -> str:
    q = quantiles(latency)
    n = np.size(latency.seconds)
    text = (
        f"Half of {count(n, 'step')} take at most {duration(q['p50'])}, 99 in 100 at most {duration(q['p99'])}. "
        f"One step is {latency.step.rstrip('.')}."
    )
    if latency.deadline_s is None:
        return text
    late = int((np.asarray(latency.seconds) > latency.deadline_s).sum())
    share = f"{percent(q['p99'] / latency.deadline_s, 1)} of the {budget(latency.deadline_s)} until the next one"
    return f"{text} At p99 that is {share}; {late or 'no'} {'step was' if late == 1 else 'steps were'} late."


def trace_reading(trace: DecisionTrace) -> str:
    decided = [t for t in trace.trials if t.decided is not None]
    right = sum(t.decided == t.label for t in decided)
    parts = [f"{trace.title}."]
    if decided:
        parts.append(f"Right on {right} of {count(len(decided), 'trial')}.")
    start, end = excerpt(trace)
    if end - start < trace.time_s[-1] - trace.time_s[0]:
        parts.append(f"Drawn: {start:.0f} to {end:.0f} s of {trace.time_s[-1] - trace.time_s[0]:.0f} s.")
    return " ".join([*parts, trace.note] if trace.note else parts)


def confusion_reading(confusion: Confusion) -> str:
    counts = np.asarray(confusion.counts, float)
    share = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    wrong = share - np.diag(np.diag(share))
    beyond = "" if confusion.kappa is None else f" {_kappa(confusion.kappa)}"
    if not wrong.any():
        return f"No trial was taken for another class.{beyond}"
    i, j = np.unravel_index(int(np.argmax(wrong)), wrong.shape)
    true, decided = confusion.classes[i], confusion.classes[j]
    return f"The most common confusion: {percent(share[i, j])} of {true} is taken for {decided}.{beyond}"


def _kappa(kappa: Estimate) -> str:
    return f"Cohen's kappa {number(kappa.value)} on average, 95 % interval {interval(kappa.low, kappa.high)}."


def calibration_reading(cal: Calibration) -> str:
    if cal.error is None:
        return ""
    text = f"Expected calibration error {number(cal.error, 3)}"
    if cal.interval is not None:
        text += f", 95 % interval over people {interval(cal.interval.low, cal.interval.high, 3)}"
    if cal.before is None or cal.before.error is None:
        return f"{text}."
    return f"{text}; {number(cal.before.error, 3)} before calibration (hollow)."


def certainty_reading(c: Certainty) -> str:
    wished, worst = percent(c.wished), percent(min(c.by_subject))
    spread = float(np.std(c.by_subject, ddof=1)) if len(c.by_subject) > 1 else math.nan
    parts = [
        f"Sets meant to hold the true class in {wished} of decisions hold it in {percent(c.coverage.value)} "
        f"({interval(c.coverage.low, c.coverage.high)}), with {number(c.set_size)} classes on average.",
        f"The worst covered of {len(c.subjects)} has {worst}. The spread over people is {number(spread)}; "
        f"people who were all alike would show {number(c.alike)}.",
    ]
    if c.given is None:
        return " ".join([*parts, "Under its own rule it never decides."])
    share, accuracy = c.given
    return " ".join(
        [
            *parts,
            f"It decides in {percent(share)} of windows and is right in {percent(accuracy)} of those; "
            f"in {percent(float(c.accuracy[-1]))} of all if it never stays silent.",
        ]
    )


def scalp_reading(maps: ScalpMaps) -> str:
    text = "Where on the scalp the decoded signal comes from: activation patterns (Haufe et al. 2014), not weights."
    found = [r for r in (correlation(m) for m in maps.maps) if r is not None and math.isfinite(r)]
    if found:
        one = f"r = {number(found[0])}" if len(found) == 1 else f"r from {number(min(found))} to {number(max(found))}"
        text += f" They agree with the true topographies at {one}."
    return f"{text} {maps.note}" if maps.note else text
