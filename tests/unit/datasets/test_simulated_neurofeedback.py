"""The simulated brain of neurofeedback: its rhythm, its background, and what it learns from which feedback."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.signal import welch

from neural_foundation.datasets import DATASETS
from neural_foundation.datasets.simulated.made import known
from neural_foundation.datasets.simulated.neurofeedback import SimulatedNeurofeedback
from neural_foundation.datasets.simulated.neurofeedback_brain import HOP_S, Brain, Person, person

WHO = Person(alpha_hz=10.0, alpha=9e-6, background=10e-6, rate=0.014, blinks_per_min=0.0)


def test_the_pieces_make_one_signal() -> None:
    brain = Brain(WHO, 0, "a")
    values = np.concatenate([brain.step(HOP_S, trying=False) for _ in range(800)], 1)
    assert values.shape == (8, 20_000)
    assert values.dtype == np.float32
    hz, density = welch(values, 100, nperseg=400)
    peak = hz[(hz > 6) & (hz < 14)][density[7][(hz > 6) & (hz < 14)].argmax()]
    assert peak == pytest.approx(10, abs=0.6)
    assert density[0, hz == 2] > 3 * density[0, hz == 20], "the background falls with frequency"
    jumps = np.abs(np.diff(values[7]))
    edges = jumps[24::25]
    assert np.median(edges) < 1.2 * np.median(jumps), "no step where one piece meets the next"


def test_skill_raises_alpha_while_trying_only() -> None:
    brain = Brain(WHO, 0, "a", skill=0.5)
    level = {t: [] for t in (False, True)}
    for k in range(4000):
        brain.step(HOP_S, trying=k % 2 == 0)
        level[k % 2 == 0].append(np.log(brain.amplitude))
    assert np.mean(level[True]) - np.mean(level[False]) == pytest.approx(0.5, abs=0.05)


def skill_after(who: Person, how: str, session: str) -> float:
    """Return the skill after 6 minutes of feedback that follows alpha, or that of somebody else."""
    brain, other, feedback = Brain(who, 1, session), Brain(who, 1, f"{session} other"), None
    for _ in range(round(360 / HOP_S)):
        brain.step(HOP_S, trying=True, feedback=feedback)
        other.step(HOP_S, trying=True)
        shown = brain if how == "own" else other
        feedback = float(np.clip(0.5 + np.log(shown.amplitude / who.alpha), 0, 1))
    return brain.skill


def test_own_feedback_teaches_and_sham_does_not() -> None:
    own = [skill_after(WHO, "own", f"s{k}") for k in range(4)]
    sham = [skill_after(WHO, "sham", f"s{k}") for k in range(4)]
    assert min(own) > 0.2
    assert np.mean(own) > np.mean(sham) + 0.25
    assert abs(np.mean(sham)) < 0.2


def test_who_does_not_respond_learns_nothing() -> None:
    deaf = Person(**{**WHO.__dict__, "rate": 0.0})
    assert skill_after(deaf, "own", "s") == 0
    assert not deaf.responds


def test_people_are_who_they_are() -> None:
    assert person(0, "a") == person(0, "a") != person(0, "b")
    share = np.mean([person(0, f"p{k}", responders=0.7).responds for k in range(300)])
    assert share == pytest.approx(0.7, abs=0.08)
    first, second = (Brain(WHO, 0, "a").step(1.0, trying=False) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_a_calibration_is_written_and_read_back(tmp_path: Path) -> None:
    spec = DATASETS.parse(
        {"kind": "simulated_neurofeedback", "subjects": 2, "blocks": 4, "block_s": 8, "responders": 1}
    )
    assert isinstance(spec, SimulatedNeurofeedback)
    with spec.open(spec.items()[0], tmp_path) as session:
        assert session.trials.label == ("rest", "up", "rest", "up")
        np.testing.assert_allclose(session.trials.end_s - session.trials.start_s, 8)
        assert session.signal.n_times == round((2 + 4 * 10) * 100)
        assert session.trials.end_s[-1] <= 42
    truth = known(tmp_path, "sim001")
    assert truth["responder"]
    assert truth["amplitude"].shape == (4,)
    assert "assumed here" in spec.info.note
