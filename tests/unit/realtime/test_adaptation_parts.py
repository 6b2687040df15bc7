"""Alignment and readout on their own."""

import numpy as np
import pytest

from neural_foundation.models.linear import softmax
from neural_foundation.realtime import adaptation_readout as readout
from neural_foundation.realtime.adaptation_alignment import alignment, power, transport


def covariance(n: int = 5, seed: int = 0) -> np.ndarray:
    x = np.random.default_rng(seed).standard_normal((n, 3 * n))
    return x @ x.T / x.shape[1]


NONE = np.zeros(5, bool)


class TestAlignment:
    def test_the_covariance_comes_back(self) -> None:
        now, reference = covariance(seed=1), covariance(seed=2)
        t = transport(now, reference, shrinkage=1e-9, most_gain=100)
        np.testing.assert_allclose(t @ now @ t.T, reference, atol=1e-6)
        np.testing.assert_allclose(t, t.T)
        assert np.linalg.eigvalsh(t)[0] > 0

    def test_gains_are_undone_exactly(self) -> None:
        reference, gain = covariance(), np.array([0.5, 2.0, 1.0, 1.5, 0.8])
        t = transport(np.outer(gain, gain) * reference, reference, shrinkage=1e-9, most_gain=10)
        np.testing.assert_allclose(t, np.diag(1 / gain), atol=1e-5)

    def test_half_way_is_half_way(self) -> None:
        now, reference = covariance(seed=1), covariance(seed=2)
        whole = transport(now, reference, shrinkage=0.05, most_gain=100)
        half = transport(now, reference, shrinkage=0.05, most_gain=100, strength=0.5)
        np.testing.assert_allclose(half @ half, whole)

    def test_nothing_changes_where_nothing_did(self) -> None:
        c = covariance()
        np.testing.assert_allclose(alignment(c, c, NONE, shrinkage=0.05, most_gain=3), np.eye(5), atol=1e-9)

    @pytest.mark.parametrize("scale", [1e-14, 1.0, 1e12])
    def test_gains_are_bounded(self, scale: float) -> None:
        t = alignment(scale * covariance(seed=3), covariance(seed=4), NONE, shrinkage=0.05, most_gain=3)
        values = np.linalg.eigvalsh(t)
        assert values[0] >= 1 / 3 - 1e-9
        assert values[-1] <= 3 + 1e-9

    def test_a_direction_without_power_does_not_blow_up(self) -> None:
        flat = np.eye(5) - 1 / 5  # an average reference leaves the mean without any
        t = alignment(flat @ covariance(seed=5) @ flat, covariance(seed=6), NONE, shrinkage=0.05, most_gain=3)
        assert np.isfinite(t).all()
        assert np.abs(np.linalg.eigvalsh(t)).max() <= 3 + 1e-9

    def test_a_lost_channel_is_said_by_the_others(self) -> None:
        rng = np.random.default_rng(0)
        source = rng.standard_normal((3, 20_000))
        x = rng.standard_normal((5, 3)) @ source + 0.1 * rng.standard_normal((5, 20_000))
        reference = x @ x.T / x.shape[1]
        broken = x.copy()
        broken[3] = 0
        t = alignment(broken @ broken.T / x.shape[1], reference, NONE, shrinkage=1e-6, most_gain=3)
        assert not t[:, 3].any()
        assert np.corrcoef((t @ broken)[3], x[3])[0, 1] > 0.9
        noisy = broken.copy()
        noisy[3] = 5 * rng.standard_normal(20_000)  # what an average reference would put there
        told = alignment(noisy @ noisy.T / x.shape[1], reference, np.arange(5) == 3, shrinkage=1e-6, most_gain=3)
        np.testing.assert_allclose(told, t, atol=1e-6)

    def test_with_fewer_than_two_channels_nothing_is_done(self) -> None:
        np.testing.assert_array_equal(
            alignment(np.zeros((5, 5)), covariance(), NONE, shrinkage=0.05, most_gain=3), np.eye(5)
        )
        np.testing.assert_array_equal(
            alignment(covariance(), covariance(), np.arange(5) > 0, shrinkage=0.05, most_gain=3), np.eye(5)
        )

    def test_powers_of_a_matrix(self) -> None:
        c = covariance()
        np.testing.assert_allclose(power(c, 0.5) @ power(c, 0.5), c)
        np.testing.assert_allclose(power(c, -0.5) @ c @ power(c, -0.5), np.eye(5), atol=1e-9)


def taught(logits: np.ndarray, right: np.ndarray) -> dict[str, object]:
    state = readout.fresh(logits.shape[1])
    for i, (x, y) in enumerate(zip(logits, right, strict=True)):
        readout.remember(state, x - x.mean(), int(y), 100 * i)
        readout.learn(state, 100 * i, 1e6)
    return state


def decisions(state: dict[str, object], logits: np.ndarray) -> np.ndarray:
    x = logits - logits.mean(1, keepdims=True)
    return readout.apply(x, state["scale"], state["bias"]).argmax(1)  # type: ignore[arg-type]


def made(n: int, shift: float = 0.0, classes: int = 2, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    right = rng.integers(0, classes, n)
    logits = 1.5 * np.eye(classes)[right] + rng.standard_normal((n, classes))
    logits[:, 0] += shift
    return logits, right


class TestReadout:
    @pytest.mark.parametrize("case", ["three classes", "random", "overconfident"])
    def test_the_fit_is_the_best(self, case: str) -> None:
        from scipy.optimize import minimize

        classes = 3 if case == "three classes" else 2
        logits, right = made(40, shift=1.0, classes=classes)
        if case == "random":
            right = np.random.default_rng(103).integers(0, 2, 40)
        if case == "overconfident":
            logits = 10 * logits  # full Newton steps go round in circles here
        x = logits - logits.mean(1, keepdims=True)
        weight, rms = np.linspace(0.2, 1, 40), float(np.sqrt(np.mean(x**2)))

        def loss(w: np.ndarray) -> float:
            p = softmax(w[0] * x + w[1:])
            prior = (w[0] - 1) ** 2 + np.sum(w[1:] ** 2) / max(1.0, rms) ** 2
            return float(-(weight * np.log(p[np.arange(40), right])).sum() + prior / 2)

        best = minimize(loss, np.eye(1, classes + 1)[0], tol=1e-10).x
        scale, bias, error = readout.fitted(x, right, weight, rms)
        assert 0 < error < 1
        assert scale == pytest.approx(best[0], abs=1e-4)
        np.testing.assert_allclose(bias, best[1:] - best[1:].mean(), atol=1e-4)

    @pytest.mark.parametrize("classes", [2, 3])
    def test_a_shifted_threshold_comes_back(self, classes: int) -> None:
        learned = taught(*made(40, shift=1.5, classes=classes))
        logits, right = made(4000, shift=1.5, classes=classes, seed=1)
        best = np.mean((logits - 1.5 * np.eye(classes)[0]).argmax(1) == right)
        frozen, adapted = np.mean(logits.argmax(1) == right), np.mean(decisions(learned, logits) == right)
        assert adapted - frozen > 0.4 * (best - frozen)

    @pytest.mark.parametrize("lie", ["random", "wrong", "one class"])
    def test_false_feedback_cannot_turn_it_round(self, lie: str) -> None:
        logits, right = made(128)
        told = {"random": np.random.default_rng(3).integers(0, 2, 128), "wrong": 1 - right, "one class": 0 * right}
        learned = taught(logits, told[lie])
        test, truth = made(4000, seed=1)
        assert np.mean(decisions(learned, test) == truth) > np.mean(test.argmax(1) == truth) - 0.03
        assert 0.2 <= learned["scale"] <= 5.0  # type: ignore[operator]

    def test_steps_are_bounded(self) -> None:
        state = readout.fresh(2)
        readout.remember(state, np.array([30.0, -30.0]), 1, 0)
        readout.learn(state, 0, 100)
        assert state["scale"] >= np.exp(-readout.MOST_STEP)
        assert np.abs(state["bias"]).max() <= readout.MOST_STEP * state["scale"] * 30 + 1e-9

    def test_the_oldest_outcome_makes_room(self) -> None:
        state = readout.fresh(2)
        for i in range(readout.KEPT + 3):
            readout.remember(state, np.array([i, -i], float), i % 2, i)
        assert state["sample"].min() == 3
        assert state["sample"].shape == (readout.KEPT,)

    def test_impossible_probabilities_have_logits(self) -> None:
        assert np.isfinite(readout.centred(np.array([[1.0, 0.0]]))).all()
