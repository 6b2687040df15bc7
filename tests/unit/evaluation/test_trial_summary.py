"""Scores over sessions, folds and seeds: what is averaged, what the interval is of, and what is compared with what."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from neural_foundation.core.errors import DataError
from neural_foundation.evaluation.trial_scores import Scored
from neural_foundation.evaluation.trial_summary import Metric, Run, summarise
from neural_foundation.metrics import bootstrap_mean

BITS, ERROR = "encoding.spikes.bits_per_spike", "decoding.position.mean_error"
CHOICE = "decoding.choice.balanced_accuracy"


def run(model: str, session: str, value: float, fold: str = "0", seed: int = 0, name: str = BITS, **more: Any) -> Run:
    fields: dict[str, Any] = {"hold_out": "trial", "tested": "same", **more}
    return Run(model=model, session=session, fold=fold, seed=seed, scored=Scored({name: value}), **fields)


def entry(runs: list[Run], model: str = "m", name: str = BITS, truth: list[Run] | None = None, **more: Any) -> Any:
    made = summarise(runs, truth or [], more.pop("baselines", ["b"]), {"position": "cm"}, 0, **more)
    return made["models"][model]["metrics"][name]


def test_a_name_is_taken_apart() -> None:
    assert Metric.of("decoding.velocity.r2[x.1]") == Metric(
        "decoding.velocity.r2[x.1]", "decoding", "velocity", "r2", "x.1"
    )
    assert Metric.of(ERROR).less_is_better
    assert not Metric.of(BITS).less_is_better
    assert Metric.of(ERROR).facts("cm")["unit"] == "cm"


class TestTheUnitIsTheSession:
    def test_a_session_is_the_mean_of_its_folds_and_seeds(self) -> None:
        runs = [run("m", "a", v, fold=f, seed=s) for v, f, s in ((1, "0", 0), (2, "0", 1), (3, "1", 0), (6, "1", 1))]
        made = entry([*runs, run("m", "b", 7.0)])
        assert made["sessions"] == {"a": 3.0, "b": 7.0}
        assert made["mean"] == 5.0
        assert len(made["runs"]) == 5

    def test_three_sessions_have_a_bootstrap_interval(self) -> None:
        values = {"a": 0.1, "b": 0.4, "c": 0.2}
        made = entry([run("m", s, v) for s, v in values.items()])
        expected = bootstrap_mean(np.array([0.1, 0.4, 0.2]), 0)
        assert (made["mean"], made["low"], made["high"]) == pytest.approx(tuple(expected))
        assert made["interval"] == "95 % bootstrap interval over 3 sessions"
        assert made["sd_sessions"] == pytest.approx(np.std([0.1, 0.4, 0.2], ddof=1))
        assert made["sd_seeds"] is None

    def test_one_session_has_a_range_that_says_of_what(self) -> None:
        runs = [run("m", "a", v, fold=f, seed=s) for v, f, s in ((1, "0", 0), (2, "0", 1), (3, "1", 0), (6, "1", 1))]
        made = entry(runs)
        assert (made["low"], made["high"]) == (1.0, 6.0)
        assert made["interval"] == "range over 2 folds x 2 seeds, one session"
        assert made["sd_seeds"] == pytest.approx(np.std([2.0, 4.0], ddof=1))
        assert made["sd_sessions"] is None

    def test_two_sessions_have_a_range_of_the_fits(self) -> None:
        runs = [run("m", s, v + k, seed=k) for s, v in (("a", 0.0), ("b", 2.0)) for k in range(3)]
        made = entry(runs)
        assert (made["low"], made["high"]) == (1.0, 3.0)
        assert made["interval"] == "range over 3 seeds, 2 sessions"

    def test_one_fit_has_none(self) -> None:
        made = entry([run("m", "a", 1.0)])
        assert made["low"] is made["high"] is None
        assert made["interval"] == "one fit, one session: no interval"

    def test_what_is_not_defined_is_left_out(self) -> None:
        made = summarise([run("m", "a", float("nan")), run("m", "b", 2.0)], [], [], {}, 0)
        assert made["models"]["m"]["metrics"][BITS]["sessions"] == {"b": 2.0}
        assert not summarise([run("m", "a", float("nan"))], [], [], {}, 0)["models"]["m"]["metrics"]


def test_units_left_out_are_the_most_of_the_folds_of_each_session() -> None:
    def without(session: str, fold: str, many: int) -> Run:
        return Run("m", "block", session, fold, 0, Scored({BITS: 1.0}, left_out={BITS: many} if many else {}))

    made = summarise(
        [without("a", "0", 1), without("a", "1", 3), without("b", "0", 2), without("c", "0", 0)], [], [], {}, 0
    )
    assert made["models"]["m"]["metrics"][BITS]["left_out"] == {"a": 3, "b": 2}
    assert "left_out" not in entry([run("m", "a", 1.0)])


class TestTheComparison:
    def test_it_is_with_the_best_baseline_pair_by_pair(self) -> None:
        runs = [run("m", s, v, seed=k) for s, v in (("a", 1.0), ("b", 2.0), ("c", 3.0)) for k in (0, 1)]
        runs += [run("b", s, v) for s, v in (("a", 0.5), ("b", 2.5), ("c", 1.0))]
        runs += [run("poor", s, 0.1) for s in "abc"]
        made = entry(runs, baselines=["b", "poor"])["difference"]
        assert made["against"] == "b"
        assert made["sessions"] == {"a": 0.5, "b": -0.5, "c": 2.0}
        assert made["mean"] == pytest.approx(2 / 3)
        assert made["pairs"] == 3
        assert entry(runs, "b", baselines=["b", "poor"])["difference"]["against"] == "poor"

    def test_less_may_be_better(self) -> None:
        runs = [run(m, "a", v, name=ERROR) for m, v in (("m", 9.0), ("far", 20.0), ("near", 11.0))]
        made = entry(runs, name=ERROR, baselines=["far", "near"])["difference"]
        assert (made["against"], made["mean"]) == ("near", -2.0)

    def test_a_baseline_tested_another_way_is_no_rival(self) -> None:
        runs = [run("m", "a", 1.0), run("b", "a", 0.5, hold_out="block")]
        assert entry(runs)["difference"] is None

    def test_a_baseline_that_lacks_a_session_is_no_rival(self) -> None:
        runs = [run("m", "a", 1.0), run("m", "b", 1.0), run("b", "a", 0.5)]
        assert entry(runs)["difference"] is None

    def test_other_bins_cannot_be_compared(self) -> None:
        with pytest.raises(DataError, match="tested on other bins of session 'a'"):
            summarise([run("m", "a", 1.0), run("b", "a", 1.0, tested="others")], [], ["b"], {}, 0)

    def test_one_model_is_tested_in_one_way(self) -> None:
        with pytest.raises(DataError, match="tested in 2 ways: 'block' or 'trial'"):
            summarise([run("m", "a", 1.0), run("m", "a", 1.0, hold_out="block")], [], [], {}, 0)

    def test_there_must_be_a_model(self) -> None:
        with pytest.raises(DataError, match="no models"):
            summarise([], [], [], {}, 0)


class TestChanceAndCeiling:
    def test_the_share_is_from_the_null_to_the_ceiling(self) -> None:
        truth = [run("truth", "a", 0.4), run("truth", "b", 0.6)]
        made = entry([run("m", "a", 0.3), run("m", "b", 0.5)], truth=truth)
        assert made["ceiling"] == {"mean": 0.5, "share": pytest.approx(0.8)}
        assert made["null"] == 0.0
        assert made["ceiling_without_drift"] is None
        still = [run("truth", "a", 0.4), run("truth", "b", 0.4)]
        assert entry([run("m", "a", 0.3), run("m", "b", 0.5)], still=still)["ceiling_without_drift"]["share"] == 1.0

    def test_of_an_error_it_is_from_the_null_down(self) -> None:
        runs = [run("m", "a", 10.0, name=ERROR, nulls={ERROR: 40.0})]
        made = entry(runs, name=ERROR, truth=[run("truth", "a", 0.0, name=ERROR)])
        assert made["null"] == 40.0
        assert made["ceiling"]["share"] == pytest.approx(0.75)

    def test_a_ceiling_of_other_folds_is_none(self) -> None:
        truth = [run("truth", "a", 0.4, hold_out="block"), run("truth", "a", 0.4, fold="7")]
        assert entry([run("m", "a", 0.3)], truth=truth)["ceiling"] is None

    def test_chance_is_a_mean_over_sessions_shuffle_by_shuffle(self) -> None:
        guesses = {"a": np.array([0.4, 0.6, 0.5, 0.5]), "b": np.array([0.6, 0.8, 0.5, 0.7])}
        runs = [run("m", s, 0.9, name=CHOICE, chance={CHOICE: g}) for s, g in guesses.items()]
        made = entry(runs, name=CHOICE, truth=[run("truth", s, 1.0, name=CHOICE) for s in "ab"])
        means = np.array([0.5, 0.7, 0.5, 0.6])
        assert made["chance"] == {"mean": means.mean(), "level_95": np.quantile(means, 0.95)}
        assert made["null"] == made["chance"]["mean"]
        assert made["ceiling"]["share"] == pytest.approx((0.9 - 0.575) / (1 - 0.575))


def test_regions_are_means_over_sessions() -> None:
    runs = [
        Run("m", "trial", s, "0", 0, Scored({BITS: 1.0}, regions={"CA1": v, "": 1.0}), tested="same")
        for s, v in (("a", 0.2), ("b", 0.4), ("c", float("nan")))
    ]
    made = summarise(runs, [], [], {}, 0)["models"]["m"]["regions"]
    assert made["CA1"]["mean"] == pytest.approx(0.3)
    assert made["CA1"]["n_sessions"] == 2
    assert made["unknown"]["mean"] == 1.0
