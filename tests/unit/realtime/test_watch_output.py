"""The decisions: streams whose neighbours are all but the same do not alarm; a bias and lost evidence do."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import lfilter

from neural_foundation.core.seeds import generator
from neural_foundation.core.stream import load_state, save_state
from neural_foundation.realtime.watch_output import OutputWatch

TOKEN_S = 0.05


def decided(seed: int, seconds: float, ar: float = 0.9, *, bias: float = 0.0, gain: float = 1.0, at_s: float = 0.0):
    """Return probabilities (3, n): trials of 4 s, evidence that wanders."""
    rng, n = generator(seed, "decided"), round(seconds / TOKEN_S)
    target = np.repeat(rng.integers(0, 3, n // 80 + 1), 80)[:n]
    noise = lfilter([np.sqrt(1 - ar**2)], [1.0, -ar], rng.standard_normal((3, n)), axis=1)
    logits = 1.2 * (target == np.arange(3)[:, None]) + 1.2 * noise
    at = round(at_s / TOKEN_S)
    logits[:, at:] = gain * logits[:, at:] + np.array([[bias], [0], [0]])
    p = np.exp(logits - logits.max(0))
    return p / p.sum(0)


def told(watch: OutputWatch, p: np.ndarray) -> list[tuple[float, str]]:
    state, out = watch.fresh(), []
    for k in range(p.shape[1]):
        watch.decision(p[:, k], True, state)
        at_s = (k + 1) * TOKEN_S
        out += [(at_s, what) for h, what in watch.due(at_s, state) if h.score >= 1]
    return out


@pytest.mark.parametrize("ar", [0.0, 0.9, 0.99])
def test_false_alarms_are_no_more_often_than_stated(ar: float) -> None:
    watch = OutputWatch("abc", 600.0)
    n = sum(len(told(watch, decided(seed, 2400, ar))) for seed in range(2))
    assert n <= 8 + 2 * np.sqrt(8)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"bias": 2.0}, ("share of a higher", "share of b lower", "share of c lower", "confidence higher")),
        ({"gain": 0.4}, ("entropy higher", "confidence lower")),
        ({"gain": 2.5}, ("entropy lower", "confidence higher")),
    ],
)
def test_a_change_is_found_and_named(change: dict[str, float], words: tuple[str, ...]) -> None:
    out = told(OutputWatch("abc", 3600.0), decided(0, 600, at_s=300, **change))
    assert len(out) == 1
    assert 300 < out[0][0] < 480
    assert out[0][1].removesuffix(" than at first") in words


def test_invalid_decisions_say_nothing_and_the_state_travels() -> None:
    watch, p = OutputWatch("abc", 3600.0), decided(0, 200)
    state = watch.fresh()
    for k in range(p.shape[1]):
        watch.decision(p[:, k], k % 3 == 0, state)
        assert not watch.due((k + 1) * TOKEN_S, state)
    assert watch.cusum.learning(state["session"])
    again = load_state(save_state(state))
    assert again["n_all"] == state["n_all"]
