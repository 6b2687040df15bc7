import numpy as np
import pytest

from neural_foundation.realtime.guard import closer, evidence, fresh, judge, misfit


def verdicts(differences: np.ndarray, alpha: float = 0.1, confirm: int = 10_000) -> list[str]:
    state = fresh()
    return [judge(state, float(d), alpha=alpha, confirm=confirm) for d in differences]


def outcomes(rng: np.random.Generator, worse: float, better: float, n: int) -> np.ndarray:
    return rng.choice([1.0, -1.0, 0.0], n, p=[worse, better, 1 - worse - better])


def test_no_outcome_no_evidence() -> None:
    assert evidence(fresh()) == 1.0
    state = fresh()
    judge(state, 0.0, alpha=0.1, confirm=10)
    assert evidence(state) == pytest.approx(1.0)  # a bet on nothing


def test_the_wealth_is_that_of_the_mixture() -> None:
    from neural_foundation.realtime.guard import STAKES

    d = np.random.default_rng(1).uniform(-1, 1, 12)
    state = fresh()
    for x in d:
        judge(state, float(x), alpha=1e-9, confirm=100)
    whole = sum(
        np.mean([np.prod(1 + s * d[t - 1 :]) for s in STAKES]) / (t * (t + 1)) for t in range(1, 13)
    )  # those who began to bet at outcome t, and 1 / 13 that never did
    assert evidence(state) == pytest.approx(whole + 1 / 13)


def test_false_rollbacks_are_as_rare_as_said() -> None:
    rng, alpha = np.random.default_rng(0), 0.1
    for worse, better in ((0.2, 0.2), (0.05, 0.05), (0.5, 0.5)):
        false = np.mean(["worse" in verdicts(outcomes(rng, worse, better, 200), alpha) for _ in range(120)])
        assert false <= alpha  # at each look of 200, in a stream that is no worse


def test_what_is_worse_is_found_and_sooner_the_worse_it_is() -> None:
    rng = np.random.default_rng(2)

    def delay(worse: float, better: float) -> float:
        made = [verdicts(outcomes(rng, worse, better, 600)) for _ in range(20)]
        return float(np.median([v.index("worse") if "worse" in v else 600 for v in made]))

    assert delay(0.9, 0.0) < 15
    assert delay(0.5, 0.1) < 40
    assert delay(0.3, 0.1) < 200


def test_good_times_do_not_make_it_blind() -> None:
    said = verdicts(np.concatenate([np.full(500, -1.0), np.full(40, 1.0)]))
    assert "worse" not in said[:500]
    assert said[500:].index("worse") < 30


def test_good_is_said_after_each_span_that_was_not_worse() -> None:
    said = verdicts(np.array([0.0] * 5 + [1.0, 0, 0, 0, 0] + [-1.0, 1, 0, 0, 0]), confirm=5)
    assert said == [""] * 4 + ["good"] + [""] * 5 + [""] * 4 + ["good"]


def test_misfit_sees_shape_not_size() -> None:
    c = np.diag([1.0, 2.0, 3.0])
    assert misfit(7 * c, c) == pytest.approx(0)
    assert misfit(np.eye(3), c) == pytest.approx(np.linalg.norm(np.eye(3) / 3 - c / 6))
    assert misfit(np.zeros((3, 3)), c) == 2.0
    assert closer(2.0, 1.0) == pytest.approx(-1 / 3)
    assert closer(0.0, 0.0) == 0.0
